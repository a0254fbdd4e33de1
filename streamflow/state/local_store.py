"""A checkpoint store in a folder, local or mounted (rule 22).

Every file is written under a temporary name, synced, and only then given its own: by `link`, which fails where the
name is taken, or by `rename`, which replaces. Then the folder is synced, for a name that a crash forgets is no file.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamflow.errors import ConnectorError, Fatal, Retryable
from streamflow.state.store import AlreadyExists, NotFound, checked_path

_TEMPORARY = ".tmp-"
_HOPELESS = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room: the quota is used up",
    errno.EACCES: "give the process permission to write there",
    errno.EPERM: "give the process permission to write there, on a file system that has hard links",
    errno.EROFS: "choose a folder that can be written",
    errno.ENOTDIR: "choose a folder, not a file",
    errno.EEXIST: "choose a folder, not a file",
    errno.EOPNOTSUPP: "choose a file system that has hard links",
    errno.EXDEV: "choose a folder of one file system",
    errno.EMLINK: "choose a file system that has hard links",
}


class LocalStore:
    """`CheckpointStore` in the folder `root`, which is made when the first file is written.

    >>> import tempfile
    >>> store = LocalStore(tempfile.mkdtemp())
    >>> store.create("log/1", b"claim")
    >>> store.create("log/1", b"another")
    Traceback (most recent call last):
    ...
    streamflow.state.store.AlreadyExists: log/1 stands already
    >>> store.read("log/1"), store.list("log")
    (b'claim', ['log/1'])
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()

    def __repr__(self) -> str:
        return f"LocalStore({str(self.root)!r})"

    def read(self, path: str) -> bytes:
        with self._explained(path, "read"):
            return self._place(path).read_bytes()

    def put(self, path: str, data: bytes) -> None:
        with self._explained(path, "written"), self._written(path, data) as (temporary, target):
            os.replace(temporary, target)

    def create(self, path: str, data: bytes) -> None:
        with self._explained(path, "created"), self._written(path, data) as (temporary, target):
            try:
                os.link(temporary, target)
            except FileExistsError:
                raise AlreadyExists(f"{path} stands already") from None

    def delete(self, path: str) -> None:
        with self._explained(path, "deleted"):
            self._place(path).unlink(missing_ok=True)

    def list(self, folder: str) -> list[str]:
        top = self._place(folder)
        with self._explained(folder, "listed"):
            found = [
                Path(parent, name).relative_to(self.root).as_posix()
                for parent, _, names in os.walk(top)
                for name in names
                if not name.startswith(_TEMPORARY)
            ]
        return sorted(found)

    def _place(self, path: str) -> Path:
        return self.root / checked_path(path)

    @contextmanager
    def _written(self, path: str, data: bytes) -> Iterator[tuple[Path, Path]]:
        """The data, synced, under a temporary name beside the target, which is to be given its own name within."""
        target = self._place(path)
        _make_folder(target.parent)
        descriptor, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=target.parent)
        temporary = Path(name)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield temporary, target
            _sync_folder(target.parent)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()

    @contextmanager
    def _explained(self, path: str, verb: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise NotFound(f"{path} is not in the checkpoint store {self.root}") from None
        except OSError as error:
            raise self._failure(error, path, verb) from error

    def _failure(self, error: OSError, path: str, verb: str) -> ConnectorError:
        text = f"{path} cannot be {verb} in the checkpoint store {self.root}: {error.strerror}"
        remedy = _HOPELESS.get(error.errno or 0)
        return Retryable(text) if remedy is None else Fatal(text, remedy=remedy)


def _make_folder(folder: Path) -> None:
    """The folder and those above it, each synced into the one that holds it."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        _sync_folder(one.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
