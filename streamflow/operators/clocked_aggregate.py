"""Windows that fire more than once, by processing time too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Bools, Int64s, raw_values
from streamflow.operators.base import Output
from streamflow.operators.events import MAX_TIME, MIN_TIME
from streamflow.operators.panes import DUE, NEVER
from streamflow.operators.refining_aggregate import RefiningAggregate


class ClockedAggregate(RefiningAggregate):
    """A window fires for a key some time after the first row that came since it last fired, if it has not before.

    `delays`: microseconds of processing time before the end of the window, and after it; None: as many rows as `early`
    and `late` say, as in `RefiningAggregate`. A row that comes at the very microsecond is of the next pane.

    State: that of `RefiningAggregate`, and beside each pane when it is due.
    """

    _clocked = True

    def __init__(self, *args: Any, delays: tuple[int | None, int | None], late: int, **kwargs: Any) -> None:
        """`args`, `kwargs`: those of `RefiningAggregate`."""
        super().__init__(*args, late=late if delays[1] is None else NEVER, **kwargs)
        self._delays = np.array([MAX_TIME if delay is None else delay for delay in delays])
        self._now = MIN_TIME
        self._next_pane = MIN_TIME
        """No pane is due before; `MIN_TIME` until what a restore brought has been seen."""

    def on_timer(self, now: int) -> Iterator[Output]:
        self._now = now
        if self._next_pane <= now:
            yield from self._send_due(now)

    def next_wakeup(self) -> int | None:
        return None if self._next_pane == MAX_TIME else self._next_pane

    def _dues(self, over: Int64s) -> Int64s:
        delays = self._delays[over]
        dues: Int64s = np.minimum(delays, MAX_TIME - max(self._now, 0)) + self._now
        dues[delays == MAX_TIME] = MAX_TIME
        self._next_pane = min(self._next_pane, int(dues.min()))
        return dues

    def _send_due(self, now: int) -> Iterator[Output]:
        table = self._panes.table
        later = [MAX_TIME]

        def is_due(_: Int64s, dues: pa.Array) -> Bools:
            times = raw_values(dues)
            due: Bools = times <= now
            later.append(int(times[~due].min(initial=MAX_TIME)))
            return due

        for slots in table.select([DUE], is_due):
            if len(slots):
                order = np.argsort(raw_values(table.get(DUE, slots)), kind="stable")
                yield from self._panes.fire(slots[order])
        self._next_pane = min(later)
