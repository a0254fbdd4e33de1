"""`.dt`: functions of dates, times and durations.

Times are UTC; with `tz` a function sees what the clocks of that time zone show: `.dt.hour("Europe/Berlin")`.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, NoReturn
from zoneinfo import ZoneInfo

from streamflow.flow.expr import Expr, no_such_method, wrong
from streamflow.flow.instead_expr import TIME
from streamflow.flow.location import Building
from streamflow.plan.logical.contract import parse_duration

_CALENDAR = re.compile(r"(-?\d+)(mo|q|y)")


class Time:
    __slots__ = ("_expr",)

    def __init__(self, expr: Expr) -> None:
        self._expr = expr

    def year(self, tz: str | None = None) -> Expr:
        """The year."""
        return self._expr._call("dt.year", tz=_zone(tz))

    def iso_year(self, tz: str | None = None) -> Expr:
        """The year that the ISO week belongs to.

        >>> evaluate(col("t").dt.iso_year(), t=[datetime(2024, 12, 30)])
        [2025]
        """
        return self._expr._call("dt.iso_year", tz=_zone(tz))

    def quarter(self, tz: str | None = None) -> Expr:
        """The quarter, 1 to 4.

        >>> evaluate(col("t").dt.quarter(), t=[datetime(2024, 5, 1)])
        [2]
        """
        return self._expr._call("dt.quarter", tz=_zone(tz))

    def month(self, tz: str | None = None) -> Expr:
        """The month, 1 to 12."""
        return self._expr._call("dt.month", tz=_zone(tz))

    def week(self, tz: str | None = None) -> Expr:
        """The ISO week, 1 to 53.

        >>> evaluate(col("t").dt.week(), t=[datetime(2024, 12, 30)])
        [1]
        """
        return self._expr._call("dt.week", tz=_zone(tz))

    def day(self, tz: str | None = None) -> Expr:
        """The day of the month, 1 to 31."""
        return self._expr._call("dt.day", tz=_zone(tz))

    def ordinal_day(self, tz: str | None = None) -> Expr:
        """The day of the year, 1 to 366.

        >>> evaluate(col("t").dt.ordinal_day(), t=[datetime(2024, 12, 31)])
        [366]
        """
        return self._expr._call("dt.ordinal_day", tz=_zone(tz))

    def weekday(self, tz: str | None = None) -> Expr:
        """The day of the week: Monday is 1, Sunday 7."""
        return self._expr._call("dt.weekday", tz=_zone(tz))

    def hour(self, tz: str | None = None) -> Expr:
        """The hour, 0 to 23.

        >>> evaluate(col("t").dt.hour("Asia/Kolkata"), t=[datetime(2024, 5, 1, 12)])
        [17]
        """
        return self._expr._call("dt.hour", tz=_zone(tz))

    def minute(self, tz: str | None = None) -> Expr:
        """The minute, 0 to 59."""
        return self._expr._call("dt.minute", tz=_zone(tz))

    def second(self, tz: str | None = None) -> Expr:
        """The second, 0 to 59."""
        return self._expr._call("dt.second", tz=_zone(tz))

    def millisecond(self, tz: str | None = None) -> Expr:
        """The milliseconds within the second, 0 to 999."""
        return self._expr._call("dt.millisecond", tz=_zone(tz))

    def microsecond(self, tz: str | None = None) -> Expr:
        """The microseconds within the second, 0 to 999999.

        >>> evaluate(col("t").dt.microsecond(), t=[datetime(2024, 5, 1, 12, 0, 0, 2500)])
        [2500]
        """
        return self._expr._call("dt.microsecond", tz=_zone(tz))

    def days_in_month(self, tz: str | None = None) -> Expr:
        """How many days the month has.

        >>> evaluate(col("t").dt.days_in_month(), t=[datetime(2024, 2, 1)])
        [29]
        """
        return self._expr._call("dt.days_in_month", tz=_zone(tz))

    def is_leap_year(self, tz: str | None = None) -> Expr:
        """Has the year 366 days?"""
        return self._expr._call("dt.is_leap_year", tz=_zone(tz))

    def date(self, tz: str | None = None) -> Expr:
        """The day, as a date.

        >>> evaluate(col("t").dt.date("Asia/Tokyo"), t=[datetime(2024, 5, 1, 20)])
        [datetime.date(2024, 5, 2)]
        """
        return self._expr._call("dt.date", tz=_zone(tz))

    def truncate(self, every: str | timedelta, *, tz: str | None = None) -> Expr:
        """The start of the span it lies in: of a duration, or of months, quarters or years ("1mo", "1q", "1y").

        Spans start at the epoch, as windows do, so that "1w" starts on Thursdays; with `tz` at its midnight of
        1970-01-01, and a day has as many hours as the clocks give it.

        >>> evaluate(col("t").dt.truncate("1h").dt.strftime("%F %T"), t=[datetime(2024, 5, 17, 12, 34)])
        ['2024-05-17 12:00:00']
        >>> evaluate(col("t").dt.truncate("1mo", tz="Europe/Berlin").dt.strftime("%F %T"), t=[datetime(2024, 5, 17)])
        ['2024-04-30 22:00:00']
        """
        if isinstance(every, str) and (calendar := _CALENDAR.fullmatch(every)):
            span, text = int(calendar[1]), every
        else:
            with Building("truncate"):
                span = parse_duration(every)
            text = str(span)
        if span <= 0:
            raise wrong(f"truncate({every!r}): the span must be longer than nothing")
        return self._expr._call("dt.truncate", every=text, tz=_zone(tz))

    def month_start(self, tz: str | None = None) -> Expr:
        """Midnight of the first day of the month (polars keeps the time of day)."""
        return self._expr._call("dt.month_start", tz=_zone(tz))

    def month_end(self, tz: str | None = None) -> Expr:
        """Midnight of the last day of the month.

        >>> evaluate(col("t").dt.month_end().dt.day(), t=[datetime(2024, 2, 1)])
        [29]
        """
        return self._expr._call("dt.month_end", tz=_zone(tz))

    def offset_by(self, by: str | timedelta, *, tz: str | None = None) -> Expr:
        """Later by a duration, or by months, quarters or years ("1mo", "-1q", "2y"); earlier where it is negative.

        A day that the month does not have is its last. With `tz` days and months keep the time that clocks show.

        >>> evaluate(col("t").dt.offset_by("1mo").dt.strftime("%F"), t=[datetime(2024, 1, 31)])
        ['2024-02-29']
        """
        if isinstance(by, str) and _CALENDAR.fullmatch(by):
            text = by
        else:
            with Building("offset_by"):
                text = str(parse_duration(by))
        return self._expr._call("dt.offset_by", by=text, tz=_zone(tz))

    def epoch(self, unit: Literal["s", "ms", "us"] = "us") -> Expr:
        """Whole seconds, milli- or microseconds since 1970."""
        if unit not in ("s", "ms", "us"):
            raise wrong(f"{unit!r} is no unit of time", remedy="write 's', 'ms' or 'us'")
        return self._expr._call("dt.epoch", unit=unit)

    def strftime(self, format: str, *, tz: str | None = None) -> Expr:  # noqa: A002
        """As text. %f are the six digits of the second's fraction; %S alone are whole seconds.

        >>> evaluate(col("t").dt.strftime("%Y-%m-%d %H:%M:%S.%f"), t=[datetime(2024, 5, 1, 12, 0, 0, 2500)])
        ['2024-05-01 12:00:00.002500']
        """
        return self._expr._call("dt.strftime", format=format, tz=_zone(tz))

    # Durations

    def total_days(self) -> Expr:
        """A duration in whole days, the fraction dropped."""
        return self._expr._call("dt.total_days")

    def total_hours(self) -> Expr:
        """A duration in whole hours, the fraction dropped."""
        return self._expr._call("dt.total_hours")

    def total_minutes(self) -> Expr:
        """A duration in whole minutes, the fraction dropped."""
        return self._expr._call("dt.total_minutes")

    def total_seconds(self) -> Expr:
        """A duration in whole seconds, the fraction dropped.

        >>> evaluate((col("b") - col("a")).dt.total_seconds(), a=[datetime(2024, 5, 1)], b=[datetime(2024, 5, 2)])
        [86400]
        """
        return self._expr._call("dt.total_seconds")

    def total_milliseconds(self) -> Expr:
        """A duration in whole milliseconds, the fraction dropped."""
        return self._expr._call("dt.total_milliseconds")

    def total_microseconds(self) -> Expr:
        """A duration in whole microseconds, the fraction dropped."""
        return self._expr._call("dt.total_microseconds")

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise no_such_method(".dt", Time, name, TIME)


def _zone(tz: str | None) -> str | None:
    """The name of a time zone, checked."""
    if tz is None:
        return None
    try:
        return ZoneInfo(tz).key
    except (KeyError, OSError, ValueError, TypeError) as error:
        raise wrong(
            f"tz={tz!r} is no time zone", remedy='write its name in the IANA data base: "Europe/Berlin"'
        ) from error
