"""The types that batches carry inside streamflow (rule 18), and the cast to them at a source.

No dictionary, run-end, view, large or extension type; every timestamp in microseconds, UTC (a naive one is taken as
UTC).
"""

from __future__ import annotations

import pyarrow as pa

UTC_MICROSECONDS = pa.timestamp("us", "UTC")


def canonical_type(type_: pa.DataType) -> pa.DataType:
    """The type in which streamflow carries values of `type_`.

    >>> canonical_type(pa.dictionary(pa.int32(), pa.large_string()))
    DataType(string)
    >>> canonical_type(pa.list_(pa.timestamp("ns")))
    ListType(list<item: timestamp[us, tz=UTC]>)
    """
    types = pa.types
    if isinstance(type_, pa.BaseExtensionType):
        return canonical_type(type_.storage_type)
    if types.is_dictionary(type_) or types.is_run_end_encoded(type_):
        return canonical_type(type_.value_type)
    if types.is_large_string(type_) or types.is_string_view(type_):
        return pa.string()
    if types.is_large_binary(type_) or types.is_binary_view(type_):
        return pa.binary()
    if types.is_timestamp(type_):
        return UTC_MICROSECONDS
    if types.is_duration(type_):
        return pa.duration("us")
    if types.is_time(type_):
        return pa.time64("us")
    if types.is_date64(type_):
        return pa.date32()
    return _canonical_nested(type_)


def _canonical_nested(type_: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_struct(type_):
        return pa.struct([_canonical_field(field) for field in type_])
    if types.is_map(type_):
        key, item = _canonical_field(type_.key_field), _canonical_field(type_.item_field)
        return pa.map_(key, item, keys_sorted=type_.keys_sorted)
    if types.is_fixed_size_list(type_):
        return pa.list_(_canonical_field(type_.value_field), type_.list_size)
    if (
        types.is_list(type_)
        or types.is_large_list(type_)
        or types.is_list_view(type_)
        or types.is_large_list_view(type_)
    ):
        return pa.list_(_canonical_field(type_.value_field))
    return type_


def _canonical_field(field: pa.Field) -> pa.Field:
    return pa.field(field.name, canonical_type(field.type), field.nullable)


def canonical_schema(schema: pa.Schema) -> pa.Schema:
    """The same columns in canonical types, nullable, without metadata."""
    return pa.schema([pa.field(field.name, canonical_type(field.type)) for field in schema])


def cast_array(array: pa.Array, type_: pa.DataType) -> pa.Array:
    """`array` as `type_`; times below a microsecond are cut, anything else that does not fit raises ArrowInvalid."""
    if array.type == type_:
        return array
    if isinstance(array.type, pa.BaseExtensionType):
        return cast_array(array.storage, type_)
    import pyarrow.compute as pc

    if pa.types.is_run_end_encoded(array.type):
        return cast_array(pc.run_end_decode(array), type_)
    if pa.types.is_dictionary(array.type):
        return cast_array(array.dictionary_decode(), type_)
    return pc.cast(array, options=pc.CastOptions(type_, allow_time_truncate=True))


def cast_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """`batch` with exactly this schema: columns are matched by place, and shared where their type is right already."""
    if batch.schema.equals(schema, check_metadata=True):
        return batch
    columns = [cast_array(column, type_) for column, type_ in zip(batch.columns, schema.types, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def rows_without_columns(count: int) -> pa.RecordBatch:
    """What is left of `count` rows when no column is asked for.

    >>> rows_without_columns(3).num_rows
    3
    """
    return pa.RecordBatch.from_arrays([pa.nulls(count)], names=[""]).select([])


def empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    """No rows of this schema."""
    return pa.RecordBatch.from_arrays([pa.nulls(0, type_) for type_ in schema.types], schema=schema)
