"""What stays in Arrow: text, times as text, and casts.

Cost: one or two of pyarrow's kernels each, 10-100 us for 8 k rows.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_UTC = pa.timestamp("us", "UTC")
_DIGITS, _INT_DIGITS = 38, 20
"""What a decimal has room for, and what the greatest integer takes."""
_FRACTION = r"^(?P<seconds>.*)\.(?P<fraction>[0-9]{1,6})(?P<rest>(?:[^0-9.][^.]*)?)$"
_HAS_ZONE = r"(Z|[+-]\d\d:?\d\d)$"


def concatenate(a: pa.Array, b: pa.Array | pa.Scalar) -> pa.Array:
    """Texts one after the other; null where one is null."""
    return pc.binary_join_element_wise(a, b, "")


def equal_or_both_null(a: pa.Array, b: pa.Array | pa.Scalar) -> pa.Array:
    """Equal, or both null; never null.

    >>> equal_or_both_null(pa.array(["a", "b", None]), pa.array(["a", None, None])).to_pylist()
    [True, False, True]
    """
    return pc.coalesce(pc.equal(a, b), pc.and_(pc.is_null(a), pc.is_null(b)))


def is_in(array: pa.Array, choices: pa.Array) -> pa.Array:
    """Is the value among these? Null where it is null.

    >>> is_in(pa.array(["a", "b", None]), pa.array(["a"])).to_pylist()
    [True, False, None]
    """
    found = pc.is_in(array, value_set=choices)
    return pc.if_else(array.is_valid(), found, None) if array.null_count else found


def parse_iso_times(array: pa.Array) -> pa.Array:
    """ISO 8601 as UTC; a text without a zone is UTC already. ValueError with the first text that is no time.

    >>> parse_iso_times(pa.array(["2024-05-01", "2024-05-01T12:00:00.5+02:00"])).cast(pa.int64()).to_pylist()
    [1714521600000000, 1714557600500000]
    """
    try:
        return array.cast(pa.timestamp("us")).view(_UTC)
    except pa.ArrowInvalid:
        pass
    zoned = pc.match_substring_regex(array, _HAS_ZONE)
    local = cast_or_raise(pc.if_else(zoned, None, array), pa.timestamp("us")).view(_UTC)
    return pc.coalesce(local, cast_or_raise(pc.if_else(zoned, array, None), _UTC))


def parse_times(array: pa.Array, layout: str) -> pa.Array:
    """Times written in a layout of strptime, UTC unless it says a zone. ValueError with the first that does not fit.

    `.%f`, one to six digits, may stand in it once, with no other point behind.

    >>> parse_times(pa.array(["1.5.2024 08:00:00.25"]), "%d.%m.%Y %H:%M:%S.%f").to_pylist()[0].isoformat()
    '2024-05-01T08:00:00.250000+00:00'
    """
    before, fraction, after = layout.partition(".%f")
    if not fraction:
        return _parse_seconds(array, layout)
    parts = pc.extract_regex(array, _FRACTION)
    if parts.null_count > array.null_count:
        wrong = array.filter(pc.and_(parts.is_null(), array.is_valid()))[0]
        raise ValueError(f"{wrong.as_py()!r} is not a time as {layout!r}")
    seconds, digits, rest = parts.flatten()
    times = _parse_seconds(pc.binary_join_element_wise(seconds, rest, ""), before + after)
    micros = pc.utf8_rpad(digits, 6, "0").cast(pa.int64()).cast(pa.duration("us"))
    return pc.add_checked(times, micros)


def _parse_seconds(array: pa.Array, layout: str) -> pa.Array:
    parsed = pc.strptime(array, format=layout, unit="us", error_is_null=True)
    if parsed.null_count > array.null_count:
        wrong = array.filter(pc.and_(parsed.is_null(), array.is_valid()))[0]
        raise ValueError(f"{wrong.as_py()!r} is not a time as {layout!r}")
    times = parsed.view(_UTC)
    _refuse_days_beyond_their_month(array, times, layout)
    return times


def _refuse_days_beyond_their_month(array: pa.Array, times: pa.Array, layout: str) -> None:
    """Arrow takes the 30th of February for the 1st of March: Python looks at those that may be such a day."""
    written = pc.not_equal(array, format_times(times, layout))
    doubtful = array.filter(pc.and_(written, pc.less_equal(pc.day(times), 3)))
    for value in doubtful.unique().to_pylist():
        try:
            datetime.strptime(value, layout)  # noqa: DTZ007 (only whether it can be read)
        except ValueError as error:
            if "day" in str(error) and "range" in str(error):
                raise ValueError(f"{value!r} is not a time as {layout!r}: {error}") from error


def format_times(array: pa.Array, layout: str) -> pa.Array:
    """Times as text, whole seconds.

    >>> format_times(pa.array([1_500_000], _UTC), "%H:%M:%S").to_pylist()
    ['00:00:01']
    """
    seconds = pc.floor_temporal(array, unit="second").cast(pa.timestamp("s", "UTC"))
    return pc.strftime(seconds, format=layout)


def cast_or_raise(array: pa.Array, type_: pa.DataType) -> pa.Array:
    """Arrow's checked cast; ValueError with the first value that does not fit."""
    try:
        return _cast(array, type_)
    except pa.ArrowInvalid as error:
        wrong = array.filter(_misfits(array, type_))
        raise ValueError(f"{wrong[0].as_py()!r} does not fit {type_}" if len(wrong) else str(error)) from error


def _cast(array: pa.Array, type_: pa.DataType) -> pa.Array:
    """Arrow asks of a decimal that it has room for all integers of the type; here these have to fit. It knows no +7."""
    if pa.types.is_decimal128(type_) and pa.types.is_integer(array.type) and type_.scale <= _DIGITS - _INT_DIGITS:
        array = pc.cast(array, pa.decimal128(_DIGITS, type_.scale))
    if not pa.types.is_string(array.type) or not (pa.types.is_integer(type_) or pa.types.is_floating(type_)):
        return pc.cast(array, type_)
    try:
        return pc.cast(array, type_)
    except pa.ArrowInvalid:
        return pc.cast(pc.replace_substring_regex(array, r"^\+([0-9.])", r"\1"), type_)


def cast_or_null(array: pa.Array, type_: pa.DataType) -> pa.Array:
    """Arrow's checked cast; null where a value does not fit.

    >>> cast_or_null(pa.array(["1", "x", None, "3"]), pa.int64()).to_pylist()
    [1, None, None, 3]
    """
    try:
        return _cast(array, type_)
    except pa.ArrowInvalid:
        return _cast(pc.if_else(_misfits(array, type_), None, array), type_)


def _misfits(array: pa.Array, type_: pa.DataType) -> pa.Array:
    """Where the cast fails: halves of the distinct values are tried until single ones are left.

    Costs some 10 us per distinct value that does not fit; equal ones cost nothing more.
    """
    distinct = array.dictionary_encode()
    values: Any = distinct.dictionary
    bad = np.zeros(len(values), np.bool_)
    pending = [(0, len(values))]
    while pending:
        start, stop = pending.pop()
        try:
            _cast(values.slice(start, stop - start), type_)
        except pa.ArrowInvalid:
            if stop - start == 1:
                bad[start] = True
            else:
                middle = (start + stop) // 2
                pending += [(start, middle), (middle, stop)]
    indices = distinct.indices
    return pc.fill_null(pa.array(bad).take(indices), False) if len(bad) else pa.repeat(False, len(array))
