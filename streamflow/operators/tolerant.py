"""An operator that goes on without the rows that it cannot process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa

from streamflow.kernels.aggregate import AggregateSpec
from streamflow.kernels.grouping import Groups
from streamflow.operators.assign_windows import AssignWindows
from streamflow.operators.base import Operator, Output, TimedOperator
from streamflow.operators.count_aggregate import CountAggregate
from streamflow.operators.dead_letters import Rejected
from streamflow.operators.event_time import SetEventTime
from streamflow.operators.events import CHANGE, INSERT, UPDATE_AFTER, Batch, Watermark
from streamflow.operators.firing import partials
from streamflow.operators.processing_time import ByProcessingTime
from streamflow.operators.refining import Refining
from streamflow.operators.running_aggregate import RunningAggregate
from streamflow.operators.salvage import salvage
from streamflow.operators.session import SessionAggregate
from streamflow.operators.stateless import Stateless
from streamflow.operators.window_aggregate import WindowAggregate, WindowPartial
from streamflow.state.container import Container

_BY_ROW = (Stateless, SetEventTime, AssignWindows, RunningAggregate)
_OF_WINDOWS = (WindowAggregate, WindowPartial, SessionAggregate, Refining, CountAggregate, ByProcessingTime)


def tolerant(operator: Operator) -> Operator:
    """Around operators that take each row for itself: where a batch raises DataError, its other rows go on.

    Other operators come out as they are: they send `Rejected` where a result cannot be made. Rows that an aggregate of
    the user's own does not take are found before these see them, for they may hold rows of many batches.
    """
    if isinstance(operator, _BY_ROW):
        return Tolerant(operator)
    if isinstance(operator, _OF_WINDOWS):
        own = tuple(spec for spec in operator.of_rows if spec.kind == "custom")
        if own:
            return ScreenedTimed(operator, own) if isinstance(operator, TimedOperator) else Screened(operator, own)
    return operator


class _Around:
    """An operator around another, which it is but for its batches."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Operator) -> None:
        self._inner = inner

    @property
    def late(self) -> int:
        return self._inner.late

    def on_watermark(self, watermark: Watermark) -> Iterable[Output]:
        return self._inner.on_watermark(watermark)

    def flush(self) -> Iterable[Output]:
        return self._inner.flush()

    def state(self) -> Mapping[str, Container]:
        return self._inner.state()


class Tolerant(_Around):
    """The operator inside must raise DataError before it changes its state.

    Of a changelog, a row that is taken back and cannot be processed is left out in silence: it could not be when it
    came, was rejected then, and never went on. So the final state is that of the rows that can be processed.
    """

    __slots__ = ()

    def on_batch(self, port: int, batch: Batch) -> Iterable[Output]:
        outputs = salvage(batch, lambda rows: self._inner.on_batch(port, rows))
        return _without_taken_back(outputs) if CHANGE in batch.schema.names else outputs


def _without_taken_back(outputs: Iterable[Output]) -> Iterator[Output]:
    for output in outputs:
        if not isinstance(output, Rejected):
            yield output
            continue
        kinds = output.rows.column(CHANGE).to_pylist()
        given = [row for row, kind in enumerate(kinds) if kind in (INSERT, UPDATE_AFTER)]
        if given:
            yield Rejected(output.rows.take(pa.array(given)), tuple(output.errors[row] for row in given))


class Screened(_Around):
    """Gives the operator inside only rows of which these aggregates, the user's own, can make a partial."""

    __slots__ = ("_aggregates",)

    def __init__(self, inner: Operator, aggregates: tuple[AggregateSpec, ...]) -> None:
        super().__init__(inner)
        self._aggregates = aggregates

    def on_batch(self, port: int, batch: Batch) -> Iterator[Output]:
        for output in salvage(batch, self._taken):
            if isinstance(output, pa.RecordBatch):
                yield from self._inner.on_batch(port, output)
            else:
                yield output

    def _taken(self, rows: Batch) -> Iterable[Output]:
        groups = Groups(np.zeros(rows.num_rows, np.int64), 1, np.zeros(1, np.int64))
        for spec in self._aggregates:
            partials(spec, rows.column, groups)
        return (rows,)


class ScreenedTimed(Screened):
    """Of an operator that goes by processing time."""

    __slots__ = ("_timed",)

    def __init__(self, inner: TimedOperator, aggregates: tuple[AggregateSpec, ...]) -> None:
        super().__init__(inner, aggregates)
        self._timed = inner

    def on_timer(self, now: int) -> Iterable[Output]:
        return self._timed.on_timer(now)

    def next_wakeup(self) -> int | None:
        return self._timed.next_wakeup()
