"""JSON lines: a JSON object per line and row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from streamflow.connect import (
    FileReader,
    Files,
    Paths,
    Position,
    canonical_schema,
    line_reader,
    schema_of,
    set_fields,
    with_fields,
)
from streamflow.connect.formats.json import JsonDecoder

if TYPE_CHECKING:
    import pyarrow.fs as pafs


@dataclass(frozen=True, init=False, repr=False)
class Source:
    """Reads files of JSON objects, one a line; blank lines are skipped, `.gz` and `.zst` files decompressed.

    `path`: file, folder, glob, URI or a list of these. `schema`: the fields to read (a `pa.Schema`, dataclass,
    TypedDict or NamedTuple). A field that a line lacks is null, one that the schema lacks is ignored; only the columns
    that a flow uses are decoded. A line that is not an object, or holds a value of another type, is an error that
    names file and line.
    """

    _files: Files
    _schema: pa.Schema

    def __init__(self, path: Paths, schema: pa.Schema | type, *, filesystem: pafs.FileSystem | None = None) -> None:
        columns = canonical_schema(schema_of(schema))
        JsonDecoder(columns)
        set_fields(self, _files=Files.of(path, filesystem), _schema=columns)

    def __repr__(self) -> str:
        return f"jsonl.Source({', '.join(self._files.paths)}, columns={self._schema.names})"

    @property
    def bounded(self) -> bool:
        return True

    def schema(self) -> pa.Schema:
        return self._schema

    def splits(self) -> list[str]:
        return self._files.names()

    def project(self, columns: Sequence[str]) -> Source:
        return with_fields(self, _schema=pa.schema([self._schema.field(name) for name in columns]))

    def open(self, splits: Mapping[str, Position | None]) -> FileReader:
        return line_reader(self._files, splits, lambda: JsonDecoder(self._schema))
