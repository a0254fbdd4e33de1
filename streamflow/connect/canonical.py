"""Canonical types: the few forms that values take on an edge (rule 18), so that operators and kernels meet no others.

| comes as | travels as |
| --- | --- |
| dictionary, run-end encoded, extension | their values, their storage |
| large or view strings, binaries and lists; fixed-size ones | string, binary, list |
| timestamps of any unit and zone (naive = UTC) | timestamp us, UTC |
| date64; time32, time64 ns; durations | date32; time64 us; duration us |
| float16 | float32 (exact, and half of what float64 costs) |
| decimal32, decimal64 | decimal128, same precision and scale |

Nested types are canonical when their children are. Nanoseconds are cut to microseconds towards minus infinity, so that
a moment never moves into a later window. Integers, float32 and float64, bool, decimal128 and decimal256 stay.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

UTC_MICROSECONDS = pa.timestamp("us", "UTC")

_PLAIN = {
    pa.large_string().id: pa.string(),
    pa.string_view().id: pa.string(),
    pa.large_binary().id: pa.binary(),
    pa.binary_view().id: pa.binary(),
    pa.binary(1).id: pa.binary(),
    pa.timestamp("us").id: pa.timestamp("us", "UTC"),
    pa.date64().id: pa.date32(),
    pa.time32("s").id: pa.time64("us"),
    pa.time64("us").id: pa.time64("us"),
    pa.duration("us").id: pa.duration("us"),
    pa.float16().id: pa.float32(),
}
"""By type id: what every type of that id becomes."""
_REFUSED = (pa.types.is_interval, pa.types.is_union)


def canonical_type(type_: pa.DataType) -> pa.DataType:
    """The type in which values of `type_` travel; `type_` itself if it is canonical. ValueError if there is none.

    >>> canonical_type(pa.dictionary(pa.int32(), pa.large_string()))
    DataType(string)
    >>> canonical_type(pa.timestamp("ns", "Europe/Berlin"))
    TimestampType(timestamp[us, tz=UTC])
    """
    types = pa.types
    if any(refused(type_) for refused in _REFUSED):
        raise ValueError(f"values of type {type_} cannot travel in a stream: cast them first")
    if isinstance(type_, pa.BaseExtensionType):
        return canonical_type(type_.storage_type)
    if types.is_dictionary(type_) or types.is_run_end_encoded(type_):
        return canonical_type(type_.value_type)
    if types.is_nested(type_):
        canonical = _canonical_nested(type_)
        return type_ if canonical == type_ else canonical
    if types.is_decimal32(type_) or types.is_decimal64(type_):
        return pa.decimal128(type_.precision, type_.scale)
    return _PLAIN.get(type_.id, type_)


def canonical_array(array: pa.Array) -> pa.Array:
    """The same values in `canonical_type(array.type)`; `array` itself if it has that type.

    ArrowInvalid if a value does not fit: a timestamp of seconds beyond the range of microseconds, for example.

    >>> canonical_array(pa.array([-1, None], pa.timestamp("ns"))).cast(pa.int64()).to_pylist()
    [-1, None]
    """
    type_ = array.type
    target = canonical_type(type_)
    if target == type_:
        return array
    types = pa.types
    if isinstance(type_, pa.BaseExtensionType):
        return canonical_array(array.storage)
    if types.is_dictionary(type_):
        return canonical_array(array.dictionary_decode())
    if types.is_run_end_encoded(type_):
        return canonical_array(pc.run_end_decode(array))
    if types.is_struct(type_):
        children = [canonical_array(array.field(i)) for i in range(type_.num_fields)]
        return pa.StructArray.from_arrays(children, fields=list(target), mask=array.is_null())
    if types.is_map(type_):
        return _canonical_map(array, target)
    if types.is_nested(type_):
        # By lengths and flattened values: Arrow's own cast of list views to lists loses their values.
        values = canonical_array(array.flatten())
        return pa.ListArray.from_arrays(_list_offsets(array), values, type=target, mask=array.is_null())
    if types.is_temporal(type_) and not types.is_date(type_) and type_.unit == "ns":
        return _floor_to_microseconds(array).cast(target)
    return array.cast(target)


def canonical_schema(schema: pa.Schema) -> pa.Schema:
    """The same columns in canonical types, all nullable, without metadata.

    >>> canonical_schema(pa.schema({"day": pa.date64()})).field("day").type
    DataType(date32[day])
    """
    return pa.schema([pa.field(field.name, canonical_type(field.type)) for field in schema])


def canonical_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The columns of `schema`, which is canonical, by name from `batch`; `batch` itself if its schema is the same.

    ValueError where a column is missing or another type stands in it.
    """
    if batch.schema is schema or batch.schema.equals(schema, check_metadata=True):
        return batch
    columns = []
    for field in schema:
        if field.name not in batch.schema.names:
            raise ValueError(f"column {field.name!r} is missing: there are {', '.join(batch.schema.names)}")
        column = canonical_array(batch.column(field.name))
        if column.type != field.type:
            raise ValueError(f"column {field.name!r} is {column.type}, not {field.type}")
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def cast_array(array: pa.Array, type_: pa.DataType) -> pa.Array:
    """`array` as `type_`: made canonical, then cast if need be. Raises ArrowInvalid if a value does not fit."""
    if array.type == type_:
        return array
    canonical = canonical_array(array)
    return canonical if canonical.type == type_ else canonical.cast(type_)


def cast_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """`batch` with exactly this schema: columns are matched by place, and shared where their type is right already."""
    if batch.schema.equals(schema, check_metadata=True):
        return batch
    columns = [cast_array(column, type_) for column, type_ in zip(batch.columns, schema.types, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def cast_if_it_fits(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """As `cast_batch`; the batch as it is where a value does not fit, for the engine to find the rows with such values.

    >>> rows = pa.record_batch({"at": pa.array([1, 2**60], pa.timestamp("s"))})
    >>> cast_if_it_fits(rows, pa.schema({"at": pa.timestamp("us", "UTC")})).schema.types
    [TimestampType(timestamp[s])]
    """
    try:
        return cast_batch(batch, schema)
    except pa.ArrowInvalid:
        return batch


def rows_without_columns(count: int) -> pa.RecordBatch:
    """What is left of `count` rows when no column is asked for.

    >>> rows_without_columns(3).num_rows
    3
    """
    return pa.RecordBatch.from_arrays([pa.nulls(count)], names=[""]).select([])


def empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    """No rows of this schema."""
    return pa.RecordBatch.from_arrays([pa.nulls(0, type_) for type_ in schema.types], schema=schema)


def _canonical_field(field: pa.Field) -> pa.Field:
    return pa.field(field.name, canonical_type(field.type))


def _canonical_nested(type_: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_struct(type_):
        return pa.struct([_canonical_field(field) for field in type_])
    if types.is_map(type_):
        return pa.map_(canonical_type(type_.key_type), _canonical_field(type_.item_field))
    return pa.list_(_canonical_field(type_.value_field))


def _canonical_map(array: pa.Array, target: pa.DataType) -> pa.Array:
    entries = array.cast(pa.list_(pa.struct([array.type.key_field, array.type.item_field])))
    pairs = entries.flatten()
    keys, items = canonical_array(pairs.field(0)), canonical_array(pairs.field(1))
    return pa.MapArray.from_arrays(_list_offsets(entries), keys, items, type=target, mask=array.is_null())


def _list_offsets(array: pa.Array) -> pa.Array:
    """Offsets into `array.flatten()`, which leaves out what stands under nulls."""
    offsets = np.zeros(len(array) + 1, dtype=np.int64)
    np.cumsum(pc.fill_null(pc.list_value_length(array), 0).to_numpy(), out=offsets[1:])
    return pa.array(offsets).cast(pa.int32())


def _floor_to_microseconds(array: pa.Array) -> pa.Array:
    mask = array.is_null().to_numpy(zero_copy_only=False)
    nanoseconds = pc.fill_null(array.view(pa.int64()), 0).to_numpy()
    floored = pa.array(nanoseconds // 1000, mask=mask)
    return floored.view(pa.duration("us")) if pa.types.is_duration(array.type) else floored
