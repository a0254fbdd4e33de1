"""Checks around an operator, that hold for every operator: they wrap it, they are not woven through it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa

from streamflow.errors import EngineError
from streamflow.operators.base import Operator, Output, TimedOperator
from streamflow.operators.events import MIN_TIME, TIME, Batch, Watermark
from streamflow.operators.process import Process
from streamflow.operators.refining import Refining
from streamflow.operators.session import SessionAggregate
from streamflow.operators.top import SessionTop, WindowTop
from streamflow.operators.window_aggregate import WindowAggregate
from streamflow.plan.physical import PhysicalNode
from streamflow.state.container import Container


def checked(inner: Operator, node: PhysicalNode) -> Operator:
    """The operator within `Checked`; one that goes by processing time still does."""
    return CheckedTimed(inner, node) if isinstance(inner, TimedOperator) else Checked(inner, node)


class Checked:
    """An operator that raises EngineError when the one inside breaks a promise.

    Batches have the edge's schema and at least one row; watermarks never go back; what a window fires lies not below
    the watermark that was forwarded, less the allowed lateness (rule 7).
    """

    def __init__(self, inner: Operator, node: PhysicalNode) -> None:
        self._inner = inner
        self._node = node
        self._forwarded = MIN_TIME
        self._lateness = inner.lateness if isinstance(inner, Refining) else 0
        match inner:
            case WindowAggregate() | SessionAggregate() | SessionTop():
                self._fires = True
            case WindowTop():
                self._fires = not node.label.startswith("local")
            case Refining() | Process():
                self._fires = TIME in node.schema.names
            case _:
                self._fires = False

    @property
    def late(self) -> int:
        return self._inner.late

    def on_batch(self, port: int, batch: Batch) -> Iterable[Output]:
        return self._check(self._inner.on_batch(port, batch))

    def on_watermark(self, watermark: Watermark) -> Iterable[Output]:
        return self._check(self._inner.on_watermark(watermark))

    def flush(self) -> Iterable[Output]:
        return self._check(self._inner.flush())

    def state(self) -> Mapping[str, Container]:
        return self._inner.state()

    def _check(self, outputs: Iterable[Output]) -> Iterator[Output]:
        for output in outputs:
            if isinstance(output, Watermark):
                if output.time < self._forwarded:
                    raise self._broken(f"the watermark went back from {self._forwarded} to {output.time}")
                self._forwarded = output.time
            elif isinstance(output, pa.RecordBatch):
                self._check_batch(output)
            yield output

    def _check_batch(self, batch: Batch) -> None:
        if not batch.schema.equals(self._node.schema):
            raise self._broken(f"a batch has the schema\n{batch.schema}\nand not the edge's\n{self._node.schema}")
        if batch.num_rows == 0:
            raise self._broken("an empty batch was sent")
        if self._fires:
            least = batch.column(TIME).view(pa.int64()).to_numpy().min()
            if least < max(self._forwarded, MIN_TIME + self._lateness) - self._lateness:
                raise self._broken(f"a result has event time {least}, below the forwarded watermark {self._forwarded}")

    def _broken(self, what: str) -> EngineError:
        return EngineError(what, step=self._node.step, location=self._node.location)


class CheckedTimed(Checked):
    """Beside what holds for all: the time that the operator is told never goes back."""

    def __init__(self, inner: TimedOperator, node: PhysicalNode) -> None:
        super().__init__(inner, node)
        self._timed = inner
        self._now = MIN_TIME

    def on_timer(self, now: int) -> Iterable[Output]:
        if now < self._now:
            raise self._broken(f"the time went back from {self._now} to {now}")
        self._now = now
        return self._check(self._timed.on_timer(now))

    def next_wakeup(self) -> int | None:
        return self._timed.next_wakeup()
