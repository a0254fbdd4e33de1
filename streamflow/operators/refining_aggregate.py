"""Aggregates of windows that fire more than once: before their end, on time, and for late rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import numpy as np
import pyarrow as pa

from streamflow.kernels.aggregate import AggregateSpec, partial_fields
from streamflow.kernels.arrays import Bools, Int64s, raw_values
from streamflow.kernels.windows import EndlessSlices, FinalBound, Slices, dropped_before, pairs
from streamflow.operators.base import Output
from streamflow.operators.events import MAX_TIME, TIME, Batch
from streamflow.operators.firing import calendar_state
from streamflow.operators.panes import PENDING, AccumulatingPanes, DiscardingPanes, Pairs, Panes
from streamflow.operators.preaggregate import ROWS, SLICE
from streamflow.operators.refining import Refining
from streamflow.state.container import Container


class RefiningAggregate(Refining):
    """Rows in; keys, `window_start`, `window_end`, aggregates and `_time` = `window_end` - 1 us out.

    A window fires for a key with every `early` rows before its end (None: not at all), when the watermark reaches its
    end, and with every `late` rows after it; what is left when it is dropped, `lateness` after its end, is sent then.
    `accumulate`: see `streamflow.operators.panes`.

    With a `FinalBound` rows carry their window: its bounds are among the keys, and come out with these.

    A (row, window) pair is late, counted and left out iff the window's end + `lateness` is at or before the watermark
    when the row arrives (rule 6). Results of late rows lie up to `lateness` below the watermark.

    `input="partials"`: fed by a `WindowPartial` with the same keys, window and aggregates; `schema` is its
    `output_schema`. Only where panes accumulate and do not go by numbers of rows: what comes as one fires as one.

    State: per window and key the partial aggregates and what was sent of them, and the watermark per key group.
    """

    def __init__(
        self,
        keys: tuple[str, ...],
        window: Slices,
        aggregates: tuple[AggregateSpec, ...],
        schema: pa.Schema,
        *,
        lateness: int,
        early: int | None,
        late: int,
        accumulate: bool,
        input: Literal["rows", "partials"] = "rows",  # noqa: A002
    ) -> None:
        super().__init__(lateness=lateness, early=early, late=late)
        self._takes_rows = input == "rows"
        self.of_rows = aggregates if self._takes_rows else ()
        self._window = window
        if self._takes_rows:
            self._values = list(dict.fromkeys(name for spec in aggregates for name in spec.columns))
            position = [] if isinstance(window, EndlessSlices) else [_position(window)]
        else:
            self._values = [field.name for spec in aggregates for field in partial_fields(spec)]
            position = [SLICE, ROWS]
        used = [*keys, *self._values, *position] or schema.names[:1]
        self._indices = [schema.get_field_index(name) for name in used]
        self._key_count = len(keys)
        key_fields = pa.schema([schema.field(key) for key in keys])
        make = AccumulatingPanes if accumulate else DiscardingPanes
        self._panes: Panes = make(key_fields, window, aggregates, clocked=self._clocked)
        self.output_schema = self._panes.output_schema

    def on_batch(self, port: int, batch: Batch) -> Iterable[Output]:
        columns = [batch.column(index) for index in self._indices]
        first = self._window.windows_of(self._lowest_slice(columns)).start
        return self._hold(columns, self._window.window_bounds(first)[1])

    def state(self) -> Mapping[str, Container]:
        return {"windows": self._panes.table, "progress": self._progress, **calendar_state(self._window)}

    def _lowest_slice(self, columns: list[pa.Array]) -> int:
        if isinstance(self._window, EndlessSlices):
            return 0
        if not self._takes_rows:
            return int(raw_values(columns[-2]).min())
        return self._window.slice_of(int(raw_values(columns[-1]).min()))

    def _slices(self, columns: list[pa.Array]) -> Int64s:
        if isinstance(self._window, EndlessSlices):
            return np.zeros(len(columns[0]), np.int64)
        if not self._takes_rows:
            return raw_values(columns[-2])
        return self._window.slice_ids(raw_values(columns[-1]))

    def _absorb(self, columns: list[pa.Array]) -> Iterator[Output]:
        places, windows = pairs(self._window, self._slices(columns))
        watermarks = self._progress.of_rows(columns[: self._key_count], len(columns[0]))
        counts = None if self._takes_rows else raw_values(columns[-1])
        if places is not None:
            watermarks = watermarks[places]
            counts = None if counts is None else counts[places]
        ends = self._window.ends(windows)
        in_time = ends > dropped_before(watermarks, self.lateness)
        kept = np.flatnonzero(in_time)
        if len(kept) < len(ends):
            self._progress.late += len(ends) - len(kept) if counts is None else int(counts[~in_time].sum())
            places = kept if places is None else places[kept]
            windows, ends, watermarks = windows[kept], ends[kept], watermarks[kept]
            counts = None if counts is None else counts[kept]
        if not len(windows):
            return
        if places is not None:
            taken = pa.array(places)
            columns = [column.take(taken) for column in columns]
        keys = columns[: self._key_count]
        values = dict(zip(self._values, columns[self._key_count :], strict=False))
        over = (ends <= watermarks).astype(np.int64)
        yield from self._panes.add(Pairs(windows, keys, values, self._limits[over], self._dues(over), counts))

    def _dues(self, over: Int64s) -> Int64s | None:
        """When by processing time panes of windows that are over (1) or not (0) are sent."""
        return None

    def _pass(self, time: int) -> Iterator[Output]:
        """Also drop what is dropped now."""
        table = self._panes.table
        closed, dropped = self._window.closed(time), self._window.closed(_dropped(time, self.lateness))
        fired = self._window.closed(self._progress.watermark)
        left: set[int] = set()

        def firing(numbers: Int64s, pending: pa.Array, *keys: pa.Array) -> Bools:
            ended = numbers > fired
            if not self._progress.settled:
                ended = self._window.ends(numbers) > self._progress.of_rows(keys, len(numbers))
            ended &= numbers <= closed
            return (raw_values(pending) > 0) & (ended | (numbers <= dropped))

        def stays(numbers: Int64s) -> Bools:
            kept: Bools = numbers > dropped
            left.update(np.unique(numbers[kept]).tolist())
            return kept

        for slots in table.select([PENDING] if self._progress.settled else [PENDING, *table.key_names], firing):
            if len(slots):
                yield from self._panes.fire(slots[np.argsort(table.windows(slots), kind="stable")])
        table.retain([], stays)
        self._window.forget(dropped)
        self._due = min((self._next(number, time) for number in left), default=MAX_TIME)

    def _next(self, window: int, time: int) -> int:
        end = self._window.window_bounds(window)[1]
        return end if end > time else min(end + self.lateness, MAX_TIME)


def _position(window: Slices) -> str:
    """The column that says which windows a row is in."""
    return window.column if isinstance(window, FinalBound) else TIME


def _dropped(time: int, lateness: int) -> int:
    return int(dropped_before(np.array([time]), lateness)[0])
