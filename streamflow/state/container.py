"""State that a host can capture, store and move: rows grouped by key group (rule 31).

Containers know nothing of key groups while rows flow. A checkpoint takes two steps: `capture`, which is short, notes
what there is at one moment; putting its rows in the order of their groups comes later and elsewhere, while rows flow
on. `restore` reads ranges of groups, so that snapshots of n workers restore onto any number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Rows of one container of one worker, sorted by key group.

    `offsets` has length groups + 1: the rows of group g are `rows[offsets[g]:offsets[g + 1]]`. `meta` is JSON: what the
    container needs besides rows. Nothing in it may depend on how many workers there were.

    `gone`: None where these are all rows; else they are those that have changed since the snapshot before this one, of
    which the rows with these values in these columns are no more (`streamflow.state.chains`).
    """

    rows: pa.RecordBatch
    offsets: npt.NDArray[np.int64]
    meta: Mapping[str, int | str] = field(default_factory=dict)
    gone: pa.RecordBatch | None = None

    def slice(self, groups: range) -> pa.RecordBatch:
        """The rows of a contiguous range of groups; zero-copy."""
        start = int(self.offsets[groups.start])
        return self.rows.slice(start, int(self.offsets[groups.stop]) - start)


@dataclass(frozen=True, slots=True)
class Capture:
    """What a container held at one moment, not yet in order; it holds on to it.

    `rows`: about how many there are. `snapshot`: in any thread, while the container changes.
    """

    rows: int
    snapshot: Callable[[], Snapshot]


class Container(Protocol):
    def capture(self, groups: int) -> Capture | Snapshot:
        """Everything it holds, as of now; later changes must not show in it. Takes a few milliseconds at most.

        A snapshot where there is so little that it can be put in order at once. `groups`: key groups of the job.
        """
        ...

    def snapshot(self, groups: int) -> Snapshot:
        """What `capture` gives, in order."""
        captured = self.capture(groups)
        return captured if isinstance(captured, Snapshot) else captured.snapshot()

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        """Take over these key groups' rows from all workers' snapshots of this container. Called once, while empty."""
        ...


@runtime_checkable
class Incremental(Container, Protocol):
    """A container that knows what has changed since it was captured."""

    def begin(self, *, stands: bool) -> int | None:
        """A capture follows: about how many rows have changed, or gone, since the latest capture that stands.

        `stands`: the capture before this one does, that is, a checkpoint with it is complete; else what had changed
        before it is counted, and captured, again. None: that is not known, so `capture` has to follow; at first.
        """
        ...

    def capture_changes(self, groups: int) -> Capture:
        """The rows that have changed, and what has gone, as `begin` counted them."""
        ...
