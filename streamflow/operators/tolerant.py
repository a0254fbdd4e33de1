"""An operator that goes on without the rows that it cannot process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streamflow.operators.base import Operator, Output
from streamflow.operators.event_time import SetEventTime
from streamflow.operators.events import Batch, Watermark
from streamflow.operators.salvage import salvage
from streamflow.operators.stateless import Stateless
from streamflow.state.container import Container


def tolerant(operator: Operator) -> Operator:
    """Around operators that take each row for itself: where a batch raises DataError, its other rows go on.

    Operators that need many rows come out as they are: they send `Rejected` where a result cannot be made.
    """
    return Tolerant(operator) if isinstance(operator, Stateless | SetEventTime) else operator


class Tolerant:
    """The operator inside must raise DataError before it changes its state."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Operator) -> None:
        self._inner = inner

    @property
    def late(self) -> int:
        return self._inner.late

    def on_batch(self, port: int, batch: Batch) -> Iterable[Output]:
        return salvage(batch, lambda rows: self._inner.on_batch(port, rows))

    def on_watermark(self, watermark: Watermark) -> Iterable[Output]:
        return self._inner.on_watermark(watermark)

    def flush(self) -> Iterable[Output]:
        return self._inner.flush()

    def state(self) -> Mapping[str, Container]:
        return self._inner.state()
