"""Arrow IPC files, of the file and of the stream format: rows as they are in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import pyarrow as pa

from streamflow.connect import (
    DataError,
    FileReader,
    Files,
    FileSink,
    FileSource,
    FileTarget,
    Gathering,
    Mode,
    Paths,
    Position,
    Roll,
    UserError,
    canonical_schema,
    cast_if_it_fits,
    partitioned,
    reading,
    require_columns,
    rows_without_columns,
    schema_of,
    set_fields,
    with_fields,
)

if TYPE_CHECKING:
    import pyarrow.fs as pafs

Compression: TypeAlias = Literal["zstd", "lz4"] | None
Format: TypeAlias = Literal["file", "stream"]

_START: Position = {"batch": 0, "row": 0}
_SUFFIXES = (".arrow", ".arrows", ".feather", ".ipc")
_MAGIC = b"ARROW1"
"""What a file of the file format starts with; a stream starts with a message."""
_BATCH_ROWS = 1 << 16
_BATCH_BYTES = 16 << 20
"""A batch is written when it has so many rows or bytes."""


@dataclass(frozen=True, init=False, repr=False)
class Source(FileSource):
    """Reads Arrow IPC files, a file after the other; which of the two formats a file has is seen by its first bytes.

    `path`: file, folder, glob, URI or a list of these. `schema`: columns and types to read as (a `pa.Schema`,
    dataclass, TypedDict or NamedTuple); without it those of the first file. Every file must have the columns; values
    of another type are cast, and one that does not fit is an error. Only the columns that a flow uses are read. A
    position is a record batch of the file and a row in it.

    A declared column that folders on a file's path name (`day=2026-03-01/`) is taken from there. Below a folder only
    files that end in `.arrow`, `.arrows`, `.feather` or `.ipc` are read; a glob reads what it matches.

    `follow`: how often to look for new files ("1s"), which are read as they appear, without end. They must appear whole
    (moved into the folder), stay, and in the order of time: rows that lie below the watermark by then are late.
    """

    _schema: pa.Schema | None
    _columns: tuple[str, ...] | None

    def __init__(
        self,
        path: Paths,
        schema: pa.Schema | type | None = None,
        *,
        filesystem: pafs.FileSystem | None = None,
        follow: str | timedelta | None = None,
    ) -> None:
        declared = None if schema is None else canonical_schema(schema_of(schema))
        set_fields(self, _files=Files.of(path, filesystem, _SUFFIXES, follow), _schema=declared, _columns=None)

    def __repr__(self) -> str:
        columns = "" if self._columns is None else f", columns={list(self._columns)}"
        return f"arrow.Source({', '.join(self._files.paths)}{columns})"

    def schema(self) -> pa.Schema:
        whole = self._schema
        if whole is None:
            name = self._files.first()
            with reading(name), _opened(self._files, name) as stream:
                whole = canonical_schema(_reader(stream, None).schema)
        return whole if self._columns is None else pa.schema([whole.field(name) for name in self._columns])

    def project(self, columns: Sequence[str]) -> Source:
        return with_fields(self, _schema=self._schema or self.schema(), _columns=tuple(columns))

    def open(self, splits: Mapping[str, Position | None]) -> FileReader:
        schema = self.schema()

        def open_rows(name: str, columns: pa.Schema, position: Position) -> _ArrowRows:
            return _ArrowRows(name, _opened(self._files, name), columns, position)

        return FileReader(splits, _START, partitioned(self._files, schema, open_rows), self._files)


def _opened(files: Files, name: str) -> pa.NativeFile:
    filesystem, path = files.locate(name)
    return filesystem.open_input_file(path)


def _reader(stream: pa.NativeFile, columns: Sequence[str] | None) -> pa.RecordBatchFileReader | pa.RecordBatchReader:
    """A reader of the stream's format; of these columns only, which must be there."""
    from pyarrow import ipc

    stream.seek(0)
    is_file = stream.read(len(_MAGIC)) == _MAGIC
    stream.seek(0)
    open_ = ipc.open_file if is_file else ipc.open_stream
    if columns is None:
        return open_(stream)
    names = open_(stream).schema.names
    stream.seek(0)
    # An empty list would mean all columns.
    wanted = sorted({names.index(column) for column in columns}) or [0][: len(names)]
    return open_(stream, options=ipc.IpcReadOptions(included_fields=wanted, use_threads=False))


class _ArrowRows:
    """The rows of one file, from a position on."""

    def __init__(self, name: str, stream: pa.NativeFile, schema: pa.Schema, position: Position) -> None:
        start = cast("Mapping[str, int]", position)
        self._name = name
        self._stream = stream
        self._schema = schema
        self._batch, self._row = start["batch"], start["row"]
        self._read = 0
        """How many batches were read; of a stream all before the position are."""
        self._current: pa.RecordBatch | None = None
        """The batch of the position."""
        with reading(name):
            require_columns(name, schema.names, _reader(stream, None).schema.names)
            self._reader = _reader(stream, schema.names)

    def take(self, max_rows: int) -> pa.RecordBatch | None:
        while (batch := self._at_position()) is not None:
            rows = min(max_rows, batch.num_rows - self._row)
            if rows > 0:
                part = batch.slice(self._row, rows)
                self._row += rows
                return part
            self._batch, self._row, self._current = self._batch + 1, 0, None
        return None

    def _at_position(self) -> pa.RecordBatch | None:
        if self._current is None:
            batch = self._read_batch()
            if batch is not None:
                batch.validate(full=True)  # lengths and offsets of a damaged file must not reach a kernel
                self._current = self._cast(batch)
        return self._current

    def _read_batch(self) -> pa.RecordBatch | None:
        if isinstance(self._reader, pa.RecordBatchFileReader):
            return self._reader.get_batch(self._batch) if self._batch < self._reader.num_record_batches else None
        try:
            while self._read < self._batch:
                self._reader.read_next_batch()
                self._read += 1
            batch = self._reader.read_next_batch()
        except StopIteration:
            return None
        self._read += 1
        return batch

    def _cast(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not self._schema.names:
            return rows_without_columns(batch.num_rows)
        try:
            return cast_if_it_fits(batch.select(self._schema.names), self._schema)
        except pa.ArrowException as error:
            raise DataError(f"{self._name}: a column does not fit the schema: {error}") from error

    def position(self) -> Position:
        return {"batch": self._batch, "row": self._row}

    def close(self) -> None:
        self._stream.close()


@dataclass(frozen=True, init=False, repr=False)
class Sink(FileSink):
    """Writes Arrow IPC files into a folder; they appear when a checkpoint is complete, each whole.

    `format`: "file" (`.arrow`, can be read from any place) or "stream" (`.arrows`). `compression`: of the buffers,
    "zstd", "lz4" or None. `roll`: when a file is full, by size ("128MB") or by size and age (("128MB", "10m")).
    `mode`: what happens if the folder is not empty: "error", "append", or "replace", which removes the old files of the
    same format once the first new ones are there.
    `partition_by`: columns that become folders (`day=2026-03-01/`) instead of columns of the files.
    """

    _format: ArrowFormat

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        format: Format = "file",  # noqa: A002 - the word of the field
        compression: Compression = "lz4",
        roll: Roll = "256MB",
        mode: Mode = "error",
        partition_by: str | Sequence[str] = (),
        filesystem: pafs.FileSystem | None = None,
    ) -> None:
        target = FileTarget.of(path, mode=mode, roll=roll, filesystem=filesystem, partition_by=partition_by)
        set_fields(self, _target=target, _format=ArrowFormat(format, compression))

    def __repr__(self) -> str:
        return f"arrow.Sink({self._target.path}, format={self._format.kind!r}, mode={self._target.mode!r})"


@dataclass(frozen=True, slots=True)
class ArrowFormat:
    """A `FileFormat`: Arrow IPC."""

    kind: Format
    compression: Compression

    def __post_init__(self) -> None:
        if self.kind not in ("file", "stream"):
            raise UserError(f"format={self.kind!r} is unknown", remedy='use "file" or "stream"')
        if self.compression not in ("zstd", "lz4", None):
            raise UserError(f"compression={self.compression!r} is unknown", remedy='use "zstd", "lz4" or None')

    @property
    def suffix(self) -> str:
        return ".arrow" if self.kind == "file" else ".arrows"

    @property
    def codec(self) -> None:
        return None

    def encoder(self, stream: pa.NativeFile, schema: pa.Schema, roll_bytes: int | None) -> _Batches:
        from pyarrow import ipc

        options = ipc.IpcWriteOptions(compression=self.compression, use_threads=False)
        new = ipc.new_file if self.kind == "file" else ipc.new_stream
        return _Batches(new(stream, schema, options=options), schema, min(_BATCH_BYTES, roll_bytes or _BATCH_BYTES))


class _Batches(Gathering):
    """Collects small batches into larger ones, which are read faster and compressed better."""

    def __init__(self, writer: pa.RecordBatchStreamWriter, schema: pa.Schema, batch_bytes: int) -> None:
        super().__init__(schema, _BATCH_ROWS, batch_bytes, lambda rows: writer.write_table(rows.combine_chunks()))
        self._writer = writer

    def finish(self) -> None:
        self.put_rest()
        self._writer.close()

    def abandon(self) -> None:
        """A writer writes nothing when it is garbage."""
