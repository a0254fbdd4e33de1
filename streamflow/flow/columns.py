"""What a step's columns are, checked while the flow is built. Pure: from terms and a stream's type to the next type."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeGuard

import pyarrow as pa
import pyarrow.types as pt

from streamflow.errors import SchemaError, UserError
from streamflow.flow.guards import row_count
from streamflow.plan.logical.contract import RESERVED, TIME, parse_duration
from streamflow.plan.logical.expr import (
    AggregateCall,
    Column,
    Expr,
    Literal,
    aggregate_calls,
    children,
    column_type,
    show,
    type_of,
)
from streamflow.plan.logical.keyed import KeyedCalls
from streamflow.plan.logical.nodes import Named, SortKey, StreamType, WindowBound
from streamflow.plan.logical.rows import record_schema
from streamflow.plan.logical.schema import expression_schema, timer_schema
from streamflow.plan.logical.windows import (
    Assigned,
    BoundedOutOfOrderness,
    Calendar,
    Count,
    Cumulative,
    Final,
    FromColumn,
    Generated,
    Global,
    ProcessingTime,
    Session,
    Sliding,
    Trigger,
    Tumbling,
    WatermarkStrategy,
    Window,
)

WINDOW_START = "window_start"
WINDOW_END = "window_end"
RANK = "rank"
TIMESTAMP = pa.timestamp("us", "UTC")
OWN = "~"
"""What names of columns that steps keep for themselves start with."""


def check_names(names: Iterable[str]) -> None:
    """Names of columns are not reserved and not the same twice."""
    seen: set[str] = set()
    for name in names:
        if name in RESERVED:
            raise SchemaError(
                f"the name {name!r} is reserved",
                remedy=f'give a copy another name: .alias("time") or time=col("{name}")'
                if name == TIME
                else "choose another name",
            )
        if name.startswith(OWN):
            raise SchemaError(
                f"the name {name!r} is reserved: those that start with {OWN} are streamflow's own",
                remedy="choose another name; a column of a source is renamed in the source",
            )
        if name in seen:
            raise SchemaError(
                f"two columns are called {name!r}",
                remedy='name one of them: by keyword, or .alias("..."); columns of a source are renamed in the source',
            )
        seen.add(name)


def row_type(expr: Expr, kind: StreamType) -> pa.DataType:
    """The type of an expression over single rows."""
    calls = aggregate_calls(expr)
    if calls:
        raise SchemaError(
            f"{show(calls[0])} aggregates many rows, and this step sees one at a time",
            remedy="aggregate with .agg(...) of a window or of key_by",
        )
    return type_of(expr, expression_schema(kind))


def check_condition(expr: Expr, kind: StreamType) -> None:
    type_ = row_type(expr, kind)
    if not pt.is_boolean(type_):
        raise SchemaError(
            f"{show(expr)} is {type_}, not a condition", remedy="compare it with something, as in col('x') > 0"
        )


def projected(columns: Sequence[Named], kind: StreamType) -> StreamType:
    """The type after a step that computes exactly these columns. A changelog must keep its key."""
    fields = [pa.field(column.name, row_type(column.expr, kind)) for column in columns]
    copies: dict[str, str] = {}
    for column in columns:
        if isinstance(column.expr, Column):
            copies.setdefault(column.expr.name, column.name)
    return StreamType(
        schema=pa.schema(fields),
        event_time=kind.event_time,
        changelog=None if kind.changelog is None else _kept_key(kind.changelog, copies),
        bounds=tuple(
            WindowBound(column.name, bound.length)
            for bound in kind.bounds
            for column in columns
            if column.expr == Column(bound.column)
        ),
        lateness=kind.lateness,
    )


def _kept_key(key: tuple[str, ...], copies: dict[str, str]) -> tuple[str, ...]:
    for name in key:
        if name not in copies:
            raise SchemaError(
                f"the stream is a changelog and {name!r} is in its key, which would be lost",
                remedy="keep the column, or make plain rows of the changelog before: .changes()",
            )
    return tuple(copies[name] for name in key)


def event_time_checked(expr: Expr, kind: StreamType, what: str = "an event time") -> None:
    """An event time is a timestamp."""
    type_ = row_type(expr, kind)
    if pt.is_timestamp(type_):
        return
    shown = show(expr)
    if pt.is_integer(type_):
        column = repr(expr.name) if isinstance(expr, Column) else shown
        remedy = f'say what the integer counts: sf.from_epoch({column}, "ms")'
    elif pt.is_string(type_):
        remedy = f"read the text as a time: {shown}.str.to_datetime()"
    else:
        remedy = f"{what} is a timestamp: convert it with an expression"
    raise SchemaError(f"{shown} is {type_}, not a timestamp", remedy=remedy)


def watermark_or_default(watermark: WatermarkStrategy | None, kind: StreamType) -> WatermarkStrategy:
    """The strategy for rows of this kind. Without one they are taken to be in order, per split."""
    if watermark is None:
        return BoundedOutOfOrderness(0)
    if isinstance(watermark, FromColumn):
        event_time_checked(watermark.expr, kind, "a watermark")
    elif not isinstance(watermark, BoundedOutOfOrderness | Generated):
        raise UserError(f"watermark={watermark!r} is no watermark", remedy='sf.bounded_out_of_orderness("5s")')
    return watermark


def require_event_time(kind: StreamType, what: str) -> None:
    if not kind.event_time:
        raise UserError(
            f"{what} needs event time, and the rows have none",
            remedy="read(..., event_time=...) or .with_event_time(...) before it",
        )


def require_append_only(kind: StreamType, what: str) -> None:
    if kind.changelog is not None:
        raise UserError(
            f"{what} takes rows that are only added, and this stream is a changelog ({key_text(kind.changelog)})",
            remedy="make plain rows of it with .changes(), or aggregate over a window instead",
        )


def key_text(key: Sequence[str]) -> str:
    return f"key: {', '.join(key)}" if key else "of one row"


def dedup_span(keep: str, within: str | timedelta | None, kind: StreamType) -> int | None:
    """`within` in microseconds. Raises UserError where rows have no event time that it needs."""
    if keep not in ("any", "first", "last"):
        raise UserError(f"keep={keep!r} is none of 'any', 'first', 'last'")
    if keep != "any" or within is not None:
        require_event_time(kind, "dedup(within=)" if keep == "any" else f"dedup(keep={keep!r})")
    span = None if within is None else parse_duration(within)
    if span is not None and span <= 0:
        raise UserError(f"within={within!r} is not longer than nothing", remedy='write within="1h"')
    return span


def check_keys(keys: Sequence[str], kind: StreamType) -> None:
    check_names(keys)
    for key in keys:
        type_ = column_type(key, kind.schema)
        if pt.is_nested(type_):
            raise SchemaError(
                f"the key {key!r} is {type_}, which cannot be compared", remedy="use one of its parts as the key"
            )


def final_window(keys: Sequence[str], kind: StreamType) -> Final | None:
    """A key that holds a window's bound makes what comes of it final (rule 9); the window's end before its start."""
    bounds = sorted((bound for bound in kind.bounds if bound.column in keys), key=lambda bound: bound.length)
    return Final(bounds[0].column, bounds[0].length) if bounds else None


def aggregated(
    keys: tuple[str, ...],
    window: Window | Final | None,
    aggregates: Sequence[Named],
    kind: StreamType,
    firing: Firing | None = None,
) -> StreamType:
    """Keys, the window's bounds, aggregates. A changelog where a result may be replaced."""
    fields = [*(kind.schema.field(key) for key in keys), *_bound_fields(window)]
    fields += [pa.field(named.name, _aggregate_type(named.expr, kind)) for named in aggregates]
    _check_clash(fields, keys, window)
    changelog: tuple[str, ...] | None = keys if window is None else None
    bounds = _bounds_after(keys, window, kind)
    lateness = kind.lateness
    if firing is not None and firing.refines:
        lateness += firing.allowed
        if firing.accumulates:
            bounds = ()  # what a window fires is replaced
            changelog = (*keys, *(field.name for field in _bound_fields(window)))
    timed = kind.event_time if window is None else not isinstance(window, Global | Count | ProcessingTime)
    return StreamType(pa.schema(fields), event_time=timed, changelog=changelog, bounds=bounds, lateness=lateness)


@dataclass(frozen=True, slots=True)
class Firing:
    """When a window fires beside on time. `allowed`: the lateness asked for; `lateness`: at least that."""

    allowed: int
    lateness: int
    trigger: Trigger | None

    @property
    def refines(self) -> bool:
        """Whether a window may fire more than once."""
        return self.lateness > 0 or (self.trigger is not None and self.trigger.early is not None)

    @property
    def accumulates(self) -> bool:
        return self.trigger is None or self.trigger.accumulate


def has_late_rows(window: Window | Final | None) -> TypeGuard[Window]:
    """Whether the window has an end that rows can be too late for."""
    return not (window is None or isinstance(window, Final | Global | Count | ProcessingTime))


def firing(allowed: int, lateness: int, trigger: Trigger | None) -> Firing:
    """Without the trigger where it would never fire a window twice."""
    made = Firing(allowed, lateness, trigger)
    return made if made.refines else Firing(allowed, lateness, None)


def late_type(keys: tuple[str, ...], window: Window, kind: StreamType) -> StreamType:
    """The type of the rows that are late for a window: their columns, then its bounds; no event time (rule 7)."""
    fields = [*kind.schema, *_bound_fields(window)]
    _check_clash(fields, keys, window)
    return StreamType(pa.schema(fields))


def topped(
    keys: tuple[str, ...],
    window: Window | Final,
    n: int,
    by: Sequence[SortKey],
    kind: StreamType,
    firing: Firing | None = None,
) -> StreamType:
    """Rows as they are; over a window: its keys, its bounds, then the other columns; of a changelog with a rank."""
    row_count("top", n)
    _check_order(by, kind)
    if isinstance(window, Final):
        return kind
    rest = [field for field in kind.schema if field.name not in keys]
    fields = [*(kind.schema.field(key) for key in keys), *_bound_fields(window)]
    changelog = None
    refines = firing is not None and firing.refines
    if firing is not None and refines and firing.accumulates:
        if RANK in kind.schema.names:
            raise SchemaError(
                f"a top that is a changelog has a column {RANK!r}, and the rows have one too",
                remedy=f'rename it before the window: .rename({{"{RANK}": "..."}})',
            )
        fields.append(pa.field(RANK, pa.int64()))
        changelog = tuple(field.name for field in fields)
    fields += rest
    _check_clash(fields, keys, window)
    return StreamType(
        schema=pa.schema(fields),
        event_time=not isinstance(window, Global | Count | ProcessingTime),
        changelog=changelog,
        bounds=() if changelog is not None else _bounds_after(keys, window, kind),
        lateness=kind.lateness + firing.allowed if firing is not None and refines else 0,
    )


def processed(calls: KeyedCalls, keys: tuple[str, ...], kind: StreamType, ordered: bool) -> StreamType:
    """The records of a keyed function, with event time where its rows have it."""
    require_append_only(kind, "process")
    if ordered:
        require_event_time(kind, "process in time order")
    elif calls.timers or calls.expires:
        require_event_time(kind, "a function with timers or a time to live")
    row_type(calls.on_row, kind)
    names = timer_schema(keys, kind.schema)
    for _, method in (*calls.timers, *calls.clock_timers):
        type_of(method, names)
    schema = record_schema(calls.record)
    check_names(schema.names)
    return StreamType(schema, event_time=kind.event_time)


def _check_order(by: Sequence[SortKey], kind: StreamType) -> None:
    if not by:
        raise UserError("top needs a column to order by", remedy='top(10, by="count")')
    seen: set[str] = set()
    for key in by:
        type_ = column_type(key.column, expression_schema(kind))
        if pt.is_nested(type_):
            raise SchemaError(f"by={key.column!r} is {type_}, which has no order", remedy="order by one of its parts")
        if key.column in seen:
            raise UserError(f"by= names {key.column!r} twice")
        seen.add(key.column)


def _bound_fields(window: Window | Final | None) -> list[pa.Field]:
    if window is None or isinstance(window, Final | Global | Count):
        return []
    return [pa.field(WINDOW_START, TIMESTAMP), pa.field(WINDOW_END, TIMESTAMP)]


def _bounds_after(keys: tuple[str, ...], window: Window | Final | None, kind: StreamType) -> tuple[WindowBound, ...]:
    match window:
        case None | Global() | Count() | ProcessingTime():  # the watermark does not pass their bounds
            return ()
        case Final():
            return tuple(bound for bound in kind.bounds if bound.column in keys)
        case Session() | Cumulative() | Calendar() | Assigned():  # their start does not tell their end
            return (WindowBound(WINDOW_END, 0),)
        case Tumbling(size) | Sliding(size):
            return (WindowBound(WINDOW_START, size), WindowBound(WINDOW_END, 0))


def _check_clash(fields: Sequence[pa.Field], keys: Sequence[str], window: Window | Final | None) -> None:
    names = [field.name for field in fields]
    for bound in _bound_fields(window):
        if names.count(bound.name) > 1:
            where = "a key" if bound.name in keys else "a column"
            raise SchemaError(
                f"the window's result has a column {bound.name!r}, and {where} has that name too",
                remedy=f'rename it before the window: .rename({{"{bound.name}": "..."}})',
            )
    check_names(names)


def _aggregate_type(expr: Expr, kind: StreamType) -> pa.DataType:
    plain = _plain_column(expr)
    if plain is not None:
        raise SchemaError(
            f"{show(plain)} is not aggregated",
            remedy=f"say which of its values: {show(plain)}.max(), .sum(), ...; or make it a key: key_by",
        )
    if not aggregate_calls(expr):
        raise SchemaError(f"{show(expr)} aggregates nothing", remedy="use sf.count(), col('x').sum(), ...")
    return type_of(expr, expression_schema(kind))


def _plain_column(expr: Expr) -> Expr | None:
    """A term that reads a row outside of any aggregate."""
    if isinstance(expr, AggregateCall | Literal):
        return None
    parts = children(expr)
    if not parts:
        return expr
    return next((found for found in map(_plain_column, parts) if found is not None), None)


def union_schema(kinds: Sequence[StreamType], how: str) -> pa.Schema:
    """The columns of a union: by name, each of one type; a vertical one wants all of them of every input."""
    if how not in ("vertical", "diagonal"):
        raise UserError(f"how={how!r} is unknown", remedy='leave it out, or write how="vertical"')
    for kind in kinds:
        require_append_only(kind, "union")
    if len({kind.event_time for kind in kinds}) > 1:
        raise UserError(
            "some of the streams have event time and some have none", remedy=".with_event_time(...) on the others"
        )
    columns: dict[str, pa.Field] = {}
    for number, kind in enumerate(kinds):
        for field in kind.schema:
            other = columns.setdefault(field.name, field)
            if other.type != field.type:
                raise SchemaError(
                    f"column {field.name!r} is {other.type} in one stream and {field.type} in input {number + 1}",
                    remedy=f'make them equal: .with_columns({field.name}=col("{field.name}").cast(...))',
                )
    if how == "vertical":
        for number, kind in enumerate(kinds):
            missing = [name for name in columns if name not in kind.schema.names]
            if missing:
                raise SchemaError(
                    f"input {number + 1} has no column {missing[0]!r}, others have",
                    remedy="union(...) without how= fills what is missing with nulls",
                )
    return pa.schema(list(columns.values()))
