"""Windows by processing time: operators of event-time windows, driven by the clock instead of by the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

import numpy as np
import pyarrow as pa

from streamflow.kernels.aggregate import AggregateSpec
from streamflow.operators.base import Operator, Output, TimedOperator
from streamflow.operators.events import MAX_TIME, TIME, TIME_TYPE, Batch, Watermark
from streamflow.operators.firing import times_of
from streamflow.state.container import Container
from streamflow.state.progress import Progress

EVENT_TIME = "~event_time"
"""The rows' own event time, beside the time at which they came."""


class Windows(Operator, Protocol):
    """An operator of windows that says when the next of them ends."""

    output_schema: pa.Schema

    @property
    def due(self) -> int:
        """No watermark below has anything fire. `MAX_TIME` where nothing is held."""
        ...


def stamped_schema(schema: pa.Schema) -> pa.Schema:
    """Rows of `schema` as the windows get them: their event time, if they have one, goes by another name.

    >>> stamped_schema(pa.schema([("x", pa.int64()), ("_time", TIME_TYPE)])).names
    ['x', '~event_time', '_time']
    """
    fields = [field.with_name(EVENT_TIME) if field.name == TIME else field for field in schema]
    return pa.schema([*fields, pa.field(TIME, TIME_TYPE)])


class ByProcessingTime:
    """Windows over the time at which rows reach this operator; results as those of `windows`, without event time.

    A row that comes when the clock shows t is in the windows that hold t. A window fires when the clock reaches its
    end, before any row that comes then; so no row is late. At the end of the input the windows that are left fire at
    once, in the order of their ends.

    Rows get their time here, behind the exchange, not where they were read: time passes in one place only, so that a
    row that was under way cannot find its window closed, and workers whose clocks differ need not agree.

    State: that of the windows, and how far the clock had come. After a restore onto a machine whose clock is behind,
    time stands still until that has caught up: windows that have fired do not open again.
    """

    def __init__(self, windows: Windows, schema: pa.Schema) -> None:
        """`windows`: over rows of `stamped_schema(schema)`."""
        self._windows = windows
        self.of_rows: tuple[AggregateSpec, ...] = getattr(windows, "of_rows", ())
        self._panes = windows if isinstance(windows, TimedOperator) else None
        self._clock = Progress()
        self._stamped = stamped_schema(schema)
        made = windows.output_schema
        self._shown = [place for place, name in enumerate(made.names) if name not in (TIME, EVENT_TIME)]
        self.output_schema = pa.schema([made.field(place) for place in self._shown])

    @property
    def late(self) -> int:
        return self._windows.late

    def on_batch(self, port: int, batch: Batch) -> Iterator[Output]:
        times = times_of(np.full(batch.num_rows, self._clock.reached))
        rows = pa.RecordBatch.from_arrays([*batch.columns, times], schema=self._stamped)
        yield from self._without_time(self._windows.on_batch(port, rows))

    def on_watermark(self, watermark: Watermark) -> Iterator[Output]:
        if watermark.time == MAX_TIME:
            yield from self._fire(MAX_TIME)
        yield watermark

    def on_timer(self, now: int) -> Iterator[Output]:
        self._clock.advance(now)
        time = self._clock.reached
        if self._panes is not None:  # they fire within a window too
            yield from self._without_time(self._panes.on_timer(time))
        if self._windows.due <= time:
            yield from self._fire(time)

    def next_wakeup(self) -> int | None:
        pane = None if self._panes is None else self._panes.next_wakeup()
        due = self._windows.due if pane is None else min(self._windows.due, pane)
        return None if due == MAX_TIME else due

    def flush(self) -> Iterable[Output]:
        return self._without_time(self._windows.flush())

    def state(self) -> Mapping[str, Container]:
        return {"clock": self._clock, **self._windows.state()}

    def _fire(self, time: int) -> Iterator[Output]:
        for output in self._without_time(self._windows.on_watermark(Watermark(time))):
            if not isinstance(output, Watermark):
                yield output

    def _without_time(self, outputs: Iterable[Output]) -> Iterator[Output]:
        for output in outputs:
            yield output.select(self._shown) if isinstance(output, pa.RecordBatch) else output
