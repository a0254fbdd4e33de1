"""How far event time has come in a step, and what came too late: the state beside the rows (rule 27)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Int64s, raw_values
from streamflow.kernels.hashing import hash_columns, key_groups
from streamflow.state.container import Container, Snapshot

_NEVER = -(1 << 63)
_SCHEMA = pa.schema({"watermark": pa.int64(), "late": pa.int64()})


class Progress(Container):
    """A `Container` of the step's watermark per key group and its count of late rows.

    While rows flow there is one watermark. A restore brings those that the groups had; a restarted step's own begins
    at the least time again, and until it has caught up (`settled`) a row is judged by the later of the two: what had
    fired before the snapshot must not fire again. The late count moves with key group 0, so the sum over workers
    stays the same.

    A worker that was told its groups by `restore` writes those; another takes all groups for its own.

    >>> old, new = Progress(), Progress()
    >>> old.advance(50)
    >>> new.restore([old.snapshot(groups=4)], range(2, 4))
    >>> new.watermark == 50, new.settled, new.of_rows([pa.array(["k"])], 1).tolist()
    (False, False, [50])
    """

    def __init__(self) -> None:
        self.watermark = _NEVER
        self.late = 0
        self._groups: range | None = None
        self._total = 1
        self._restored = np.zeros(0, np.int64)
        self._highest = _NEVER

    def advance(self, watermark: int) -> None:
        self.watermark = max(self.watermark, watermark)

    @property
    def settled(self) -> bool:
        """Whether the step's own watermark has reached that of every restored group: then it alone counts."""
        return self._highest <= self.watermark

    @property
    def reached(self) -> int:
        """The greatest watermark that the step, or any restored group, has had."""
        return max(self.watermark, self._highest)

    def of_rows(self, keys: Sequence[pa.Array], length: int) -> Int64s:
        """The watermark by which each row is judged."""
        if self.settled or self._groups is None:
            return np.full(length, self.watermark)
        groups = key_groups(hash_columns(keys, length), self._total)
        return np.maximum(self._restored[groups - self._groups.start], self.watermark)

    def capture(self, groups: int) -> Snapshot:
        own = range(groups) if self._groups is None else self._groups
        restored = self._restored if len(self._restored) == len(own) else np.full(len(own), _NEVER)
        watermarks = np.maximum(restored, self.watermark)
        rows = np.zeros(groups, np.int64)
        rows[own.start : own.stop] = 1
        if not rows[0]:
            rows[0] = 1
            watermarks = np.concatenate([np.array([_NEVER]), watermarks])
        late = np.zeros(len(watermarks), np.int64)
        late[0] = self.late
        offsets = np.zeros(groups + 1, np.int64)
        np.cumsum(rows, out=offsets[1:])
        return Snapshot(pa.RecordBatch.from_arrays([pa.array(watermarks), pa.array(late)], schema=_SCHEMA), offsets)

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        self._groups = groups
        self._restored = np.full(len(groups), _NEVER)
        for part in parts:
            self._total = len(part.offsets) - 1
            rows = part.slice(groups)
            sizes = np.diff(part.offsets[groups.start : groups.stop + 1])
            np.maximum.at(self._restored, np.repeat(np.arange(len(groups)), sizes), raw_values(rows.column(0)))
            self.late += int(raw_values(rows.column(1)).sum())
        self._highest = int(self._restored.max(initial=_NEVER))
