"""`.dt`: functions of dates and times, all in UTC."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal, NoReturn

from streamflow.flow.expr import Expr, no_such_method, wrong
from streamflow.flow.location import Building
from streamflow.plan.logical.contract import parse_duration

_INSTEAD = {
    "timestamp": "write .dt.epoch('us')",
    "to_string": "write .dt.strftime(format)",
    "floor": "write .dt.truncate('1h')",
    "dayofweek": "write .dt.weekday()",
    "offset_by": "add a timedelta: col('ts') + timedelta(hours=1)",
}


class Time:
    __slots__ = ("_expr",)

    def __init__(self, expr: Expr) -> None:
        self._expr = expr

    def year(self) -> Expr:
        """The year."""
        return self._expr._call("dt.year")

    def month(self) -> Expr:
        """The month, 1 to 12."""
        return self._expr._call("dt.month")

    def day(self) -> Expr:
        """The day of the month, 1 to 31."""
        return self._expr._call("dt.day")

    def hour(self) -> Expr:
        """The hour, 0 to 23."""
        return self._expr._call("dt.hour")

    def minute(self) -> Expr:
        """The minute, 0 to 59."""
        return self._expr._call("dt.minute")

    def second(self) -> Expr:
        """The second, 0 to 59."""
        return self._expr._call("dt.second")

    def date(self) -> Expr:
        """The day, as a date."""
        return self._expr._call("dt.date")

    def weekday(self) -> Expr:
        """The day of the week: Monday is 1, Sunday 7."""
        return self._expr._call("dt.weekday")

    def truncate(self, every: str | timedelta) -> Expr:
        """The start of the span it lies in; spans start at the epoch, as windows do.

        >>> from streamflow.flow.expr import col
        >>> col("ts").dt.truncate("1h")
        col('ts').dt.truncate('1h')
        """
        with Building("truncate"):
            span = parse_duration(every)
        if span <= 0:
            raise wrong(f"truncate({every!r}): the span must be longer than nothing")
        return self._expr._call("dt.truncate", every=span)

    def epoch(self, unit: Literal["s", "ms", "us"] = "us") -> Expr:
        """Whole seconds, milli- or microseconds since 1970."""
        if unit not in ("s", "ms", "us"):
            raise wrong(f"{unit!r} is no unit of time", remedy="write 's', 'ms' or 'us'")
        return self._expr._call("dt.epoch", unit=unit)

    def strftime(self, format: str) -> Expr:  # noqa: A002
        """As text.

        >>> from streamflow.flow.expr import col
        >>> col("ts").dt.strftime("%Y-%m-%d")
        col('ts').dt.strftime('%Y-%m-%d')
        """
        return self._expr._call("dt.strftime", format=format)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise no_such_method(".dt", Time, name, _INSTEAD)
