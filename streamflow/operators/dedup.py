"""One row per key: the first that arrives, or the first by event time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Bools, Int64s, raw_values
from streamflow.kernels.grouping import group
from streamflow.kernels.ordering import order
from streamflow.operators.base import Output, Pause
from streamflow.operators.events import MAX_TIME, ORDER, TIME, Batch, Watermark
from streamflow.operators.firing import before_watermark
from streamflow.state.container import Container
from streamflow.state.keyed_table import KeyedTable
from streamflow.state.progress import Progress
from streamflow.state.rows_by_time import RowsByTime

_KEPT = "kept"
SWEEP = 1 << 16
"""With so many keys those that can drop no row any more are forgotten."""


class Dedup:
    """Drops rows whose key was seen, `within` microseconds of event time of the last row that was kept (None: ever).

    `keep` "any" sends the first that arrives at once. "first" holds rows until the watermark has passed them and takes
    them by event time, ties by `_order`, or without one by their other columns in schema order; a row below the
    watermark when it arrives is late, counted and left out. Results are rows as they were, with their event time.

    State: the keys, with the event time of the row that was kept; "first": the rows held; the watermark per key group.
    """

    def __init__(
        self, keys: tuple[str, ...], keep: Literal["any", "first"], within: int | None, schema: pa.Schema
    ) -> None:
        self._places = [schema.get_field_index(key) for key in keys]
        self._within = within
        self._time = schema.get_field_index(TIME)
        rest = [place for place, name in enumerate(schema.names) if name not in keys and name != TIME]
        self._rest = [schema.get_field_index(ORDER)] if ORDER in schema.names else rest
        self._seen = KeyedTable(pa.schema([schema.field(key) for key in keys]), pa.schema({_KEPT: pa.int64()}))
        self._held = RowsByTime(schema, self._places, self._time) if keep == "first" else None
        self._progress = Progress()
        self._limit = SWEEP

    @property
    def late(self) -> int:
        return self._progress.late

    def on_batch(self, port: int, batch: Batch) -> Iterator[Output]:
        if self._held is None:
            yield from self._first_ones(batch)
            return
        ends = np.minimum(raw_values(batch.column(self._time)), MAX_TIME - 1) + 1
        kept = before_watermark(ends, self._keys(batch), self._progress)
        self._held.append(batch if kept is None else batch.take(pa.array(kept)))

    def on_watermark(self, watermark: Watermark) -> Iterator[Output]:
        self._progress.advance(watermark.time)
        if self._held is not None:
            for rows in self._held.take_before(watermark.time):
                columns = [rows.column(place) for place in (self._time, *self._rest)]
                yield from self._first_ones(rows.take(pa.array(order(columns, [False] * len(columns)))))
                yield Pause()
        if self._within is not None and len(self._seen) > self._limit:
            self._sweep(watermark.time)
        yield watermark

    def flush(self) -> Iterator[Output]:
        return iter(())

    def state(self) -> Mapping[str, Container]:
        own: dict[str, Container] = {"keys": self._seen, "progress": self._progress}
        return own if self._held is None else {**own, "rows": self._held}

    def _keys(self, rows: pa.RecordBatch) -> list[pa.Array]:
        return [rows.column(place) for place in self._places]

    def _first_ones(self, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """The rows to keep, of rows in the order in which they count."""
        keys = self._keys(rows)
        groups = group(keys, rows.num_rows)
        first = _first_of(groups.ids, np.arange(rows.num_rows), groups.count)
        taken = pa.array(first)
        slots, new = self._seen.lookup_or_insert([key.take(taken) for key in keys], groups.count)
        times = raw_values(rows.column(self._time)) if self._within is not None else np.zeros(rows.num_rows, np.int64)
        self._seen.put(_KEPT, slots[new], pa.array(times[first[new]]))
        kept = [first[new]]
        if self._within is not None:
            kept += self._apart(groups.ids, times, slots, kept[0])
        places = np.sort(np.concatenate(kept))
        if len(places):
            yield rows if len(places) == rows.num_rows else rows.take(pa.array(places))

    def _apart(self, ids: Int64s, times: Int64s, slots: Int64s, done: Int64s) -> Iterator[Int64s]:
        """Round by round the next row of each key that is far enough from the last one that was kept."""
        last: Int64s = raw_values(self._seen.get(_KEPT, slots)).copy()
        left = np.ones(len(ids), np.bool_)
        left[done] = False
        after = np.full(len(slots), -1)
        after[ids[done]] = done
        while True:
            places = np.flatnonzero(left & self._far(times, last[ids]) & (np.arange(len(ids)) > after[ids]))
            if not len(places):
                break
            first = _first_of(ids[places], places, len(slots))
            found = np.flatnonzero(first < len(ids))
            rows = first[found]
            last[found] = np.maximum(last[found], times[rows])
            after[found] = rows
            yield rows
        self._seen.put(_KEPT, slots, pa.array(last))

    def _far(self, times: Int64s, last: Int64s) -> Bools:
        """Times near the ends of int64 stay in it: the distance is unsigned."""
        high, low = np.maximum(times, last), np.minimum(times, last)
        far: Bools = high.astype(np.uint64) - low.astype(np.uint64) >= np.uint64(self._within or 0)
        return far

    def _sweep(self, watermark: int) -> None:
        def keeps(kept: pa.Array) -> Bools:
            last = raw_values(kept)
            near: Bools = (last >= watermark) | ~self._far(np.full(len(last), watermark), last)
            return near

        self._seen.retain([f"value.{_KEPT}"], keeps)
        self._limit = max(SWEEP, 2 * len(self._seen))


def _first_of(ids: Int64s, rows: Int64s, count: int) -> Int64s:
    """The least of each group's rows; one beyond all where a group has none."""
    first = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first, ids, rows)
    return first
