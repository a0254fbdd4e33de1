"""Files that appear whole and once: what all file sinks share (rule 40).

A writer stages files under `<folder>/_staging/<job>/`; `commit` moves them into the folder under names that hold step,
worker, job, attempt and a number, so that no two writers ever mean the same file. Readers leave names with a first `_`
out, so nobody sees a file before it is whole. A crash leaves staged files only, which `discard_unknown` removes.

Every `prepare` finishes the open file: what a checkpoint covers is then on disk, and nothing of it is left in the
writer.
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

import pyarrow as pa

from streamflow.connect.files import filesystem_of
from streamflow.connect.sink import Committable, SinkContext
from streamflow.connect.units import parse_duration, parse_size
from streamflow.errors import Fatal, Retryable, StreamflowError, UserError

if TYPE_CHECKING:
    import pyarrow.fs as pafs

Mode: TypeAlias = Literal["error", "append", "replace"]
Roll: TypeAlias = "str | int | tuple[str | int, str | timedelta] | None"
"""When a file is full: a size ("128MB"), a size and an age (("128MB", "10m")), or None for never."""

_STAGING = "_staging"
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

    @classmethod
    def of(
        cls,
        path: str | os.PathLike[str],
        *,
        mode: Mode = "error",
        roll: Roll = "256MB",
        filesystem: pafs.FileSystem | None = None,
    ) -> FileTarget:
        if mode not in ("error", "append", "replace"):
            raise UserError(f"mode={mode!r} is unknown", remedy='use "error", "append" or "replace"')
        size, age = roll if isinstance(roll, tuple) else (roll, None)
        roll_bytes = None if size is None else parse_size(size)
        roll_microseconds = None if age is None else parse_duration(age)
        return cls(os.fspath(path), mode, roll_bytes, roll_microseconds, filesystem)

    def folder(self) -> _Folder:
        filesystem, path, _ = filesystem_of(self.path, self.filesystem)
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
    """Writes one worker's files of one job into a folder. A `TransactionalWriter`."""

    def __init__(self, target: FileTarget, format_: FileFormat, who: SinkContext) -> None:
        self._target = target
        self._format = format_
        self._who = who
        self._folder = target.folder()
        self._stem = f"{re.sub(r'[^A-Za-z0-9_]+', '-', who.step).strip('-_') or 'out'}-w{who.worker}-{_short(who.job)}"
        self._count = 0
        self._open: _OpenFile | None = None
        self._finished: list[Committable] = []
        with writing(target.path):
            self._check_folder()

    def _check_folder(self) -> None:
        folder = self._folder
        if self._target.mode == "error":
            others = [name for name in folder.files(folder.path) if not _is_of_job(name, self._who.job)]
            if others:
                raise Fatal(
                    f"{folder.shown} is not empty: it holds {others[0]}",
                    remedy='write to another folder, empty it, or pass mode="append" or mode="replace"',
                )
        folder.filesystem.create_dir(folder.staging(self._who.job), recursive=True)

    def write(self, batch: pa.RecordBatch) -> None:
        with writing(self._target.path):
            if self._open is None:
                self._open = self._next_file()
            self._open.write(batch)
            if self._is_full(self._open):
                self._finish_file(self._open)

    def flush(self) -> None:
        """Rows reach the staged file as its format allows; `prepare` makes them durable."""

    def prepare(self, checkpoint: int, *, final: bool) -> Sequence[Committable]:
        """Finish the open file and hand over all finished ones, durably staged."""
        with writing(self._target.path):
            if self._open is not None:
                self._finish_file(self._open)
            if self._finished:
                self._folder.make_durable(self._folder.staging(self._who.job))
        prepared, self._finished = self._finished, []
        return prepared

    def close(self) -> None:
        """Removes what was written and not prepared; prepared files are the committer's."""
        staging = self._folder.staging(self._who.job)
        names = [str(committable["id"]) for committable in self._finished]
        if self._open is not None:
            names.append(self._open.name)
            self._open.abandon()
        self._open, self._finished = None, []
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
        return _OpenFile(name, path, raw, self._format, self._who, self._target.roll_bytes)

    def _is_full(self, file: _OpenFile) -> bool:
        size, age = self._target.roll_bytes, self._target.roll_microseconds
        if size is not None and file.size() >= size:
            return True
        return age is not None and (self._who.clock() - file.opened) * 1_000_000 >= age

    def _finish_file(self, file: _OpenFile) -> None:
        file.finish()
        self._folder.make_durable(file.path)
        self._open = None
        self._finished.append({"id": file.name, "rows": file.rows})


class _OpenFile:
    """A staged file that takes rows."""

    def __init__(
        self, name: str, path: str, raw: pa.NativeFile, format_: FileFormat, who: SinkContext, roll_bytes: int | None
    ) -> None:
        self.name = name
        self.path = path
        self.rows = 0
        self.opened = who.clock()
        self._raw = raw
        self._stream = raw if format_.codec is None else pa.CompressedOutputStream(raw, format_.codec)
        self._encoder = format_.encoder(self._stream, who.schema, roll_bytes)

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
                self._publish(folder, str(committable["id"]))
            if committables:
                folder.make_durable(folder.path)
            if self.target.mode == "replace":
                self._remove_replaced(folder)
        folder.remove_staging_if_empty(self.job)

    def _publish(self, folder: _Folder, name: str) -> None:
        staged, final = f"{folder.staging(self.job)}/{name}", folder.final(name)
        if folder.exists(staged):
            folder.filesystem.move(staged, final)
        elif not folder.exists(final):
            raise Fatal(
                f"{folder.shown}: the prepared file {name} is neither staged nor published: its rows are lost",
                remedy="something else removed it; run the job again from its input",
            )

    def _remove_replaced(self, folder: _Folder) -> None:
        for name in folder.files(folder.path):
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


def _short(job: str) -> str:
    """The part of a job's uuid that stands in file names."""
    return re.sub(r"[^A-Za-z0-9]", "", job)[:12] or "job"


def _is_of_job(name: str, job: str) -> bool:
    return f"-{_short(job)}-a" in name


def _attempt_of(name: str) -> int | None:
    found = re.search(r"-a(\d+)-\d+\.", name)
    return None if found is None else int(found[1])
