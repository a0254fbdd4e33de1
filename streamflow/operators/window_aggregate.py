"""Aggregates per key and event-time window, sent once when the watermark passes the window's end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

from streamflow.kernels.aggregate import AggregateSpec, result_of
from streamflow.kernels.arrays import Int64s
from streamflow.kernels.grouping import runs
from streamflow.kernels.tally import Tally
from streamflow.kernels.windows import FinalBound, Slices
from streamflow.operators.base import Output, Pause
from streamflow.operators.events import MAX_TIME, MIN_TIME, TIME, TIME_TYPE, Batch, Watermark
from streamflow.operators.firing import calendar_state, finished, results, times_of
from streamflow.operators.preaggregate import COALESCED, ROWS, SLICE, Coalescer, Input, Layout, PartialInput, RowInput
from streamflow.operators.slice_partials import SlicePartials, is_large
from streamflow.state.container import Container
from streamflow.state.progress import Progress

_FIRED = 1 << 15
"""Partials of windows that fire at once are merged together up to about so many rows: small windows share a batch."""


class WindowAggregate:
    """Rows in, one row per key and window out: keys, window_start, window_end, aggregates, `_time` = window_end - 1 us.

    A window fires when the watermark reaches its end; windows come in order of their ends, those without rows not at
    all. A (row, window) pair is late when the window's end is at or before the watermark that stood when the row
    arrived (rule 6); it is counted in `late` and left out, and the row still counts in its later windows.

    With a `FinalBound` the rows are results of windows: `window` names the column that holds their end, the keys come
    out as they are, without window columns, and a row's one window is that it is the result of (rule 9).

    `input="partials"`: fed by a `WindowPartial` with the same keys, window and aggregates; `schema` is its
    `output_schema`.
    """

    def __init__(
        self,
        keys: tuple[str, ...],
        window: Slices,
        aggregates: tuple[AggregateSpec, ...],
        schema: pa.Schema,
        input: Literal["rows", "partials"] = "rows",  # noqa: A002
    ) -> None:
        self._layout = Layout.of(keys, aggregates, schema)
        self.of_rows = aggregates if input == "rows" else ()
        self._window = window
        self._input: Input
        self._input = RowInput(self._layout, window, schema) if input == "rows" else PartialInput(self._layout, schema)
        self._held = Coalescer()
        self._partials = SlicePartials(self._layout, window)
        self._progress = Progress()
        self._due: int | None = None
        """The earliest end of a window that holds rows and has not fired; None: to be found out."""
        fields = [self._layout.schema.field(key) for key in keys]
        if not isinstance(window, FinalBound):
            fields += [pa.field("window_start", TIME_TYPE), pa.field("window_end", TIME_TYPE)]
        self._shown = pa.schema(fields)
        """What is to be seen of a result that cannot be made: its keys and window."""
        fields += [pa.field(spec.name, result_of(spec)) for spec in aggregates]
        self.output_schema = pa.schema([*fields, pa.field(TIME, TIME_TYPE)])

    @property
    def late(self) -> int:
        return self._progress.late

    @property
    def due(self) -> int:
        """No watermark below has a window fire; `MIN_TIME` where it is not known."""
        return MIN_TIME if self._due is None else self._due

    def on_batch(self, port: int, batch: Batch) -> Iterable[Output]:
        columns = self._input.columns(batch)
        lowest = self._input.lowest_slice(columns)
        watermark = self._progress.watermark
        first = self._window.windows_of(lowest).start
        if not self._progress.settled or self._window.window_bounds(first)[1] <= watermark:
            columns = self._without_late(columns)
            if len(columns[0]) == 0:
                return ()
            first = max(self._window.windows_of(self._input.lowest_slice(columns)).start, self._closed() + 1)
        if self._due is not None:
            self._due = min(self._due, self._window.window_bounds(first)[1])
        self._held.add(columns)
        return self._store() if self._held.rows >= COALESCED else ()

    def on_watermark(self, watermark: Watermark) -> Iterator[Output]:
        if watermark.time > self._progress.watermark:
            if self._due is None or watermark.time >= self._due:
                yield from self._store()
                closed = self._window.closed(watermark.time)
                yield from self._fire(self._windows_between(self._closed(), closed))
                self._partials.drop_closed(closed)
                self._due = self._next_end(closed)
            self._progress.advance(watermark.time)
        yield watermark

    def flush(self) -> Iterator[Output]:
        yield from self._store()
        yield from self._partials.settle()

    def state(self) -> Mapping[str, Container]:
        return {"slices": self._partials.log, "progress": self._progress, **calendar_state(self._window)}

    def _closed(self) -> int:
        return self._window.closed(self._progress.watermark)

    def _without_late(self, columns: list[pa.Array]) -> list[pa.Array]:
        """Count the pairs whose window has fired; leave out rows that have no other."""
        slices = self._input.slices(columns)
        watermarks = self._progress.of_rows(columns[: len(self._layout.keys)], len(slices))
        closed = self._window.closed_windows(slices, watermarks)
        self._progress.late += int((closed * self._input.weights(columns)).sum())
        open_ = closed <= self._window.last_windows(slices) - self._window.first_windows(slices)
        return columns if open_.all() else [column.filter(pa.array(open_)) for column in columns]

    def _store(self) -> Iterator[Output]:
        if self._held.rows:
            yield from self._partials.append(self._input.reduce(self._held.drain()))

    def _windows_between(self, before: int, closed: int) -> Iterator[int]:
        """The windows after `before` up to `closed` that hold rows, ascending."""
        last = before
        for number in self._partials.slices():
            windows = self._window.windows_of(number)
            if windows.start > closed:
                return
            for window in range(max(windows.start, last + 1), min(windows.stop, closed + 1)):
                yield window
                last = window

    def _next_end(self, closed: int) -> int:
        slices = self._partials.slices()
        if not slices:
            return MAX_TIME
        return self._window.window_bounds(max(self._window.windows_of(slices[0]).start, closed + 1))[1]

    def _fire(self, windows: Iterator[int]) -> Iterator[Output]:
        together: list[tuple[int, list[pa.RecordBatch]]] = []
        rows = 0
        for window in windows:
            chunks = yield from self._partials.of_window(window)
            if is_large(chunks):
                if together:
                    yield from self._results(together)
                    together, rows = [], 0
                for part in self._partials.parts(chunks):
                    if isinstance(part, Pause):
                        yield part
                    else:
                        yield from self._results([(window, part)])
                continue
            together.append((window, [chunk.rows for chunk in chunks]))
            rows += sum(chunk.rows.num_rows for chunk in chunks)
            if rows >= _FIRED:
                yield from self._results(together)
                together, rows = [], 0
        if together:
            yield from self._results(together)

    def _results(self, fired: list[tuple[int, list[pa.RecordBatch]]]) -> Iterator[Output]:
        """The results of some windows, from the chunks of each."""
        bounds = np.array([self._window.window_bounds(window) for window, _ in fired], np.int64)
        starts, ends = bounds[:, 0], bounds[:, 1]
        chunks = [chunk for _, chunks in fired for chunk in chunks]
        rows = chunks[0] if len(chunks) == 1 else pa.concat_batches(chunks)
        columns, one = rows.columns, len(fired) == 1
        which = np.zeros(rows.num_rows, np.int64) if one else np.repeat(np.arange(len(fired)), _sizes(fired))
        if not self._progress.settled:
            keys = columns[: len(self._layout.keys)]
            unfired = self._progress.of_rows(keys, len(which)) < ends.take(which)
            which, columns = which[unfired], [column.filter(pa.array(unfired)) for column in columns]
        if len(which) == 0:
            return
        if len(chunks) > len(fired):
            merged = self._layout.merge(columns, 0 if one else which)
            which, columns = merged.slices, merged.columns
        if one:
            of_rows = [np.full(len(which), time) for time in (starts[0], ends[0], ends[0] - 1)]
        else:
            of_rows = [starts.take(which), ends.take(which), (ends - 1).take(which)]
        place = len(self._layout.keys)
        columns = [*columns[:place], *map(times_of, of_rows), *columns[place:]]
        yield from results(columns, self._result, self._shown)

    def _result(self, columns: Sequence[pa.Array]) -> Batch:
        """Of keys, bounds, event time and parts."""
        place = len(self._layout.keys)
        parts = [*columns[:place], *columns[place + 3 :]]
        values = [finished(spec, own) for spec, own in self._layout.parts(parts)]
        shown = columns[: len(self._shown)]
        return pa.RecordBatch.from_arrays([*shown, *values, columns[place + 2]], schema=self.output_schema)


class WindowPartial:
    """The part of a windowed aggregate that runs before the exchange: rows in, partials per slice and key out.

    It never judges lateness and keeps no state (rule 14). Rows are held until there are enough, until a barrier
    (`flush`), or until the watermark reaches the end of their slice, and go out before that watermark does; rows of
    slices that are over already go on at once. Columns: keys, the aggregates' parts, the slice's number, the rows it
    stands for, `_time`.
    """

    late = 0

    def __init__(
        self, keys: tuple[str, ...], window: Slices, aggregates: tuple[AggregateSpec, ...], schema: pa.Schema
    ) -> None:
        self._layout = Layout.of(keys, aggregates, schema)
        self.of_rows = aggregates
        self._window = window
        self._input = RowInput(self._layout, window, schema)
        self._held = Coalescer()
        self._watermark = MIN_TIME
        self._due = MAX_TIME
        self.output_schema = pa.schema(
            [*self._layout.schema, pa.field(SLICE, pa.int64()), pa.field(ROWS, pa.int64()), pa.field(TIME, TIME_TYPE)]
        )

    def on_batch(self, port: int, batch: Batch) -> Iterable[Batch | Watermark]:
        columns = self._input.columns(batch)
        self._due = min(self._due, self._window.slice_bounds(self._input.lowest_slice(columns))[1])
        self._held.add(columns)
        if self._held.rows >= COALESCED or self._due <= self._watermark:
            return self.flush()
        return ()

    def on_watermark(self, watermark: Watermark) -> Iterator[Batch | Watermark]:
        self._watermark = max(self._watermark, watermark.time)
        if self._due <= self._watermark:
            yield from self.flush()
        yield watermark

    def flush(self) -> list[Batch | Watermark]:
        if self._held.rows == 0:
            return []
        self._due = MAX_TIME
        found = self._input.reduce(self._held.drain())
        reduced = self._layout.of_tally(found) if isinstance(found, Tally) else found
        self._window.forget(self._window.closed(self._watermark))
        if len(reduced.slices) == 0:
            return []
        counts = pa.array(reduced.row_counts())
        arrays = [*reduced.columns, pa.array(reduced.slices), counts, self._last_moments(reduced.slices)]
        return [pa.RecordBatch.from_arrays(arrays, schema=self.output_schema)]

    def state(self) -> Mapping[str, Container]:
        return calendar_state(self._window, "partial calendar")

    def _last_moments(self, slices: Int64s) -> pa.Array:
        """The last microsecond of each slice, which are ascending: the event time of its partials."""
        equal = runs(slices)
        ends = np.array([self._window.slice_bounds(int(slices[start]))[1] for start, _ in equal], np.int64)
        return times_of(np.repeat(ends - 1, [stop - start for start, stop in equal]))


def _sizes(fired: Sequence[tuple[int, list[pa.RecordBatch]]]) -> list[int]:
    return [sum(chunk.num_rows for chunk in chunks) for _, chunks in fired]
