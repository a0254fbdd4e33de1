"""JSON lines to batches and back, column by column.

Dates, times and timestamps are ISO 8601 strings, durations microseconds. Missing fields and nulls are null, fields
that the schema does not name are skipped undecoded. NaN and infinities, which JSON has no words for, are written as
null.
"""

from __future__ import annotations

import json
import re

import numpy as np
import pyarrow as pa

from streamflow.connect.canonical import cast_array, empty_batch, rows_without_columns
from streamflow.connect.formats.text import string_bytes
from streamflow.connect.quoting import Quoting
from streamflow.errors import SchemaError

_OBJECT = ord("{")
_QUOTE, _BACKSLASH, _FIRST_PRINTABLE = ord('"'), ord("\\"), ord(" ")
_CONTROL = re.compile(r"[\x00-\x1f]")
_NULL_AFTER_OBJECT = re.compile(rb"\}\s*null")


class JsonDecoder:
    """Decodes blocks of JSON objects, one a line, into batches of `schema`; blank lines are no rows."""

    quoting: Quoting | None = None
    header: bool = False

    def __init__(self, schema: pa.Schema) -> None:
        from pyarrow import json as pajson

        self._schema = schema
        self._wire = pa.schema([pa.field(field.name, _wire_type(field.type, field.name)) for field in schema])
        self._parse = pajson.ParseOptions(explicit_schema=self._wire, unexpected_field_behavior="ignore")

    def on_header(self, record: bytes) -> None:
        """JSON lines have no header."""

    def decode(self, block: bytes) -> pa.RecordBatch:
        """The objects of whole lines as rows. Raises ValueError if a line is not an object that fits the schema.

        >>> JsonDecoder(pa.schema({"a": pa.int64()})).decode(b'{"a": 1, "b": 2}\\n\\n{}\\n').to_pydict()
        {'a': [1, None]}
        """
        from pyarrow import json as pajson

        if not block.isascii():
            block.decode()
        rows = _count_objects(block) if block else 0
        if not rows:
            return empty_batch(self._schema)
        if not self._schema.names:
            return rows_without_columns(rows)
        options = pajson.ReadOptions(use_threads=False, block_size=len(block) + 1)
        table = pajson.read_json(pa.BufferReader(block), read_options=options, parse_options=self._parse)
        if table.num_rows != rows:
            raise ValueError(f"{table.num_rows} JSON objects on {rows} lines: each needs a line of its own")
        batch = table.combine_chunks().to_batches()[0]
        columns = [_from_wire(column, type_) for column, type_ in zip(batch.columns, self._schema.types, strict=True)]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)


def _count_objects(block: bytes) -> int:
    """The number of lines that are not blank; each must start like an object.

    The parser ends the process at a null that stands where an object should, so such a block must not reach it.
    """
    array = np.frombuffer(block, np.uint8)
    starts = np.flatnonzero(array == ord("\n")) + 1
    starts = np.concatenate(([0], starts[starts < len(array)]))
    odd = np.flatnonzero(array[starts] != _OBJECT)
    blank = 0
    for line in odd.tolist():
        end = starts[line + 1] if line + 1 < len(starts) else len(block)
        text = block[starts[line] : end].strip()
        if not text:
            blank += 1
        elif not text.startswith(b"{"):
            raise ValueError(f"not a JSON object: {_shown(text)}")
    if _NULL_AFTER_OBJECT.search(block):
        for text in filter(None, map(bytes.strip, block.split(b"\n"))):
            if not isinstance(json.loads(text), dict):
                raise ValueError(f"not a JSON object: {_shown(text)}")
    return len(starts) - blank


def _shown(text: bytes) -> str:
    return repr(text[:60].decode("utf-8", "replace"))


def _wire_type(type_: pa.DataType, column: str, *, nested: bool = False) -> pa.DataType:
    """What pyarrow's JSON parser can make of a value that becomes `type_` by `_from_wire`."""
    types = pa.types
    if types.is_date(type_) or (types.is_time(type_) and not nested):
        return pa.string()
    if types.is_duration(type_):
        return pa.int64()
    if types.is_list(type_):
        return pa.list_(_wire_type(type_.value_type, column, nested=True))
    if types.is_struct(type_):
        return pa.struct([pa.field(field.name, _wire_type(field.type, column, nested=True)) for field in type_])
    if types.is_time(type_) or types.is_fixed_size_binary(type_) or type_.num_fields:
        raise SchemaError(f"column {column!r}: JSON has no {type_}", remedy="declare a struct, a list or a string")
    return type_


def _from_wire(column: pa.Array, type_: pa.DataType) -> pa.Array:
    if not pa.types.is_time(type_):
        return cast_array(column, type_)
    import pyarrow.compute as pc

    # Arrow casts a string to a time of day only by way of a day.
    return pc.cast(pc.cast(pc.binary_join_element_wise("1970-01-01", column, " "), pa.timestamp("us")), type_)


class JsonEncoder:
    """Encodes batches of `schema` as JSON lines."""

    header = b""

    def __init__(self, schema: pa.Schema) -> None:
        self._keys = [json.dumps(name) + ":" for name in schema.names]
        for field in schema:
            _check_encodable(field.type, field.name)

    def encode(self, batch: pa.RecordBatch) -> pa.Buffer:
        """One object a line, in UTF-8, with every column, null ones too.

        >>> batch = pa.record_batch({"a": [1, None], "b": ['x"', "y"]})
        >>> JsonEncoder(batch.schema).encode(batch).to_pybytes()
        b'{"a":1,"b":"x\\\\""}\\n{"a":null,"b":"y"}\\n'
        """
        import pyarrow.compute as pc

        if not batch.num_columns:
            return pa.py_buffer(b"{}\n" * batch.num_rows)
        parts: list[pa.Array | str] = []
        for index, key in enumerate(self._keys):
            parts += [("," if index else "{") + key, json_values(batch.column(index))]
        lines = pc.binary_join_element_wise(*parts, "}\n", "", null_handling="replace", null_replacement="null")
        return string_bytes(lines)


def _check_encodable(type_: pa.DataType, column: str) -> None:
    if pa.types.is_binary(type_) or pa.types.is_fixed_size_binary(type_):
        raise SchemaError(f"column {column!r}: JSON has no bytes", remedy="cast it to a string first")
    for index in range(type_.num_fields):
        _check_encodable(type_.field(index).type, column)


def json_values(column: pa.Array) -> pa.Array:
    """Each value as JSON text; null stays null."""
    import pyarrow.compute as pc

    types, type_ = pa.types, column.type
    if types.is_string(type_):
        return _json_strings(column)
    if types.is_floating(type_):
        return pc.cast(pc.if_else(pc.is_finite(column), column, pa.scalar(None, type_)), pa.string())
    if types.is_boolean(type_) or types.is_integer(type_) or types.is_decimal(type_):
        return pc.cast(column, pa.string())
    if types.is_timestamp(type_):
        text = pc.replace_substring(pc.cast(column, pa.string()), " ", "T")
        return pc.binary_join_element_wise('"', text, '"', "")
    if types.is_date(type_) or types.is_time(type_):
        return pc.binary_join_element_wise('"', pc.cast(column, pa.string()), '"', "")
    if types.is_duration(type_):
        return pc.cast(pc.cast(column, pa.int64()), pa.string())
    if types.is_null(type_):
        return pa.nulls(len(column), pa.string())
    return _json_nested(column)


def _json_strings(column: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    used = np.frombuffer(string_bytes(column), np.uint8)
    if ((used == _QUOTE) | (used == _BACKSLASH)).any():
        column = pc.replace_substring(pc.replace_substring(column, "\\", "\\\\"), '"', '\\"')
    if (used < _FIRST_PRINTABLE).any():
        column = _without_control_characters(column)
    return pc.binary_join_element_wise('"', column, '"', "")


def _without_control_characters(column: pa.Array) -> pa.Array:
    """Strings whose quotes and backslashes are escaped, control characters escaped too: they are rare, so value by
    value.
    """
    import pyarrow.compute as pc

    control = pc.fill_null(pc.match_substring_regex(column, "[\\x00-\\x1f]"), False)
    escaped = [
        _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text) for text in column.filter(control).to_pylist()
    ]
    return pc.replace_with_mask(column, control, pa.array(escaped, pa.string()))


def _json_nested(column: pa.Array) -> pa.Array:
    """A list or struct: its leaves are encoded column-wise, then joined value by value."""
    import pyarrow.compute as pc

    types, type_ = pa.types, column.type
    if types.is_struct(type_):
        parts: list[pa.Array | str] = []
        for index, child in enumerate(column.flatten()):
            parts += [("," if index else "{") + json.dumps(type_.field(index).name) + ":", json_values(child)]
        text = pc.binary_join_element_wise(
            *parts, "}" if parts else "{}", "", null_handling="replace", null_replacement="null"
        )
        return pc.if_else(column.is_valid(), text, pa.scalar(None, pa.string()))
    if types.is_map(type_):
        return _json_nested(column.cast(pa.list_(pa.struct([type_.key_field, type_.item_field]))))
    if types.is_fixed_size_list(type_):
        column = column.cast(pa.list_(type_.value_type))
    values = pc.fill_null(json_values(column.values), "null")
    lists = pa.ListArray.from_arrays(column.offsets, values)
    text = pc.binary_join_element_wise("[", pc.binary_join(lists, ","), "]", "")
    return pc.if_else(column.is_valid(), text, pa.scalar(None, pa.string()))
