"""Where checkpoints are kept: five methods over paths and bytes, one of which is the fence (rules 21, 22).

A store knows nothing of jobs, checkpoints or Arrow. Paths are relative, of parts between "/" that do not begin with a
dot. What a method answered with success is durable: it outlives the machine's crash.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from streamflow.errors import ConnectorError, Fatal

_PATH = re.compile(r"[A-Za-z0-9_\-=][A-Za-z0-9_.\-=]*(/[A-Za-z0-9_\-=][A-Za-z0-9_.\-=]*)*")


@dataclass(frozen=True, slots=True)
class StateFile:
    """A snapshot (`state.files`) that stands in a store. Equal bytes have equal sizes and checksums."""

    path: str
    size: int
    checksum: int


class NotFound(Fatal):
    """Nothing stands under this path."""


class AlreadyExists(ConnectorError):
    """Something stands under this path, perhaps written by this very call, whose answer was lost (rule 22)."""


class CheckpointStore(Protocol):
    """Raises `Retryable` when a call's outcome is not known or it may succeed later, `Fatal` when it cannot."""

    def read(self, path: str) -> bytes:
        """What stands there; `NotFound` when nothing does. Never stale."""
        ...

    def put(self, path: str, data: bytes) -> None:
        """Write, in the place of what stands there: a reader sees the old bytes or the new ones, never a part."""
        ...

    def create(self, path: str, data: bytes) -> None:
        """Write where nothing stands: of several that try, one succeeds and the others get `AlreadyExists`."""
        ...

    def delete(self, path: str) -> None:
        """Remove; nothing happens where nothing stands."""
        ...

    def list(self, folder: str) -> list[str]:
        """The paths below a folder, sorted. May be stale, and is never trusted for what is right, only for cleaning."""
        ...


def checked_path(path: str) -> str:
    """The path, if it is one that every store can take.

    >>> checked_path("log/7")
    'log/7'
    >>> checked_path("../etc/passwd")
    Traceback (most recent call last):
    ...
    ValueError: '../etc/passwd' is no path of a checkpoint store
    """
    if not _PATH.fullmatch(path):
        raise ValueError(f"{path!r} is no path of a checkpoint store")
    return path


def require_fence(store: CheckpointStore, probe: str) -> None:
    """Refuse a store in which a second `create` of one path does not fail: it could not keep two attempts apart.

    `probe`: a path that nobody else uses; nothing is left there.
    """
    with suppress(AlreadyExists):  # by a call before, whose answer was lost
        store.create(probe, b"1")
    try:
        store.create(probe, b"2")
    except AlreadyExists:
        return
    finally:
        store.delete(probe)
    raise Fatal(
        "the checkpoint store lets a file be created twice, so it cannot tell a job from its own zombie",
        remedy="keep checkpoints in a local folder, or on a mount where link(2) fails when the name is taken",
    )
