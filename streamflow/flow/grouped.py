"""Streams whose rows are grouped: by key, by window, or both. From here one goes on with `agg`, `top` or `process`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, NoReturn

from streamflow.errors import Location, UserError
from streamflow.flow import columns as checked
from streamflow.flow import instead
from streamflow.flow.arguments import By, named_columns, sort_keys
from streamflow.flow.calls import explains_calls
from streamflow.flow.expr import Expr, no_such_method
from streamflow.flow.keyed_function import KeyedFunction, keyed_calls
from streamflow.flow.location import Building
from streamflow.flow.windows import Duration, not_negative
from streamflow.plan.logical.contract import TIME
from streamflow.plan.logical.nodes import Aggregate, Dedup, Hold, Named, Process, SortKey, Top
from streamflow.plan.logical.order import order_parts, require_order
from streamflow.plan.logical.windows import (
    Assigned,
    Assigner,
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

if TYPE_CHECKING:
    from streamflow.flow.stream import Stream


@explains_calls
class KeyedStream:
    """Rows by key: for windows, running aggregates, and what is final per window."""

    def __init__(self, rows: Stream, keys: tuple[str, ...], at: Location) -> None:
        """Made by `Stream.key_by`."""
        self._rows = rows._grouped("key_by", at)
        self._keys = keys

    def __repr__(self) -> str:
        return f"<key_by {', '.join(self._keys)} of {self._rows!r}>"

    def window(
        self, window: Window | Assigner, *, allowed_lateness: Duration | None = None, trigger: Trigger | None = None
    ) -> WindowedStream:
        """The rows of each key by window: one of `sf.tumbling(...)` and the like, or an object of your own that has a
        method `assign(times)`, see `streamflow.plan.logical.windows.Assigner`.

        Windows of event time need rows with event time; those of processing time, `sf.tumbling("10s",
        time="processing")`, go by the clock, and what they give has no event time.

        `allowed_lateness`: how long after its end, in event time, a window still takes rows. Each of them refines its
        result, which makes the results a changelog, whose key are the keys and the window's bounds: a session that
        grows or merges with another after it fired is deleted, and inserted with its new bounds. `trigger`: when else a
        window fires, see `sf.trigger`.

        >>> rides.key_by("city").window(sf.sliding("1h", every="5m")).agg(rides=sf.count()).schema
        city: string
        window_start: timestamp[us, tz=UTC]
        window_end: timestamp[us, tz=UTC]
        rides: int64
        """
        with Building("window") as at:
            return windowed(self._rows, self._keys, window, allowed_lateness, trigger, at)

    def agg(self, *aggregates: Expr, **named: Expr) -> Stream:
        """Running aggregates per key: a changelog whose key are the keys.

        A change has the event time of the latest row behind it, where rows have event time.

        Where a key holds a window's `window_start` or `window_end`, the rows are results of fired windows: then it is
        sent once, when the watermark passes the window's end, and the result is append-only, with event time.

        >>> rides.key_by("city").agg(rides=sf.count(), mean=col("fare").sum() / sf.count()).schema
        city: string
        rides: int64
        mean: double
        >>> hourly = rides.key_by("city").window(sf.tumbling("1h")).agg(rides=sf.count())
        >>> hourly.key_by("window_end").agg(busiest=col("rides").max()).schema
        window_end: timestamp[us, tz=UTC]
        busiest: int64
        """
        with Building("agg") as at:
            kind = self._rows._node.type
            checked.require_append_only(kind, "agg")
            window = checked.final_window(self._keys, kind)
            rows = self._rows if window is None else held(self._rows, at)
            return aggregate(rows, self._keys, window, named_columns(aggregates, named), at)

    def top(self, n: int, *, by: By) -> Stream:
        """The `n` first rows per key among results of fired windows; a key holds `window_start` or `window_end`.

        Largest first, nulls last; `col("x").asc()` smallest first; later columns of `by`, then the remaining ones,
        ascending, break ties. Sent once, when the watermark passes the window's end.

        >>> hourly = rides.key_by("city").window(sf.tumbling("1h")).agg(rides=sf.count())
        >>> hourly.key_by("window_end").top(3, by="rides").schema.names
        ['city', 'window_start', 'window_end', 'rides']
        """
        with Building("top") as at:
            kind = self._rows._node.type
            checked.require_append_only(kind, "top")
            window = checked.final_window(self._keys, kind)
            if window is None:
                raise UserError(
                    f"top of {', '.join(self._keys)} has no window, so it would never be final",
                    remedy='window the rows, .window(...).top(...), or key results of a window by "window_end" too',
                )
            return _top(held(self._rows, at), self._keys, window, n, sort_keys(by), at)

    def dedup(self, *, keep: Literal["any", "first", "last"] = "any", within: str | timedelta | None = None) -> Stream:
        """One row per key; `within`: one in so much event time, counted from the last row that was kept.

        "any" sends the first row that arrives, at once. "first" is the first by event time, sent when the watermark
        passes it; of the same time the first by its place in the source, or where rows have none by the remaining
        columns, ascending; rows below the watermark are late and left out.

        "last" is the last by event time, of the same time the last by its place in the source. No row is known to be
        that before the stream ends, so it is a changelog, whose key are the keys: a row that is later replaces the one
        before; an earlier one, however late it comes, changes nothing. A change has the row's event time, or the
        watermark where that is greater. It keeps a row of every key for ever. With `within` each row that no other of
        its key follows in less event time, the last of a burst: sent once, with its own event time, when the watermark
        has passed it by `within`, and then forgotten. Rows that come when they could only belong to a burst that was
        sent (their time + `within` is not above the watermark) are late and left out.

        Where a key holds a window's `window_start` or `window_end`, the rows are results of fired windows: the first
        (or "last") of each key is sent when the watermark passes the window's end, and nothing is kept of it.

        >>> rides.key_by("city").dedup(keep="first", within="1h").schema.names
        ['at', 'city', 'fare', 'tags']
        >>> rides.key_by("city").dedup(keep="last").changes().schema.names
        ['at', 'city', 'fare', 'tags', 'change']
        """
        with Building("dedup") as at:
            kind = self._rows._node.type
            checked.require_append_only(kind, "dedup")
            span = checked.dedup_span(keep, within, kind)
            window = checked.final_window(self._keys, kind)
            if window is not None and span is None:
                return _top(
                    held(self._rows, at), self._keys, window, 1, (SortKey(TIME, descending=keep == "last"),), at
                )
            changes = keep == "last" and span is None
            rows = self._rows if keep == "any" or changes else held(self._rows, at)
            above = rows._node
            if keep == "last" and order_parts(above) is None:
                raise UserError(
                    "the last row goes by event time, and these rows have no order where it is the same",
                    remedy='choose by a column: .agg(x=col("x").max_by("y")); or take the rows these were made from',
                )
            kind = replace(above.type, changelog=self._keys, bounds=()) if changes else above.type
            node = Dedup(type=kind, location=at, input=above, keys=self._keys, keep=keep, within=span)
            return rows._next(node, "dedup")

    def process(self, function: KeyedFunction, *, ordered: bool = True) -> Stream:
        """What a `KeyedFunction` makes of the rows of each key, one after the other, and of its timers.

        Rows and timers come in the order of event time: a row is held until the watermark has passed it, a row below
        the watermark is late and left out, and a timer goes off before the first row at its time or later. Rows of one
        time come by their place in the source, or where rows have none (results of a top, for example) by the columns
        that the function takes, in the order of its parameters. So results depend neither on how rows arrive nor on
        workers or crashes. With `ordered=False` rows are taken as they arrive, late ones too: results come at once, and
        depend on it.

        A result has the event time of the row or timer that it came of.

        >>> from typing import NamedTuple
        >>> class Jump(NamedTuple):
        ...     city: str
        ...     more: float
        >>> class Jumps(sf.KeyedFunction):
        ...     last = sf.cell(float)
        ...     def on_row(self, city: str, fare: float) -> Jump | None:
        ...         before, self.last = self.last, fare
        ...         return None if before is None or fare < 2 * before else Jump(city, fare - before)
        >>> rides.key_by("city").process(Jumps()).schema
        city: string
        more: double
        """
        with Building("process") as at:
            calls = keyed_calls(function)
            kind = checked.processed(calls, self._keys, self._rows._node.type, ordered)
            rows = held(self._rows, at) if ordered else self._rows
            node = Process(type=kind, location=at, input=rows._node, keys=self._keys, function=calls, ordered=ordered)
            return rows._next(node, "process")

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise no_such_method("a keyed stream", KeyedStream, name, instead.KEYED)


@explains_calls
class WindowedStream:
    """Rows by window, and by key where there is one."""

    def __init__(
        self, rows: Stream, keys: tuple[str, ...], window: Window, firing: checked.Firing, at: Location
    ) -> None:
        """Made by `Stream.window` and `KeyedStream.window`."""
        self._rows = rows._grouped("window", at)
        self._keys = keys
        self._window = window
        self._firing = firing

    def __repr__(self) -> str:
        return f"<{self._window} of {self._rows!r}>"

    def agg(self, *aggregates: Expr, **named: Expr) -> Stream:
        """One row per window (and key) that has rows, when the watermark passes its end (and when its trigger says so).

        Its columns: the keys, `window_start`, `window_end`, then the aggregates; its event time is a microsecond before
        `window_end` (of windows of processing time it has none). Aggregates are `sf.count()`, `col("x").sum()`,
        `.min()`, `.max()`, `.mean()`, `.std()`, `.var()`, `.count()`, `.n_unique()`, `.median()`, `.quantile(q)`,
        `.any()`, `.all()`, `.max_by("y")`, `.min_by("y")`, `.first()`, `.last()`, `.list()` by event time, the
        approximate `.approx_n_unique()` and `.approx_quantile(q)`, your own (`sf.aggregate`), each of all rows or of
        those that `filter=` is true for, and arithmetic between them; names inside are the input's.

        >>> rides.window(sf.session("10m")).agg(col("fare").max(), net=(col("fare") * 0.9).mean()).schema.names
        ['window_start', 'window_end', 'fare', 'net']
        """
        with Building("agg") as at:
            made = named_columns(aggregates, named)
            return aggregate(self._rows, self._keys, self._window, made, at, self._firing)

    def top(self, n: int, *, by: By) -> Stream:
        """The `n` first rows of each window (and key), when the watermark passes its end (and its trigger says so).

        Largest first, nulls last; `col("x").asc()` smallest first; later columns of `by`, then the remaining ones,
        ascending, break ties. Its columns: the keys, `window_start`, `window_end`, then the rows' other columns.

        With `allowed_lateness=` or a trigger that accumulates it is a changelog, with a column `rank`, from 1, before
        the other columns: its key are the keys, the window's bounds and the rank.

        >>> rides.key_by("city").window(sf.tumbling("1h")).top(3, by=["fare", col("at").asc()]).schema.names
        ['city', 'window_start', 'window_end', 'at', 'fare', 'tags']
        """
        with Building("top") as at:
            return _top(self._rows, self._keys, self._window, n, sort_keys(by), at, self._firing)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise no_such_method("a windowed stream", WindowedStream, name, instead.WINDOWED)


def held(rows: Stream, at: Location) -> Stream:
    """For a step that takes a row only once: the rows, and a watermark that none of them is below (rule 8)."""
    kind = rows._node.type
    if not kind.lateness:
        return rows
    node = Hold(type=replace(kind, lateness=0), location=at, part_of="next", input=rows._node, by=kind.lateness)
    return rows._next(node, "late results waited for")


def windowed(
    rows: Stream,
    keys: tuple[str, ...],
    window: Window | Assigner,
    allowed_lateness: Duration | None,
    trigger: Trigger | None,
    at: Location,
) -> WindowedStream:
    """The rows by window. Raises UserError for rows without event time, and for a changelog."""
    if callable(getattr(window, "assign", None)) and not isinstance(window, type):
        window = Assigned(window)  # type: ignore[arg-type]
    if not isinstance(
        window, Tumbling | Sliding | Cumulative | Calendar | Session | Global | Count | Assigned | ProcessingTime
    ):
        raise UserError(
            f"{window!r} is not a window",
            remedy='sf.tumbling("10s"), sf.sliding("1h", every="5m"), sf.session("30m")',
        )
    checked.require_append_only(rows._node.type, "a window")
    if not isinstance(window, Global | ProcessingTime):
        checked.require_event_time(rows._node.type, "a window")
    if isinstance(window, Count):
        rows = held(rows, at)
    return WindowedStream(rows, keys, window, _firing(window, allowed_lateness, trigger, rows), at)


def _firing(window: Window, allowed_lateness: Duration | None, trigger: Trigger | None, rows: Stream) -> checked.Firing:
    """A window is late for no row that those upstream may still send (rule 8)."""
    if trigger is not None and not isinstance(trigger, Trigger):
        raise UserError(f"trigger={trigger!r} is not a trigger", remedy="sf.trigger(early=1000)")
    if isinstance(window, Global | Count | ProcessingTime) and allowed_lateness is not None:
        what = "a window of processing time"
        if not isinstance(window, ProcessingTime):
            what = "a global window" if isinstance(window, Global) else "a window of so many rows"
        raise UserError(f"no row is late for {what}", remedy="leave allowed_lateness= out")
    if isinstance(window, Count):
        if trigger is not None:
            raise UserError("a window of so many rows fires when it has them", remedy="leave trigger= out")
        return checked.firing(0, 0, None)
    if isinstance(window, Global):
        return checked.firing(0, 0, trigger)
    if isinstance(window, ProcessingTime):
        return checked.firing(0, 0, trigger)
    allowed = 0 if allowed_lateness is None else not_negative("allowed_lateness", allowed_lateness)
    upstream = rows._node.type.lateness
    return checked.firing(allowed, max(allowed, upstream), trigger)


def aggregate(
    rows: Stream,
    keys: tuple[str, ...],
    window: Window | Final | None,
    made: Sequence[Named],
    at: Location,
    firing: checked.Firing | None = None,
) -> Stream:
    """The step that aggregates. Raises UserError and SchemaError for what is no aggregate, or has a name twice."""
    if not made:
        raise UserError("agg() has no aggregate", remedy='agg(rows=sf.count(), total=col("price").sum())')
    kind = checked.aggregated(keys, window, made, rows._node.type, firing)
    require_order(tuple(made), rows._node)
    node = Aggregate(
        type=kind,
        location=at,
        input=rows._node,
        keys=keys,
        window=window,
        aggregates=tuple(made),
        lateness=0 if firing is None else firing.lateness,
        trigger=None if firing is None else firing.trigger,
    )
    return rows._next(node, "agg")


def _top(
    rows: Stream,
    keys: tuple[str, ...],
    window: Window | Final,
    n: int,
    by: tuple[SortKey, ...],
    at: Location,
    firing: checked.Firing | None = None,
) -> Stream:
    kind = checked.topped(keys, window, n, by, rows._node.type, firing)
    node = Top(
        type=kind,
        location=at,
        input=rows._node,
        keys=keys,
        window=window,
        n=n,
        by=by,
        lateness=0 if firing is None else firing.lateness,
        trigger=None if firing is None else firing.trigger,
    )
    return rows._next(node, "top")
