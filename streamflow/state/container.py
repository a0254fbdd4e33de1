"""State that a host can snapshot and move: rows grouped by key group (rule 31).

Containers know nothing of key groups while rows flow. Only `snapshot` sorts their rows by group, and only `restore`
reads ranges of groups, so that a snapshot of n workers restores onto any number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Rows of one container of one worker, sorted by key group.

    `offsets` has length groups + 1: the rows of group g are `rows[offsets[g]:offsets[g + 1]]`. `meta` is JSON: what the
    container needs besides rows. Nothing in it may depend on how many workers there were.
    """

    rows: pa.RecordBatch
    offsets: npt.NDArray[np.int64]
    meta: Mapping[str, int | str] = field(default_factory=dict)

    def slice(self, groups: range) -> pa.RecordBatch:
        """The rows of a contiguous range of groups; zero-copy."""
        start = int(self.offsets[groups.start])
        return self.rows.slice(start, int(self.offsets[groups.stop]) - start)


class Container(Protocol):
    def snapshot(self, groups: int) -> Snapshot:
        """Everything it holds, as of now; later changes must not show in it.

        `groups`: number of key groups of the job.
        """
        ...

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        """Take over these key groups' rows from all workers' snapshots of this container. Called once, while empty."""
        ...
