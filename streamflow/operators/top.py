"""The first n rows of each window and key.

The order is total: after `by` come the other visible columns, ascending, in schema order, then the event time, so that
a result never depends on arrival (rule 13). Rows are held as they come, with the end of their window beside them, and
cut to the first n when enough have gathered, before a snapshot and when their window fires.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Int64s, least_and_greatest, raw_values
from streamflow.kernels.grouping import group
from streamflow.kernels.sessions import merge_intervals
from streamflow.kernels.windows import FinalBound, Slices
from streamflow.operators.base import PIECE, Output, Pause
from streamflow.operators.contenders import ALL_TIME, Contenders, Ranking, Span, only, take_rows, within
from streamflow.operators.events import MAX_TIME, MIN_TIME, TIME, Batch, Watermark
from streamflow.operators.firing import (
    WINDOW_END,
    WINDOW_FIELDS,
    WINDOW_START,
    before_watermark,
    calendar_state,
    on_time,
    split_fired,
    times_of,
)
from streamflow.operators.key_parts import key_parts
from streamflow.state.container import Container
from streamflow.state.held_rows import HeldRows
from streamflow.state.progress import Progress

Stage: TypeAlias = Literal["whole", "local", "final"]

HELD = 1 << 16
"""So many rows are gathered before they are cut to the first n."""
END_FIELD = pa.field("~end", pa.int64())
START_FIELD = pa.field("~start", pa.int64())


class WindowTop:
    """The first `n` rows of each (window, key), sent when the watermark passes the window's end, the first row first.

    `window`: slices put each row by its event time into every window that holds it; a `FinalBound` names the
    visible column, one of `keys`, that says which window the row is a result of. `by`: (column, descending). `schema`:
    that of this stage's input, `_time` last. `output_schema` for slices: keys, `window_start`, `window_end`,
    the other visible columns, `_time`; for `FinalBound` the input's. `_time` is the window's end - 1 us.

    A (row, window) pair is late, counted and left out iff the window's end <= W when it arrives. In the stages

    - "whole" takes rows and sends results;
    - "local" stands before an exchange by key and judges nothing: it sends the first n that it saw of each (window,
      key) when W passes the window's end, before it forwards W, and at a flush; rows of windows that W had passed go on
      as they come. Its rows are the input's with their own `_time`; for slices once per window, with
      `window_start` and `window_end` before `_time`;
    - "final" takes the rows of "local", judges them and sends results.

    State ("local" has none after a flush): the rows held, with the window's end, and the watermark per key group.
    """

    def __init__(
        self,
        keys: tuple[str, ...],
        window: Slices,
        n: int,
        by: tuple[tuple[str, bool], ...],
        schema: pa.Schema,
        stage: Stage = "whole",
    ) -> None:
        if n < 1:
            raise ValueError(f"top takes at least 1 row, not {n}")
        if isinstance(window, FinalBound) and window.column not in keys:
            raise ValueError(f"{window.column!r}, which bounds the window, is not among the keys {keys}")
        self._keys = keys
        self._window = window
        self._alone = not keys or (isinstance(window, FinalBound) and keys == (window.column,))  # one top per window
        self._n = n
        self._stage = stage
        self._bounded = not isinstance(window, FinalBound) and stage == "final"  # rows carry their window's bounds
        if self._bounded and WINDOW_END not in schema.names:
            raise ValueError(f"a final stage takes the output schema of the local one, with {WINDOW_END!r}")
        names = [name for name in schema.names if not (self._bounded and name in (WINDOW_START, WINDOW_END))]
        self._taken = [schema.get_field_index(name) for name in names]
        fields = [schema.field(place) for place in self._taken]
        self._input_end = schema.get_field_index(WINDOW_END) if self._bounded else -1
        self._ranking = Ranking(by, keys, pa.schema(fields))
        self._key_places = [names.index(key) for key in keys]
        self._held = HeldRows(pa.schema([*fields, END_FIELD]), self._key_places)
        self._limit = HELD
        self._earliest = MIN_TIME  # no window held ends before; MIN_TIME until what a restore brought has been seen
        self._contenders = Contenders(self._ranking, n)
        self._progress = Progress()
        computed = [] if isinstance(window, FinalBound) else list(WINDOW_FIELDS)
        visible = [field for field in fields if field.name != TIME]
        if computed and stage != "local":
            visible.sort(key=lambda field: keys.index(field.name) if field.name in keys else len(keys))
            visible, rest = visible[: len(keys)], visible[len(keys) :]
            self.output_schema = pa.schema([*visible, *computed, *rest, schema.field(TIME)])
        else:
            self.output_schema = pa.schema([*visible, *computed, schema.field(TIME)])
        self._output = [(name, self._held.schema.get_field_index(name)) for name in self.output_schema.names]

    @property
    def late(self) -> int:
        return self._progress.late

    @property
    def due(self) -> int:
        """No watermark below has a window fire; `MIN_TIME` where it is not known."""
        return self._earliest

    def on_batch(self, port: int, batch: Batch) -> Iterator[Output]:
        rows = batch.select(self._taken) if self._bounded else batch
        found = self._by_window(batch, rows) if self._alone and self._progress.settled else None
        if found is None:
            yield from self._judge(rows, *self._pairs(batch))
            return
        for end, places in found:
            if end > self._progress.watermark:
                yield from self._hold(rows, places, np.full(len(places), end), end)
            elif self._stage == "local":
                yield self._results(self._beside(rows, places, np.full(len(places), end)))
            else:
                self._progress.late += len(places)

    def _judge(self, rows: pa.RecordBatch, places: Int64s | None, ends: Int64s) -> Iterator[Output]:
        """Hold the pairs that are not late. `places`: of their rows; None: each row once."""
        if self._stage == "local":
            closed = ends <= self._progress.watermark
            if closed.any():
                yield self._results(self._beside(rows, only(places, np.flatnonzero(closed)), ends[closed]))
                places, ends = only(places, np.flatnonzero(~closed)), ends[~closed]
        elif len(ends):
            keys = () if self._progress.settled else self._key_columns(take_rows(rows, places))
            kept = before_watermark(ends, keys, self._progress)
            if kept is not None:
                places, ends = only(places, kept), ends[kept]
        if len(ends):
            yield from self._hold(rows, places, ends, int(ends.min()))

    def _hold(self, rows: pa.RecordBatch, places: Int64s | None, ends: Int64s, earliest: int) -> Iterator[Pause]:
        self._earliest = min(self._earliest, earliest)
        self._held.append(self._beside(rows, places, ends))
        if self._held.count > self._limit:
            yield from self._cut()

    def on_watermark(self, watermark: Watermark) -> Iterator[Output]:
        self._progress.advance(watermark.time)
        if self._earliest <= watermark.time:
            fired, self._earliest = HeldRows(self._held.schema, self._key_places), MAX_TIME
            for place, rows in enumerate(self._held.take_pieces(PIECE)):
                if place:
                    yield Pause()
                due, kept, first = split_fired(rows, rows.num_columns - 1, watermark.time)
                fired.append(due)
                self._held.append(kept)
                self._earliest = min(self._earliest, first)
            self._contenders.forget(watermark.time)
            yield from self._send(fired)
            self._window.forget(self._window.closed(watermark.time))
        yield watermark

    def flush(self) -> Iterator[Output]:
        if self._stage != "local":
            yield from self._cut()
        elif self._held.count:
            self._earliest = MAX_TIME
            yield from self._send(self._held)

    def state(self) -> Mapping[str, Container]:
        if self._stage == "local":
            return calendar_state(self._window, "local calendar")
        return {"rows": self._held, "progress": self._progress, **calendar_state(self._window)}

    def _pairs(self, batch: Batch) -> tuple[Int64s | None, Int64s]:
        """The rows (None: each once) and window ends of all pairs."""
        if isinstance(self._window, FinalBound) or self._bounded:
            return None, self._ends(self._bounds(batch))
        return _every_pair(raw_values(batch.column(-1)), self._window)

    def _bounds(self, batch: Batch) -> Int64s:
        """The column that says which window a row is of."""
        window = self._window
        return raw_values(batch.column(window.column if isinstance(window, FinalBound) else self._input_end))

    def _ends(self, bounds: Int64s) -> Int64s:
        return self._window.slice_ids(bounds) if isinstance(self._window, FinalBound) else bounds

    def _by_window(self, batch: Batch, rows: pa.RecordBatch) -> Iterator[tuple[int, Int64s]] | None:
        """Window ends with their rows, at least one, that may be among the first n or are to be judged late.

        Each window has one best so far, and a comparison leaves out nearly all rows. None where that is of no use: too
        many windows, or a first column whose values have no codes.
        """
        window = self._window
        if not self._ranking.has_codes:
            return None
        if isinstance(window, FinalBound) or self._bounded:
            bounds = self._bounds(batch)
            same = bool((bounds == bounds[0]).all())
            return self._contending(rows, None, [(int(self._ends(bounds[:1])[0]), ALL_TIME)]) if same else None
        times = batch.column(-1)
        low, high = least_and_greatest(times)
        lowest, highest = window.windows_of(window.slice_of(low)), window.windows_of(window.slice_of(high))
        if highest.stop - lowest.start > 16 + len(lowest):
            return None
        spans: list[tuple[int, Span]] = []
        for number in range(lowest.start, highest.stop):
            start, end = window.window_bounds(number)
            spans.append((end, (None if start <= low else start, None if high < end else end)))
        return self._contending(rows, raw_values(times), spans)

    def _contending(
        self, rows: pa.RecordBatch, times: Int64s | None, spans: Sequence[tuple[int, Span]]
    ) -> Iterator[tuple[int, Int64s]]:
        for end, span in spans:
            if end > self._progress.watermark:
                places: Int64s | None = self._contenders.find(rows, end, times, span)
            else:  # all are needed, to be counted or sent on
                places = None if times is None else within(times, span)
            places = np.arange(rows.num_rows) if places is None else places
            if len(places):
                yield end, places

    def _cut(self) -> Iterator[Pause]:
        for rows in self._parts(self._held):
            if isinstance(rows, Pause):
                yield rows
            else:
                self._held.append(self._first(rows))
        self._limit = max(HELD, 2 * self._held.count)

    def _send(self, held: HeldRows) -> Iterator[Output]:
        """The results of these rows, which do not stay; of many keys in parts by their hash."""
        for rows in self._parts(held):
            if isinstance(rows, Pause):
                yield rows
            elif rows.num_rows:
                yield self._results(self._first(rows))

    def _parts(self, held: HeldRows) -> Iterator[pa.RecordBatch | Pause]:
        return iter((held.take(),)) if self._alone else key_parts(held, self._key_places)

    def _first(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The first n of each (window, key) of rows as they are held, by window."""
        if rows.num_rows < 2:
            return rows
        ends = raw_values(rows.column(-1))
        if self._alone and bool((ends == ends[0]).all()):
            return take_rows(rows, self._ranking.top(rows, self._n))
        groups = group([rows.column(-1), *self._key_columns(rows)], rows.num_rows)
        return take_rows(rows, self._ranking.top(rows, self._n, groups.ids))

    def _key_columns(self, rows: pa.RecordBatch) -> Sequence[pa.Array]:
        return [rows.column(key) for key in self._keys]

    def _beside(self, rows: pa.RecordBatch, places: Int64s | None, ends: Int64s) -> pa.RecordBatch:
        """Rows as they are held: with their window's end."""
        return take_rows(rows, places).append_column(END_FIELD, pa.array(ends))

    def _results(self, rows: pa.RecordBatch) -> Batch:
        ends = raw_values(rows.column(-1))
        computed: dict[str, pa.Array] = {}
        if not isinstance(self._window, FinalBound):
            computed |= {WINDOW_START: times_of(self._window.starts(ends)), WINDOW_END: times_of(ends)}
        if self._stage != "local":
            computed[TIME] = times_of(ends - 1)
        columns = [computed[name] if name in computed else rows.column(place) for name, place in self._output]
        return pa.RecordBatch.from_arrays(columns, schema=self.output_schema)


class SessionTop:
    """The first `n` rows of each session, sent when the watermark passes its end, the first row first.

    Sessions and lateness are those of `streamflow.operators.session.SessionAggregate`, the order of rows and the output
    those of `WindowTop`.

    State: the rows held, each with the bounds of the session that it is in as far as known, and the watermark per key
    group. Rows that are no longer among the first n are dropped; those that stay carry the session's bounds.
    """

    def __init__(
        self, keys: tuple[str, ...], gap: int, n: int, by: tuple[tuple[str, bool], ...], schema: pa.Schema
    ) -> None:
        if n < 1:
            raise ValueError(f"top takes at least 1 row, not {n}")
        self._keys = keys
        self._gap = gap
        self._n = n
        self._ranking = Ranking(by, keys, schema)
        self._key_places = [schema.get_field_index(key) for key in keys]
        self._held = HeldRows(pa.schema([*schema, START_FIELD, END_FIELD]), self._key_places)
        self._limit = HELD
        self._earliest = MIN_TIME  # no session ends before; MIN_TIME until what a restore brought has been seen
        self._progress = Progress()
        rest = [field for field in schema if field.name not in (*keys, TIME)]
        fields = [*(schema.field(key) for key in keys), *WINDOW_FIELDS, *rest, schema.field(TIME)]
        self.output_schema = pa.schema(fields)

    @property
    def late(self) -> int:
        return self._progress.late

    @property
    def due(self) -> int:
        """No watermark below has a window fire; `MIN_TIME` where it is not known."""
        return self._earliest

    def on_batch(self, port: int, batch: Batch) -> Iterable[Output]:
        rows, ends = on_time(batch, self._key_columns(batch), self._gap, self._progress)
        if rows.num_rows:
            self._earliest = min(self._earliest, int(ends.min()))
            starts = rows.column(-1).view(pa.int64())
            columns = [*rows.columns, starts, pa.array(ends)]
            self._held.append(pa.RecordBatch.from_arrays(columns, schema=self._held.schema))
            if self._held.count > self._limit:
                return self._merge(MIN_TIME)
        return ()

    def on_watermark(self, watermark: Watermark) -> Iterator[Output]:
        self._progress.advance(watermark.time)
        if self._earliest <= watermark.time:
            yield from self._merge(watermark.time)
        yield watermark

    def flush(self) -> Iterable[Output]:
        return self._merge(MIN_TIME)

    def state(self) -> Mapping[str, Container]:
        return {"rows": self._held, "progress": self._progress}

    def _key_columns(self, rows: pa.RecordBatch) -> Sequence[pa.Array]:
        return [rows.column(key) for key in self._keys]

    def _merge(self, time: int) -> Iterator[Output]:
        """Find the sessions of all rows held; send those that end by `time`, keep the first n rows of each other."""
        self._earliest = MAX_TIME
        for rows in key_parts(self._held, self._key_places):
            if isinstance(rows, Pause):
                yield rows
            elif rows.num_rows:
                fired, kept, first = split_fired(self._merged(rows), rows.num_columns - 1, time)
                self._earliest = min(self._earliest, first)
                self._held.append(kept)
                if fired.num_rows:
                    yield self._results(fired)
        self._limit = max(HELD, 2 * self._held.count)

    def _merged(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The first n rows of each session, with its bounds, together and in order."""
        place = rows.num_columns - 2
        starts, ends = raw_values(rows.column(place)), raw_values(rows.column(place + 1))
        found = merge_intervals(group(self._key_columns(rows), rows.num_rows), starts, ends)
        kept = self._ranking.top(rows, self._n, found.ids)
        ids = found.ids[kept]
        columns = [*take_rows(rows, kept).columns[:place], pa.array(found.starts[ids]), pa.array(found.ends[ids])]
        return pa.RecordBatch.from_arrays(columns, schema=self._held.schema)

    def _results(self, rows: pa.RecordBatch) -> Batch:
        starts, ends = (raw_values(rows.column(rows.num_columns - i)) for i in (2, 1))
        columns: dict[str, pa.Array] = dict(zip(rows.schema.names, rows.columns, strict=True))
        columns |= {WINDOW_START: times_of(starts), WINDOW_END: times_of(ends), TIME: times_of(ends - 1)}
        return pa.RecordBatch.from_arrays(
            [columns[name] for name in self.output_schema.names], schema=self.output_schema
        )


def _every_pair(times: Int64s, window: Slices) -> tuple[Int64s | None, Int64s]:
    """Each row with each of its windows: row (None: each row once) and window's end."""
    slices = window.slice_ids(times)
    numbers = window.first_windows(slices)
    places = None
    counts = window.last_windows(slices) - numbers + 1
    if len(counts) and not (counts.min() == counts.max() == 1):
        places = np.repeat(np.arange(len(times)), counts)
        within = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
        numbers = np.repeat(numbers, counts) + within
    return places, window.ends(numbers)
