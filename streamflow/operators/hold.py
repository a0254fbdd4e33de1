"""The watermark held back, for steps that take each row once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streamflow.operators.base import Output
from streamflow.operators.events import MAX_TIME, MIN_TIME, Batch, Watermark
from streamflow.state.container import Container


class HoldWatermark:
    """Rows as they come, and the watermark less `by`: behind windows that may send a result so much after their end, no
    row is below it (rule 8). The end of time is not held back.
    """

    late = 0

    def __init__(self, by: int) -> None:
        self._by = by

    def on_batch(self, port: int, batch: Batch) -> Iterable[Output]:
        return (batch,)

    def on_watermark(self, watermark: Watermark) -> Iterable[Output]:
        if watermark.time == MAX_TIME:
            return (watermark,)
        return (Watermark(max(watermark.time, MIN_TIME + self._by) - self._by, watermark.idle),)

    def flush(self) -> Iterable[Output]:
        return ()

    def state(self) -> Mapping[str, Container]:
        return {}
