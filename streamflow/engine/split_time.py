"""The node that gives rows their event time right behind a read, while the split is still known."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa

from streamflow.engine.watermarks import SplitClock
from streamflow.errors import DataError
from streamflow.kernels.arrays import least_and_greatest
from streamflow.operators.events import MAX_TIME, MIN_TIME, TIME, Batch


class SplitEventTime:
    """Adds the hidden column `_time` and feeds the read's `SplitClock`. One per (worker, node)."""

    def __init__(self, evaluate: Callable[[pa.RecordBatch], pa.Array], schema: pa.Schema, clock: SplitClock) -> None:
        self._evaluate = evaluate
        self._schema = schema
        self._replaces = schema.get_field_index(TIME)
        self.clock = clock

    def on_rows(self, split: str, batch: Batch) -> Batch:
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
        self.clock.on_rows(split, greatest)
        if batch.num_columns == self._replaces:
            return batch.append_column(TIME, times)
        columns = batch.columns
        columns[self._replaces] = times
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)


def _show(batch: Batch, row: int) -> str:
    return repr(batch.slice(row, 1).to_pylist()[0])[:200]


def restored_clock(
    *,
    bound: int,
    idle: int | None,
    splits: Mapping[str, int | None],
    min_time: Callable[[str], int | None],
) -> SplitClock:
    """A clock over these splits, each with the greatest event time of its snapshot, or None when it starts afresh."""
    least: dict[str, int] = {}
    for name in splits:
        known = min_time(name)
        least[name] = MIN_TIME if known is None else known
    greatest = {name: time for name, time in splits.items() if time is not None}
    return SplitClock(bound=bound, idle=idle, least=least, greatest=greatest)
