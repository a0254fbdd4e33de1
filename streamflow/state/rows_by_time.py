"""State of steps that hold rows until the watermark passes them, row by row."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Int64s, raw_values
from streamflow.kernels.ordering import packed_argsort
from streamflow.state.container import Snapshot
from streamflow.state.held_rows import HeldRows


class RowsByTime:
    """A `Container` of rows of one schema, whose last column is their event time; the earliest are taken first.

    Each batch is sorted by time when it comes. What is taken of it then is a slice of what is left of it, and batches
    of which nothing is due are not looked at, so that a row costs the same however many are held.

    `keys`: positions of the columns that decide a row's key group.

    >>> held = RowsByTime(pa.schema([("k", pa.string()), ("at", pa.int64())]), keys=[0])
    >>> held.append(pa.record_batch({"k": ["a", "b", "c"], "at": [7, 3, 5]}))
    >>> held.take_before(7).column("k").to_pylist(), held.take_before(8).column("k").to_pylist()
    (['b', 'c'], ['a'])
    """

    def __init__(self, schema: pa.Schema, keys: Sequence[int]) -> None:
        self.schema = schema
        self._keys = tuple(keys)
        self._runs: list[tuple[int, int, Int64s, pa.RecordBatch]] = []  # a heap: least time, number, times, rows
        self._numbers = 0

    def append(self, rows: pa.RecordBatch) -> None:
        if not rows.num_rows:
            return
        times = raw_values(rows.column(-1))
        if bool((times[1:] < times[:-1]).any()):
            order, times = packed_argsort(times)
            rows = rows.take(pa.array(order))
        self._push(times, rows)

    def take_before(self, time: int) -> pa.RecordBatch:
        """The rows with event time < `time`, in any order; they do not stay."""
        parts = HeldRows(self.schema, self._keys)
        while self._runs and self._runs[0][0] < time:
            _, _, times, rows = heapq.heappop(self._runs)
            due = int(np.searchsorted(times, time))
            parts.append(rows.slice(0, due))
            if due < len(times):
                self._push(times[due:], rows.slice(due))
        return parts.take()

    def snapshot(self, groups: int) -> Snapshot:
        held = HeldRows(self.schema, self._keys)
        for _, _, _, rows in sorted(self._runs, key=lambda run: run[:2]):
            held.append(rows)
        return held.snapshot(groups)

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        for part in parts:
            self.append(part.slice(groups))

    def _push(self, times: Int64s, rows: pa.RecordBatch) -> None:
        self._numbers += 1
        heapq.heappush(self._runs, (int(times[0]), self._numbers, times, rows))
