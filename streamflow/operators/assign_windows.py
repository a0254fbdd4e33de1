"""Rows with the windows that the user's own assigner puts them into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from streamflow.errors import DataError
from streamflow.kernels.arrays import Int64s, raw_values
from streamflow.operators.base import Output
from streamflow.operators.events import TIME, Batch, Watermark
from streamflow.operators.firing import WINDOW_END, WINDOW_START, times_of
from streamflow.state.container import Container


class Assigner(Protocol):
    """See `streamflow.plan.logical.windows.Assigner`."""

    def assign(self, times: Int64s) -> tuple[Any, ...]: ...


class AssignWindows:
    """Each row once for each of its windows, with `window_start` and `window_end`.

    Raises DataError where the assigner gives arrays that do not fit, or a window that does not hold its row's time.
    """

    late = 0

    def __init__(self, assigner: Assigner, schema_in: pa.Schema, schema_out: pa.Schema) -> None:
        self._assigner = assigner
        self._time = schema_in.get_field_index(TIME)
        self._source = [schema_in.get_field_index(name) for name in schema_out.names]
        self.output_schema = schema_out

    def on_batch(self, port: int, batch: Batch) -> Iterable[Output]:
        times = raw_values(batch.column(self._time))
        rows, starts, ends = self._assigned(times)
        if rows is not None:
            batch, times = batch.take(pa.array(rows)), times[rows]
        if not len(starts):
            return ()
        outside = np.flatnonzero((starts > times) | (times >= ends))
        if len(outside):
            first = int(outside[0])
            what = f"[{starts[first]}, {ends[first]}) for the time {times[first]}"
            raise self._wrong(f"gave the window {what}, which does not hold it")
        computed = {WINDOW_START: times_of(starts), WINDOW_END: times_of(ends)}
        columns = [
            computed[name] if name in computed else batch.column(place)
            for name, place in zip(self.output_schema.names, self._source, strict=True)
        ]
        return (pa.RecordBatch.from_arrays(columns, schema=self.output_schema),)

    def on_watermark(self, watermark: Watermark) -> Iterable[Output]:
        return (watermark,)

    def flush(self) -> Iterable[Output]:
        return ()

    def state(self) -> Mapping[str, Container]:
        return {}

    def _assigned(self, times: Int64s) -> tuple[Int64s | None, Int64s, Int64s]:
        try:
            found: Any = self._assigner.assign(times)
        except Exception as error:
            raise self._wrong(f"raised {type(error).__name__}: {error}") from error
        if not isinstance(found, tuple) or len(found) not in (2, 3):
            raise self._wrong("returned neither (starts, ends) nor (rows, starts, ends)")
        arrays = [np.ascontiguousarray(part) for part in found]
        if any(part.dtype != np.int64 or part.ndim != 1 for part in arrays):
            raise self._wrong(f"returned arrays of {', '.join(str(part.dtype) for part in arrays)}, not of int64")
        if len({len(part) for part in arrays}) > 1 or (len(arrays) == 2 and len(arrays[0]) != len(times)):
            raise self._wrong(f"returned {', '.join(str(len(part)) for part in arrays)} entries for {len(times)} rows")
        *rows, starts, ends = arrays
        if rows and len(rows[0]) and not 0 <= rows[0].min() <= rows[0].max() < len(times):
            raise self._wrong(f"named a row that is not among the {len(times)}")
        return (rows[0] if rows else None), starts, ends

    def _wrong(self, what: str) -> DataError:
        remedy = "assign(times) returns (starts, ends), one for each row, or (rows, starts, ends), one for each pair"
        return DataError(f"{type(self._assigner).__name__}.assign {what}", remedy=f"{remedy}: int64 microseconds")
