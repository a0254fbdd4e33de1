"""The checkpoint store as one process sees it: every call is a moment at which something can go wrong."""

from __future__ import annotations

from streamflow.testing.simulation.disk import Disk
from streamflow.testing.simulation.process import Process


class SimulatedStore:
    """A `CheckpointStore`. A file is written, then seen by all, then synced, then the call returns: in between the
    process can die or stand still, and the answer can be lost. A listing may be old.
    """

    def __init__(self, disk: Disk, process: Process) -> None:
        self._disk = disk
        self._process = process

    def __repr__(self) -> str:
        return "the simulated store"

    def read(self, path: str) -> bytes:
        self._process.moment(f"read {path}", done=False)
        return self._disk.read(path)

    def put(self, path: str, data: bytes) -> None:
        self._process.moment(f"put {path}", done=False)
        self._disk.write(path, data)
        self._sync(f"put {path}", path)

    def create(self, path: str, data: bytes) -> None:
        self._process.moment(f"create {path}", done=False)
        self._disk.link(path, data)
        self._sync(f"create {path}", path)

    def delete(self, path: str) -> None:
        self._process.moment(f"delete {path}", done=False)
        self._disk.remove(path)
        self._process.moment(f"deleted {path}", done=True)

    def list(self, folder: str) -> list[str]:
        self._process.moment(f"list {folder}", done=False)
        return self._disk.listing(folder, self._process.scene.rng)

    def _sync(self, what: str, path: str) -> None:
        self._process.moment(f"{what}, seen by others", done=True)
        self._disk.sync(path)
        self._process.moment(f"{what}, synced", done=True)
