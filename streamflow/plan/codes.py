"""Compiled terms, and how each function of an expression is compiled.

A `Code` computes one column of a batch, either as numbers (`kernels.compute`) or as an Arrow array; the other form is
made of it by a conversion that is chosen here, once. Everything that a function decides by types or options is decided
here too: what runs is a closure over kernels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from streamflow.errors import UserError
from streamflow.kernels import compute, text
from streamflow.kernels.compute import Binary, Numbers, Unary, physical_type
from streamflow.plan.logical.expr import Call

Run: TypeAlias = Callable[[pa.RecordBatch], Any]

_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Code:
    """A column of a batch. `numbers` gives a pair of `kernels.compute`, `arrow` an array (a scalar, if `constant`)."""

    type: pa.DataType
    numbers: Run | None
    arrow: Run
    constant: bool = False


def from_numbers(type_: pa.DataType, numbers: Run) -> Code:
    """A code that computes numbers."""
    return Code(type_, numbers, lambda batch: compute.store(numbers(batch), type_, batch.num_rows))


def from_arrow(type_: pa.DataType, arrow: Run) -> Code:
    """A code that computes an Arrow array."""
    dtype = physical_type(type_)
    return Code(type_, None if dtype is None else lambda batch: compute.load(arrow(batch), dtype), arrow)


def column(index: int, type_: pa.DataType) -> Code:
    """A column of the batch itself."""
    return from_arrow(type_, lambda batch: batch.column(index))


def constant(value: pa.Scalar) -> Code:
    """The same value for every row."""
    type_ = value.type
    dtype = physical_type(type_)
    if dtype is None:
        return Code(type_, None, lambda batch: value, constant=True)
    values, nulls = compute.load(pa.array([value.as_py()], type_), dtype)
    pair = (values[0], None if nulls is None else np.True_)
    return Code(type_, lambda batch: pair, lambda batch: value, constant=True)


def array_of(code: Code) -> Run:
    """How to get an array of as many rows as the batch has, constants repeated."""
    if not code.constant:
        return code.arrow
    return lambda batch: pa.repeat(code.arrow(batch), batch.num_rows)


def _numbers(code: Code) -> Run:
    assert code.numbers is not None, f"{code.type} has no numbers"
    return code.numbers


# Building blocks


def _unary(kernel: Unary, type_: pa.DataType, arg: Code) -> Code:
    run = _numbers(arg)
    return from_numbers(type_, lambda batch: kernel(run(batch)))


def _binary(kernel: Binary, type_: pa.DataType, left: Code, right: Code) -> Code:
    run_left, run_right = _numbers(left), _numbers(right)
    return from_numbers(type_, lambda batch: kernel(run_left(batch), run_right(batch)))


def _arrow(function: Callable[..., Any], type_: pa.DataType, args: Sequence[Code]) -> Code:
    """A function of Arrow arrays; the first argument is always an array."""
    first, *rest = (array_of(args[0]), *(arg.arrow for arg in args[1:]))
    if not rest:
        return from_arrow(type_, lambda batch: function(first(batch)))
    return from_arrow(type_, lambda batch: function(first(batch), *(run(batch) for run in rest)))


# Functions

Compile: TypeAlias = Callable[[Call, Sequence[Code], pa.DataType], Code]
"""From the call, its compiled arguments (brought to the types that the function takes) and its type."""


def _arithmetic(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    left, right = args
    function = call.function
    if left.type == pa.string():
        return _arrow(text.concatenate, type_, args)
    if pt.is_floating(type_) and pt.is_floating(left.type):
        return _binary(compute.float_arithmetic(function), type_, left, right)
    if left.numbers is None or right.numbers is None:
        return _arrow(_decimal_arithmetic(function, type_), type_, args)
    if function in ("floordiv", "mod"):
        return _binary(compute.integer_division(function), type_, left, right)
    if function == "div":  # durations
        to_float = compute.to_float(np.dtype(np.float64))
        ratio = compute.float_arithmetic("div")
        return _binary(lambda a, b: ratio(to_float(a), to_float(b)), type_, left, right)
    return _binary(compute.integer_arithmetic(function), type_, left, right)


def _decimal_arithmetic(function: str, type_: pa.DataType) -> Callable[..., Any]:
    """The digits grow with every operation, up to the widest decimal; a result that needs more is an overflow."""
    name = {"add": "add_checked", "sub": "subtract_checked", "mul": "multiply_checked"}[function]

    def run(a: Any, b: Any) -> Any:
        try:
            return pc.call_function(name, [a, b]).cast(type_)
        except pa.ArrowInvalid as error:
            raise OverflowError(f"the result does not fit {type_}") from error

    return run


def _negate(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    (arg,) = args
    if arg.numbers is None:
        return _arrow(pc.negate if call.function == "neg" else pc.abs, type_, args)
    return _unary(compute.negate if call.function == "neg" else compute.absolute, type_, arg)


def _round(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    (arg,) = args
    if call.function == "round":
        decimals = call.option("decimals")
        if pt.is_integer(type_) and decimals >= 0:
            return arg
        return _arrow(lambda a: pc.round(a, decimals, "half_towards_infinity"), type_, args)
    if pt.is_integer(type_):
        return arg
    if arg.numbers is None:
        function = pc.floor if call.function == "floor" else pc.ceil
        return _arrow(lambda a: function(a).cast(type_), type_, args)
    ufunc = np.floor if call.function == "floor" else np.ceil
    return _unary(lambda a: (ufunc(a[0]), a[1]), type_, arg)


_ARROW_COMPARISONS = {
    "eq": pc.equal,
    "ne": pc.not_equal,
    "lt": pc.less,
    "le": pc.less_equal,
    "gt": pc.greater,
    "ge": pc.greater_equal,
}


def _compare(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    return _comparison(call.function, *args)


def _comparison(function: str, left: Code, right: Code) -> Code:
    if left.numbers is None:
        return _arrow(_ARROW_COMPARISONS[function], pa.bool_(), (left, right))
    kernel = compute.comparison(function, floating=pt.is_floating(left.type))
    return _binary(kernel, pa.bool_(), left, right)


def _between(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    value, low, high = args
    closed = call.option("closed")
    above = _comparison("ge" if closed in ("both", "left") else "gt", value, low)
    below = _comparison("le" if closed in ("both", "right") else "lt", value, high)
    return _binary(compute.conjunction, pa.bool_(), above, below)


def _is_in(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    value, *choices = args
    empty = pa.RecordBatch.from_arrays([], [])
    listed = pa.array([choice.arrow(empty).as_py() for choice in choices], value.type)
    if value.numbers is None:
        return _arrow(lambda a: text.is_in(a, listed), pa.bool_(), (value,))
    dtype = physical_type(value.type)
    assert dtype is not None
    kernel = compute.is_in(compute.load(listed, dtype)[0], floating=pt.is_floating(value.type))
    return _unary(kernel, pa.bool_(), value)


def _logic(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    kernel = compute.conjunction if call.function == "and" else compute.disjunction
    return _binary(kernel, type_, *args)


def _is_null(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    (arg,) = args
    function = pc.is_null if call.function == "is_null" else pc.is_valid
    return _arrow(function, type_, (arg,))


def _coalesce(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    if physical_type(type_) is not None:
        return reduce(lambda a, b: _binary(compute.coalesce, type_, a, b), args)
    return _arrow(pc.coalesce, type_, args)


def _from_epoch(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    unit = call.option("unit")
    if unit == "ns":
        return _unary(compute.divide_units(1000), type_, args[0])
    factor = {"s": _SECOND, "ms": 1000, "us": 1}[unit]
    if factor == 1:
        return from_numbers(type_, _numbers(args[0]))
    multiply = compute.integer_arithmetic("mul")
    return _unary(lambda a: multiply(a, (np.int64(factor), None)), type_, args[0])


def _time_part(kernel: Unary) -> Compile:
    return lambda call, args, type_: _unary(kernel, type_, args[0])


def _calendar_part(function: Callable[[Any], Any]) -> Compile:
    """A part of the date. In UTC, so that no time-zone data base is needed."""
    naive = pa.timestamp("us")
    return lambda call, args, type_: _arrow(lambda a: function(a.view(naive)), type_, args)


def _truncate(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    return _unary(compute.floor_to(call.option("every")), type_, args[0])


def _epoch(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    unit = {"s": _SECOND, "ms": 1000, "us": 1}[call.option("unit")]
    if unit == 1:
        return from_numbers(type_, _numbers(args[0]))
    return _unary(compute.divide_units(unit), type_, args[0])


def _strftime(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    layout = call.option("format")
    if "%f" in layout:
        raise UserError(
            f"strftime({layout!r}): there is no %f", remedy="take the fraction from .dt.epoch('us') % 1000000"
        )
    return _arrow(lambda a: text.format_times(a, layout), type_, args)


def _to_datetime(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    layout = call.option("format")
    if layout is None:
        return _arrow(text.parse_iso_times, type_, args)
    if "%f" in layout:
        raise UserError(
            f"to_datetime({layout!r}): there is no %f",
            remedy="without a format ISO 8601 is read, with fractions of a second",
        )
    return _arrow(lambda a: text.parse_times(a, layout), type_, args)


def _text(make: Callable[[Call], Callable[[Any], Any]]) -> Compile:
    """A function of one column of text, and of the call's options."""
    return lambda call, args, type_: _arrow(make(call), type_, args)


def _strip(call: Call) -> Any:
    characters = call.option("characters")
    if characters is None:
        return pc.utf8_trim_whitespace
    return lambda a: pc.utf8_trim(a, characters)


def _contains(call: Call) -> Callable[[Any], Any]:
    pattern = call.option("pattern")
    if call.option("literal") or pattern == re.escape(pattern):
        return lambda a: pc.match_substring(a, pattern)
    _check_pattern(pattern)
    return lambda a: pc.match_substring_regex(a, pattern)


def _replace(call: Call) -> Callable[[Any], Any]:
    pattern, value = call.option("pattern"), call.option("value")
    most = 1 if call.function == "str.replace" else -1
    if call.option("literal"):
        return lambda a: pc.replace_substring(a, pattern, value, max_replacements=most)
    _check_pattern(pattern)
    return lambda a: pc.replace_substring_regex(a, pattern, value, max_replacements=most)


def _check_pattern(pattern: str) -> None:
    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        raise UserError(
            f"{pattern!r} is not a regular expression: {error}",
            remedy="write literal=True for plain text; the syntax is RE2's, without look-around and back references",
        ) from error


def _slice(call: Call) -> Callable[[Any], Any]:
    offset, length = call.option("offset"), call.option("length")
    stop = None if length is None else offset + length
    if offset < 0 and stop is not None and stop >= 0:
        stop = None
    return lambda a: pc.utf8_slice_codeunits(a, offset, stop)


def _split(call: Call) -> Callable[[Any], Any]:
    by = call.option("by")
    if not by:
        raise UserError("split(''): there is nothing to split by")
    return lambda a: pc.split_pattern(a, by)


_weekday: Unary = compute.unit_of_day(86_400 * _SECOND, 7, first=3)
"""Monday is 0: 1970-01-01 was a Thursday."""


def _struct_field(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    record, name = array_of(args[0]), call.option("name")
    return from_arrow(type_, lambda batch: pc.struct_field(record(batch), name))


COMPILERS: Mapping[str, Compile] = {
    **dict.fromkeys(("add", "sub", "mul", "div", "floordiv", "mod", "pow"), _arithmetic),
    **dict.fromkeys(("neg", "abs"), _negate),
    **dict.fromkeys(("round", "floor", "ceil"), _round),
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge"), _compare),
    "between": _between,
    "is_in": _is_in,
    "and": _logic,
    "or": _logic,
    "not": lambda call, args, type_: _unary(compute.negation, type_, args[0]),
    "is_null": _is_null,
    "is_not_null": _is_null,
    "coalesce": _coalesce,
    "from_epoch": _from_epoch,
    "struct.field": _struct_field,
    "str.len_chars": _text(lambda call: lambda a: pc.utf8_length(a).cast(pa.int64())),
    "str.to_lowercase": _text(lambda call: pc.utf8_lower),
    "str.to_uppercase": _text(lambda call: pc.utf8_upper),
    "str.strip_chars": _text(_strip),
    "str.starts_with": _text(lambda call: lambda a: pc.starts_with(a, call.option("prefix"))),
    "str.ends_with": _text(lambda call: lambda a: pc.ends_with(a, call.option("suffix"))),
    "str.contains": _text(_contains),
    "str.replace": _text(_replace),
    "str.replace_all": _text(_replace),
    "str.slice": _text(_slice),
    "str.split": _text(_split),
    "str.to_datetime": _to_datetime,
    "dt.year": _calendar_part(pc.year),
    "dt.month": _calendar_part(pc.month),
    "dt.day": _calendar_part(pc.day),
    "dt.hour": _time_part(compute.unit_of_day(3600 * _SECOND, 24)),
    "dt.minute": _time_part(compute.unit_of_day(60 * _SECOND, 60)),
    "dt.second": _time_part(compute.unit_of_day(_SECOND, 60)),
    "dt.weekday": _time_part(lambda a: (_weekday(a)[0] + 1, a[1])),
    "dt.date": lambda call, args, type_: convert(args[0], type_, strict=True),
    "dt.epoch": _epoch,
    "dt.truncate": _truncate,
    "dt.strftime": _strftime,
}


def convert(arg: Code, type_: pa.DataType, *, strict: bool) -> Code:
    """A cast. Implied ones are strict, and lose nothing but a float's last digits."""
    if arg.type == type_:
        return arg
    kernel = _number_conversion(arg.type, type_, strict)
    if kernel is not None:
        return _unary(kernel, type_, arg)
    if not strict:
        return _arrow(lambda a: text.cast_or_null(a, type_), type_, (arg,))
    return _arrow(lambda a: text.cast_or_raise(a, type_), type_, (arg,))


def _number_conversion(have: pa.DataType, want: pa.DataType, strict: bool) -> Unary | None:
    """The kernel between two types of fixed width; None where Arrow's own cast is right."""
    source, target = physical_type(have), physical_type(want)
    if source is None or target is None or pt.is_time(have) or pt.is_time(want):
        return None
    if pt.is_date(have) and pt.is_timestamp(want):
        return compute.days_to_microseconds(strict=strict)
    if pt.is_timestamp(have) and pt.is_date(want):
        return compute.microseconds_to_days
    if pt.is_boolean(want):
        return compute.to_bool
    if pt.is_floating(want):
        return compute.to_float(target)
    return compute.to_integer(target, strict=strict)


def predicate_of(code: Code) -> Callable[[pa.RecordBatch], Any]:
    """Where the condition is true, as a boolean array of numpy; null is not true."""
    run = _numbers(code)

    def evaluate(batch: pa.RecordBatch) -> Any:
        values, nulls = run(batch)
        holds = values if nulls is None else values & ~nulls
        return holds if holds.ndim else np.full(batch.num_rows, holds)

    return evaluate


__all__ = [
    "COMPILERS",
    "Code",
    "Numbers",
    "Run",
    "array_of",
    "column",
    "constant",
    "convert",
    "from_arrow",
    "from_numbers",
    "predicate_of",
]
