"""CSV: a record per row, values separated by commas or another character."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from streamflow.connect import (
    FileReader,
    Files,
    FileSink,
    FileSource,
    FileTarget,
    Mode,
    Paths,
    Position,
    Roll,
    UserError,
    canonical_schema,
    line_reader,
    schema_of,
    set_fields,
    with_fields,
)
from streamflow.connect.formats.csv import CsvDecoder, CsvEncoder
from streamflow.connect.formats.lines import Compression, LineFormat

if TYPE_CHECKING:
    import pyarrow.fs as pafs

_SUFFIXES = (".csv", ".tsv")


@dataclass(frozen=True, init=False, repr=False)
class Source(FileSource):
    """Reads CSV files; `.gz` and `.zst` files are decompressed.

    `path`: file, folder, glob, URI or a list of these. `schema`: the columns to read (a `pa.Schema`, dataclass,
    TypedDict or NamedTuple), found by their names in the header, whatever else is there; with `header=False` all
    columns of the file in order. Only the columns that a flow uses are decoded. An unquoted empty value is null, and
    so are the unquoted `null_values`. A record that is malformed or does not fit is an error that names file and line.
    A quote opens a quoted value only where a value begins; one that nothing closes is an error.

    A declared column that folders on a file's path name (`day=2026-03-01/`) is taken from there. Below a folder only
    files that end in `.csv` or `.tsv` (and a compression's suffix) are read; a glob reads what it matches.

    `follow`: how often to look for new files ("1s"), which are read as they appear, without end. They must appear whole
    (moved into the folder), stay, and in the order of time: rows that lie below the watermark by then are late.
    """

    _schema: pa.Schema
    _names: tuple[str, ...] | None
    _delimiter: str
    _null_values: tuple[str, ...]

    def __init__(
        self,
        path: Paths,
        schema: pa.Schema | type,
        *,
        header: bool = True,
        delimiter: str = ",",
        null_values: Sequence[str] = (),
        filesystem: pafs.FileSystem | None = None,
        follow: str | timedelta | None = None,
    ) -> None:
        columns = canonical_schema(schema_of(schema))
        _check(delimiter)
        CsvDecoder(columns, None, delimiter, null_values)
        set_fields(
            self,
            _files=Files.of(path, filesystem, _SUFFIXES, follow),
            _schema=columns,
            _names=None if header else tuple(columns.names),
            _delimiter=delimiter,
            _null_values=tuple(null_values),
        )

    def __repr__(self) -> str:
        return (
            f"csv.Source({', '.join(self._files.paths)}, columns={self._schema.names}, header={self._names is None}, "
            f"delimiter={self._delimiter!r}, null_values={list(self._null_values)})"
        )

    def schema(self) -> pa.Schema:
        return self._schema

    def project(self, columns: Sequence[str]) -> Source:
        return with_fields(self, _schema=pa.schema([self._schema.field(name) for name in columns]))

    def open(self, splits: Mapping[str, Position | None]) -> FileReader:
        def decoder(columns: pa.Schema, folders: Collection[str]) -> CsvDecoder:
            names = None if self._names is None else [name for name in self._names if name not in folders]
            return CsvDecoder(columns, names, self._delimiter, self._null_values)

        return line_reader(self._files, splits, self._schema, decoder)


@dataclass(frozen=True, init=False, repr=False)
class Sink(FileSink):
    """Writes CSV files with a header into a folder; they appear when a checkpoint is complete, each whole.

    Strings are quoted; null is an unquoted empty value. `roll`: when a file is full, by size ("128MB") or by size and
    age (("128MB", "10m")). `mode`: what happens if the folder is not empty: "error", "append", or "replace", which
    removes the old `.csv` files once the first new ones are there.
    `partition_by`: columns that become folders (`day=2026-03-01/`) instead of columns of the files.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        delimiter: str = ",",
        compression: Compression = None,
        roll: Roll = "256MB",
        mode: Mode = "error",
        partition_by: str | Sequence[str] = (),
        filesystem: pafs.FileSystem | None = None,
    ) -> None:
        _check(delimiter)
        target = FileTarget.of(path, mode=mode, roll=roll, filesystem=filesystem, partition_by=partition_by)
        set_fields(self, _target=target, _format=LineFormat(".csv", compression, _Records(delimiter)))

    def __repr__(self) -> str:
        return f"csv.Sink({self._target.path}, mode={self._target.mode!r})"


@dataclass(frozen=True, slots=True)
class _Records:
    """Makes the encoder for a schema."""

    delimiter: str

    def __call__(self, schema: pa.Schema) -> CsvEncoder:
        return CsvEncoder(schema, self.delimiter)


def _check(delimiter: str) -> None:
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
        raise UserError(
            f"delimiter={delimiter!r} cannot separate values", remedy='use one character, as in ";" or "\\t"'
        )
