"""What functions of dates, times and durations take and give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow.types as pt

from streamflow.plan.logical.functions.types import (
    BOOL,
    DATE,
    DURATION,
    INT64,
    STRING,
    TIMESTAMP,
    Bound,
    Operand,
    Signature,
    fixed,
)
from streamflow.plan.logical.terms import Call


def _from_epoch(call: Call, operands: Sequence[Operand]) -> Bound | None:
    (operand,) = operands
    return ((INT64,), TIMESTAMP) if pt.is_integer(operand.type) or pt.is_null(operand.type) else None


_TO_INT = fixed(TIMESTAMP, gives=INT64)
_TO_TIME = fixed(TIMESTAMP, gives=TIMESTAMP)
_PARTS = (
    "year iso_year quarter month week day ordinal_day weekday hour minute second millisecond microsecond days_in_month"
)
_UNITS = "days hours minutes seconds milliseconds microseconds"

TIMES: Mapping[str, Signature] = {
    "from_epoch": _from_epoch,
    **{f"dt.{part}": _TO_INT for part in _PARTS.split()},
    **{f"dt.total_{unit}": fixed(DURATION, gives=INT64) for unit in _UNITS.split()},
    "dt.is_leap_year": fixed(TIMESTAMP, gives=BOOL),
    "dt.date": fixed(TIMESTAMP, gives=DATE),
    "dt.epoch": _TO_INT,
    "dt.truncate": _TO_TIME,
    "dt.month_start": _TO_TIME,
    "dt.month_end": _TO_TIME,
    "dt.offset_by": _TO_TIME,
    "dt.strftime": fixed(TIMESTAMP, gives=STRING),
}
