"""Where state goes that does not fit in memory, and how much of it does by default."""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
from functools import cache
from pathlib import Path

import pyarrow as pa

from streamflow.errors import Fatal

_SHARE = 2
_UNKNOWN = 2_000_000_000
"""Where the machine does not say how much memory it has."""
_REMEDIES = {
    errno.ENOSPC: "free some space, choose another folder with spill_dir=, or give state more memory with memory=",
    errno.EFBIG: "allow larger files, or give state more memory with memory=",
    errno.EMFILE: "allow more open files",
}
_REMEDIES[errno.EDQUOT] = _REMEDIES[errno.ENOSPC]


class SpillFiles:
    """A `SpillStore` of Arrow IPC files in a folder, by default the system's for temporary files.

    A file is mapped into memory as soon as it is written, and loses its name: readable by nobody else, gone when it is
    freed and no rows of it are in use any more, however the process ends. `written`: bytes so far.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.written = 0
        self._folder = Path(tempfile.gettempdir() if folder is None else folder)
        self._files: dict[int, pa.RecordBatch] = {}
        self._numbers = itertools.count()

    def put(self, rows: pa.RecordBatch) -> int:
        number = next(self._numbers)
        try:
            self._files[number] = self._write(rows)
        except OSError as error:
            remedy = _REMEDIES.get(error.errno or 0, "choose another folder with spill_dir=")
            raise Fatal(
                f"state that does not fit in memory cannot be written to {self._folder}: {error}", remedy=remedy
            ) from error
        pa.default_memory_pool().release_unused()  # what was written is to be memory of the system's again
        return number

    def get(self, number: int) -> pa.RecordBatch:
        return self._files[number]

    def free(self, number: int) -> None:
        del self._files[number]

    def _write(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(suffix=".arrow", prefix="streamflow-", dir=self._folder)
        try:
            os.close(descriptor)
            with pa.OSFile(name, "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
                writer.write_batch(rows)
            with pa.memory_map(name) as source:
                self.written += source.size()
                return pa.ipc.open_file(source).get_batch(0)
        finally:
            os.unlink(name)


@cache
def default_memory() -> int:
    """Bytes for a job's state where nobody says: half of the machine's memory, or of the limit of its control group."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return _UNKNOWN
    return min([machine, *_group_limits(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))]) // _SHARE


def _group_limits(membership: Path, root: Path) -> list[int]:
    """What the control groups of this process allow, from its own up to the root: version 2, then version 1."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory") and "memory" not in controllers.split(","):
            continue
        base, file = (root / "memory", "memory.limit_in_bytes") if controllers else (root, "memory.max")
        group = base / path.lstrip("/")
        for one in (group, *group.parents):
            if one == base.parent:
                break
            text = (one / file).read_text(encoding="ascii").strip() if (one / file).is_file() else "max"
            if text.isdecimal():
                found.append(int(text))
    return found
