"""The sessions that are open: found again by key, or by an end that the watermark has passed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Bools, Int64s, raw_values
from streamflow.kernels.hashing import Hashes, hash_columns
from streamflow.state.container import Snapshot
from streamflow.state.held_rows import HeldRows

_NEVER = 2**63 - 1


class OpenSessions:
    """A `Container` of rows that have keys and an int64 end, such as the open sessions of a step.

    Rows stand in immutable segments, each more than twice as long as the next, so that a row is copied a few times in
    its life. A segment marks rows that were taken, and sorts its hashes when it is first searched. Finding k keys costs
    a binary search each and segment; finding ends one comparison per row held (about 1 ms for a million).

    `keys`, `end`: positions of these columns in `schema`.

    >>> table = OpenSessions(pa.schema([("k", pa.string()), ("end", pa.int64())]), keys=[0], end=1)
    >>> table.append(pa.record_batch({"k": ["a", "b", "c"], "end": [5, 9, 7]}))
    >>> table.take_touched([pa.array(["b"])], 1, time=5).column("k").to_pylist(), table.count, table.earliest()
    (['b', 'a'], 1, 7)
    """

    def __init__(self, schema: pa.Schema, keys: Sequence[int], end: int) -> None:
        self.schema = schema
        self.count = 0
        self._keys = tuple(keys)
        self._end = end
        self._segments: list[_Segment] = []

    def append(self, rows: pa.RecordBatch) -> None:
        if not rows.num_rows:
            return
        self.count += rows.num_rows
        while self._segments and self._segments[-1].left <= 2 * rows.num_rows:
            rows = pa.concat_batches([self._segments.pop().rest(), rows])
        self._segments.append(_Segment(rows, raw_values(rows.column(self._end)).copy(), self._keys))

    def take(self) -> pa.RecordBatch:
        """All rows as one batch; none stays."""
        return self._taken([segment.rest() for segment in self._drop()])

    def take_touched(self, keys: Sequence[pa.Array], length: int, time: int) -> pa.RecordBatch:
        """The rows whose key hashes like one of these, and those whose end is at or before `time`; they do not stay."""
        wanted = np.sort(hash_columns(keys, length))
        wanted = wanted[np.diff(wanted, prepend=~wanted[:1]) != 0]
        taken = [segment.take(wanted, time) for segment in self._segments]
        self._segments = [segment for segment in self._segments if segment.left]
        self.count = sum(segment.left for segment in self._segments)
        return self._taken(taken)

    def earliest(self) -> int:
        """The least end of all rows; the greatest int64 without rows."""
        return min((int(segment.ends.min()) for segment in self._segments), default=_NEVER)

    def snapshot(self, groups: int) -> Snapshot:
        rows = HeldRows(self.schema, self._keys)
        for segment in self._segments:
            rows.append(segment.rest())
        return rows.snapshot(groups)

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        for part in parts:
            self.append(part.slice(groups))

    def _drop(self) -> list[_Segment]:
        segments, self._segments, self.count = self._segments, [], 0
        return segments

    def _taken(self, chunks: list[pa.RecordBatch]) -> pa.RecordBatch:
        rows = HeldRows(self.schema, self._keys)
        for chunk in chunks:
            rows.append(chunk)
        return rows.take()


@dataclass(slots=True)
class _Segment:
    """`ends`: a private copy, set to the greatest int64 where a row was taken; so an end that is that is never due."""

    rows: pa.RecordBatch
    ends: Int64s
    keys: tuple[int, ...]
    left: int = -1
    alive: Bools | None = None  # None: all
    index: tuple[Hashes, Int64s] | None = None  # the hashes in order, and the row of each

    def __post_init__(self) -> None:
        self.left = self.rows.num_rows

    def rest(self) -> pa.RecordBatch:
        return self.rows if self.alive is None else self.rows.filter(pa.array(self.alive))

    def take(self, wanted: Hashes, time: int) -> pa.RecordBatch:
        alive = np.ones(self.rows.num_rows, np.bool_) if self.alive is None else self.alive
        found = self._find(wanted)
        found = found[alive[found]]
        alive[found] = False
        due = np.flatnonzero(self.ends <= time)
        found = np.concatenate([found, due[alive[due]]])
        alive[due] = False
        self.alive = alive
        self.ends[found] = _NEVER
        self.left -= len(found)
        return self.rows.take(pa.array(found))

    def _find(self, wanted: Hashes) -> Int64s:
        """The rows with one of these hashes, which are distinct and ascend."""
        if self.index is None:
            hashes = hash_columns([self.rows.column(key) for key in self.keys], self.rows.num_rows)
            order = np.argsort(hashes)
            self.index = hashes[order], order
        hashes, order = self.index
        first = np.searchsorted(hashes, wanted)
        known = hashes[np.minimum(first, len(hashes) - 1)] == wanted
        first, wanted = first[known], wanted[known]
        counts = np.searchsorted(hashes, wanted, side="right") - first
        places = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(int(counts.sum()))
        return order[places]
