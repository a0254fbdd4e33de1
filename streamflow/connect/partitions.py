"""Folders called `key=value` (Hive's way): columns that stand in the paths of files and not in the files.

Keys and values are percent-encoded; a null is `__HIVE_DEFAULT_PARTITION__`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa

from streamflow.connect.canonical import cast_array
from streamflow.connect.files import FileRows, Files
from streamflow.connect.source import BadRecord, Position
from streamflow.errors import DataError, SchemaError

_NULL = "__HIVE_DEFAULT_PARTITION__"

OpenRows: TypeAlias = "Callable[[str, pa.Schema, Position], FileRows]"


def folder_values(below: str) -> dict[str, str | None]:
    """The keys and values of the folders on a path, as texts.

    >>> folder_values("day=2026-03-01/city=S%C3%A3o/x.parquet")
    {'day': '2026-03-01', 'city': 'São'}
    """
    values: dict[str, str | None] = {}
    for folder in below.split("/")[:-1]:
        key, equals, value = folder.partition("=")
        if key and equals:
            values[unquote(key)] = None if value == _NULL else unquote(value)
    return values


def partition_value(text: str | None, type_: pa.DataType, where: str) -> pa.Scalar:
    """A folder's value as a scalar of the column's type; DataError if it is none."""
    try:
        return cast_array(pa.array([text], pa.string()), type_)[0]
    except (pa.ArrowException, ValueError) as error:
        raise DataError(
            f"{where}: the folder's value {text!r} is no {type_}",
            remedy="correct the folder's name, or declare the column with another type in schema=",
        ) from error


def partitioned(files: Files, schema: pa.Schema, open_rows: OpenRows) -> Callable[[str, Position], FileRows]:
    """What opens a file with the columns of `schema`, of which those in its path are taken from there.

    `open_rows(name, columns, position)` opens it with the others. A key of the path goes before a column of the file.
    """

    def open_file(name: str, position: Position) -> FileRows:
        values = {key: value for key, value in folder_values(files.below(name)).items() if key in schema.names}
        if not values:
            return open_rows(name, schema, position)
        constants = {key: partition_value(value, schema.field(key).type, name) for key, value in values.items()}
        own = pa.schema([field for field in schema if field.name not in values])
        return _Partitioned(open_rows(name, own, position), schema, constants)

    return open_file


def require_columns(name: str, wanted: Sequence[str], names: Sequence[str]) -> None:
    """Raises SchemaError where the file `name`, whose columns are `names`, lacks one that is wanted or has it twice."""
    remedy = "leave the file out of the path, or declare with schema= the columns that all files have"
    for column in wanted:
        if column not in names:
            raise SchemaError(f"{name} has no column {column!r}, only {list(names)}", remedy=remedy)
        if names.count(column) > 1:
            raise SchemaError(f"{name} has two columns {column!r}: it is not known which is meant", remedy=remedy)


class _Partitioned:
    """The rows of a file with the columns of its path."""

    def __init__(self, rows: FileRows, schema: pa.Schema, constants: Mapping[str, pa.Scalar]) -> None:
        self._rows = rows
        self._schema = schema
        self._constants = constants

    def take(self, max_rows: int) -> pa.RecordBatch | BadRecord | None:
        batch = self._rows.take(max_rows)
        if not isinstance(batch, pa.RecordBatch):
            return batch
        columns = [
            pa.repeat(self._constants[name], batch.num_rows) if name in self._constants else batch.column(name)
            for name in self._schema.names
        ]
        return pa.RecordBatch.from_arrays(columns, names=self._schema.names)

    def position(self) -> Position:
        return self._rows.position()

    def close(self) -> None:
        self._rows.close()


def file_schema(schema: pa.Schema, keys: Sequence[str]) -> pa.Schema:
    """What is left for the files of a sink that writes `keys` into folders. SchemaError where that is impossible."""
    for key in keys:
        if key not in schema.names:
            raise SchemaError(f"there is no column {key!r} to partition by", remedy=f"use one of {schema.names}")
        type_ = schema.field(key).type
        if not any(of_kind(type_) for of_kind in _IN_FOLDERS):
            raise SchemaError(
                f"column {key!r}: a folder cannot be named by a {type_}", remedy="partition by text, ints or dates"
            )
    left = pa.schema([field for field in schema if field.name not in keys])
    if not left.names:
        raise SchemaError("partition_by= leaves no column for the files", remedy="partition by fewer columns")
    return left


_IN_FOLDERS = (
    pa.types.is_string,
    pa.types.is_integer,
    pa.types.is_boolean,
    pa.types.is_date,
    pa.types.is_timestamp,
)


def parts(batch: pa.RecordBatch, keys: Sequence[str]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The batch by folder: the rows of each, in their order.

    >>> batch = pa.record_batch({"day": [1, None, 1], "n": [1, 2, 3]})
    >>> [(folder, rows["n"].to_pylist()) for folder, rows in parts(batch, ["day"])]
    [('day=1', [1, 3]), ('day=__HIVE_DEFAULT_PARTITION__', [2])]
    """
    codes = np.zeros(batch.num_rows, np.int64)
    for key in keys:
        encoded = batch.column(key).dictionary_encode(null_encoding="encode")
        codes = codes * len(encoded.dictionary) + encoded.indices.to_numpy()
        # Dense again, so that the product stays small whatever the number of keys.
        codes = np.unique(codes, return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    rows = batch.take(pa.array(order)) if len(starts) > 1 else batch
    firsts = pa.array(order[starts])
    texts = [cast_array(batch.column(key).take(firsts), pa.string()).to_pylist() for key in keys]
    ends = [*starts[1:].tolist(), batch.num_rows]
    for start, end, *values in zip(starts.tolist(), ends, *texts, strict=True):
        folder = "/".join(f"{quote(key, safe='')}={_folder_value(v)}" for key, v in zip(keys, values, strict=True))
        yield folder, rows.slice(start, end - start)


def _folder_value(text: str | None) -> str:
    return _NULL if text is None else quote(text, safe="-_.~ ")
