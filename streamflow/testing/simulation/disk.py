"""What stands in the checkpoint store, and what of it outlives a crash of the machine (rules 22, 44)."""

from __future__ import annotations

import json
import random
from collections import deque

from streamflow.cluster.job_log import JobLog
from streamflow.cluster.manifest import Manifest
from streamflow.runners.checkpoints import latest_manifest
from streamflow.state.store import AlreadyExists, NotFound, checked_path
from streamflow.testing.stores import MemoryStore


class Disk:
    """Files by path. A change is seen at once, and lasts once its folder is synced; `lose_power` undoes what is not.

    `rotten`: the files that were damaged or lost with nobody's doing. Whoever reads one is to notice (rule 24).
    `log_changes`: how often the job's log has changed.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._durable: dict[str, bytes | None] = {}
        """For every file that has changed and is not synced: what stands there on the platters."""
        self._listings: deque[list[str]] = deque(maxlen=8)
        self.rotten: set[str] = set()
        self.log_changes = 0

    # -- what the calls of a store do to it

    def read(self, path: str) -> bytes:
        try:
            return self.files[checked_path(path)]
        except KeyError:
            raise NotFound(f"{path} is not in the store") from None

    def write(self, path: str, data: bytes) -> None:
        self._change(path, data)

    def link(self, path: str, data: bytes) -> None:
        if checked_path(path) in self.files:
            raise AlreadyExists(f"{path} stands already")
        self._change(path, data)

    def remove(self, path: str) -> None:
        if checked_path(path) in self.files:
            self._change(path, None)

    def sync(self, path: str) -> None:
        """All changes in the folder of `path` last."""
        folder = _folder(path)
        for other in [other for other in self._durable if _folder(other) == folder]:
            del self._durable[other]

    def listing(self, folder: str, rng: random.Random) -> list[str]:
        """The paths below a folder, sometimes as they were some changes ago."""
        old = self._listings and rng.random() < 0.2
        paths = rng.choice(self._listings) if old else self.files
        return sorted(path for path in paths if path.startswith(f"{checked_path(folder)}/"))

    def _change(self, path: str, data: bytes | None) -> None:
        self.log_changes += path.startswith("log/")
        self._listings.append(sorted(self.files))
        self._durable.setdefault(checked_path(path), self.files.get(path))
        if data is None:
            del self.files[path]
        else:
            self.files[path] = bytes(data)
        self.rotten.discard(path)

    def manifest(self) -> Manifest | None:
        """The latest in the job's log; without committables where these are confirmed as committed."""
        return latest_manifest(self._plain())

    def last_nonce(self) -> str:
        """Whose the latest entry of the job's log is."""
        log = JobLog(self._plain(), "")
        log.latest()
        return str(json.loads(self.files[f"log/{log.last}"])["nonce"]) if log.last else ""

    def _plain(self) -> MemoryStore:
        store = MemoryStore()
        store.files = self.files
        return store

    # -- what happens to it

    def lose_power(self, rng: random.Random) -> None:
        """Of the changes that were not synced, each is there or not."""
        self.log_changes += 1
        for path, data in self._durable.items():
            if rng.random() < 0.5:
                if data is None:
                    self.files.pop(path, None)
                else:
                    self.files[path] = data
        self._durable.clear()

    def rot(self, path: str, rng: random.Random) -> None:
        """The file is torn, has a wrong bit, or is gone; nobody is told."""
        data = self.files[path]
        self.rotten.add(path)
        at = rng.randrange(len(data)) if data else 0
        match rng.randrange(3):
            case 0:
                del self.files[path]
            case 1:
                self.files[path] = data[:at]
            case _:
                wrong = data[at] ^ (1 << rng.randrange(8)) if data else 0
                self.files[path] = data[:at] + bytes([wrong]) + data[at + 1 :]


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
