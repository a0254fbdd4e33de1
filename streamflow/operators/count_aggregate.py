"""Aggregates over windows of so many rows of a key, in the order of their event times (rule 12)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from streamflow.kernels.aggregate import AggregateSpec
from streamflow.kernels.arrays import Bools, Int64s, raw_values
from streamflow.kernels.ordering import top_rows
from streamflow.kernels.windows import EndlessSlices
from streamflow.operators.base import Output, Pause
from streamflow.operators.events import MAX_TIME, TIME, Batch, Watermark
from streamflow.operators.firing import before_watermark
from streamflow.operators.panes import PENDING, DiscardingPanes, Pairs
from streamflow.state.container import Container
from streamflow.state.progress import Progress
from streamflow.state.rows_by_time import RowsByTime

SWEEP = 1 << 16
"""With so many keys those that wait for no more rows of a window are forgotten."""


class CountAggregate:
    """A result for every `rows` rows of a key, and at the end of time for those that are left: keys, aggregates.

    Rows are held until the watermark has passed their event time, and then counted in its order; rows of one event time
    in the order of the aggregates' columns, so that the results do not depend on how rows arrive. A row that is older
    than the watermark when it comes is late, counted and left out.

    State: the rows held, the partial aggregates of the windows that are not full, and the watermark per key group.
    """

    def __init__(
        self, keys: tuple[str, ...], rows: int, aggregates: tuple[AggregateSpec, ...], schema: pa.Schema
    ) -> None:
        self._rows = rows
        self.of_rows = aggregates
        self._values = list(dict.fromkeys(name for spec in aggregates for name in spec.columns))
        used = [*keys, *(name for name in self._values if name not in (*keys, TIME)), TIME]
        self._used = [schema.get_field_index(name) for name in used]
        fields = pa.schema([schema.field(name) for name in used])
        self._key_count = len(keys)
        self._held = RowsByTime(fields, range(len(keys)))
        self._panes = DiscardingPanes(pa.schema([schema.field(key) for key in keys]), EndlessSlices(), aggregates)
        self._progress = Progress()
        self._limit = SWEEP
        self.output_schema = self._panes.output_schema

    @property
    def late(self) -> int:
        return self._progress.late

    def on_batch(self, port: int, batch: Batch) -> Iterator[Output]:
        rows = batch.select(self._used)
        times = raw_values(rows.column(-1))
        kept = before_watermark(times + 1, rows.columns[: self._key_count], self._progress)
        if kept is not None:
            rows = rows.take(pa.array(kept))
        self._held.append(rows)
        yield from ()

    def on_watermark(self, watermark: Watermark) -> Iterator[Output]:
        self._progress.advance(watermark.time)
        for rows in self._held.take_before(watermark.time):
            yield from self._count(rows)
            self._sweep()
            yield Pause()
        if watermark.time == MAX_TIME:
            yield from self._send_rest()
        yield watermark

    def flush(self) -> Iterator[Output]:
        yield from ()

    def state(self) -> Mapping[str, Container]:
        return {"rows": self._held, "windows": self._panes.table, "progress": self._progress}

    def _count(self, rows: pa.RecordBatch) -> Iterator[Output]:
        values = [rows.column(name) for name in self._values]
        order = top_rows([rows.column(-1), *values], [False] * (1 + len(values)), rows.num_rows)
        rows = rows.take(pa.array(order))
        keys = rows.columns[: self._key_count]
        columns = {name: rows.column(name) for name in self._values}
        numbers, limits = np.zeros(rows.num_rows, np.int64), np.full(rows.num_rows, self._rows)
        yield from self._panes.add(Pairs(numbers, keys, columns, limits))

    def _sweep(self) -> None:
        table = self._panes.table
        if len(table) > self._limit:
            table.retain([PENDING], _holds_rows)
            self._limit = max(SWEEP, 2 * len(table))

    def _send_rest(self) -> Iterator[Output]:
        for left in self._panes.table.select([PENDING], _holds_rows):
            if len(left):
                yield from self._panes.fire(left)


def _holds_rows(windows: Int64s, pending: pa.Array) -> Bools:
    holds: Bools = raw_values(pending) > 0
    return holds
