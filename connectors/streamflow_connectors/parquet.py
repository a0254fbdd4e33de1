"""Parquet files: reads only the columns and row groups that a flow needs, writes files that appear all at once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
    cast_array,
    cast_if_it_fits,
    folder_values,
    partition_value,
    partitioned,
    reading,
    require_columns,
    schema_of,
    set_fields,
    with_fields,
)

if TYPE_CHECKING:
    import pyarrow.compute as pc
    import pyarrow.fs as pafs
    import pyarrow.parquet as pq

_START: Position = {"group": 0, "row": 0}
Compression: TypeAlias = Literal["zstd", "snappy", "gzip", "lz4", "none"]

_SUFFIXES = (".parquet", ".pq")
_GROUP_ROWS = 1 << 18
_GROUP_BYTES = 64 << 20
"""A row group is written when it has so many rows or holds so many bytes in memory."""
_SMALLEST_DECODE = 1024
"""Rows decoded at once at least, however few are asked for."""


@dataclass(frozen=True, init=False, repr=False)
class Source(FileSource):
    """Reads Parquet files, a file after the other, a row group after the other.

    `path`: file, folder, glob, URI or a list of these. `schema`: columns and types to read as (a `pa.Schema`,
    dataclass, TypedDict or NamedTuple); without it those of the first file. Every file must have the columns; values
    of another type are cast, and one that does not fit is an error. A position is a row group and a row in it.
    Pages that carry a checksum, as those of our sink do, are checked against it.

    A declared column that folders on a file's path name (`day=2026-03-01/`) is taken from there. Below a folder only
    files that end in `.parquet` or `.pq` are read; a glob reads what it matches.

    `follow`: how often to look for new files ("1s"), which are read as they appear, without end. They must appear whole
    (moved into the folder), stay, and in the order of time: rows that lie below the watermark by then are late.
    """

    _schema: pa.Schema | None
    _columns: tuple[str, ...] | None
    _filter_text: str
    _filter: pc.Expression | None = field(compare=False)

    def __init__(
        self,
        path: Paths,
        schema: pa.Schema | type | None = None,
        *,
        filesystem: pafs.FileSystem | None = None,
        follow: str | timedelta | None = None,
    ) -> None:
        declared = None if schema is None else canonical_schema(schema_of(schema))
        set_fields(
            self,
            _files=Files.of(path, filesystem, _SUFFIXES, follow),
            _schema=declared,
            _columns=None,
            _filter_text="",
            _filter=None,
        )

    def __repr__(self) -> str:
        parts = [", ".join(self._files.paths)]
        if self._columns is not None:
            parts.append(f"columns={list(self._columns)}")
        if self._filter_text:
            parts.append(f"filter={self._filter_text}")
        return f"parquet.Source({', '.join(parts)})"

    def schema(self) -> pa.Schema:
        whole = self._schema
        if whole is None:
            with _opened(self._files, self._files.first()) as file:
                whole = canonical_schema(file.schema_arrow)
        return whole if self._columns is None else pa.schema([whole.field(name) for name in self._columns])

    def project(self, columns: Sequence[str]) -> Source:
        return with_fields(self, _schema=self._schema or self.schema(), _columns=tuple(columns))

    def filter(self, predicate: pc.Expression) -> Source:
        """Leaves out row groups whose statistics show that no row can pass."""
        both = predicate if self._filter is None else self._filter & predicate
        return with_fields(self, _schema=self._schema or self.schema(), _filter=both, _filter_text=str(both))

    def min_value(self, split: str, column: str) -> pa.Scalar | None:
        whole = self._schema
        if (
            whole is not None
            and column in whole.names
            and column in (values := folder_values(self._files.below(split)))
        ):
            return partition_value(values[column], whole.field(column).type, split)
        with _opened(self._files, split) as file:
            return _smallest(file.metadata, column, file.schema_arrow)

    def row_count(self) -> int | None:
        if not self.bounded:
            return None
        count = 0
        for name in self._files.names():
            with _opened(self._files, name) as file:
                count += file.metadata.num_rows
        return count

    def open(self, splits: Mapping[str, Position | None]) -> FileReader:
        schema = self.schema()

        def open_rows(name: str, schema: pa.Schema, position: Position) -> _ParquetRows:
            file = _opened(self._files, name)
            require_columns(name, schema.names, file.schema_arrow.names)
            return _ParquetRows(name, file, self._groups(name, file), schema, position)

        return FileReader(splits, _START, partitioned(self._files, schema, open_rows), self._files)

    def _groups(self, name: str, file: pq.ParquetFile) -> list[int]:
        """The row groups that may hold rows which pass the filter."""
        if self._filter is None:
            return list(range(file.num_row_groups))
        from pyarrow import dataset

        filesystem, path = self._files.locate(name)
        fragment = dataset.ParquetFileFormat().make_fragment(path, filesystem)
        try:
            return [group.id for group in fragment.subset(filter=self._filter).row_groups]
        except (pa.ArrowException, TypeError):
            # The filter speaks of canonical types; where the file's own cannot be compared to them, all groups are
            # read.
            return list(range(file.num_row_groups))


def _opened(files: Files, name: str) -> pq.ParquetFile:
    from pyarrow import parquet

    filesystem, path = files.locate(name)
    with reading(name):
        return parquet.ParquetFile(
            path,
            filesystem=filesystem,
            pre_buffer=filesystem.type_name != "local",
            page_checksum_verification=True,
        )


def _smallest(metadata: pq.FileMetaData, column: str, schema: pa.Schema) -> pa.Scalar | None:
    """The least value of a column by the statistics of all row groups; None if one of them has none."""
    paths = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
    if column not in paths:
        return None
    index, type_ = paths.index(column), schema.field(column).type
    least = []
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(index).statistics
        if statistics is None:
            return None
        if statistics.has_min_max:
            least.append(_stored(statistics, type_))
        elif statistics.null_count != metadata.row_group(group).num_rows:
            return None
    if not least:
        return None
    import pyarrow.compute as pc

    return pc.min(pa.array(least, canonical_schema(pa.schema([("", type_)])).types[0]))


def _stored(statistics: pq.Statistics, type_: pa.DataType) -> pa.Scalar:
    if pa.types.is_timestamp(type_):
        # The converted value would be a pandas object, or none, for nanoseconds.
        stored = pa.array([statistics.min_raw], pa.int64()).view(type_)
    else:
        stored = pa.array([statistics.min], type_)
    return cast_array(stored, canonical_schema(pa.schema([("", type_)])).types[0])[0]


class _ParquetRows:
    """The rows of some row groups of one file, from a position on."""

    def __init__(
        self, name: str, file: pq.ParquetFile, groups: Sequence[int], schema: pa.Schema, position: Position
    ) -> None:
        start = cast("Mapping[str, int]", position)
        self._name = name
        self._file = file
        self._schema = schema
        self._groups = deque(group for group in groups if group >= start["group"])
        self._row = start["row"] if self._groups and self._groups[0] == start["group"] else 0
        """Rows of the first of `_groups` that were delivered or stand before the position."""
        self._skip = self._row
        """How many of them still come out of the decoder."""
        self._decoder: Iterator[pa.RecordBatch] | None = None
        self._rest: pa.RecordBatch | None = None
        """What was decoded and not asked for yet."""

    def take(self, max_rows: int) -> pa.RecordBatch | None:
        batch = self._rest or self._next(max_rows)
        if batch is None:
            return None
        self._rest = None
        if batch.num_rows > max_rows:
            self._rest = batch.slice(max_rows)
            batch = batch.slice(0, max_rows)
        self._row += batch.num_rows
        return batch

    def _next(self, max_rows: int) -> pa.RecordBatch | None:
        """The next decoded rows in the source's schema, of the next group where one is exhausted."""
        while self._groups:
            decoder = self._decoder or self._file.iter_batches(
                batch_size=max(max_rows, _SMALLEST_DECODE),
                row_groups=[self._groups[0]],
                columns=self._schema.names,
                use_threads=False,
            )
            self._decoder = decoder
            for batch in decoder:
                skipped = min(self._skip, batch.num_rows)
                self._skip -= skipped
                if skipped < batch.num_rows:
                    return self._cast(batch.slice(skipped) if skipped else batch)
            self._groups.popleft()
            self._decoder, self._row = None, 0
        return None

    def _cast(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        try:
            return cast_if_it_fits(batch.select(self._schema.names), self._schema)
        except pa.ArrowException as error:
            raise DataError(f"{self._name}: a column does not fit the schema: {error}") from error

    def position(self) -> Position:
        return {"group": self._groups[0] if self._groups else self._file.num_row_groups, "row": self._row}

    def close(self) -> None:
        self._file.close(force=True)


@dataclass(frozen=True, init=False, repr=False)
class Sink(FileSink):
    """Writes Parquet files into a folder; they appear when a checkpoint is complete, each whole.

    `roll`: when a file is full, by size ("128MB") or by size and age (("128MB", "10m")). `mode`: what happens if the
    folder is not empty: "error", "append", or "replace", which removes the old `.parquet` files once the first new
    ones are there.
    `partition_by`: columns that become folders (`day=2026-03-01/`) instead of columns of the files.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        compression: Compression = "zstd",
        roll: Roll = "256MB",
        mode: Mode = "error",
        partition_by: str | Sequence[str] = (),
        filesystem: pafs.FileSystem | None = None,
    ) -> None:
        target = FileTarget.of(path, mode=mode, roll=roll, filesystem=filesystem, partition_by=partition_by)
        set_fields(self, _target=target, _format=ParquetFormat(compression))

    def __repr__(self) -> str:
        return f"parquet.Sink({self._target.path}, mode={self._target.mode!r})"


@dataclass(frozen=True, slots=True)
class ParquetFormat:
    """A `FileFormat`: Parquet, its column chunks compressed."""

    compression: Compression

    def __post_init__(self) -> None:
        if self.compression not in ("zstd", "snappy", "gzip", "lz4", "none"):
            raise UserError(
                f"compression={self.compression!r} is unknown", remedy='use "zstd", "snappy", "gzip", "lz4" or "none"'
            )

    @property
    def suffix(self) -> str:
        return ".parquet"

    @property
    def codec(self) -> None:
        return None

    def encoder(self, stream: pa.NativeFile, schema: pa.Schema, roll_bytes: int | None) -> _RowGroups:
        from pyarrow import parquet

        writer = parquet.ParquetWriter(stream, schema, compression=self.compression, write_page_checksum=True)
        return _RowGroups(writer, schema, min(_GROUP_BYTES, roll_bytes or _GROUP_BYTES))


class _RowGroups(Gathering):
    """Collects batches into row groups: large ones are read faster, and each has its statistics."""

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema, group_bytes: int) -> None:
        super().__init__(
            schema, _GROUP_ROWS, group_bytes, lambda rows: writer.write_table(rows, row_group_size=rows.num_rows)
        )
        self._writer = writer

    def finish(self) -> None:
        self.put_rest()
        self._writer.close()

    def abandon(self) -> None:
        # Else the writer would try to end the file when it is garbage.
        self._writer.is_open = False
