"""What operators that fire have in common: judging, splitting off, window columns, results of aggregates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from streamflow.errors import DataError
from streamflow.kernels.aggregate import AggregateSpec, finish
from streamflow.kernels.arrays import Int64s, raw_values
from streamflow.kernels.calendar import CalendarSlices
from streamflow.kernels.sessions import row_ends
from streamflow.kernels.windows import Slices
from streamflow.operators.base import Output
from streamflow.operators.dead_letters import Rejected
from streamflow.operators.events import MAX_TIME, TIME_TYPE, Batch
from streamflow.operators.salvage import salvage
from streamflow.state.calendar import CalendarBounds
from streamflow.state.container import Container
from streamflow.state.progress import Progress

WINDOW_START, WINDOW_END = "window_start", "window_end"
WINDOW_FIELDS = (pa.field(WINDOW_START, TIME_TYPE), pa.field(WINDOW_END, TIME_TYPE))


def on_time(
    rows: pa.RecordBatch, keys: Sequence[pa.Array], gap: int, progress: Progress
) -> tuple[pa.RecordBatch, Int64s]:
    """The rows whose own [t, t + gap) the watermark has not passed, and its end; the others are counted as late.

    The last column of `rows` is the event time.
    """
    ends = row_ends(raw_values(rows.column(-1)), gap)
    kept = before_watermark(ends, keys, progress)
    if kept is None:
        return rows, ends
    return rows.take(pa.array(kept)), ends[kept]


def before_watermark(ends: Int64s, keys: Sequence[pa.Array], progress: Progress) -> Int64s | None:
    """The rows whose window end is above the watermark that judges them; None for all. The others count as late."""
    if progress.settled and int(ends.min()) > progress.watermark:
        return None
    kept = np.flatnonzero(ends > progress.of_rows(keys, len(ends)))
    progress.late += len(ends) - len(kept)
    return kept if len(kept) < len(ends) else None


def split_fired(rows: pa.RecordBatch, end_column: int, time: int) -> tuple[pa.RecordBatch, pa.RecordBatch, int]:
    """The rows whose end (int64) is at or before `time`, the others, and the others' least end (else MAX_TIME)."""
    ends = raw_values(rows.column(end_column))
    fired = ends <= time
    count = int(np.count_nonzero(fired))
    if count == len(ends):
        return rows, rows.slice(0, 0), MAX_TIME
    if fired[:count].all():  # mostly: windows end in the order in which their rows came
        return rows.slice(0, count), rows.slice(count), int(ends[count:].min())
    kept = ~fired
    return rows.filter(pa.array(fired)), rows.filter(pa.array(kept)), int(ends[kept].min())


def finished(spec: AggregateSpec, parts: Sequence[pa.Array]) -> pa.Array:
    """The aggregate's results. Raises DataError where an integer sum does not fit its type (rule 16)."""
    try:
        return finish(spec, parts)
    except OverflowError as error:
        remedy = "cast the column to float64 or to a decimal before it is summed"
        raise DataError(str(error), remedy=remedy) from error


def results(
    columns: Sequence[pa.Array], make: Callable[[Sequence[pa.Array]], Batch], shown: pa.Schema
) -> Iterator[Output]:
    """The results of windows that `make` gives for rows of these columns, and those rejected for which it raises.

    The first of the columns, as in `shown`, are what is to be seen of a result that cannot be made.
    """
    try:
        yield make(columns)
        return
    except DataError:
        rows = pa.RecordBatch.from_arrays([*columns], names=[str(place) for place in range(len(columns))])
    for output in salvage(rows, lambda part: (make(part.columns),)):
        if isinstance(output, Rejected):
            known = pa.RecordBatch.from_arrays(output.rows.columns[: len(shown)], schema=shown)
            yield Rejected(known, output.errors)
        else:
            yield output


def calendar_state(window: Slices, name: str = "calendar") -> Mapping[str, Container]:
    """What a step keeps of its windows' bounds, under this name: nothing where they are arithmetic."""
    return {name: CalendarBounds(window)} if isinstance(window, CalendarSlices) else {}


def times_of(values: Int64s) -> pa.Array:
    """Int64 microseconds as timestamps, zero-copy.

    >>> times_of(np.array([0])).type
    TimestampType(timestamp[us, tz=UTC])
    """
    return pa.array(values).view(TIME_TYPE)
