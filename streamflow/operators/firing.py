"""What operators that fire have in common: judging, splitting off, window columns, results of aggregates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ParamSpec, TypeVar

import numpy as np
import pyarrow as pa

from streamflow.errors import DataError
from streamflow.kernels.aggregate import (
    AggregateSpec,
    CustomError,
    finish,
    merge,
    merge_pairs,
    partial_of_rows,
    result_of,
)
from streamflow.kernels.arrays import Int64s, raw_values
from streamflow.kernels.calendar import CalendarSlices
from streamflow.kernels.grouping import Groups
from streamflow.kernels.sessions import row_ends
from streamflow.kernels.windows import Slices
from streamflow.operators.base import Output
from streamflow.operators.dead_letters import Rejected
from streamflow.operators.events import MAX_TIME, TIME_TYPE, Batch
from streamflow.operators.salvage import salvage
from streamflow.state.calendar import CalendarBounds
from streamflow.state.container import Container
from streamflow.state.progress import Progress

P = ParamSpec("P")
T = TypeVar("T")

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


def partials(spec: AggregateSpec, column: Callable[[str], pa.Array], groups: Groups) -> list[pa.Array]:
    """`partial_of_rows`; DataError for rows that an aggregate of the user's own does not take."""
    return _as_data_error(partial_of_rows, spec, column, groups)


def merged(spec: AggregateSpec, parts: Sequence[pa.Array], groups: Groups) -> list[pa.Array]:
    """`merge`; DataError for partials that an aggregate of the user's own does not take."""
    return _as_data_error(merge, spec, parts, groups)


def merged_pairs(spec: AggregateSpec, parts: Sequence[pa.Array], others: Sequence[pa.Array]) -> list[pa.Array]:
    """`merge_pairs`; DataError for partials that an aggregate of the user's own does not take."""
    return _as_data_error(merge_pairs, spec, parts, others)


def finished(spec: AggregateSpec, parts: Sequence[pa.Array]) -> pa.Array:
    """The aggregate's results. Raises DataError where an integer sum does not fit its type (rule 16)."""
    return _as_data_error(finish, spec, parts)


def all_finished(
    aggregates: Sequence[AggregateSpec], parts: Sequence[Sequence[pa.Array]]
) -> tuple[list[pa.Array], Mapping[int, DataError]]:
    """The results of every aggregate from its own parts, and why those rows have none that are null in all columns."""
    try:
        return [finished(spec, own) for spec, own in zip(aggregates, parts, strict=True)], {}
    except DataError:
        numbered = pa.array(np.arange(len(parts[0][0])))
    stops = np.cumsum([len(own) for own in parts]).tolist()
    rows = pa.RecordBatch.from_arrays(
        [*(c for own in parts for c in own), numbered], names=list(map(str, range(stops[-1] + 1)))
    )

    def make(some: Batch) -> Iterator[Batch]:
        own = [some.columns[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]
        made = [finished(spec, columns) for spec, columns in zip(aggregates, own, strict=True)]
        yield pa.RecordBatch.from_arrays([*made, some.columns[-1]], names=list(map(str, range(len(made) + 1))))

    made: list[pa.Array] = [pa.nulls(0, result_of(spec)) for spec in aggregates]
    places: Int64s = np.zeros(0, np.int64)
    failed: dict[int, DataError] = {}
    for output in salvage(rows, make):
        if isinstance(output, Rejected):
            failed = dict(zip(output.rows.column(stops[-1]).to_pylist(), output.errors, strict=True))
        elif isinstance(output, pa.RecordBatch):
            *made, numbers = output.columns
            places = raw_values(numbers)
    where = np.full(rows.num_rows, -1)
    where[places] = np.arange(len(places))
    taken = pa.array(where, mask=where < 0)
    return [column.take(taken) for column in made], failed


def _as_data_error(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return call(*args, **kwargs)
    except OverflowError as error:
        remedy = "cast the column to float64 or to a decimal before it is summed"
        raise DataError(str(error), remedy=remedy) from error
    except CustomError as error:
        raise DataError(str(error), remedy="let it take such values, or filter them out before") from error


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
    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(TIME_TYPE, len(values), [None, data], null_count=0)
