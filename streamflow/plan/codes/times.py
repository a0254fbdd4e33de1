"""How functions of dates, times and durations are compiled."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.errors import UserError
from streamflow.kernels import compute, dates
from streamflow.kernels.compute import Unary
from streamflow.plan.codes.code import Code, Compile, from_numbers, numbers_of, of_arrays, unary
from streamflow.plan.codes.convert import convert
from streamflow.plan.logical.terms import Call

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND


def _from_epoch(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    unit = call.option("unit")
    if unit == "ns":
        return unary(compute.divide_units(1000), type_, args[0])
    factor = {"s": _SECOND, "ms": 1000, "us": 1}[unit]
    if factor == 1:
        return from_numbers(type_, numbers_of(args[0]))
    multiply = compute.integer_arithmetic("mul")
    return unary(lambda a: multiply(a, (np.int64(factor), None)), type_, args[0])


def _local(call: Call, arg: Code) -> Code:
    """What the clocks of the call's time zone show, as if it were UTC."""
    zone = call.option("tz")
    return arg if zone is None else unary(dates.Clock(zone).to_local, arg.type, arg)


def _time_part(kernel: Unary) -> Compile:
    return lambda call, args, type_: unary(kernel, type_, _local(call, args[0]))


def _calendar_part(function: Callable[[Any], Any]) -> Compile:
    """A part of the date. In UTC, so that Arrow needs no time-zone data base."""
    naive = pa.timestamp("us")
    return lambda call, args, type_: of_arrays(lambda a: function(a.view(naive)), type_, [_local(call, args[0])])


def _date(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    return convert(_local(call, args[0]), type_, strict=True)


def _within_second(unit: int) -> Unary:
    second = np.int64(_SECOND)
    return lambda a: (a[0] % second // np.int64(unit), a[1])


def _on_clocks(kernel: Unary, zone: str | None) -> Unary:
    return kernel if zone is None else dates.on_clocks(kernel, dates.Clock(zone))


def _truncate(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    every, zone = call.option("every"), call.option("tz")
    months = _MONTHS.fullmatch(every)
    if months is not None:
        count, unit = months.groups()
        kernel = _on_clocks(dates.floor_months(int(count) * _MONTHS_OF[unit]), zone)
    elif zone is None or int(every) % _DAY == 0:
        kernel = _on_clocks(compute.floor_to(int(every)), zone)
    else:
        kernel = dates.floor_within_hours(compute.floor_to(int(every)), dates.Clock(zone))
    return unary(kernel, type_, args[0])


_MONTHS = re.compile(r"(-?\d+)(mo|q|y)")
_MONTHS_OF = {"mo": 1, "q": 3, "y": 12}


def _month_bound(kernel: Unary) -> Compile:
    return lambda call, args, type_: unary(_on_clocks(kernel, call.option("tz")), type_, args[0])


def _offset_by(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    by, zone = call.option("by"), call.option("tz")
    months = _MONTHS.fullmatch(by)
    if months is not None:
        count, unit = months.groups()
        kernel = _on_clocks(dates.add_months(int(count) * _MONTHS_OF[unit]), zone)
    else:
        span = (np.int64(int(by)), None)
        add = compute.integer_arithmetic("add")
        kernel = lambda a: add(a, span)  # noqa: E731
        if int(by) % _DAY == 0:
            kernel = _on_clocks(kernel, zone)
    return unary(kernel, type_, args[0])


def _epoch(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    unit = {"s": _SECOND, "ms": 1000, "us": 1}[call.option("unit")]
    if unit == 1:
        return from_numbers(type_, numbers_of(args[0]))
    return unary(compute.divide_units(unit), type_, args[0])


def _strftime(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    layout = call.option("format")
    if call.option("tz") is not None and re.search("(?:^|[^%])(?:%%)*%[zZ]", layout):
        raise UserError(f"strftime({layout!r}): the text cannot hold the offset of {call.option('tz')}")
    return of_arrays(lambda a: dates.format_times(a, layout), type_, [_local(call, args[0])])


_weekday: Unary = compute.unit_of_day(86_400 * _SECOND, 7, first=3)
"""Monday is 0: 1970-01-01 was a Thursday."""


def _total(unit: int) -> Compile:
    return lambda call, args, type_: unary(dates.toward_zero(unit), type_, args[0])


TIMES: Mapping[str, Compile] = {
    "from_epoch": _from_epoch,
    "dt.year": _calendar_part(pc.year),
    "dt.iso_year": _calendar_part(pc.iso_year),
    "dt.quarter": _calendar_part(pc.quarter),
    "dt.month": _calendar_part(pc.month),
    "dt.week": _calendar_part(pc.iso_week),
    "dt.day": _calendar_part(pc.day),
    "dt.ordinal_day": _calendar_part(pc.day_of_year),
    "dt.weekday": _time_part(lambda a: (_weekday(a)[0] + 1, a[1])),
    "dt.hour": _time_part(compute.unit_of_day(3600 * _SECOND, 24)),
    "dt.minute": _time_part(compute.unit_of_day(60 * _SECOND, 60)),
    "dt.second": _time_part(compute.unit_of_day(_SECOND, 60)),
    "dt.millisecond": _time_part(_within_second(1000)),
    "dt.microsecond": _time_part(_within_second(1)),
    "dt.days_in_month": _time_part(dates.days_in_month),
    "dt.is_leap_year": _calendar_part(pc.is_leap_year),
    "dt.date": _date,
    "dt.epoch": _epoch,
    "dt.truncate": _truncate,
    "dt.month_start": _month_bound(dates.floor_months(1)),
    "dt.month_end": _month_bound(dates.month_end),
    "dt.offset_by": _offset_by,
    "dt.strftime": _strftime,
    "dt.total_days": _total(_DAY),
    "dt.total_hours": _total(3600 * _SECOND),
    "dt.total_minutes": _total(60 * _SECOND),
    "dt.total_seconds": _total(_SECOND),
    "dt.total_milliseconds": _total(1000),
    "dt.total_microseconds": _total(1),
}
