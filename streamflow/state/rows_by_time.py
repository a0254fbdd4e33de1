"""State of steps that hold rows until the watermark passes them, row by row."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Int64s, raw_values
from streamflow.kernels.ordering import packed_argsort
from streamflow.state.container import Capture, Container, Snapshot
from streamflow.state.held_rows import HeldRows
from streamflow.state.key_order import snapshot_of
from streamflow.state.memory import RowSizes, SpillStore

TAKEN = 1 << 16
"""About so many rows are taken at once, if they are not all of the same time."""
_SAMPLES = 64
"""Of the rows of each batch, to find out how many are due by when."""
_FILE = 1 << 25
"""Bytes that are worth a file."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Rows by time. `size`: of them in bytes, where they are in memory; `file`: where they are in one."""

    times: Int64s
    rows: pa.RecordBatch
    size: int
    file: int | None = None


class RowsByTime(Container):
    """A `Spillable` container of rows of one schema that have an int64 or timestamp; the earliest are taken first.

    Each batch is sorted by time when it comes. What is taken of it then is a slice of what is left of it, and batches
    of which nothing is due are not looked at, so that a row costs the same however many are held. The latest rows spill
    first, in files that are sorted by time.

    `keys`: positions of the columns that decide a row's key group. `time`: that of the column of times.

    >>> held = RowsByTime(pa.schema([("k", pa.string()), ("at", pa.int64())]), keys=[0])
    >>> held.append(pa.record_batch({"k": ["a", "b", "c"], "at": [7, 3, 5]}))
    >>> [[rows.column("k").to_pylist() for rows in held.take_before(time)] for time in (7, 7, 8)]
    [[['b', 'c']], [], [['a']]]
    """

    def __init__(self, schema: pa.Schema, keys: Sequence[int], time: int = -1) -> None:
        self.schema = schema
        self._time = time
        self._keys = tuple(keys)
        self._runs: list[tuple[int, int, _Run]] = []  # a heap: least time, number, rows
        self._numbers = 0
        self._bytes = 0
        self._sizes = RowSizes(schema)
        self._store: SpillStore | None = None

    def append(self, rows: pa.RecordBatch) -> None:
        if rows.num_rows:
            self._add(*self._by_time(rows))

    def take_before(self, time: int) -> Iterator[pa.RecordBatch]:
        """The rows with time < `time`, which do not stay: those of each batch are before those of the next.

        Within a batch they are in any order. It is not to be appended to until all have been taken.
        """
        while self._runs and self._runs[0][0] < time:
            yield self._take(self._until(time))

    def capture(self, groups: int) -> Capture:
        chunks = [run.rows for _, _, run in sorted(self._runs, key=lambda run: run[:2])]
        rows = sum(chunk.num_rows for chunk in chunks)
        return Capture(rows, lambda: snapshot_of(chunks, self.schema, self._keys, groups))

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        for part in parts:
            self.append(part.slice(groups))

    @property
    def resident(self) -> int:
        return self._bytes

    def attach(self, store: SpillStore) -> None:
        self._store = store

    def spill(self, wanted: int) -> None:
        loaded = [run for _, _, run in self._runs if run.file is None]
        if not loaded:
            return
        border = _border(loaded, wanted / max(1, self._bytes))
        self._runs = [entry for entry in self._runs if entry[2].file is not None]
        heapq.heapify(self._runs)
        self._bytes = 0
        late: list[pa.RecordBatch] = []
        size = 0
        for run in sorted(loaded, key=lambda run: int(run.times[0])):
            stays = int(np.searchsorted(run.times, border))
            if stays == len(run.times):
                self._add(run.times, run.rows)
                continue
            if stays:  # as a copy, for a slice would keep all
                self._add(run.times[:stays].copy(), run.rows.take(pa.array(np.arange(stays))))
            late.append(run.rows.slice(stays))
            size += run.size
            if size >= _FILE:
                self._write(late)
                late, size = [], 0
        if late:
            self._write(late)

    def _write(self, late: Sequence[pa.RecordBatch]) -> None:
        assert self._store is not None
        _, rows = self._by_time(pa.concat_batches(late))
        file = self._store.put(rows)
        rows = self._store.get(file)
        self._push(_Run(raw_values(rows.column(self._time)), rows, 0, file))

    def _by_time(self, rows: pa.RecordBatch) -> tuple[Int64s, pa.RecordBatch]:
        """The rows in the order of their times, and these."""
        times = raw_values(rows.column(self._time))
        if not bool((times[1:] < times[:-1]).any()):
            return times, rows
        order, times = packed_argsort(times)
        return times, rows.take(pa.array(order))

    def _until(self, time: int) -> int:
        """`time`, or an earlier time before which there are rows, but not too many."""
        due = [(run, int(np.searchsorted(run.times, time))) for least, _, run in self._runs if least < time]
        total = sum(count for _, count in due)
        if total <= TAKEN:
            return time
        steps = [-(-count // _SAMPLES) for _, count in due]
        samples = [run.times[:count:step] for (run, count), step in zip(due, steps, strict=True)]
        weights = np.repeat(steps, [len(times) for times in samples])
        order, times = packed_argsort(np.concatenate(samples))
        place = min(int(np.searchsorted(np.cumsum(weights[order]), TAKEN)), len(times) - 1)
        return min(time, max(self._runs[0][0] + 1, int(times[place])))

    def _take(self, time: int) -> pa.RecordBatch:
        parts = HeldRows(self.schema, self._keys)
        while self._runs and self._runs[0][0] < time:
            _, _, run = heapq.heappop(self._runs)
            self._bytes -= run.size
            due = int(np.searchsorted(run.times, time))
            parts.append(run.rows.slice(0, due))
            if due < len(run.times):
                rest = run.rows.slice(due)
                if run.file is None:
                    self._add(run.times[due:], rest)
                else:
                    self._push(_Run(run.times[due:], rest, 0, run.file))
            elif run.file is not None:
                assert self._store is not None
                self._store.free(run.file)
        return parts.take()

    def _add(self, times: Int64s, rows: pa.RecordBatch) -> None:
        size = 0 if self._store is None else self._sizes.of(rows)
        self._bytes += size
        self._push(_Run(times, rows, size))

    def _push(self, run: _Run) -> None:
        self._numbers += 1
        heapq.heappush(self._runs, (int(run.times[0]), self._numbers, run))


def _border(runs: Sequence[_Run], part: float) -> int:
    """A time at or after which lies about this part of all rows."""
    times = np.concatenate([run.times for run in runs])
    place = max(0, int(len(times) * (1 - part)))
    return int(np.partition(times, place)[place])
