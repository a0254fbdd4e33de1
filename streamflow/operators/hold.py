"""The watermark held back, for steps that take each row once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from streamflow.kernels.arrays import raw_values
from streamflow.operators.base import Output
from streamflow.operators.events import MAX_TIME, MIN_TIME, TIME, Batch, Watermark
from streamflow.operators.firing import times_of
from streamflow.state.container import Container


class HoldWatermark:
    """Rows as they come, and the watermark less `by`: behind windows that may send a result so much after their end, no
    row is below it (rule 8). The end of time is not held back.

    `moves_rows`: the rows' event times become as much earlier, so that they lie to the watermark as they did.
    """

    late = 0

    def __init__(self, by: int, *, moves_rows: bool = False) -> None:
        self._by = by
        self._moves_rows = moves_rows

    def on_batch(self, port: int, batch: Batch) -> Iterable[Output]:
        if not self._moves_rows:
            return (batch,)
        place = batch.schema.get_field_index(TIME)
        times = times_of(np.maximum(raw_values(batch.column(place)), MIN_TIME + self._by) - self._by)
        return (batch.set_column(place, batch.schema.field(place), times),)

    def on_watermark(self, watermark: Watermark) -> Iterable[Output]:
        if watermark.time == MAX_TIME:
            return (watermark,)
        return (Watermark(max(watermark.time, MIN_TIME + self._by) - self._by, watermark.idle),)

    def flush(self) -> Iterable[Output]:
        return ()

    def state(self) -> Mapping[str, Container]:
        return {}
