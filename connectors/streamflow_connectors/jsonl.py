"""JSON lines: a JSON object per line and row."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
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
    canonical_schema,
    line_reader,
    schema_of,
    set_fields,
    with_fields,
)
from streamflow.connect.formats.json import JsonDecoder, JsonEncoder
from streamflow.connect.formats.lines import Compression, LineFormat

if TYPE_CHECKING:
    import pyarrow.fs as pafs

_SUFFIXES = (".jsonl", ".ndjson", ".json")


@dataclass(frozen=True, init=False, repr=False)
class Source(FileSource):
    """Reads files of JSON objects, one a line; blank lines are skipped, `.gz` and `.zst` files decompressed.

    `path`: file, folder, glob, URI or a list of these. `schema`: the fields to read (a `pa.Schema`, dataclass,
    TypedDict or NamedTuple). A field that a line lacks is null, one that the schema lacks is ignored; only the columns
    that a flow uses are decoded. A line that is not an object, or holds a value of another type, is an error that
    names file and line.

    A declared column that folders on a file's path name (`day=2026-03-01/`) is taken from there. Below a folder only
    files that end in `.jsonl`, `.ndjson` or `.json` (and a compression's suffix) are read; a glob reads what it
    matches.

    `follow`: how often to look for new files ("1s"), which are read as they appear, without end. They must appear whole
    (moved into the folder), stay, and in the order of time: rows that lie below the watermark by then are late.
    """

    _schema: pa.Schema

    def __init__(
        self,
        path: Paths,
        schema: pa.Schema | type,
        *,
        filesystem: pafs.FileSystem | None = None,
        follow: str | timedelta | None = None,
    ) -> None:
        columns = canonical_schema(schema_of(schema))
        JsonDecoder(columns)
        set_fields(self, _files=Files.of(path, filesystem, _SUFFIXES, follow), _schema=columns)

    def __repr__(self) -> str:
        return f"jsonl.Source({', '.join(self._files.paths)}, columns={self._schema.names})"

    def schema(self) -> pa.Schema:
        return self._schema

    def project(self, columns: Sequence[str]) -> Source:
        return with_fields(self, _schema=pa.schema([self._schema.field(name) for name in columns]))

    def open(self, splits: Mapping[str, Position | None]) -> FileReader:
        return line_reader(self._files, splits, self._schema, lambda columns, _: JsonDecoder(columns))


@dataclass(frozen=True, init=False, repr=False)
class Sink(FileSink):
    """Writes files of JSON objects into a folder; they appear when a checkpoint is complete, each whole.

    `roll`: when a file is full, by size ("128MB") or by size and age (("128MB", "10m")). `mode`: what happens if the
    folder is not empty: "error", "append", or "replace", which removes the old `.jsonl` files once the first new ones
    are there.
    `partition_by`: columns that become folders (`day=2026-03-01/`) instead of columns of the files.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        compression: Compression = None,
        roll: Roll = "256MB",
        mode: Mode = "error",
        partition_by: str | Sequence[str] = (),
        filesystem: pafs.FileSystem | None = None,
    ) -> None:
        target = FileTarget.of(path, mode=mode, roll=roll, filesystem=filesystem, partition_by=partition_by)
        set_fields(self, _target=target, _format=LineFormat(".jsonl", compression, JsonEncoder))

    def __repr__(self) -> str:
        return f"jsonl.Sink({self._target.path}, mode={self._target.mode!r})"
