"""The node that gives rows their event time right behind a read, while the split is still known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamflow.engine.watermarks import SplitClock
from streamflow.errors import DataError
from streamflow.kernels.arrays import least_and_greatest, raw_values
from streamflow.operators.events import MAX_TIME, MIN_TIME, TIME, Batch
from streamflow.operators.marks import Marks
from streamflow.plan.logical.windows import BoundedOutOfOrderness
from streamflow.plan.physical import SplitTimes


@dataclass(frozen=True, slots=True)
class SplitTime:
    """How far a split has come in event time: part of its position (rule 27).

    `watermark`: what rows or a generator said, beside the greatest event time; `state`: the generator's, JSON.
    """

    greatest: int
    watermark: int = MIN_TIME
    state: str | None = None


class SplitEventTime:
    """Adds the hidden column `_time` and feeds the read's `SplitClock`. One per (worker, node).

    `splits`: those of the worker, each as it was in its snapshot, or None when it starts afresh.
    """

    def __init__(self, work: SplitTimes, schema: pa.Schema, splits: Mapping[str, SplitTime | None]) -> None:
        self._evaluate = work.evaluate
        self._marks = work.marks
        self._marked = {name: (time.watermark, time.state) for name, time in splits.items() if time is not None}
        self._schema = schema
        self._place = schema.get_field_index(TIME)
        self._field = schema.field(TIME)
        self.min_time = work.min_time
        self.clock = _restored_clock(work, splits)

    def on_rows(self, split: str, batch: Batch) -> tuple[Batch]:
        """The batch with its event time; zero-copy where that equals a column.

        Raises DataError for a null time or one outside what int64 microseconds hold (rules 1, 11).
        """
        times = self._evaluate(batch)
        if times.null_count:
            row = int(np.flatnonzero(times.is_null().to_numpy(zero_copy_only=False))[0])
            raise DataError(
                f"row {row} of a batch from split {split!r} has no event time: {_show(batch, row)}",
                remedy="filter such rows before with_event_time, or give a default with .fill_null",
            )
        least, greatest = least_and_greatest(times)
        if greatest == MAX_TIME or least == MIN_TIME:
            raise DataError(
                f"an event time in a batch from split {split!r} is outside the range of int64 microseconds",
                remedy="check the unit given to from_epoch",
            )
        if self._marks is not None:
            self._mark(self._marks, split, batch, times)
        self.clock.on_rows(split, greatest)
        if batch.num_columns == self._place:
            return (batch.append_column(self._field, times),)
        columns = batch.columns
        columns[self._place] = times
        return (pa.RecordBatch.from_arrays(columns, schema=self._schema),)

    def _mark(self, marks: Marks, split: str, batch: Batch, times: pa.Array) -> None:
        before, state = self._marked.get(split, (MIN_TIME, None))
        time, state = marks.mark(batch, raw_values(times), state)
        time = before if time is None else max(before, time)
        self._marked[split] = time, state
        self.clock.on_watermark(split, time)

    def times(self) -> dict[str, SplitTime]:
        """Of every split that has shown a row."""
        return {
            name: SplitTime(greatest, *self._marked.get(name, (MIN_TIME, None)))
            for name, greatest in self.clock.greatest().items()
        }


def _show(batch: Batch, row: int) -> str:
    return repr(batch.slice(row, 1).to_pylist()[0])[:200]


def _restored_clock(work: SplitTimes, splits: Mapping[str, SplitTime | None]) -> SplitClock:
    least: dict[str, int] = {}
    for name in splits:
        known = work.min_time(name)
        least[name] = MIN_TIME if known is None else known
    before = {name: time for name, time in splits.items() if time is not None}
    greatest = {name: time.greatest for name, time in before.items()}
    bound = work.strategy.bound if isinstance(work.strategy, BoundedOutOfOrderness) else None
    clock = SplitClock(bound=bound, idle=work.strategy.idle, least=least, greatest=greatest, align=work.strategy.align)
    for name, time in before.items():
        clock.on_watermark(name, time.watermark)
    return clock
