"""Windows that fire more than once, by processing time too."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Bools, Int64s, raw_values
from streamflow.operators.base import Output
from streamflow.operators.events import MAX_TIME
from streamflow.operators.panes import DUE
from streamflow.operators.refining import Clocked
from streamflow.operators.refining_aggregate import RefiningAggregate


class ClockedAggregate(Clocked, RefiningAggregate):
    """A `RefiningAggregate` that is `Clocked`.

    State: that of `RefiningAggregate`, and beside each pane when it is due.
    """

    def _dues(self, over: Int64s) -> Int64s:
        return self._panes_due(np.full(len(over), self._now), over)

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
