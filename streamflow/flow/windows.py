"""Windows and watermarks as users write them. A duration is a text such as `"10s"` or `"1h30m"`, or a timedelta.

Windows start at the epoch plus `offset`, before 1970 too. A row at time t is in [start, end) when start <= t < end.
With `time="processing"` t is not the row's event time but what the clock shows when the row comes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, TypeAlias, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from streamflow.errors import UserError
from streamflow.flow.calls import explained
from streamflow.flow.expr import ColumnLike, to_node
from streamflow.flow.location import Building
from streamflow.plan.logical.contract import parse_duration
from streamflow.plan.logical.windows import (
    After,
    BoundedOutOfOrderness,
    Calendar,
    Count,
    Cumulative,
    FromColumn,
    Generated,
    Global,
    ProcessingTime,
    Session,
    Sliding,
    Trigger,
    Tumbling,
    WatermarkGenerator,
)

Duration: TypeAlias = "str | timedelta"
Time: TypeAlias = Literal["event", "processing"]
W = TypeVar("W", Tumbling, Sliding, Cumulative, Calendar, Session)
_DAY = 86_400_000_000


@explained
def tumbling(
    size: Duration, *, offset: Duration = timedelta(0), tz: str | None = None, time: Time = "event"
) -> Tumbling | Calendar | ProcessingTime:
    """Windows of one size, one after the other.

    `tz`: a time zone such as "Europe/Berlin", for sizes of whole days: windows start at midnight (plus `offset`) on its
    clocks, and the days on which these are set forward and back have 23 and 25 hours.

    `time="processing"`: a row is in the windows of the moment at which it comes, by the clock of the worker that has
    its key, and a window ends when that clock says so. Such windows need no event time and no row is late for them; but
    where a row counts depends on when it came, so that results differ from run to run. What they give has
    `window_start` and `window_end`, and no event time. At the end of a bounded input the windows that are left fire at
    once. In tests `sf.testing.advance("5m")` moves the clock.

    >>> tumbling("1h", offset="15m")
    Tumbling(size=3600000000, offset=900000000)
    >>> tumbling("7d", offset="4d", tz="Europe/Berlin")  # weeks from Monday: 1970 began on a Thursday
    Calendar(days=7, zone='Europe/Berlin', offset=345600000000)
    """
    with Building("tumbling"):
        length = _positive("size", size)
        shift = _duration("offset", offset) % length
        if tz is None:
            return _by(time, Tumbling(length, shift))
        return _by(time, _calendar(size, length, shift, tz))


@explained
def sliding(
    size: Duration, *, every: Duration, offset: Duration = timedelta(0), time: Time = "event"
) -> Sliding | ProcessingTime:
    """Windows of one size that start every `every`, so that a row is in several; `every` need not divide `size`.

    With `every` above `size` there are gaps, and rows in them are in no window. `time`: see `sf.tumbling`.

    >>> sliding("10s", every="2s")
    Sliding(size=10000000, every=2000000, offset=0)
    """
    with Building("sliding"):
        period = _positive("every", every)
        return _by(time, Sliding(_positive("size", size), period, _duration("offset", offset) % period))


@explained
def cumulative(
    size: Duration, *, step: Duration, offset: Duration = timedelta(0), time: Time = "event"
) -> Cumulative | ProcessingTime:
    """Windows that grow by `step` until they are `size` long, when the next begin: the day so far, every hour.

    A row is in every window from the one that holds it on. `step` divides `size`. `time`: see `sf.tumbling`.

    >>> cumulative("1d", step="1h")
    Cumulative(size=86400000000, step=3600000000, offset=0)
    """
    with Building("cumulative"):
        length, step_length = _positive("size", size), _positive("step", step)
        if length % step_length:
            raise UserError(
                f"size={size!r} is not a multiple of step={step!r}", remedy='cumulative("1d", step="1h"), for instance'
            )
        return _by(time, Cumulative(length, step_length, _duration("offset", offset) % length))


def global_window() -> Global:
    """One window of all rows, with event time or without, which ends with the stream.

    Of a stream that does not end something comes out only with a trigger: `window(sf.global_window(),
    trigger=sf.trigger(early=1000))`. Results have no `window_start` and `window_end`, and no event time.

    >>> global_window()
    Global()
    """
    return Global()


@explained
def count_window(rows: int) -> Count:
    """Windows of so many rows of a key, in the order of their event times.

    Rows are held until the watermark has passed them, so that the results do not depend on how they arrive; rows of one
    time come in the order of the columns that the aggregates read. What is left when the stream ends is a window too.
    A row older than the watermark is late, counted and left out. Results have no `window_start` and `window_end`, and
    no event time.

    >>> count_window(100)
    Count(rows=100)
    """
    with Building("count_window"):
        if type(rows) is not int or rows < 1:
            raise UserError(f"rows={rows!r} is not a number of rows", remedy="write count_window(100), for instance")
        return Count(rows)


@explained
def trigger(*, early: int | Duration | None = None, late: int | Duration = 1, accumulate: bool = True) -> Trigger:
    """When a window fires beside on time, for each key: every `early` rows before its end, every `late` rows after it.

    A duration in place of a number of rows, `early="1m"`, is processing time, from the first row that came since the
    window last fired for the key: so nothing is sent where nothing came, and no row waits for longer. A row that comes
    at that very microsecond waits for the next time. Of a session that had ended and goes on it is `early` that counts.

    `accumulate=True`: each result replaces the one before, so that the results are a changelog; rows that are processed
    together, a batch at most, count as one firing. `accumulate=False`: each result is of the rows since the last one,
    and of exactly so many if the trigger fired by their number; the results are append-only, and several may be of one
    window. Rows after the end are those that `allowed_lateness=` lets in. Whatever is left is sent on time, and when
    the window is dropped.

    >>> trigger(early=1000, accumulate=False)
    Trigger(early=1000, late=1, accumulate=False)
    >>> trigger(early="1m", late="10s")
    Trigger(early=After(duration=60000000), late=After(duration=10000000), accumulate=True)
    """
    with Building("trigger"):
        first = None if early is None else _rows_or_after("early", early)
        if not isinstance(accumulate, bool):
            raise UserError(f"accumulate={accumulate!r} is neither True nor False", remedy="write accumulate=False")
        return Trigger(first, _rows_or_after("late", late), accumulate)


def _rows_or_after(name: str, given: int | Duration) -> int | After:
    if isinstance(given, str | timedelta):
        return After(_positive(name, given))
    if type(given) is not int or given < 1:
        raise UserError(
            f"{name}={given!r} is not a number of rows, nor a duration",
            remedy=f'write {name}=1000, for instance, or {name}="1m"',
        )
    return given


@explained
def session(gap: Duration, *, time: Time = "event") -> Session | ProcessingTime:
    """Windows that end when no row came for `gap`; rows exactly one gap apart are two sessions.

    `time="processing"`: the session of a key ends when the clock has gone on by `gap` without a row, see `sf.tumbling`.

    >>> session("30m")
    Session(gap=1800000000)
    """
    with Building("session"):
        return _by(time, Session(_positive("gap", gap)))


def bounded_out_of_orderness(
    bound: Duration, *, idle: Duration | None = None, align: Duration | None = None
) -> BoundedOutOfOrderness:
    """The watermark of a split trails its greatest event time by `bound`: rows that are later than that are late.

    A split that gives no rows for `idle` no longer holds the others back.

    `align`: a split more than that ahead of the slowest one is not read until that has come closer, so that windows
    need not keep what a fast split brings long before they can fire. Results are the same with and without. A split
    ends up ahead by at most `align` and one batch. It is each worker for itself, among the splits of one read that this
    worker reads side by side; readers that take one split after the other (files) have nothing to align, and of other
    connectors those do whose readers can pause. A split that has nothing holds the others too: give `idle` where that
    may be.

    >>> bounded_out_of_orderness("1s", idle="30s", align="1m")
    BoundedOutOfOrderness(bound=1000000, idle=30000000, align=60000000)
    """
    with Building("bounded_out_of_orderness"):
        length = _duration("bound", bound)
        if length < 0:
            raise UserError(
                f"bound={bound!r} is negative", remedy="write how much later than its successors a row may come"
            )
        return BoundedOutOfOrderness(length, *_idle_and_align(idle, align))


def monotonic(*, idle: Duration | None = None, align: Duration | None = None) -> BoundedOutOfOrderness:
    """For splits whose event times never go back: a bound of zero. The rest is as in `bounded_out_of_orderness`.

    >>> monotonic()
    BoundedOutOfOrderness(bound=0, idle=None, align=None)
    """
    with Building("monotonic"):
        return BoundedOutOfOrderness(0, *_idle_and_align(idle, align))


def watermark_from(column: ColumnLike, *, idle: Duration | None = None, align: Duration | None = None) -> FromColumn:
    """The rows carry their watermark, as a column or an expression: a row that says 12:00 is the promise that behind it
    no row of its split is older than 12:00.

    A null says nothing, nor does a time before that of an earlier row. `idle` and `align` as in
    `bounded_out_of_orderness`.

    >>> watermark_from("complete_until").idle is None
    True
    """
    with Building("watermark_from"):
        return FromColumn(to_node(column), *_idle_and_align(idle, align))


def watermark_by(
    generator: WatermarkGenerator, *, idle: Duration | None = None, align: Duration | None = None
) -> Generated:
    """A watermark of your own: an object with `on_batch(times, state)`, as `sf.WatermarkGenerator` describes it.

    It is asked for every split by itself, and sees the event times of a whole batch as an array of numpy. `idle` and
    `align` as in `bounded_out_of_orderness`.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class SecondGreatest:
    ...     "One row may be far ahead of all others: a watch that was set wrong."
    ...     def on_batch(self, times, state):
    ...         greatest = sorted([*(state or []), *times.tolist()])[-2:]
    ...         return (greatest[0] if len(greatest) == 2 else None), greatest
    >>> watermark_by(SecondGreatest()).generator
    SecondGreatest()
    """
    with Building("watermark_by"):
        if isinstance(generator, type):
            name = generator.__name__
            raise UserError(f"{name} is a class, not an object", remedy=f"sf.watermark_by({name}())")
        if not callable(getattr(generator, "on_batch", None)):
            raise UserError(
                f"{generator!r} is no generator of watermarks: it has no on_batch", remedy="see sf.WatermarkGenerator"
            )
        return Generated(generator, *_idle_and_align(idle, align))


def _idle_and_align(idle: Duration | None, align: Duration | None) -> tuple[int | None, int | None]:
    return None if idle is None else _positive("idle", idle), None if align is None else _positive("align", align)


def _by(time: Time, window: W) -> W | ProcessingTime:
    match time:
        case "event":
            return window
        case "processing":
            return ProcessingTime(window)
        case other:
            raise UserError(f"time={other!r} is unknown", remedy='write time="processing", or leave it out')


def _calendar(size: Duration, length: int, offset: int, tz: str) -> Calendar:
    days, rest = divmod(length, _DAY)
    if rest:
        raise UserError(
            f"size={size!r} with a time zone is not a number of whole days",
            remedy='leave tz= out, and shift the windows by offset="30m" where the zone is not whole hours from UTC',
        )
    try:
        ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UserError(
            f"tz={tz!r} is not a time zone that this machine knows",
            remedy='write one such as "Europe/Berlin"; pip install tzdata where the system has none',
        ) from error
    return Calendar(days, tz, offset)


def not_negative(name: str, duration: Duration) -> int:
    """A duration in microseconds. Raises UserError for what is none, and below zero."""
    length = _duration(name, duration)
    if length < 0:
        raise UserError(f"{name}={duration!r} is negative", remedy=f'write a duration such as {name}="10s"')
    return length


def _positive(name: str, duration: Duration) -> int:
    length = _duration(name, duration)
    if length <= 0:
        raise UserError(f"{name}={duration!r} is not above zero", remedy=f'write a duration such as {name}="10s"')
    return length


def _duration(name: str, duration: str | timedelta | int) -> int:
    # An int would be taken as microseconds, which nobody means.
    if isinstance(duration, int):
        shown = duration if type(duration) is int and duration > 0 else 10
        raise UserError(f"{name}={duration!r} has no unit", remedy=f'write {name}="{shown}s", or a timedelta')
    try:
        return parse_duration(duration)
    except UserError as error:
        error.message = f"{name}: {error.message}"
        raise
