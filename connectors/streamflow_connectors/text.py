"""Text files: a line per row, in the column `line`."""

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
    line_reader,
    set_fields,
)
from streamflow.connect.formats.lines import Compression, LineFormat
from streamflow.connect.formats.text import SCHEMA, TextDecoder, TextEncoder

if TYPE_CHECKING:
    import pyarrow.fs as pafs


@dataclass(frozen=True, init=False, repr=False)
class Source(FileSource):
    """Reads lines of UTF-8, without their newlines (`\\n` or `\\r\\n`); `.gz` and `.zst` files are decompressed.

    `path`: file, folder, glob, URI or a list of these. A line that is not UTF-8 is an error that names file and line.

    `follow`: how often to look for new files ("1s"), which are read as they appear, without end. They must appear whole
    (moved into the folder), stay, and in the order of time: rows that lie below the watermark by then are late.
    """

    def __init__(
        self, path: Paths, *, filesystem: pafs.FileSystem | None = None, follow: str | timedelta | None = None
    ) -> None:
        set_fields(self, _files=Files.of(path, filesystem, (), follow))

    def __repr__(self) -> str:
        return f"text.Source({', '.join(self._files.paths)})"

    def schema(self) -> pa.Schema:
        return SCHEMA

    def open(self, splits: Mapping[str, Position | None]) -> FileReader:
        return line_reader(self._files, splits, SCHEMA, lambda *_: TextDecoder())


@dataclass(frozen=True, init=False, repr=False)
class Sink(FileSink):
    """Writes the first string column of the rows as lines; files appear when a checkpoint is complete, each whole.
    A null is an empty line, and a value that holds newlines is several.

    `roll`: when a file is full, by size ("128MB") or by size and age (("128MB", "10m")). `mode`: what happens if the
    folder is not empty: "error", "append", or "replace", which removes the old `.txt` files once the first new ones
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
        set_fields(self, _target=target, _format=LineFormat(".txt", compression, TextEncoder))

    def __repr__(self) -> str:
        return f"text.Sink({self._target.path}, mode={self._target.mode!r})"
