"""`with_event_time` in mid-stream: a new event time, and a watermark of its own that trails it.

From here on the input's watermark means nothing: it speaks of the old event time. Only its end and its idleness do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.errors import DataError
from streamflow.kernels.arrays import least_and_greatest, raw_values
from streamflow.operators.base import Output
from streamflow.operators.events import MAX_TIME, MIN_TIME, RESERVED, TIME, TIME_TYPE, Batch, Watermark
from streamflow.state.container import Container, Snapshot


class SetEventTime:
    """Gives each row the event time that `evaluate` computes of its batch; `schema` is that of the output.

    The watermark is the greatest event time so far minus `bound` us, sent after each batch that raises it. Rows below
    it pass as they are: what is late is judged by the windows downstream. A null or reserved (infinite) event time
    raises DataError and shows the row. After a restore the greatest time is the least of all workers', which may repeat
    an older watermark but never makes a row late that was not.
    """

    def __init__(self, evaluate: Callable[[pa.RecordBatch], pa.Array], bound: int, schema: pa.Schema) -> None:
        if bound < 0:
            raise ValueError(f"out-of-orderness must be at least 0 us, not {bound}")
        self.late = 0
        self._evaluate = evaluate
        self._bound = bound
        self._schema = schema
        self._greatest = _Greatest()
        self._idle = False
        self._ended = False

    def on_batch(self, port: int, batch: Batch) -> Iterable[Output]:
        times = self._evaluate(batch)
        if times.type != TIME_TYPE:
            times = times.cast(TIME_TYPE)
        latest = _check(times, batch)
        columns = [times if field.name == TIME else batch.column(field.name) for field in self._schema]
        yield pa.RecordBatch.from_arrays(columns, schema=self._schema)
        before = Watermark(self._watermark(), self._idle)
        self._greatest.time = max(self._greatest.time, latest)
        self._idle = False
        now = Watermark(self._watermark())
        if now != before:  # risen, or awake again: downstream must wait for this input from here on
            yield now

    def on_watermark(self, watermark: Watermark) -> Iterable[Output]:
        if watermark.time == MAX_TIME:
            if not self._ended or watermark.idle != self._idle:
                self._ended, self._idle = True, watermark.idle
                yield watermark
        elif watermark.idle != self._idle:
            self._idle = watermark.idle
            yield Watermark(self._watermark(), watermark.idle)

    def flush(self) -> Iterable[Output]:
        return ()

    def state(self) -> Mapping[str, Container]:
        return {"greatest": self._greatest}

    def _watermark(self) -> int:
        return max(self._greatest.time - self._bound, MIN_TIME)


def _check(times: pa.Array, batch: Batch) -> int:
    """The greatest time, if none is null or reserved."""
    if times.null_count:
        raise _refuse("null", batch, pc.index(times.is_null(), True).as_py())
    earliest, latest = least_and_greatest(times)
    if latest == MAX_TIME or earliest == MIN_TIME:
        values = raw_values(times)
        reserved = np.flatnonzero((values == MAX_TIME) | (values == MIN_TIME))
        raise _refuse("out of range", batch, int(reserved[0]))
    return latest


def _refuse(what: str, batch: Batch, row: int) -> DataError:
    visible = [name for name in batch.schema.names if name not in RESERVED]
    shown = ", ".join(f"{name}={_show(batch.column(name)[row])}" for name in visible)
    return DataError(f"the event time is {what} in the row {shown}", remedy="filter such rows out, or give them a time")


def _show(value: pa.Scalar) -> str:
    try:
        return repr(value.as_py())
    except (OverflowError, ValueError):  # a time that no datetime can hold
        return str(value.value)


class _Greatest(Container):
    """The greatest event time of this worker. It belongs to no key, so a snapshot keeps it in group 0."""

    def __init__(self) -> None:
        self.time = MIN_TIME

    def capture(self, groups: int) -> Snapshot:
        offsets = np.ones(groups + 1, np.int64)
        offsets[0] = 0
        return Snapshot(pa.record_batch({"time": pa.array([self.time], pa.int64())}), offsets)

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        times = [time for part in parts for time in part.rows.column("time").to_pylist()]
        self.time = min(times, default=MIN_TIME)
