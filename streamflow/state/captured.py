"""What checkpoints hold of one worker's containers: parts, of which those that stand are named again (rules 30, 32).

The parts of a container are a base, which has all its rows, and then what has changed since, in order. A part belongs
to the checkpoint for which it was made, and stands once that is complete; what is in a part that does not is part of
the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from streamflow.state.container import Capture, Container, Incremental, Snapshot
from streamflow.state.files import encode

F = TypeVar("F")
MOST = 16
"""Parts after a base, at most, before a new base is made; nor may they have more than `_SHARE` of its rows."""
_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class PartId:
    """Of one worker and attempt: the stage and address (`step/container`) of the container, and the checkpoint."""

    stage: int
    address: str
    checkpoint: int


@dataclass(frozen=True, slots=True)
class Captured:
    """One container's part of a checkpoint. Holds on to what was captured.

    `parts`: what the checkpoint is to name, in order; all but the last stand already.
    """

    parts: tuple[PartId, ...]
    _taken: Capture | Snapshot | None

    def encode(self) -> bytes | None:
        """The last of the parts as a file (`streamflow.state.files`); None where it stands, too. In any thread."""
        match self._taken:
            case None:
                return None
            case Snapshot() as snapshot:
                return encode(snapshot)
            case Capture(snapshot=in_order):
                return encode(in_order())


def whole(stage: int, checkpoint: int, snapshots: Mapping[str, Snapshot]) -> dict[str, Captured]:
    """By address, what has no lineage: it is written for every checkpoint."""
    return {
        address: Captured((PartId(stage, address, checkpoint),), snapshot) for address, snapshot in snapshots.items()
    }


@dataclass(frozen=True, slots=True)
class _Part:
    """`rows`: about how many; `snapshot`: what is in it, where that is little."""

    checkpoint: int
    rows: int
    snapshot: Snapshot | None


class Lineage:
    """The parts of one container of one task: which stand, and what the next is to hold."""

    def __init__(self, stage: int, address: str) -> None:
        self._stage = stage
        self._address = address
        self._parts: list[_Part] = []
        self._latest = 0

    def capture(self, container: Container, groups: int, checkpoint: int, completed: int) -> Captured:
        """The container's part of `checkpoint`. `completed`: the latest that is known to be complete, 0: none."""
        self._parts = [part for part in self._parts if part.checkpoint <= completed]
        taken = self._changes(container, groups, stands=0 < self._latest <= completed)
        if isinstance(taken, Capture | Snapshot):
            small = taken if isinstance(taken, Snapshot) else None
            rows = taken.rows.num_rows if isinstance(taken, Snapshot) else taken.rows
            self._parts.append(_Part(checkpoint, rows, small))
        self._latest = checkpoint
        parts = tuple(PartId(self._stage, self._address, part.checkpoint) for part in self._parts)
        return Captured(parts, taken)

    def _changes(self, container: Container, groups: int, *, stands: bool) -> Capture | Snapshot | None:
        """What is not in the parts; where that is everything, these are forgotten."""
        changed = container.begin(stands=stands) if isinstance(container, Incremental) else None
        if self._parts and changed is not None:
            if not changed:
                return None
            if self._fits(changed):
                assert isinstance(container, Incremental)
                return container.capture_changes(groups)
        taken = container.capture(groups)
        if isinstance(taken, Snapshot) and self._parts and _same(taken, self._parts[-1].snapshot):
            return None
        self._parts = []
        return taken

    def _fits(self, changed: int) -> bool:
        base, *later = self._parts
        return len(later) < MOST and changed + sum(part.rows for part in later) <= _SHARE * base.rows


def _same(one: Snapshot, other: Snapshot | None) -> bool:
    if other is None or one.meta != other.meta or len(one.offsets) != len(other.offsets):
        return False
    return bool((one.offsets == other.offsets).all() and one.rows.equals(other.rows))


class PartFiles(Generic[F]):
    """What stands for the parts of one worker: files in a store, or their bytes.

    >>> import pyarrow as pa
    >>> from streamflow.state.held_rows import HeldRows
    >>> lineage, files = Lineage(0, "step/rows"), PartFiles[str]()
    >>> captured = lineage.capture(HeldRows(pa.schema({"n": pa.int64()}), [0]), groups=4, checkpoint=1, completed=0)
    >>> files.name({"step/rows": captured}, lambda data: "a file")
    {'step/rows': ['a file']}
    """

    def __init__(self) -> None:
        self._files: dict[tuple[int, str], dict[PartId, F]] = {}

    def name(self, captured: Mapping[str, Captured], write: Callable[[bytes], F]) -> dict[str, list[F]]:
        """Write what is new, and name all parts. To be called in the order of the checkpoints."""
        return {address: self._named(one, write) for address, one in captured.items()}

    def _named(self, captured: Captured, write: Callable[[bytes], F]) -> list[F]:
        newest = captured.parts[-1]
        known = self._files.get((newest.stage, newest.address), {})
        data = captured.encode()
        if data is not None:
            known = {**known, newest: write(data)}
        named = {part: known[part] for part in captured.parts}  # the others are never named again
        self._files[newest.stage, newest.address] = named
        return list(named.values())
