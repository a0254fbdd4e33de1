"""Which files a path means, and a reader over them: what all file connectors share.

A path is a file, a folder (all files below it), a glob (`*`, `?`, `[ab]`, `**` for any folders), or a `pyarrow.fs` URI
of one of these (in which `?` starts the query), or a list of them. Below a folder and where a glob chooses, names that
start with `_` or `.` are left out: they are other programs' notes and unfinished output. Below a folder a format that
has suffixes of its own leaves other files out, too; a glob says for itself what it means. Every file is one split,
called by its path; the order is that of the names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TypeAlias

import pyarrow as pa

from streamflow.connect.source import BadRecord, Ended, PollResult, Position, Wait
from streamflow.connect.units import parse_duration
from streamflow.errors import Fatal, Retryable, StreamflowError, UserError

if TYPE_CHECKING:
    import pyarrow.fs as pafs

Paths: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]"

_WILD = re.compile(r"[*?\[]")
_COMPRESSED = re.compile(r"\.(gz|zst|bz2|lz4)$")
_WATCHED = 64
"""So many files of those that were read last are watched for growing."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files that some paths mean. Nothing is looked up before it is asked for.

    `filesystem`: where plain paths are looked up; None for the local one, or the one a URI names.
    """

    paths: tuple[str, ...]
    filesystem: pafs.FileSystem | None = field(default=None, repr=False)
    suffixes: tuple[str, ...] = ()
    """Below a folder only names that end so (a compression's suffix may follow) are meant; without any, all."""
    follow: float | None = None
    """Seconds between looks for new files; then there may be none yet."""

    @classmethod
    def of(
        cls,
        paths: Paths,
        filesystem: pafs.FileSystem | None = None,
        suffixes: Sequence[str] = (),
        follow: str | timedelta | None = None,
    ) -> Files:
        given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        if not given:
            raise UserError("a list of no paths names no files", remedy="give at least one file, folder, glob or URI")
        seconds = None if follow is None else parse_duration(follow) / 1e6
        if seconds is not None and seconds <= 0:
            raise UserError(f"follow={follow!r} is no time to wait", remedy='give a duration, as in "1s"')
        return cls(tuple(os.fspath(path) for path in given), filesystem, tuple(suffixes), seconds)

    def names(self) -> list[str]:
        """All files, sorted. Raises UserError where a path has none."""
        may_be_none = self.follow is not None
        return sorted({name for path in self.paths for name in self._root(path).names(may_be_none=may_be_none)})

    def first(self) -> str:
        """The file that is asked for a schema."""
        if not (names := self.names()):
            raise UserError(
                f"{', '.join(self.paths)} holds no file yet that could be asked for its columns",
                remedy="declare them with schema=",
            )
        return names[0]

    def locate(self, name: str) -> tuple[pafs.FileSystem, str]:
        """Where to open the file of this name, from `names()` of this or an equal object in any process."""
        root = self._holding(name)
        return root.filesystem, root.path + name[len(root.shown) :]

    def below(self, name: str) -> str:
        """The part of a file's name that was found: behind the folder that was given, or before the glob's first
        wildcard.
        """
        return name[len(self._holding(name).shown) :].lstrip("/")

    def _holding(self, name: str) -> _Root:
        holding = [root for root in map(self._root, self.paths) if root.holds(name)]
        if not holding:
            raise Fatal(
                f"{name!r} is not below {', '.join(self.paths)}", remedy="read the same paths that the job started with"
            )
        return max(holding, key=lambda root: len(root.shown))

    def _root(self, path: str) -> _Root:
        return _Root.of(path, self.filesystem, self.suffixes)


@dataclass(frozen=True, slots=True)
class _Root:
    """One given path: the fixed part, under which files are found, and what chooses among them."""

    filesystem: pafs.FileSystem
    path: str
    shown: str
    pattern: re.Pattern[str] | None
    suffixes: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: str, filesystem: pafs.FileSystem | None, suffixes: tuple[str, ...] = ()) -> _Root:
        filesystem, path, scheme = filesystem_of(given, filesystem)
        pattern = None
        wild = _WILD.search(path)
        if wild is not None and not _exists(filesystem, path):
            folder, slash, _ = path[: wild.start()].rpartition("/")
            pattern = re.compile(_regex(path[len(folder + slash) :]))
            path = folder or slash
        # Names in the working folder are written without "./".
        path = "" if path == "." else path
        return cls(filesystem, path, scheme + path, pattern, suffixes)

    def holds(self, name: str) -> bool:
        return not self.shown or name == self.shown or name.startswith(self.shown.rstrip("/") + "/")

    def names(self, *, may_be_none: bool = False) -> list[str]:
        from pyarrow import fs

        shown, path = self.shown or "the working folder", self.path or "."
        with reading(shown):
            info = self.filesystem.get_file_info(path)
            if info.type == fs.FileType.File:
                return [self.shown]
            if info.type == fs.FileType.NotFound:
                if may_be_none:
                    return []
                raise UserError(f"{shown} does not exist", remedy="correct the path")
            below = self.filesystem.get_file_info(fs.FileSelector(path, recursive=True))
        paths = [entry.path.removeprefix("./") for entry in below if entry.type == fs.FileType.File]
        chosen = [name for name in (self.shown + path[len(self.path) :] for path in paths) if self._chooses(name)]
        if not chosen and not may_be_none:
            what, remedy = "no file", "correct the path; names that start with _ or . are left out"
            if self.pattern is not None:
                what = "no file that the pattern matches"
            elif self.suffixes:
                what = f"no file whose name ends in {' or '.join(self.suffixes)}"
                remedy += '; for files of other names give a glob, as in "folder/*"'
            raise UserError(f"{shown} holds {what}", remedy=remedy)
        return chosen

    def _chooses(self, name: str) -> bool:
        inner = name[len(self.shown) :].lstrip("/")
        if any(part.startswith(("_", ".")) for part in inner.split("/")):
            return False
        if self.pattern is None:
            return not self.suffixes or _COMPRESSED.sub("", inner).endswith(self.suffixes)
        return self.pattern.fullmatch(inner) is not None


def filesystem_of(given: str, filesystem: pafs.FileSystem | None) -> tuple[pafs.FileSystem, str, str]:
    """The filesystem, the path in it, and what stands before the path in the files' names (never a URI's secrets)."""
    from pyarrow import fs

    scheme, separator, _ = given.partition("://")
    if filesystem is not None or not separator:
        path = given if given == "/" else given.rstrip("/")
        return filesystem or fs.LocalFileSystem(), path, ""
    # A wildcard is no part of a URI's syntax, so from_uri sees only what stands before it, and the query.
    place, _, query = given.partition("?")
    wild = _WILD.search(place)
    fixed = place if wild is None else place[: wild.start()].rpartition("/")[0]
    try:
        filesystem, path = fs.FileSystem.from_uri(f"{fixed}?{query}" if query else fixed)
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise UserError(
            f"{scheme}:// path cannot be opened: {error}", remedy="use a plain path or a URI that pyarrow.fs knows"
        ) from error
    return filesystem, path.rstrip("/") + place[len(fixed) :].rstrip("/"), f"{scheme}://"


def _exists(filesystem: pafs.FileSystem, path: str) -> bool:
    from pyarrow import fs

    found: bool = filesystem.get_file_info(path).type != fs.FileType.NotFound
    return found


def _regex(glob: str) -> str:
    """A glob as a regular expression; `**/` is any number of folders.

    >>> _regex("**/a*.json")
    '(?:[^/]+/)*a[^/]*\\\\.json'
    """
    parts = []
    for token in re.findall(r"\*\*/|\*+|\?|\[[^\]]+\]|.", glob):
        match token:
            case "**/":
                parts.append("(?:[^/]+/)*")
            case "?":
                parts.append("[^/]")
            case "**":
                parts.append(".*")
            case _ if token.startswith("*"):
                parts.append("[^/]*")
            case _ if token.startswith("[") and len(token) > 1:
                parts.append(token.replace("[!", "[^", 1))
            case _:
                parts.append(re.escape(token))
    return "".join(parts)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Errors met while the file `name` is read, as errors of a connector that name it and say what to do."""
    try:
        yield
    except StreamflowError:
        raise
    except FileNotFoundError as error:
        raise Fatal(f"{name} does not exist any more", remedy="keep input files until the job has ended") from error
    except PermissionError as error:
        raise Fatal(f"{name} may not be read: {error}", remedy="give this user the right to read it") from error
    except pa.ArrowException as error:
        raise _damaged(name, error) from error
    except OSError as error:
        # Arrow reports a compressed stream that ends early or is corrupt as an OSError without a number.
        if error.errno is None:
            raise _damaged(name, error) from error
        raise Retryable(f"{name} could not be read: {error}") from error


def _damaged(name: str, error: Exception) -> Fatal:
    return Fatal(
        f"{name} is damaged or of another format: {error}", remedy="write it again, or leave it out of the path"
    )


@dataclass(frozen=True, init=False, repr=False)
class FileSource:
    """What all sources of files have in common: their splits are the files."""

    _files: Files

    @property
    def bounded(self) -> bool:
        return self._files.follow is None

    @property
    def look_every(self) -> float | None:
        return self._files.follow

    def splits(self) -> list[str]:
        return self._files.names()


class FileRows(Protocol):
    """One open file: its rows from a position on."""

    def take(self, max_rows: int) -> pa.RecordBatch | BadRecord | None:
        """The next rows, at least one, or a record that is none; None at the end."""
        ...

    def position(self) -> Position:
        """Where to go on after exactly the rows that `take` has returned."""
        ...

    def close(self) -> None: ...


class FileReader:
    """Reads files one after the other, in the order in which they were given; opens each when its turn comes.
    Of `files` that are followed further ones may be added at any time. One of those read last that has grown since is
    an error: what was added would be missed without a word.

    `start` is the position of a file's beginning. `open_file(name, position)` opens one.
    """

    def __init__(
        self,
        splits: Mapping[str, Position | None],
        start: Position,
        open_file: Callable[[str, Position], FileRows],
        files: Files,
    ) -> None:
        self._start = start
        self._files = files
        self._sizes: dict[str, int] = {}
        """Of files that are followed, those that were read last, with the size that they had at their end."""
        self._positions: dict[str, Position] = {
            name: start if position is None else position for name, position in splits.items()
        }
        self._waiting = list(reversed(self._positions))
        self._open_file = open_file
        self._name = ""
        self._rows: FileRows | None = None

    def poll(self, max_rows: int) -> PollResult:
        if self._rows is None:
            if not self._waiting:
                if self._files.follow is None:
                    return []
                self._look_back()
                return Wait(self._files.follow)
            self._name = self._waiting.pop()
            with reading(self._name):
                self._rows = self._open_file(self._name, self._positions[self._name])
        with reading(self._name):
            taken = self._rows.take(max_rows)
        if taken is not None:
            return [taken if isinstance(taken, BadRecord) else (self._name, taken)]
        self._positions[self._name] = self._rows.position()
        self._close_file()
        if self._files.follow is not None:
            self._sizes.update(self._sizes_of([self._name]))
            if len(self._sizes) > _WATCHED:
                del self._sizes[next(iter(self._sizes))]
        return Ended(self._name)

    def _look_back(self) -> None:
        for name, size in self._sizes_of(list(self._sizes)).items():
            if size > self._sizes[name]:
                raise Fatal(
                    f"{name} has grown since it was read: from {self._sizes[name]:,} to {size:,} bytes",
                    remedy="write files elsewhere, or under a name that begins with _, and move them into the folder "
                    "when they are whole; this one has to be read anew, under another name",
                )

    def _sizes_of(self, names: Sequence[str]) -> dict[str, int]:
        """Of those that are still there."""
        found = {}
        for name in names:
            filesystem, path = self._files.locate(name)
            with reading(name):
                size = filesystem.get_file_info(path).size
            if size is not None:
                found[name] = size
        return found

    def add(self, splits: Mapping[str, Position | None]) -> None:
        new = {name: self._start if position is None else position for name, position in splits.items()}
        self._positions.update(new)
        self._waiting[:0] = reversed(new)

    def positions(self) -> dict[str, Position]:
        if self._rows is not None:
            self._positions[self._name] = self._rows.position()
        return dict(self._positions)

    def committed(self, positions: Mapping[str, Position]) -> None:
        """Files need no acknowledgement."""

    def close(self) -> None:
        self._waiting.clear()
        self._close_file()

    def _close_file(self) -> None:
        rows, self._rows = self._rows, None
        if rows is not None:
            rows.close()
