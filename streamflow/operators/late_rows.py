"""Rows that came too late for their windows: beside the step that leaves them out, and by the same judgement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Int64s, raw_values
from streamflow.kernels.sessions import row_ends
from streamflow.kernels.windows import FinalBound, Slices, dropped_before, pairs
from streamflow.operators.base import Output
from streamflow.operators.events import TIME, Batch, Watermark
from streamflow.operators.firing import WINDOW_FIELDS, calendar_state, times_of
from streamflow.state.container import Container
from streamflow.state.progress import Progress


class PassOn:
    """Rows as they come: where several steps must see rows and watermarks in one order, behind one exchange."""

    late = 0

    def on_batch(self, port: int, batch: Batch) -> Iterable[Output]:
        return (batch,)

    def on_watermark(self, watermark: Watermark) -> Iterable[Output]:
        return (watermark,)

    def flush(self) -> Iterable[Output]:
        return ()

    def state(self) -> Mapping[str, Container]:
        return {}


class LateRows:
    """A row for each (row, window) pair that is late: `columns`, which end with `window_start` and `window_end`.

    A pair is late iff the window's end + `lateness` is at or before the watermark when the row arrives (rule 6), the
    watermark of its key group where that is higher after a restore. `window`: slices, or a session's gap: a row's own
    window is then [t, t + gap); with a `FinalBound` rows carry the window that they are in. In the same task and behind
    the same edge as the step that leaves these rows out, it sees what that sees, so that each pair is in exactly one of
    the two. Results have no event time.

    State: the watermark per key group.
    """

    late = 0

    def __init__(
        self,
        keys: tuple[str, ...],
        window: Slices | int,
        lateness: int,
        schema: pa.Schema,
        columns: Sequence[str],
    ) -> None:
        self._window = window
        self._lateness = lateness
        self._keys = [schema.get_field_index(key) for key in keys]
        carried = isinstance(window, FinalBound)
        self._time = schema.get_field_index(window.column if isinstance(window, FinalBound) else TIME)
        self._progress = Progress()
        self._visible = [schema.get_field_index(name) for name in (columns if carried else columns[:-2])]
        self._computed = not carried
        visible = [schema.field(place) for place in self._visible]
        self.output_schema = pa.schema([*visible, *(() if carried else WINDOW_FIELDS)])

    def on_batch(self, port: int, batch: Batch) -> Iterator[Output]:
        times = raw_values(batch.column(self._time))
        if self._progress.settled and self._first_end(int(times.min())) > self._progress.watermark:
            return
        places, starts, ends = self._pairs(times)
        watermarks = self._progress.of_rows([batch.column(key) for key in self._keys], batch.num_rows)
        if places is not None:
            watermarks = watermarks[places]
        late = np.flatnonzero(ends <= dropped_before(watermarks, self._lateness))
        if len(late):
            rows = pa.array(late if places is None else places[late])
            columns = [batch.column(index).take(rows) for index in self._visible]
            bounds = [times_of(starts[late]), times_of(ends[late])] if self._computed else []
            yield pa.RecordBatch.from_arrays([*columns, *bounds], schema=self.output_schema)

    def on_watermark(self, watermark: Watermark) -> Iterable[Output]:
        self._progress.advance(watermark.time)
        return (watermark,)

    def flush(self) -> Iterable[Output]:
        return ()

    def state(self) -> Mapping[str, Container]:
        calendar = {} if isinstance(self._window, int) else calendar_state(self._window)
        return {"progress": self._progress, **calendar}

    def _first_end(self, time: int) -> int:
        """No window of a row at or after this time ends before."""
        if isinstance(self._window, int):
            return time + self._window
        return self._window.window_bounds(self._window.windows_of(self._window.slice_of(time)).start)[1]

    def _pairs(self, times: Int64s) -> tuple[Int64s | None, Int64s, Int64s]:
        """Row (None: each once), start and end of every pair."""
        if isinstance(self._window, int):
            return None, times, row_ends(times, self._window)
        places, windows = pairs(self._window, self._window.slice_ids(times))
        ends = self._window.ends(windows)
        return places, self._window.starts(ends), ends
