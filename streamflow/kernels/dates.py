"""Calendar arithmetic: months, and what the clocks of a time zone show. Times are int64 microseconds since 1970, UTC.

Cost: 8 k rows take some 200 us for months, and for a time zone 300 us once their quarter hours
are known.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.kernels.arrays import Int64s
from streamflow.kernels.compute import Numbers, Unary
from streamflow.kernels.text import format_times as whole_seconds

_DAY = 86_400_000_000
_QUARTER = 900_000_000
"""Clocks change at whole quarter hours, but for some before 1972; a quarter with a change is looked at by row."""
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (on a wall clock)
_MICROSECOND = timedelta(microseconds=1)


def _months(times: Any) -> Any:
    """The number of the month since 1970-01."""
    return times.view("M8[us]").astype("M8[M]").view(np.int64)


def _start_of_month(months: Any) -> Any:
    """In microseconds."""
    return months.view("M8[M]").astype("M8[us]").view(np.int64)


def _safe(a: Numbers) -> Any:
    """The values, zeros in the place of nulls: what stands there might be no time at all."""
    values = np.atleast_1d(a[0])
    return values if a[1] is None else np.where(a[1], 0, values)


def _shaped(values: Any, like: Any) -> Any:
    return values if like.ndim else values[0]


def floor_months(every: int) -> Unary:
    """The start of the span of so many months, counted from 1970-01.

    >>> floor_months(3)((np.array([-1]), None))[0].view("M8[us]").astype("M8[D]")
    array(['1969-10-01'], dtype='datetime64[D]')
    """

    def compute(a: Numbers) -> Numbers:
        times = _safe(a)
        starts = _start_of_month(_months(times) // every * every)
        if (starts > times).any():
            raise OverflowError("the start lies before all times")
        return _shaped(starts, a[0]), a[1]

    return compute


def month_end(a: Numbers) -> Numbers:
    """Midnight of the last day of the month."""
    return _shaped(_start_of_month(_months(_safe(a)) + 1) - _DAY, a[0]), a[1]


def days_in_month(a: Numbers) -> Numbers:
    months = _months(_safe(a))
    return _shaped((_start_of_month(months + 1) - _start_of_month(months)) // _DAY, a[0]), a[1]


def add_months(count: int) -> Unary:
    """The same day and time so many months later; a day that the month does not have is its last.

    >>> add_months(1)((np.array(["2024-01-31T12"], "M8[us]").view(np.int64), None))[0].view("M8[us]").astype("M8[h]")
    array(['2024-02-29T12'], dtype='datetime64[h]')
    """

    def compute(a: Numbers) -> Numbers:
        times = _safe(a)
        months = _months(times)
        within = times - _start_of_month(months)
        start, end = _start_of_month(months + count), _start_of_month(months + count + 1)
        moved = start + np.minimum(within // _DAY, (end - start) // _DAY - 1) * _DAY + within % _DAY
        if ((moved > times) != (count > 0)).any():
            raise OverflowError(f"{count} months from there is no time")
        return _shaped(moved, a[0]), a[1]

    return compute


class Clock:
    """The clocks of a time zone. ValueError for times beyond the years 1 to 9999, of which no time zone is known.

    >>> berlin, noon = Clock("Europe/Berlin"), np.array(["2024-07-01T12"], "M8[us]").view(np.int64)
    >>> berlin.to_local((noon, None))[0].view("M8[us]").astype("M8[h]")
    array(['2024-07-01T14'], dtype='datetime64[h]')
    """

    def __init__(self, zone: str) -> None:
        self._zone = ZoneInfo(zone)
        self._ahead: dict[tuple[int, bool], int | None] = {}

    def to_local(self, a: Numbers) -> Numbers:
        """What the clocks show, as if it were UTC."""
        times = _safe(a)
        return _shaped(times + self.offsets(times), a[0]), a[1]

    def to_utc(self, a: Numbers) -> Numbers:
        """When the clocks show it. Shown twice: the first time; skipped: as if they had not been changed yet."""
        shown = _safe(a)
        return _shaped(shown - self.offsets(shown, shown=True), a[0]), a[1]

    def offsets(self, times: Int64s, *, shown: bool = False) -> Int64s:
        """How far the clocks are ahead of UTC. `shown`: the times are what the clocks show."""
        if not len(times):
            return times
        quarters, which = np.unique(times // _QUARTER, return_inverse=True)
        known = [self._in_quarter(int(quarter), shown) for quarter in quarters]
        ahead = np.array([0 if offset is None else offset for offset in known], np.int64)[which]
        if None in known:
            mixed = np.flatnonzero(np.array([offset is None for offset in known])[which])
            ahead[mixed] = [self._look_up(int(time), shown) for time in times[mixed]]
        return ahead

    def _in_quarter(self, quarter: int, shown: bool) -> int | None:
        """The offset in a whole quarter of an hour, None if there it changes."""
        try:
            return self._ahead[quarter, shown]
        except KeyError:
            pass
        first, last = (self._look_up(time, shown) for time in (quarter * _QUARTER, (quarter + 1) * _QUARTER - 1))
        if len(self._ahead) >= 1 << 16:
            self._ahead.clear()
        offset = self._ahead[quarter, shown] = first if first == last else None
        return offset

    def _look_up(self, time: int, shown: bool) -> int:
        try:
            wall = _EPOCH + timedelta(microseconds=time)
            there = wall.replace(tzinfo=self._zone) if shown else wall.replace(tzinfo=UTC).astimezone(self._zone)
        except OverflowError as error:
            raise ValueError("a time beyond the years 1 to 9999 is in no time zone") from error
        offset = there.utcoffset()
        assert offset is not None
        return offset // _MICROSECOND


def floor_within_hours(floor: Unary, clock: Clock) -> Unary:
    """Spans of less than a day on the clocks: an hour that they show twice is two."""

    def compute(a: Numbers) -> Numbers:
        times = _safe(a)
        ahead = clock.offsets(times)
        starts, _ = floor((times + ahead, None))
        return _shaped(starts - ahead, a[0]), a[1]

    return compute


def on_clocks(function: Unary, clock: Clock) -> Unary:
    """A function of what the clocks show, whose result is what they show."""
    return lambda a: clock.to_utc(function(clock.to_local(a)))


def toward_zero(unit: int) -> Unary:
    """Whole units of so many microseconds, the fraction dropped."""
    size = np.int64(unit)

    def compute(a: Numbers) -> Numbers:
        whole = a[0] // size
        return whole + ((a[0] < 0) & (whole * size != a[0])), a[1]

    return compute


def format_times(array: pa.Array, layout: str) -> pa.Array:
    """Times as text; %f is the fraction of the second in six digits.

    >>> format_times(pa.array([1_500_000], pa.timestamp("us", "UTC")), "%H:%M:%S.%f").to_pylist()
    ['00:00:01.500000']
    """
    first, *rest = _split_fractions(layout)
    if not rest:
        return whole_seconds(array, layout)
    micros = pc.fill_null(array.view(pa.int64()), 0).to_numpy() % 1_000_000
    digits = pc.utf8_lpad(pa.array(micros).cast(pa.string()), 6, "0")
    pieces = [whole_seconds(array, first)]
    for piece in rest:
        pieces += [digits, whole_seconds(array, piece)]
    return pc.binary_join_element_wise(*pieces, "")


def _split_fractions(layout: str) -> list[str]:
    """The layout around its %f; %%f is a percent sign and an f.

    >>> _split_fractions("%S.%f %%f")
    ['%S.', ' %%f']
    """
    parts, at, end = [""], 0, len(layout)
    while at < end:
        token = layout[at : at + 2] if layout[at] == "%" else layout[at]
        if token == "%f":
            parts.append("")
        else:
            parts[-1] += token
        at += len(token)
    return parts
