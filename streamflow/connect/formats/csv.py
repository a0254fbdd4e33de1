"""CSV to batches and back (RFC 4180): quoted values may hold delimiters, quotes and newlines.

An unquoted empty value is null, a quoted one is an empty string. Timestamps are ISO 8601; without an offset they are
UTC.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from streamflow.connect.canonical import UTC_MICROSECONDS, cast_array, empty_batch, rows_without_columns
from streamflow.connect.quoting import Quoting
from streamflow.errors import SchemaError


class CsvDecoder:
    """Decodes blocks of CSV records into batches of `schema`.

    `names`: all columns of the file in order, for one without a header; None takes them from the header. Columns that
    the schema does not name are not decoded.
    """

    def __init__(
        self, schema: pa.Schema, names: Sequence[str] | None, delimiter: str, null_values: Sequence[str]
    ) -> None:
        from pyarrow import csv

        self.header = names is None
        self.quoting: Quoting | None = Quoting('"', delimiter)
        self._schema = schema
        self._names = list(names or ())
        self._parse = csv.ParseOptions(delimiter=delimiter)
        wire = {field.name: _wire_type(field.type, field.name) for field in schema}
        self._convert = csv.ConvertOptions(
            column_types=wire,
            include_columns=list(wire),
            null_values=[*null_values, ""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )

    def on_header(self, record: bytes) -> None:
        names = header_names(record, self._parse.delimiter)
        missing = [name for name in self._schema.names if name not in names]
        if missing:
            raise ValueError(f"no column {missing[0]!r} in the header {names}")
        if len(set(names)) < len(names):
            raise ValueError(f"a column's name stands twice in the header {names}")
        self._names = names

    def decode(self, block: bytes) -> pa.RecordBatch:
        """The records as rows. Raises ValueError if one has too many or too few values, or one that does not fit.

        >>> decoder = CsvDecoder(pa.schema({"b": pa.int64()}), ["a", "b"], ",", [])
        >>> decoder.decode(b'"x,1",1\\ny,\\n').to_pydict()
        {'b': [1, None]}
        """
        from pyarrow import csv

        if not block.strip(b"\r\n"):
            return empty_batch(self._schema)
        # The whole block is parsed at once, so newlines within values need no more care than other characters.
        options = csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=self._names)
        table = csv.read_csv(
            pa.BufferReader(block), read_options=options, parse_options=self._parse, convert_options=self._convert
        )
        if not self._schema.names:
            return rows_without_columns(table.num_rows)
        batch = table.combine_chunks().to_batches()[0]
        columns = [_from_wire(column, field.type) for column, field in zip(batch.columns, self._schema, strict=True)]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)


def header_names(record: bytes, delimiter: str = ",") -> list[str]:
    """The values of a CSV record.

    >>> header_names(b'a,"b,c"\\n')
    ['a', 'b,c']
    """
    import csv

    [names] = csv.reader([record.decode().rstrip("\r\n")], delimiter=delimiter)
    return names


def _wire_type(type_: pa.DataType, column: str) -> pa.DataType:
    """What pyarrow's CSV parser reads a value as before it becomes `type_`."""
    if pa.types.is_nested(type_):
        raise SchemaError(f"column {column!r}: CSV has no {type_}", remedy="use JSON lines or Parquet for it")
    if pa.types.is_timestamp(type_) or pa.types.is_decimal256(type_):
        return pa.string()
    if pa.types.is_duration(type_):
        return pa.int64()
    return type_


def _from_wire(column: pa.Array, type_: pa.DataType) -> pa.Array:
    if type_ != UTC_MICROSECONDS:
        return cast_array(column, type_)
    try:
        return cast_array(column, type_)
    except pa.ArrowInvalid:
        return cast_array(cast_array(column, pa.timestamp("us")), type_)


class CsvEncoder:
    """Encodes batches of `schema` as CSV records; `header` is the record of the names."""

    def __init__(self, schema: pa.Schema, delimiter: str) -> None:
        from pyarrow import csv

        for field in schema:
            _wire_type(field.type, field.name)
            if pa.types.is_binary(field.type) or pa.types.is_fixed_size_binary(field.type):
                raise SchemaError(f"column {field.name!r}: CSV has no bytes", remedy="cast it to a string first")
        self._rows = csv.WriteOptions(include_header=False, delimiter=delimiter)
        self._durations = [index for index, type_ in enumerate(schema.types) if pa.types.is_duration(type_)]
        names = csv.WriteOptions(include_header=True, delimiter=delimiter)
        self.header = bytes(self._written(schema.empty_table(), names).to_pybytes())

    def encode(self, batch: pa.RecordBatch) -> pa.Buffer:
        """The rows as records.

        >>> batch = pa.record_batch({"a": ["x", "", None], "b": [1, 2, None]})
        >>> CsvEncoder(batch.schema, ",").encode(batch).to_pybytes()
        b'"x",1\\n"",2\\n,\\n'
        """
        for index in self._durations:
            name = batch.schema.field(index).name
            batch = batch.set_column(index, name, batch.column(index).cast(pa.int64()))
        return self._written(batch, self._rows)

    @staticmethod
    def _written(rows: pa.Table | pa.RecordBatch, options: object) -> pa.Buffer:
        from pyarrow import csv

        sink = pa.BufferOutputStream()
        csv.write_csv(rows, sink, options)
        return sink.getvalue()
