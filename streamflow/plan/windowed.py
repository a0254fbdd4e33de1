"""The operators of windows: of aggregates, of tops, and of the rows that are late for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias, TypedDict, cast

import pyarrow as pa

from streamflow.errors import EngineError
from streamflow.kernels.aggregate import ORDERED, AggregateSpec
from streamflow.kernels.calendar import CalendarSlices
from streamflow.kernels.windows import CumulativeSlices, EndlessSlices, FinalBound, Slices, SlidingSlices
from streamflow.operators.base import Operator
from streamflow.operators.clocked_aggregate import ClockedAggregate
from streamflow.operators.clocked_session import ClockedSessions
from streamflow.operators.count_aggregate import CountAggregate
from streamflow.operators.events import ORDER, TIME
from streamflow.operators.late_rows import LateRows
from streamflow.operators.processing_time import EVENT_TIME, ByProcessingTime, Windows, stamped_schema
from streamflow.operators.refining_aggregate import RefiningAggregate
from streamflow.operators.refining_session import RefiningSessions
from streamflow.operators.running_aggregate import RunningAggregate
from streamflow.operators.session import SessionAggregate
from streamflow.operators.top import SessionTop, Stage, WindowTop
from streamflow.operators.window_aggregate import WindowAggregate, WindowPartial
from streamflow.plan.logical.expr import AggregateCall, Column, Expr, show
from streamflow.plan.logical.nodes import Aggregate, Late, Top
from streamflow.plan.logical.schema import physical_schema
from streamflow.plan.logical.show import duration
from streamflow.plan.logical.windows import (
    After,
    Assigned,
    Calendar,
    Count,
    Cumulative,
    Final,
    Global,
    ProcessingTime,
    Session,
    Sliding,
    Trigger,
    Tumbling,
    Window,
)
from streamflow.plan.outline import trigger_text

Made: TypeAlias = "tuple[str, Callable[[], Operator]]"
"""What a step is called, and how its operator is made."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A step in two: what stands before an exchange by key and what behind it, and the rows that go between them."""

    before: Made
    between: pa.Schema
    behind: Made


class _FiringOptions(TypedDict):
    lateness: int
    early: int | None
    late: int
    accumulate: bool


_Delays: TypeAlias = "tuple[int | None, int | None]"
"""Processing time that a window waits before its end, and after it; None: it fires by the number of rows."""
Sliced: TypeAlias = "Tumbling | Sliding | Cumulative | Calendar"
"""The windows that are made of slices."""


def aggregate(node: Aggregate) -> Made:
    """All of it, over rows."""
    schema = physical_schema(node.input.type)
    if isinstance(node.window, ProcessingTime):
        stamped = stamped_schema(schema)
        made = _aggregate(replace(node, window=node.window.window), stamped, _specs(node, stamped, EVENT_TIME))
        return _by_processing_time(made, schema)
    return _aggregate(node, schema, _specs(node, schema, TIME))


def _aggregate(node: Aggregate, schema: pa.Schema, specs: tuple[AggregateSpec, ...]) -> Made:
    if node.lateness or node.trigger is not None or isinstance(node.window, Global):
        return _refining(node, schema, specs)
    keys = node.keys
    match node.window:
        case None:
            return f"running {_what(node)}", partial(RunningAggregate, keys, specs, schema)
        case Session(gap):
            return f"session {_what(node)}, gap {duration(gap)}", partial(SessionAggregate, keys, gap, specs, schema)
        case Final(column, length):
            bound = FinalBound(column, length)
            label = _what(node).replace("aggregate", "aggregate of fired windows", 1)
            return label, partial(WindowAggregate, keys, bound, specs, schema)
        case Count(rows):
            return f"{_what(node)} in windows of {rows} rows", partial(CountAggregate, keys, rows, specs, schema)
        case Assigned():
            raise EngineError("the rule assigned_windows leaves none", step=node.name, location=node.location)
        case ProcessingTime():
            raise EngineError("time by the clock, twice", step=node.name, location=node.location)
        case window:
            assert not isinstance(window, Global), "it is refined"
            label = f"{_what(node)} in {_window_text(window)}"
            return label, partial(_window_aggregate, keys, window, specs, schema, "rows")


def _refining(node: Aggregate, schema: pa.Schema, specs: tuple[AggregateSpec, ...]) -> Made:
    """Windows that fire more than once."""
    trigger = node.trigger or Trigger(accumulate=not isinstance(node.window, Global))
    text = _lateness(node.lateness) + trigger_text(trigger, node.lateness)
    firing = _FiringOptions(
        lateness=node.lateness,
        early=None if isinstance(trigger.early, After) else trigger.early,
        late=1 if isinstance(trigger.late, After) else trigger.late,
        accumulate=trigger.accumulate,
    )
    early, late = (given.duration if isinstance(given, After) else None for given in (trigger.early, trigger.late))
    delays = None if early is None and late is None else (early, late)
    match node.window:
        case Session(gap):
            made = partial(_refining_sessions, node.keys, gap, specs, schema, firing, delays)
            return f"session {_what(node)}, gap {duration(gap)}{text}", made
        case None | Count() | Assigned() | ProcessingTime():
            raise EngineError("these windows fire once", step=node.name, location=node.location)
        case window:
            text = f" in {_any_window_text(window)}{text}"
    return _what(node) + text, partial(_refining_aggregate, node.keys, node.window, specs, schema, firing, delays)


def split_aggregate(node: Aggregate) -> Parts | None:
    """None where rows are exchanged as they are: see also `why_whole`."""
    window = node.window
    if not isinstance(window, Tumbling | Sliding | Cumulative | Calendar) or why_whole(node) is not None:
        return None
    label, _ = aggregate(node)
    schema = physical_schema(node.input.type)
    specs = _specs(node, schema, TIME)
    before = partial(_window_partial, node.keys, window, specs, schema)
    partials = before().output_schema
    if node.lateness:
        behind: Callable[[], Operator] = partial(_refining_partials, node.keys, window, specs, partials, node.lateness)
    else:
        behind = partial(_window_aggregate, node.keys, window, specs, partials, "partials")
    return Parts((f"partial {label}", before), partials, (f"final {label}", behind))


def why_whole(node: Aggregate) -> str | None:
    """Why rows are not aggregated before they are exchanged, where windows are made of slices; None where they are.

    A partial that is behind the watermark of its worker is sent with the batch that it is of, and any other ahead of
    the watermark that ends its slice, so that none comes later than its rows would have (rule 14).
    """
    if not isinstance(node.window, Tumbling | Sliding | Cumulative | Calendar):
        return None
    if node.partitioned:
        return "its late rows are read"
    trigger = node.trigger or Trigger()
    if trigger.early is not None or trigger.late != 1 or not trigger.accumulate:
        return "it fires by single rows"
    if node.lateness and isinstance(node.window, Calendar):
        return "days that are over are still to be told apart"
    return None


def top(node: Top) -> Made:
    """All of it, over rows."""
    schema = physical_schema(node.input.type)
    if isinstance(node.window, ProcessingTime):
        by = tuple(replace(key, column=EVENT_TIME) if key.column == TIME else key for key in node.by)
        made = _top(replace(node, window=node.window.window, by=by), stamped_schema(schema))
        return _by_processing_time(made, schema)
    return _top(node, schema)


def _top(node: Top, schema: pa.Schema) -> Made:
    if isinstance(node.window, Session):
        return _top_text(node), partial(SessionTop, node.keys, node.window.gap, node.n, _order(node), schema)
    return _top_text(node), partial(_staged_top(node), schema, "whole")


def split_top(node: Top) -> Parts | None:
    """As `split_aggregate`."""
    if isinstance(node.window, Session | ProcessingTime):
        return None
    staged = _staged_top(node)
    before = partial(staged, physical_schema(node.input.type), "local")
    between = before().output_schema
    label = _top_text(node)
    return Parts((f"local {label}", before), between, (f"final {label}", partial(staged, between, "final")))


def _by_processing_time(made: Made, schema: pa.Schema) -> Made:
    label, make = made
    return f"{label}, by processing time", partial(_clocked, make, schema)


def _clocked(make: Callable[[], Operator], schema: pa.Schema) -> ByProcessingTime:
    return ByProcessingTime(cast("Windows", make()), schema)


def late_rows(node: Late) -> Made:
    """The rows that are late for windows, beside what computes these."""
    window, schema = node.window, physical_schema(node.input.type)
    assert not isinstance(window, Global | Count | Assigned | ProcessingTime), "no row is late for it"
    label = f"rows late for {_any_window_text(window)}{_lateness(node.lateness)}"
    return label, partial(_late_rows, node.keys, window, node.lateness, schema, node.type.schema.names)


def _what(node: Aggregate) -> str:
    what = ", ".join(f"{named.name}={show(named.expr)}" for named in node.aggregates)
    return f"aggregate {what}" + (f" by {', '.join(node.keys)}" if node.keys else "")


def _specs(node: Aggregate, schema: pa.Schema, time: str) -> tuple[AggregateSpec, ...]:
    """`time`: the column with the rows' event time."""
    return tuple(_spec(named.name, named.expr, schema, time) for named in node.aggregates)


def _spec(name: str, expr: Expr, schema: pa.Schema, time: str) -> AggregateSpec:
    assert isinstance(expr, AggregateCall), "the rule plain_aggregates leaves only calls"
    argument = None if expr.argument is None else _column(expr.argument)
    places = ((name, schema.field(name).type) for name in (time, ORDER)) if expr.kind in ORDERED else ()
    return AggregateSpec(
        expr.kind,
        argument,
        None if argument is None else schema.field(argument).type,
        name,
        more=(*((_column(part), schema.field(_column(part)).type) for part in expr.more), *places),
        filter=None if expr.filter is None else _column(expr.filter),
        options=expr.options,
        custom=expr.custom,
    )


def _column(expr: Expr) -> str:
    assert isinstance(expr, Column), f"the rule plain_aggregates leaves only columns, not {show(expr)}"
    return expr.name


def _top_text(node: Top) -> str:
    text = ", ".join(f"{column} {'desc' if down else 'asc'}" for column, down in _order(node))
    label = f"top {node.n} by {text}" + (f" for each {', '.join(node.keys)}" if node.keys else "")
    match node.window:
        case Final():
            return label
        case Session(gap):
            return f"{label} in sessions, gap {duration(gap)}"
        case window:
            return f"{label} in {_any_window_text(window)}"


def _order(node: Top) -> tuple[tuple[str, bool], ...]:
    return tuple((key.column, key.descending) for key in node.by)


def _staged_top(node: Top) -> Callable[[pa.Schema, Stage], WindowTop]:
    assert not isinstance(node.window, Session | Global | Count | Assigned | ProcessingTime), (
        "refused when the flow is built"
    )
    return partial(_window_top, node.keys, node.window, node.n, _order(node))


# Operators of windows are made with slices of their own, which may remember what they looked up.


def _window_partial(
    keys: tuple[str, ...], window: Sliced, specs: tuple[AggregateSpec, ...], schema: pa.Schema
) -> WindowPartial:
    return WindowPartial(keys, _slices(window), specs, schema)


def _window_aggregate(
    keys: tuple[str, ...],
    window: Sliced,
    specs: tuple[AggregateSpec, ...],
    schema: pa.Schema,
    fed: Literal["rows", "partials"],
) -> WindowAggregate:
    return WindowAggregate(keys, _slices(window), specs, schema, fed)


def _refining_sessions(
    keys: tuple[str, ...],
    gap: int,
    specs: tuple[AggregateSpec, ...],
    schema: pa.Schema,
    firing: _FiringOptions,
    delays: _Delays | None,
) -> RefiningSessions:
    if delays is None:
        return RefiningSessions(keys, gap, specs, schema, **firing)
    return ClockedSessions(keys, gap, specs, schema, **firing, delays=delays)


def _refining_aggregate(
    keys: tuple[str, ...],
    window: Sliced | Global | Final,
    specs: tuple[AggregateSpec, ...],
    schema: pa.Schema,
    firing: _FiringOptions,
    delays: _Delays | None,
) -> RefiningAggregate:
    slices = _any_slices(window)
    if delays is None:
        return RefiningAggregate(keys, slices, specs, schema, **firing)
    return ClockedAggregate(keys, slices, specs, schema, **firing, delays=delays)


def _refining_partials(
    keys: tuple[str, ...], window: Sliced, specs: tuple[AggregateSpec, ...], schema: pa.Schema, lateness: int
) -> RefiningAggregate:
    slices = _slices(window)
    return RefiningAggregate(
        keys, slices, specs, schema, lateness=lateness, early=None, late=1, accumulate=True, input="partials"
    )


def _late_rows(
    keys: tuple[str, ...], window: Sliced | Session | Final, lateness: int, schema: pa.Schema, columns: Sequence[str]
) -> LateRows:
    judged = window.gap if isinstance(window, Session) else _any_slices(window)
    return LateRows(keys, judged, lateness, schema, columns)


def _window_top(
    keys: tuple[str, ...],
    window: Sliced | Final,
    n: int,
    by: tuple[tuple[str, bool], ...],
    schema: pa.Schema,
    stage: Stage,
) -> WindowTop:
    return WindowTop(keys, _any_slices(window), n, by, schema, stage)


def _any_slices(window: Sliced | Global | Final) -> Slices:
    match window:
        case Global():
            return EndlessSlices()
        case Final(column, length):
            return FinalBound(column, length)
        case sliced:
            return _slices(sliced)


def _slices(window: Sliced) -> Slices:
    match window:
        case Cumulative(size, step, offset):
            return CumulativeSlices(size, step, offset)
        case Calendar(days, zone, offset):
            return CalendarSlices(days, zone, offset)
        case Tumbling(size, offset):
            return SlidingSlices(size, size, offset)
        case Sliding(size, every, offset):
            return SlidingSlices(size, every, offset)


def _any_window_text(window: Window | Final) -> str:
    match window:
        case Final(column):
            return f"windows until {column}"
        case Session(gap):
            return f"sessions, gap {duration(gap)}"
        case Assigned(assigner):
            return f"windows of {type(assigner).__name__}"
        case Count(rows):
            return f"windows of {rows} rows"
        case ProcessingTime(inner):
            return f"{_any_window_text(inner)}, by processing time"
        case Global():
            return "one window of all rows"
        case sliced:
            return _window_text(sliced)


def _lateness(lateness: int) -> str:
    return f", allowed lateness {duration(lateness)}" if lateness else ""


def _window_text(window: Sliced) -> str:
    match window:
        case Cumulative(size, step):
            return f"windows that grow by {duration(step)} up to {duration(size)} (shared slices)"
        case Calendar(days, zone):
            return f"tumbling {days}d in {zone}"
        case Tumbling(size):
            return f"tumbling {duration(size)}"
        case Sliding(size, every):
            return f"sliding {duration(size)} every {duration(every)} (shared slices)"
