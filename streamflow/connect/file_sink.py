"""Files that appear whole and once: what all file sinks share (rule 40).

A writer stages files under `<folder>/_staging/<job>/`; `commit` moves them into the folder under names that hold step,
worker, job, attempt and a number, so that no two writers ever mean the same file. Readers leave names with a first `_`
out, so nobody sees a file before it is whole. A crash leaves staged files only. Those of a job that is started again
are removed by its next attempt (`discard_unknown`); those of a job that was killed and is never started again stay in
`_staging/<job>/`, for nobody else can know that they will not be wanted: once no job writes to the folder, its
`_staging` may be deleted by hand.

Without an age in `roll` every `prepare` finishes the open files, however small: what a checkpoint covers is then on
disk, so the interval between checkpoints bounds how large files become. With one, files that are neither full nor old
enough stay open, and the host keeps their rows with the checkpoint (`kept`): a checkpoint a second then does not make a
file a second. All such rows together are held in memory, and bounded by the size in `roll`.

With `partition_by` rows go into folders called `key=value`, which the files of a folder are moved into when they are
published; the columns are then in the path and not in the files.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias
from urllib.parse import quote

import pyarrow as pa

from streamflow.connect.files import filesystem_of
from streamflow.connect.partitions import file_schema, parts
from streamflow.connect.sink import Committable, SinkContext
from streamflow.connect.units import parse_duration, parse_size
from streamflow.errors import Fatal, Retryable, SchemaError, StreamflowError, UserError

if TYPE_CHECKING:
    import pyarrow.fs as pafs

Mode: TypeAlias = Literal["error", "append", "replace"]
Roll: TypeAlias = "str | int | tuple[str | int, str | timedelta] | None"
"""When a file is full: a size ("128MB"), a size and an age (("128MB", "10m")), or None for never.

With a size alone, a file also ends with each checkpoint."""

_STAGING = "_staging"
_MOST_OPEN = 64
"""Partitions whose files are open at once; one more finishes the file that was opened first."""
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_ALLOWED = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENOENT,
)


class Encoder(Protocol):
    """Writes the rows of one file to a stream that it does not own."""

    def write(self, batch: pa.RecordBatch) -> None: ...

    def held(self) -> int:
        """About how many bytes it has taken and not yet written."""
        ...

    def finish(self) -> None:
        """Write what is held, and what ends a file."""
        ...

    def abandon(self) -> None:
        """The file will be removed: write nothing any more."""
        ...


class FileFormat(Protocol):
    """What is in the files. Frozen."""

    @property
    def suffix(self) -> str:
        """The end of the files' names, as in ".parquet"."""
        ...

    @property
    def codec(self) -> str | None:
        """What the whole stream is compressed with: "gzip", "zstd" or None."""
        ...

    def encoder(self, stream: pa.NativeFile, schema: pa.Schema, roll_bytes: int | None) -> Encoder:
        """Raises SchemaError where a column cannot be written."""
        ...


@dataclass(frozen=True, slots=True)
class FileTarget:
    """A folder that files are written to, when they are full, and what may be in it before."""

    path: str
    mode: Mode
    roll_bytes: int | None
    roll_microseconds: int | None
    filesystem: pafs.FileSystem | None = field(default=None, repr=False)
    keys: tuple[str, ...] = ()
    """The columns that rows are put into folders by."""

    @classmethod
    def of(
        cls,
        path: str | os.PathLike[str],
        *,
        mode: Mode = "error",
        roll: Roll = "256MB",
        filesystem: pafs.FileSystem | None = None,
        partition_by: str | Sequence[str] = (),
    ) -> FileTarget:
        if mode not in ("error", "append", "replace"):
            raise UserError(f"mode={mode!r} is unknown", remedy='use "error", "append" or "replace"')
        size, age = roll if isinstance(roll, tuple) else (roll, None)
        roll_bytes = None if size is None else parse_size(size)
        roll_microseconds = None if age is None else parse_duration(age)
        keys = (partition_by,) if isinstance(partition_by, str) else tuple(partition_by)
        if len(set(keys)) < len(keys) or any(key.startswith(("_", ".")) for key in keys):
            raise UserError(
                f"partition_by={list(keys)} cannot name folders",
                remedy="give each column once, and none whose name starts with _ or .: readers leave such folders out",
            )
        return cls(os.fspath(path), mode, roll_bytes, roll_microseconds, filesystem, keys)

    def file_schema(self, schema: pa.Schema) -> pa.Schema:
        """The columns of the files, when rows of `schema` are written. SchemaError where that is impossible."""
        return file_schema(schema, self.keys) if self.keys else schema

    def folder(self) -> _Folder:
        from pyarrow import fs

        filesystem, path, _ = filesystem_of(self.path, self.filesystem)
        while isinstance(filesystem, fs.SubTreeFileSystem):  # below it may be a disk, which has to be told to sync
            filesystem, path = filesystem.base_fs, f"{filesystem.base_path.rstrip('/')}/{path.lstrip('/')}"
        return _Folder(filesystem, path, self.path)


@dataclass(frozen=True, slots=True)
class _Folder:
    """The folder on its filesystem; `shown` is how the user called it."""

    filesystem: pafs.FileSystem
    path: str
    shown: str

    @property
    def local(self) -> bool:
        return bool(self.filesystem.type_name == "local")

    def final(self, name: str) -> str:
        return f"{self.path}/{name}"

    def staging(self, job: str) -> str:
        return f"{self.path}/{_STAGING}/{job}"

    def exists(self, path: str) -> bool:
        from pyarrow import fs

        return bool(self.filesystem.get_file_info(path).type != fs.FileType.NotFound)

    def files(self, path: str) -> list[str]:
        """Names of the files directly in it that are not hidden; none if it does not exist."""
        from pyarrow import fs

        found = self.filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
        names = [info.base_name for info in found if info.type == fs.FileType.File]
        return sorted(name for name in names if not name.startswith(("_", ".")))

    def published(self, keys: Sequence[str]) -> list[str]:
        """The files directly in the folder and in its partitions by `keys`, by their paths below it."""
        from pyarrow import fs

        names = self.files(self.path)
        if not keys:
            return names
        starts = [f"{quote(key, safe='')}=" for key in keys]
        found = self.filesystem.get_file_info(fs.FileSelector(self.path, allow_not_found=True, recursive=True))
        for info in found:
            inner = info.path[len(self.path) :].lstrip("/")
            folders = inner.split("/")[:-1]
            ours = len(folders) == len(keys) and all(map(str.startswith, folders, starts))
            if ours and info.type == fs.FileType.File and not info.base_name.startswith(("_", ".")):
                names.append(inner)
        return sorted(names)

    def make_durable(self, path: str) -> None:
        """The file or folder survives a crash of the machine. Object stores keep what they accept."""
        if self.local:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def remove_staging_if_empty(self, job: str) -> None:
        if self.local:
            with suppress(OSError):
                os.rmdir(self.staging(job))
                os.rmdir(f"{self.path}/{_STAGING}")


@contextmanager
def writing(shown: str) -> Iterator[None]:
    """Errors met while something is written to `shown`, as errors of a connector that name it and say what to do."""
    try:
        yield
    except StreamflowError:
        raise
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise Fatal(
                f"{shown}: no space is left: {error}",
                remedy="free space there, or write somewhere else; then run again",
            ) from error
        if error.errno in _NOT_ALLOWED:
            raise Fatal(
                f"{shown} cannot be written: {error}",
                remedy="give a folder in which this user may make files, or correct its permissions",
            ) from error
        raise Retryable(f"{shown} could not be written: {error}") from error


class FileWriter:
    """Writes one worker's files of one job into a folder. A `KeepingWriter`."""

    def __init__(self, target: FileTarget, format_: FileFormat, who: SinkContext) -> None:
        self._target = target
        self._format = format_
        self._who = who
        self._folder = target.folder()
        self._stem = f"{re.sub(r'[^A-Za-z0-9_]+', '-', who.step).strip('-_') or 'out'}-w{who.worker}-{_short(who.job)}"
        self._count = 0
        self._schema = target.file_schema(who.schema)
        self._open: dict[str, _OpenFile] = {}
        """By the folder that they go to, "" without partitions; in the order in which they were opened."""
        self._finished: list[Committable] = []
        self._keeps = target.roll_microseconds is not None
        with writing(target.path):
            self._check_folder()

    def _check_folder(self) -> None:
        folder = self._folder
        if self._target.mode == "error":
            others = [n for n in folder.published(self._target.keys) if not _is_of_job(n, self._who.job)]
            if others:
                raise Fatal(
                    f"{folder.shown} is not empty: it holds {others[0]}",
                    remedy='write to another folder, empty it, or pass mode="append" or mode="replace"',
                )
        folder.filesystem.create_dir(folder.staging(self._who.job), recursive=True)

    def write(self, batch: pa.RecordBatch) -> None:
        with writing(self._target.path):
            if self._target.keys:
                for folder, rows in parts(batch, self._target.keys):
                    self._write_to(folder, rows)
            else:
                self._write_to("", batch)

    def _write_to(self, folder: str, rows: pa.RecordBatch) -> None:
        file = self._open.get(folder)
        if file is None:
            if len(self._open) >= _MOST_OPEN:
                self._finish_file(next(iter(self._open)))
            file = self._open[folder] = self._next_file()
        file.write(rows.select(self._schema.names) if self._target.keys else rows)
        if self._is_full(file):
            self._finish_file(folder)
        elif self._keeps:
            file.kept.append(rows)
            while self._target.roll_bytes and sum(one.size() for one in self._open.values()) > self._target.roll_bytes:
                self._finish_file(next(iter(self._open)))

    def flush(self) -> None:
        """Rows reach the staged file as its format allows; `prepare` makes them durable."""

    def prepare(self, checkpoint: int, *, final: bool) -> Sequence[Committable]:
        """Finish the open files, or where they have an age those that are due, and hand over all finished ones, durably
        staged.
        """
        with writing(self._target.path):
            for folder, file in list(self._open.items()):
                if final or not self._keeps or self._is_full(file):
                    self._finish_file(folder)
            if self._finished:
                self._folder.make_durable(self._folder.staging(self._who.job))
        prepared, self._finished = self._finished, []
        return prepared

    def kept(self) -> Sequence[pa.RecordBatch]:
        return [rows for file in self._open.values() for rows in file.kept]

    def close(self) -> None:
        """Removes what was written and not prepared; prepared files are the committer's."""
        staging = self._folder.staging(self._who.job)
        names = [str(committable["id"]) for committable in self._finished]
        for file in self._open.values():
            names.append(file.name)
            file.abandon()
        self._open, self._finished = {}, []
        for name in names:
            with suppress(OSError):
                self._folder.filesystem.delete_file(f"{staging}/{name}")
        self._folder.remove_staging_if_empty(self._who.job)

    def _next_file(self) -> _OpenFile:
        name = f"{self._stem}-a{self._who.attempt}-{self._count:05d}{self._format.suffix}"
        self._count += 1
        path = f"{self._folder.staging(self._who.job)}/{name}"
        # Another worker may just have removed the empty staging folder.
        self._folder.filesystem.create_dir(self._folder.staging(self._who.job), recursive=True)
        raw = self._folder.filesystem.open_output_stream(path, compression=None)
        return _OpenFile(name, path, raw, self._format, self._who, self._schema, self._target.roll_bytes)

    def _is_full(self, file: _OpenFile) -> bool:
        size, age = self._target.roll_bytes, self._target.roll_microseconds
        if size is not None and file.size() >= size:
            return True
        return age is not None and (self._who.clock() - file.opened) * 1_000_000 >= age

    def _finish_file(self, folder: str) -> None:
        file = self._open[folder]
        file.finish()
        self._folder.make_durable(file.path)
        del self._open[folder]
        finished: dict[str, int | str] = {"id": file.name, "rows": file.rows}
        self._finished.append({**finished, "folder": folder} if folder else finished)


class _OpenFile:
    """A staged file that takes rows."""

    def __init__(
        self,
        name: str,
        path: str,
        raw: pa.NativeFile,
        format_: FileFormat,
        who: SinkContext,
        schema: pa.Schema,
        roll_bytes: int | None,
    ) -> None:
        self.name = name
        self.path = path
        self.rows = 0
        self.kept: list[pa.RecordBatch] = []
        """Its rows, to be written again after a crash."""
        self.opened = who.clock()
        self._raw = raw
        self._stream = raw if format_.codec is None else pa.CompressedOutputStream(raw, format_.codec)
        self._encoder = format_.encoder(self._stream, schema, roll_bytes)

    def write(self, batch: pa.RecordBatch) -> None:
        self._encoder.write(batch)
        self.rows += batch.num_rows

    def size(self) -> int:
        return int(self._raw.tell()) + self._encoder.held()

    def finish(self) -> None:
        self._encoder.finish()
        self._stream.close()
        self._raw.close()

    def abandon(self) -> None:
        """Let go of the file, whatever state it is in."""
        self._encoder.abandon()
        for stream in (self._stream, self._raw):
            with suppress(OSError, pa.ArrowException):
                stream.close()


@dataclass(frozen=True, slots=True)
class FileCommitter:
    """Publishes staged files of one job, from any process. A `Committer`."""

    target: FileTarget
    suffix: str
    job: str

    def commit(self, committables: Sequence[Committable]) -> None:
        """Move these files into the folder; what was moved before stays. With mode="replace" older files go after
        that.
        """
        folder = self.target.folder()
        with writing(self.target.path):
            for committable in committables:
                self._publish(folder, str(committable["id"]), str(committable.get("folder", "")))
            if committables:
                folder.make_durable(folder.path)
            if self.target.mode == "replace":
                self._remove_replaced(folder)
        folder.remove_staging_if_empty(self.job)

    def _publish(self, folder: _Folder, name: str, partition: str) -> None:
        staged = f"{folder.staging(self.job)}/{name}"
        final = folder.final(f"{partition}/{name}" if partition else name)
        if folder.exists(staged):
            if partition:
                folder.filesystem.create_dir(folder.final(partition), recursive=True)
            folder.filesystem.move(staged, final)
            # The folder's own entry is in its parent, up to the target.
            while partition:
                folder.make_durable(folder.final(partition))
                partition = partition.rpartition("/")[0]
        elif not folder.exists(final):
            raise Fatal(
                f"{folder.shown}: the prepared file {name} is neither staged nor published: its rows are lost",
                remedy="something else removed it; run the job again from its input",
            )

    def _remove_replaced(self, folder: _Folder) -> None:
        for name in folder.published(self.target.keys):
            if name.endswith(self.suffix) and not _is_of_job(name, self.job):
                folder.filesystem.delete_file(folder.final(name))

    def discard_unknown(self, keep: Collection[str], before_attempt: int) -> None:
        """Remove this job's staged files of attempts below `before_attempt`, except those named in `keep`."""
        folder = self.target.folder()
        with writing(self.target.path):
            for name in folder.files(folder.staging(self.job)):
                attempt = _attempt_of(name)
                if attempt is not None and attempt < before_attempt and name not in keep:
                    folder.filesystem.delete_file(f"{folder.staging(self.job)}/{name}")
        folder.remove_staging_if_empty(self.job)


@dataclass(frozen=True, init=False, repr=False)
class FileSink:
    """What sinks of files have in common. A `TransactionalSink` of rows that only come."""

    _target: FileTarget
    _format: FileFormat

    @property
    def changelog(self) -> bool:
        return False

    def open(self, who: SinkContext) -> FileWriter:
        """Raises SchemaError where the format has no way to write a column."""
        schema = self._target.file_schema(who.schema)
        try:
            self._format.encoder(pa.BufferOutputStream(), schema, None).abandon()
        except pa.ArrowNotImplementedError as error:
            raise SchemaError(str(error), remedy="leave the column out, or write files of another format") from error
        return FileWriter(self._target, self._format, who)

    def committer(self, job: str) -> FileCommitter:
        return FileCommitter(self._target, self._format.suffix, job)


def _short(job: str) -> str:
    """The part of a job's uuid that stands in file names."""
    return re.sub(r"[^A-Za-z0-9]", "", job)[:12] or "job"


def _is_of_job(name: str, job: str) -> bool:
    return f"-{_short(job)}-a" in name


def _attempt_of(name: str) -> int | None:
    found = re.search(r"-a(\d+)-\d+\.", name)
    return None if found is None else int(found[1])
