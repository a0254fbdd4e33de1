"""Arithmetic, comparison and logic over columns of fixed width.

A column is a pair (values, nulls): a numpy array of the type's physical form (times, dates and durations are integers)
and a boolean array that is True where the value is null, or None where no value is; what stands under a null has no
meaning. A constant is a pair of numpy scalars. Null-free columns cost one numpy pass per operation and no copy at the
border with Arrow.

Semantics (rule 16): Kleene logic; a comparison with null is null; NaN equals NaN and is greater than all numbers; -0.0
equals 0.0. Integer overflow raises OverflowError; an integer divided by zero is null; floats follow IEEE 754; `//` and
`%` round to the floor.

Cost: 8 k null-free rows take 2-6 us per operation (checked integer ones 4 us more for the ranges of their operands).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.kernels.arrays import numpy_type, view

Values: TypeAlias = "npt.NDArray[Any] | np.generic"
Nulls: TypeAlias = "npt.NDArray[np.bool_] | np.bool_ | None"
Numbers: TypeAlias = tuple[Any, Any]
"""(Values, Nulls); not written so, since numpy's operators type better on Any."""

Unary: TypeAlias = Callable[[Numbers], Numbers]
Binary: TypeAlias = Callable[[Numbers, Numbers], Numbers]

_INT64: np.dtype[Any] = np.dtype(np.int64)
_FOREIGN = frozenset({pa.float16().id, pa.date64().id, pa.time32("s").id})
"""Types of fixed width that no canonical column has."""


def physical_type(type_: pa.DataType) -> np.dtype[Any] | None:
    """The numpy form of a type of fixed width; None for those that stay in Arrow (text, decimals, nested types).

    >>> physical_type(pa.timestamp("us", "UTC")), physical_type(pa.string())
    (dtype('int64'), None)
    """
    return None if type_.id in _FOREIGN else numpy_type(type_)


def load(array: pa.Array, dtype: np.dtype[Any]) -> Numbers:
    """A column as a pair, sharing its memory except for bools."""
    nulls = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    if dtype == np.bool_:
        filled = array if nulls is None else pc.fill_null(array, False)
        return filled.to_numpy(zero_copy_only=False), nulls
    return view(array, dtype), nulls


def store(numbers: Numbers, type_: pa.DataType, rows: int) -> pa.Array:
    """A pair as a column of `rows` rows; constants are repeated. Shares memory where there are no nulls."""
    values, nulls = numbers
    if values.ndim == 0:
        values = np.full(rows, values)
    if nulls is not None:
        nulls = np.broadcast_to(nulls, rows) if nulls.ndim == 0 else nulls
        validity = pa.array(~nulls).buffers()[1]
    else:
        validity = None
    is_bool = values.dtype == np.bool_
    data = pa.array(values).buffers()[1] if is_bool else pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(type_, rows, [validity, data])


def either(a: Any, b: Any) -> Any:
    """Null where one of the two is."""
    if a is None:
        return b
    return a if b is None else a | b


# Arithmetic


def _ranges_fit(function: str, a: Any, b: Any) -> bool:
    """Can no result leave the type, as far as the ranges of the operands tell?"""
    if not a.size or not b.size:
        return True
    low_a, high_a, low_b, high_b = int(a.min()), int(a.max()), int(b.min()), int(b.max())
    match function:
        case "add":
            low, high = low_a + low_b, high_a + high_b
        case "sub":
            low, high = low_a - high_b, high_a - low_b
        case _:
            corners = (low_a * low_b, low_a * high_b, high_a * low_b, high_a * high_b)
            low, high = min(corners), max(corners)
    limits = np.iinfo(a.dtype)
    return bool(limits.min <= low and high <= limits.max)


_WRAPPING: dict[str, Callable[[Any, Any], Any]] = {"add": np.add, "sub": np.subtract, "mul": np.multiply}
_CHECKED = {"add": "add_checked", "sub": "subtract_checked", "mul": "multiply_checked", "pow": "power_checked"}


def integer_arithmetic(function: str) -> Binary:
    """add, sub, mul or pow of integers of one type. Raises OverflowError; ValueError for a negative exponent."""

    def compute(a: Numbers, b: Numbers) -> Numbers:
        if function != "pow" and _ranges_fit(function, a[0], b[0]):
            return _WRAPPING[function](a[0], b[0]), either(a[1], b[1])
        return _checked(function, a, b)

    return compute


def _checked(function: str, a: Numbers, b: Numbers) -> Numbers:
    dtype = a[0].dtype
    type_ = pa.from_numpy_dtype(dtype)
    rows = max(a[0].size, b[0].size)
    try:
        result = pc.call_function(_CHECKED[function], [store(a, type_, rows), store(b, type_, rows)])
    except pa.ArrowInvalid as error:
        if "overflow" in str(error):
            raise OverflowError(f"the result does not fit {type_}") from error
        raise ValueError(str(error)) from error
    return load(result, dtype)


def float_arithmetic(function: str) -> Binary:
    """add, sub, mul, div, pow, floordiv or mod of floats, as IEEE 754 has it: no error, but inf and NaN."""
    ufunc = {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "div": np.true_divide,
        "pow": np.power,
        "floordiv": np.floor_divide,
        "mod": np.remainder,
    }[function]

    def compute(a: Numbers, b: Numbers) -> Numbers:
        with np.errstate(all="ignore"):
            return ufunc(a[0], b[0], dtype=a[0].dtype), either(a[1], b[1])

    return compute


def integer_division(function: str) -> Binary:
    """floordiv or mod of integers, rounding to the floor; null where the divisor is zero."""

    def compute(a: Numbers, b: Numbers) -> Numbers:
        (values, divisor), nulls = (a[0], b[0]), either(a[1], b[1])
        zero = divisor == 0
        if zero.any():
            nulls = either(nulls, zero)
            divisor = np.where(zero, divisor.dtype.type(1), divisor)
        if function == "mod":
            return _remainder(values, divisor), nulls
        _refuse_lowest_by_minus_one(values, divisor, nulls)
        with np.errstate(over="ignore"):
            return values // divisor, nulls

    return compute


def _remainder(values: Any, divisor: Any) -> Any:
    """Numpy divides by a constant with a multiplication, but not when it takes the remainder."""
    if divisor.ndim:
        return values % divisor
    with np.errstate(over="ignore"):
        return values - values // divisor * divisor


def _refuse_lowest_by_minus_one(values: Any, divisor: Any, nulls: Any) -> None:
    if values.dtype.kind == "u" or not (divisor == -1).any():
        return
    overflow = (values == np.iinfo(values.dtype).min) & (divisor == -1)
    if nulls is not None:
        overflow = overflow & ~nulls
    if overflow.any():
        raise OverflowError(f"{np.iinfo(values.dtype).min} // -1 does not fit {values.dtype}")


def negate(a: Numbers) -> Numbers:
    """-a of signed integers (OverflowError for the lowest) or floats."""
    _refuse_lowest(a)
    return -a[0], a[1]


def absolute(a: Numbers) -> Numbers:
    """|a|. OverflowError for the lowest integer."""
    _refuse_lowest(a)
    return np.abs(a[0]), a[1]


def _refuse_lowest(a: Numbers) -> None:
    values, nulls = a
    if values.dtype.kind != "i":
        return
    lowest = values == np.iinfo(values.dtype).min
    if lowest.any() and (nulls is None or (lowest & ~nulls).any()):
        raise OverflowError(f"-({np.iinfo(values.dtype).min}) does not fit {values.dtype}")


# Comparison

_PLAIN: dict[str, Callable[[Any, Any], Any]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def comparison(function: str, *, floating: bool) -> Binary:
    """eq, ne, lt, le, gt or ge of values of one type. `floating`: with SQL's order, in which NaN is the greatest."""
    plain = _FLOATING[function] if floating else _PLAIN[function]

    def compute(a: Numbers, b: Numbers) -> Numbers:
        return plain(a[0], b[0]), either(a[1], b[1])

    return compute


def _float_eq(a: Any, b: Any) -> Any:
    equal = a == b
    if not b.ndim and b == b:
        return equal
    return equal | ((a != a) & (b != b))


def _float_ge(a: Any, b: Any) -> Any:
    """Not (a < b) is true for any NaN, and is wrong only where b alone is one."""
    at_least = ~(a < b)
    if not b.ndim and b == b:
        return at_least
    return at_least & ((b == b) | (a != a))


def _float_gt(a: Any, b: Any) -> Any:
    """Not (a <= b) is true for any NaN, and is wrong where b is one."""
    above = ~(a <= b)
    if not b.ndim and b == b:
        return above
    return above & (b == b)


_FLOATING: dict[str, Callable[[Any, Any], Any]] = {
    "eq": _float_eq,
    "ne": lambda a, b: ~_float_eq(a, b),
    "ge": _float_ge,
    "gt": _float_gt,
    "lt": lambda a, b: ~_float_ge(a, b),
    "le": lambda a, b: ~_float_gt(a, b),
}


def equal_or_both_null(*, floating: bool) -> Binary:
    """Equal, or both null; never null."""
    equal = _FLOATING["eq"] if floating else np.equal

    def compute(a: Numbers, b: Numbers) -> Numbers:
        if a[1] is None and b[1] is None:
            return equal(a[0], b[0]), None
        null_a, null_b = (np.False_ if nulls is None else nulls for nulls in (a[1], b[1]))
        return np.where(null_a | null_b, null_a & null_b, equal(a[0], b[0])), None

    return compute


def is_in(choices: npt.NDArray[Any], *, floating: bool) -> Unary:
    """Is the value among these? Few are compared one by one, many looked up in sorted order."""
    ordered = np.unique(choices)  # one NaN, at the end
    equal = _FLOATING["eq"] if floating else np.equal

    def compare(a: Numbers) -> Numbers:
        found = np.zeros(a[0].shape, np.bool_)
        for choice in ordered:
            found |= equal(a[0], choice)
        return found, a[1]

    def look_up(a: Numbers) -> Numbers:
        at = np.searchsorted(ordered, a[0])
        return equal(ordered.take(at, mode="clip"), a[0]), a[1]

    return compare if len(ordered) <= 4 else look_up


# Logic


def conjunction(a: Numbers, b: Numbers) -> Numbers:
    """Kleene's and: false wins over null."""
    if a[1] is None and b[1] is None:
        return a[0] & b[0], None
    known_false = _known(a, False) | _known(b, False)
    return a[0] & b[0], either(a[1], b[1]) & ~known_false


def disjunction(a: Numbers, b: Numbers) -> Numbers:
    """Kleene's or: true wins over null."""
    if a[1] is None and b[1] is None:
        return a[0] | b[0], None
    known_true = _known(a, True) | _known(b, True)
    return a[0] | b[0] | known_true, either(a[1], b[1]) & ~known_true


def _known(a: Numbers, value: bool) -> Any:
    holds = a[0] if value else ~a[0]
    return holds if a[1] is None else holds & ~a[1]


def negation(a: Numbers) -> Numbers:
    return ~a[0], a[1]


def coalesce(a: Numbers, b: Numbers) -> Numbers:
    """The second where the first is null."""
    if a[1] is None:
        return a
    nulls = None if b[1] is None else a[1] & b[1]
    return np.where(a[1], b[0], a[0]), nulls


def choose(condition: Numbers, then: Numbers, otherwise: Numbers) -> Numbers:
    """`then` where the condition is true, `otherwise` where it is false or null."""
    holds = _known(condition, True)
    nulls = None
    if then[1] is not None or otherwise[1] is not None:
        nulls = np.where(holds, _null_or_false(then), _null_or_false(otherwise))
    return np.where(holds, then[0], otherwise[0]), nulls


def _null_or_false(a: Numbers) -> Any:
    return np.False_ if a[1] is None else a[1]


# Conversion

_DAY = 86_400_000_000


def to_float(dtype: np.dtype[Any]) -> Unary:
    """As the nearest float."""

    def compute(a: Numbers) -> Numbers:
        with np.errstate(over="ignore"):
            return a[0].astype(dtype), a[1]

    return compute


def to_integer(dtype: np.dtype[Any], *, strict: bool) -> Unary:
    """As integers, fractions dropped. What does not fit raises ValueError, or is null if not `strict`."""
    limits = np.iinfo(dtype)

    def compute(a: Numbers) -> Numbers:
        values, nulls = a
        if values.dtype == dtype or values.dtype == np.bool_ or np.can_cast(values.dtype, dtype):
            return values.astype(dtype), nulls
        if values.dtype.kind == "f":
            values = np.trunc(values)
            # The highest integer is not a float; one above it is.
            outside = ~((values >= float(limits.min)) & (values < float(limits.max + 1)))
        else:
            outside = _outside(values, limits)
        return _drop_outside(a, outside, dtype, values, strict)

    return compute


def _outside(values: Any, limits: np.iinfo[Any]) -> Any:
    """Integers beyond the limits of another integer type; numpy compares int64 with uint64 exactly by Python ints."""
    own = np.iinfo(values.dtype)
    outside = np.zeros(values.shape, np.bool_)
    if own.min < limits.min:
        outside |= values < values.dtype.type(limits.min)
    if own.max > limits.max:
        outside |= values > values.dtype.type(limits.max)
    return outside


def _drop_outside(a: Numbers, outside: Any, dtype: np.dtype[Any], values: Any, strict: bool) -> Numbers:
    nulls = a[1]
    if nulls is not None:
        outside = outside & ~nulls
    if not outside.any():
        with np.errstate(invalid="ignore"):
            return values.astype(dtype), nulls
    if strict:
        raise ValueError(f"{np.atleast_1d(a[0])[np.atleast_1d(outside)][0]} does not fit {dtype}")
    with np.errstate(invalid="ignore"):
        return np.where(outside, 0, values).astype(dtype), either(nulls, outside)


def to_bool(a: Numbers) -> Numbers:
    return a[0] != 0, a[1]


def days_to_microseconds(*, strict: bool) -> Unary:
    """Dates as their midnights. Beyond the range of microseconds: ValueError, or null."""
    furthest = (2**63 - 1) // _DAY

    def compute(a: Numbers) -> Numbers:
        days = a[0].astype(np.int64)
        outside = (days > furthest) | (days < -furthest)
        safe, nulls = _drop_outside((a[0], a[1]), outside, _INT64, days, strict)
        return safe * _DAY, nulls

    return compute


def microseconds_to_days(a: Numbers) -> Numbers:
    return (a[0] // _DAY).astype(np.int32), a[1]


# Time: integers of microseconds since 1970, UTC


def floor_to(every: int) -> Unary:
    """The start of the span of `every` microseconds; spans start at the epoch (rule 10). May raise OverflowError."""
    step = np.int64(every)

    def compute(a: Numbers) -> Numbers:
        return integer_arithmetic("mul")((a[0] // step, a[1]), (step, None))

    return compute


def unit_of_day(unit: int, count: int, first: int = 0) -> Unary:
    """Which of `count` units of so many microseconds it is, counted from `first`: hours, minutes, seconds, weekdays."""
    size, modulus = np.int64(unit), np.int64(count)

    def compute(a: Numbers) -> Numbers:
        return _remainder(a[0] // size + np.int64(first), modulus), a[1]

    return compute


def divide_units(unit: int) -> Unary:
    """Whole units of so many microseconds."""
    size = np.int64(unit)
    return lambda a: (a[0] // size, a[1])
