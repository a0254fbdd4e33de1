"""The sessions that are open: found again by key, or by an end that time has passed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Bools, Int64s, raw_values
from streamflow.kernels.hashing import Hashes, hash_columns
from streamflow.state.container import Capture, Container, Snapshot
from streamflow.state.held_rows import HeldRows
from streamflow.state.key_order import snapshot_of
from streamflow.state.memory import RowSizes, SpillStore

_NEVER = 2**63 - 1
_HASH = "~hash"
_FILE = 1 << 26
"""Files of fewer bytes are merged with those that follow them."""
_LARGEST = 1 << 18
"""Segments of more rows are not made of others: that takes long, and a search little longer."""
_BESIDE = 8
"""Bytes that a segment in memory takes for each row, besides the row and its ends: its hash."""


class OpenSessions(Container):
    """A `Spillable` container of rows that have keys and int64 ends, such as the open sessions of a step.

    A row may have several ends, each by a time of its own: `by` says which of them is meant.

    Rows stand in immutable segments, each more than twice as long as the next, or long, so that a row is copied a few
    times in its life. A segment marks rows that were taken, and sorts its hashes when it is first searched. Finding k
    keys costs a binary search each and segment; finding ends one comparison per row held (about 1 ms for a million).
    The longest segments spill first, in the order of the hashes of their keys; a row that is found there comes back
    when it is appended again.

    `keys`, `ends`: positions of these columns in `schema`.

    >>> table = OpenSessions(pa.schema([("k", pa.string()), ("end", pa.int64())]), keys=[0], ends=[1])
    >>> table.append(pa.record_batch({"k": ["a", "b", "c"], "end": [5, 9, 7]}))
    >>> table.take_touched([pa.array(["b"])], 1, time=5).column("k").to_pylist(), table.count, table.earliest()
    (['b', 'a'], 1, 7)
    """

    def __init__(self, schema: pa.Schema, keys: Sequence[int], ends: Sequence[int]) -> None:
        self.schema = schema
        self.count = 0
        self._keys = tuple(keys)
        self._ends = tuple(ends)
        self._segments: list[_Segment] = []  # those in files first
        self._sizes = RowSizes(schema)
        self._store: SpillStore | None = None

    @property
    def spilled(self) -> bool:
        """Some rows are in files."""
        return bool(self._segments) and self._segments[0].file is not None

    def append(self, rows: pa.RecordBatch) -> None:
        if not rows.num_rows:
            return
        self.count += rows.num_rows
        joined = [rows]
        length = rows.num_rows
        while self._segments and self._segments[-1].file is None:
            left = self._segments[-1].left
            if left > 2 * length or left + length > _LARGEST:
                break
            joined.append(self._segments.pop().rest())
            length += left
        self._segments.append(self._segment(pa.concat_batches(joined[::-1]) if len(joined) > 1 else rows))

    def _segment(self, rows: pa.RecordBatch) -> _Segment:
        return _Segment(rows, [ends.copy() for ends in self._ends_of(rows)], self._keys)

    def take(self) -> pa.RecordBatch:
        """All rows as one batch; none stays."""
        taken = self._taken([segment.rest() for segment in self._segments])
        for segment in self._segments:
            segment.left = 0
        self._tidy()
        return taken

    def take_touched(
        self, keys: Sequence[pa.Array], length: int, time: int, *, in_files: bool = True
    ) -> pa.RecordBatch:
        """The rows whose key hashes like one of these, and those whose first end is at or before `time`; they do not
        stay.

        `in_files`: False where `take_due` follows, for rows in files that are only due.
        """
        wanted = np.sort(hash_columns(keys, length))
        due = {True: time, False: time if in_files else -_NEVER}
        taken = [segment.take(wanted, due[segment.file is None]) for segment in self._segments]
        self._tidy()
        return self._taken(taken)

    def take_ended(self, time: int, by: int = 0) -> pa.RecordBatch:
        """The rows in memory whose end is at or before `time`; they do not stay."""
        taken = [segment.take_ended(time, by) for segment in self._in_memory()]
        self._tidy()
        return self._taken([rows for rows in taken if rows is not None])

    def take_due(self, time: int, by: int = 0, *, in_memory: bool = False) -> Iterator[pa.RecordBatch]:
        """The rows in files, and those `in_memory`, whose end is at or before `time`, some at a time; they do not stay.

        Meanwhile others may spill, and such as are not due may be appended.
        """
        while in_memory and (due := [one for one in self._in_memory() if one.earliest(by) <= time]):
            rows = due[-1].take_ended(time, by)
            self._tidy()
            if rows is not None:
                yield rows
        while due := [one for one in self._segments if one.file is not None and one.earliest(by) <= time]:
            for segment in due:
                if segment in self._segments and (rows := segment.take_ended(time, by)) is not None:
                    self._tidy()
                    yield rows

    def earliest(self, by: int = 0) -> int:
        """The least end of all rows; the greatest int64 without rows."""
        return min((segment.earliest(by) for segment in self._segments), default=_NEVER)

    @property
    def resident(self) -> int:
        return sum(self._size(segment) for segment in self._in_memory())

    def _size(self, segment: _Segment) -> int:
        beside = _BESIDE + 8 * len(self._ends)
        return self._sizes.of(segment.rows) + beside * len(segment.ends[0])

    def attach(self, store: SpillStore) -> None:
        self._store = store

    def spill(self, wanted: int) -> None:
        assert self._store is not None
        for segment in self._in_memory():
            if wanted <= 0:
                return
            wanted -= self._size(segment)
            place = self._segments.index(segment)
            rows = [segment.rest()]
            while place and sum(one.nbytes for one in rows) + self._segments[place - 1].rows.nbytes < _FILE:
                place -= 1
                rows.append(self._segments[place].rest())
                self._free(self._segments.pop(place))
            self._segments[place] = self._written(self._store, pa.concat_batches(rows))

    def _written(self, store: SpillStore, rows: pa.RecordBatch) -> _Segment:
        hashes = hash_columns([rows.column(key) for key in self._keys], rows.num_rows)
        order = pa.array(np.argsort(hashes))
        columns = [*rows.columns, pa.array(hashes)]
        names = [*rows.schema.names, _HASH]
        file = store.put(pa.RecordBatch.from_arrays(columns, names=names).take(order))
        mapped = store.get(file)
        rows = pa.RecordBatch.from_arrays(mapped.columns[:-1], schema=self.schema)
        index = raw_values(mapped.column(rows.num_columns)).view(np.uint64)
        return _Segment(rows, self._ends_of(rows), self._keys, index=index, file=file)

    def _ends_of(self, rows: pa.RecordBatch) -> list[Int64s]:
        return [raw_values(rows.column(end)) for end in self._ends]

    def _in_memory(self) -> list[_Segment]:
        return [segment for segment in self._segments if segment.file is None]

    def _tidy(self) -> None:
        """Forget segments of which nothing is left, and the rows that were taken of those of which little is."""
        for segment in self._segments:
            if not segment.left:
                self._free(segment)
        kept = [segment for segment in self._segments if segment.left]
        self._segments = [self._segment(segment.rest()) if segment.is_sparse else segment for segment in kept]
        self.count = sum(segment.left for segment in self._segments)

    def _free(self, segment: _Segment) -> None:
        if segment.file is not None:
            assert self._store is not None
            self._store.free(segment.file)

    def capture(self, groups: int) -> Capture:
        kept = [(one.rows, None if one.alive is None else one.alive.copy()) for one in self._segments]
        return Capture(
            self.count,
            lambda: snapshot_of([_living(rows, alive) for rows, alive in kept], self.schema, self._keys, groups),
        )

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        for part in parts:
            self.append(part.slice(groups))

    def _taken(self, chunks: list[pa.RecordBatch]) -> pa.RecordBatch:
        rows = HeldRows(self.schema, self._keys)
        for chunk in chunks:
            rows.append(chunk)
        return rows.take()


def _living(rows: pa.RecordBatch, alive: Bools | None) -> pa.RecordBatch:
    return rows if alive is None else rows.filter(pa.array(alive))


@dataclass(slots=True, eq=False)
class _Segment:
    """`ends`: private copies, set to the greatest int64 where a row was taken; so an end that is that is never due.

    `file`: where the rows are in one. They are in the order of their hashes then, and nothing but `alive` is changed.
    """

    rows: pa.RecordBatch
    ends: list[Int64s]
    keys: tuple[int, ...]
    left: int = -1
    alive: Bools | None = None  # None: all
    index: Hashes | None = None  # in order; of rows in memory with the row's number in the lowest bits
    file: int | None = None

    def __post_init__(self) -> None:
        self.left = self.rows.num_rows

    @property
    def is_sparse(self) -> bool:
        return self.file is None and 4 * self.left < self.rows.num_rows

    def rest(self) -> pa.RecordBatch:
        return _living(self.rows, self.alive)

    def earliest(self, by: int) -> int:
        """The least end of those that are left."""
        ends = self.ends[by]
        return int(
            ends.min() if self.file is None or self.alive is None else ends.min(where=self.alive, initial=_NEVER)
        )

    def take(self, wanted: Hashes, time: int) -> pa.RecordBatch:
        """Those with one of these hashes, and those whose first end is at or before `time`."""
        found = self._find(wanted)
        if self.alive is not None:
            found = found[self.alive[found]]
        self._mark(found)
        due = self._ended(time, 0)
        self._mark(due)
        return self.rows.take(pa.array(np.concatenate([found, due])))

    def take_ended(self, time: int, by: int) -> pa.RecordBatch | None:
        """Those that end by `time`; None where there are none."""
        due = self._ended(time, by)
        if not len(due):
            return None
        if len(due) == self.left:
            self.left = 0
            return self.rest()
        self._mark(due)
        return self.rows.take(pa.array(due))

    def _ended(self, time: int, by: int) -> Int64s:
        due = np.flatnonzero(self.ends[by] <= time)
        if self.alive is not None and (self.file is not None or time == _NEVER):
            due = due[self.alive[due]]
        return due

    def _mark(self, taken: Int64s) -> None:
        alive = np.ones(self.rows.num_rows, np.bool_) if self.alive is None else self.alive
        alive[taken] = False
        self.alive = alive
        self.left -= len(taken)
        if self.file is None:
            for ends in self.ends:
                ends[taken] = _NEVER

    def _find(self, wanted: Hashes) -> Int64s:
        """The rows with hashes like one of these, which ascend."""
        rows = self.rows.num_rows
        low = np.uint64(0 if self.file is not None else (1 << (rows - 1).bit_length()) - 1)
        if self.index is None:
            hashes = hash_columns([self.rows.column(key) for key in self.keys], rows)
            self.index = hashes & ~low | np.arange(rows, dtype=np.uint64)
            self.index.sort()
        wanted = wanted & ~low
        wanted = wanted[np.diff(wanted, prepend=~wanted[:1]) != 0]
        first = np.searchsorted(self.index, wanted)
        known = self.index[np.minimum(first, rows - 1)] & ~low == wanted
        first, wanted = first[known], wanted[known]
        counts = np.searchsorted(self.index, wanted | low, side="right") - first
        places = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(int(counts.sum()))
        return places if self.file is not None else (self.index[places] & low).view(np.int64)
