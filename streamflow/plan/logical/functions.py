"""What each function of `terms.Call` takes and gives.

A signature looks at its operands and answers with the types they must be brought to and the type of the result. Two
numbers meet in the narrower type that holds both (int32 + int64 is int64, any int + any float is float64); a constant
takes the column's type where it fits (int32 + 1 is int32, int32 + 2**40 is int64, float32 * 0.5 is float32).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TypeAlias

import pyarrow as pa
import pyarrow.types as pt

from streamflow.plan.logical.terms import Call, Value

TIMESTAMP = pa.timestamp("us", "UTC")
DURATION = pa.duration("us")
BOOL, INT64, FLOAT64, STRING, NULL = pa.bool_(), pa.int64(), pa.float64(), pa.string(), pa.null()

_SIGNED = (pa.int8(), pa.int16(), pa.int32(), pa.int64())
_UNSIGNED = (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())


@dataclass(frozen=True, slots=True)
class Operand:
    """A type, and the value if it is a constant that may still take another one."""

    type: pa.DataType
    loose: bool = False
    value: Value = None


Bound: TypeAlias = "tuple[tuple[pa.DataType, ...], pa.DataType]"
"""The types that the operands are brought to, and the result's."""

Signature: TypeAlias = Callable[[Call, Sequence[Operand]], "Bound | None"]
"""None: these operands do not fit."""


def natural_type(value: Value) -> pa.DataType:
    """The type of a constant that stands alone.

    >>> natural_type(3), natural_type("a"), natural_type(timedelta(hours=1))
    (DataType(int64), DataType(string), DurationType(duration[us]))
    """
    match value:
        case None:
            return NULL
        case bool():
            return BOOL
        case int():
            return INT64 if -(2**63) <= value < 2**63 else pa.uint64()
        case float():
            return FLOAT64
        case str():
            return STRING
        case bytes():
            return pa.binary()
        case datetime():
            return TIMESTAMP
        case date():
            return pa.date32()
        case timedelta():
            return DURATION
        case Decimal():
            return pa.scalar(value).type


def is_number(type_: pa.DataType) -> bool:
    return bool(pt.is_integer(type_) or pt.is_floating(type_) or pt.is_decimal(type_))


def promote(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    """The type in which values of both can stand side by side.

    >>> promote(pa.int8(), pa.uint8()), promote(pa.int64(), pa.float32()), promote(pa.string(), pa.int64())
    (DataType(int16), DataType(double), None)
    """
    if a == b or pt.is_null(b):
        return a
    if pt.is_null(a):
        return b
    if pt.is_integer(a) and pt.is_integer(b):
        return _promote_integers(a, b)
    if is_number(a) and is_number(b):
        if pt.is_decimal(a) or pt.is_decimal(b):
            return _promote_decimal(a, b)
        return FLOAT64
    if {a, b} == {pa.date32(), TIMESTAMP}:
        return TIMESTAMP
    return None


def _promote_integers(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    if pt.is_signed_integer(a) == pt.is_signed_integer(b):
        return a if a.bit_width >= b.bit_width else b
    signed, unsigned = (a, b) if pt.is_signed_integer(a) else (b, a)
    return next((t for t in _SIGNED if t.bit_width >= signed.bit_width and t.bit_width > unsigned.bit_width), INT64)


def _promote_decimal(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    """Floats win over decimals; an integer counts as a decimal of 19 (uint64: 20) digits."""
    if pt.is_floating(a) or pt.is_floating(b):
        return FLOAT64
    scale = max(t.scale for t in (a, b) if pt.is_decimal(t))
    whole = max(t.precision - t.scale if pt.is_decimal(t) else 20 for t in (a, b))
    make = pa.decimal256 if whole + scale > 38 else pa.decimal128
    return make(min(whole + scale, 76), scale)


def common(operands: Sequence[Operand]) -> pa.DataType | None:
    """The type in which all of them can be compared, or be values of one column; constants adapt to columns.

    >>> common([Operand(pa.int32()), Operand(pa.int64(), loose=True, value=1)])
    DataType(int32)
    """
    result: pa.DataType | None = NULL
    for operand in sorted(operands, key=lambda o: o.loose):
        if result is None:
            return None
        result = _adapt(result, operand.value) if operand.loose else promote(result, operand.type)
    return result


def _adapt(type_: pa.DataType, value: Value) -> pa.DataType | None:
    """The type in which a column of `type_` and a constant meet."""
    match value:
        case bool() | None:
            pass
        case int() if pt.is_integer(type_):
            if _fits(value, type_):
                return type_
            return INT64 if pt.is_signed_integer(type_) or value < 0 else pa.uint64()
        case int() | float() if pt.is_floating(type_):
            return type_
        case int() if pt.is_decimal(type_):
            return promote(type_, pa.decimal128(min(38, len(str(abs(value))) + type_.scale), type_.scale))
        case float() if pt.is_decimal(type_):
            return FLOAT64
        case str() if type_ in (TIMESTAMP, pa.date32()):
            return type_
    return promote(type_, natural_type(value))


def _fits(value: int, type_: pa.DataType) -> bool:
    bits = type_.bit_width
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if pt.is_signed_integer(type_) else (0, 2**bits)
    return bool(low <= value < high)


# Signatures


def _arithmetic(call: Call, operands: Sequence[Operand]) -> Bound | None:
    """+ - * ** of numbers, within one type."""
    type_ = common(operands)
    if type_ is None or not (is_number(type_) or pt.is_null(type_)):
        return None
    if not pt.is_decimal(type_):
        return (type_, type_), type_
    if call.function == "pow":
        return (FLOAT64, FLOAT64), FLOAT64
    return (type_, type_), _decimal_result(call.function, type_)


def _decimal_result(function: str, type_: pa.DataType) -> pa.DataType:
    """One digit more for a sum, twice the digits for a product, as far as the type goes."""
    precision, scale = (
        (type_.precision + 1, type_.scale) if function != "mul" else (2 * type_.precision + 1, 2 * type_.scale)
    )
    limit = 38 if pt.is_decimal128(type_) else 76
    make = pa.decimal128 if limit == 38 else pa.decimal256
    return make(min(precision, limit), scale)


def _temporal(table: Mapping[tuple[pa.DataType, pa.DataType], Bound]) -> Signature:
    """What dates, timestamps and durations do, else numbers."""

    def signature(call: Call, operands: Sequence[Operand]) -> Bound | None:
        left, right = operands
        return table.get((left.type, right.type)) or _arithmetic(call, operands)

    return signature


_DATE = pa.date32()
_ADD: dict[tuple[pa.DataType, pa.DataType], Bound] = {
    (TIMESTAMP, DURATION): ((TIMESTAMP, DURATION), TIMESTAMP),
    (DURATION, TIMESTAMP): ((DURATION, TIMESTAMP), TIMESTAMP),
    (_DATE, DURATION): ((TIMESTAMP, DURATION), TIMESTAMP),
    (DURATION, _DATE): ((DURATION, TIMESTAMP), TIMESTAMP),
    (DURATION, DURATION): ((DURATION, DURATION), DURATION),
    (STRING, STRING): ((STRING, STRING), STRING),
}
_SUBTRACT: dict[tuple[pa.DataType, pa.DataType], Bound] = {
    (TIMESTAMP, TIMESTAMP): ((TIMESTAMP, TIMESTAMP), DURATION),
    (_DATE, TIMESTAMP): ((TIMESTAMP, TIMESTAMP), DURATION),
    (TIMESTAMP, _DATE): ((TIMESTAMP, TIMESTAMP), DURATION),
    (_DATE, _DATE): ((TIMESTAMP, TIMESTAMP), DURATION),
    (TIMESTAMP, DURATION): ((TIMESTAMP, DURATION), TIMESTAMP),
    (_DATE, DURATION): ((TIMESTAMP, DURATION), TIMESTAMP),
    (DURATION, DURATION): ((DURATION, DURATION), DURATION),
}


def _multiply(call: Call, operands: Sequence[Operand]) -> Bound | None:
    types = [operand.type for operand in operands]
    if DURATION in types and any(pt.is_integer(t) for t in types):
        return tuple(t if t == DURATION else INT64 for t in types), DURATION
    return _arithmetic(call, operands)


def _divide(call: Call, operands: Sequence[Operand]) -> Bound | None:
    """True division: float32 only among float32, else float64."""
    if all(operand.type == DURATION for operand in operands):
        return (DURATION, DURATION), FLOAT64
    type_ = common(operands)
    if type_ is None or not (is_number(type_) or pt.is_null(type_)):
        return None
    result = type_ if type_ == pa.float32() else FLOAT64
    return (result, result), result


def _floor_divide(call: Call, operands: Sequence[Operand]) -> Bound | None:
    left, right = (operand.type for operand in operands)
    if left == DURATION and right == DURATION:
        return (DURATION, DURATION), INT64 if call.function == "floordiv" else DURATION
    if left == DURATION and pt.is_integer(right) and call.function == "floordiv":
        return (DURATION, INT64), DURATION
    type_ = common(operands)
    if type_ is None or not (pt.is_integer(type_) or pt.is_floating(type_) or pt.is_null(type_)):
        return None
    return (type_, type_), type_


def _negate(call: Call, operands: Sequence[Operand]) -> Bound | None:
    (operand,) = operands
    if pt.is_unsigned_integer(operand.type):
        type_ = _promote_integers(operand.type, pa.int8())
        return (type_,), type_
    return _same(lambda t: is_number(t) or t == DURATION)(call, operands)


def _round(call: Call, operands: Sequence[Operand]) -> Bound | None:
    (operand,) = operands
    return ((operand.type,), operand.type) if is_number(operand.type) or pt.is_null(operand.type) else None


def _same(accepts: Callable[[pa.DataType], bool]) -> Signature:
    """One operand, whose type is the result's."""

    def signature(call: Call, operands: Sequence[Operand]) -> Bound | None:
        (operand,) = operands
        return ((operand.type,), operand.type) if accepts(operand.type) or pt.is_null(operand.type) else None

    return signature


def _compare(call: Call, operands: Sequence[Operand]) -> Bound | None:
    """Operands meet in one type; uint64 beside a signed integer in a decimal, which holds both."""
    type_ = common(operands)
    if type_ is None or pt.is_nested(type_):
        return None
    if pt.is_integer(type_) and any(o.type == pa.uint64() and not o.loose for o in operands) and type_ != pa.uint64():
        type_ = pa.decimal128(20, 0)
    return (type_,) * len(operands), BOOL


def _coalesce(call: Call, operands: Sequence[Operand]) -> Bound | None:
    type_ = common(operands)
    return None if type_ is None else ((type_,) * len(operands), type_)


def _boolean(call: Call, operands: Sequence[Operand]) -> Bound | None:
    if all(o.type in (BOOL, NULL) for o in operands):
        return (BOOL,) * len(operands), BOOL
    return None


def _any(call: Call, operands: Sequence[Operand]) -> Bound | None:
    return tuple(o.type for o in operands), BOOL


def _struct_field(call: Call, operands: Sequence[Operand]) -> Bound | None:
    (operand,) = operands
    if not pt.is_struct(operand.type) or operand.type.get_field_index(call.option("name")) < 0:
        return None
    return (operand.type,), operand.type.field(call.option("name")).type


def _fixed(*takes: pa.DataType, gives: pa.DataType) -> Signature:
    """Operands of just these types (a date also stands for its midnight, null for anything)."""

    def signature(call: Call, operands: Sequence[Operand]) -> Bound | None:
        if len(operands) != len(takes):
            return None
        for operand, wanted in zip(operands, takes, strict=True):
            if _adapt(wanted, operand.value) != wanted if operand.loose else promote(operand.type, wanted) != wanted:
                return None
        return takes, gives

    return signature


def _from_epoch(call: Call, operands: Sequence[Operand]) -> Bound | None:
    (operand,) = operands
    return ((INT64,), TIMESTAMP) if pt.is_integer(operand.type) or pt.is_null(operand.type) else None


_STRING_TO_STRING = _fixed(STRING, gives=STRING)
_STRING_TO_BOOL = _fixed(STRING, gives=BOOL)
_TIME_TO_INT = _fixed(TIMESTAMP, gives=INT64)

SIGNATURES: Mapping[str, Signature] = {
    "add": _temporal(_ADD),
    "sub": _temporal(_SUBTRACT),
    "mul": _multiply,
    "div": _divide,
    "floordiv": _floor_divide,
    "mod": _floor_divide,
    "pow": _arithmetic,
    "neg": _negate,
    "abs": _negate,
    "round": _round,
    "floor": _round,
    "ceil": _round,
    "eq": _compare,
    "ne": _compare,
    "lt": _compare,
    "le": _compare,
    "gt": _compare,
    "ge": _compare,
    "is_in": _compare,
    "between": _compare,
    "and": _boolean,
    "or": _boolean,
    "not": _boolean,
    "is_null": _any,
    "is_not_null": _any,
    "coalesce": _coalesce,
    "from_epoch": _from_epoch,
    "struct.field": _struct_field,
    "str.len_chars": _fixed(STRING, gives=INT64),
    "str.to_lowercase": _STRING_TO_STRING,
    "str.to_uppercase": _STRING_TO_STRING,
    "str.strip_chars": _STRING_TO_STRING,
    "str.starts_with": _STRING_TO_BOOL,
    "str.ends_with": _STRING_TO_BOOL,
    "str.contains": _STRING_TO_BOOL,
    "str.replace": _STRING_TO_STRING,
    "str.replace_all": _STRING_TO_STRING,
    "str.slice": _STRING_TO_STRING,
    "str.split": _fixed(STRING, gives=pa.list_(STRING)),
    "str.to_datetime": _fixed(STRING, gives=TIMESTAMP),
    "dt.year": _TIME_TO_INT,
    "dt.month": _TIME_TO_INT,
    "dt.day": _TIME_TO_INT,
    "dt.hour": _TIME_TO_INT,
    "dt.minute": _TIME_TO_INT,
    "dt.second": _TIME_TO_INT,
    "dt.weekday": _TIME_TO_INT,
    "dt.date": _fixed(TIMESTAMP, gives=_DATE),
    "dt.epoch": _TIME_TO_INT,
    "dt.truncate": _fixed(TIMESTAMP, gives=TIMESTAMP),
    "dt.strftime": _fixed(TIMESTAMP, gives=STRING),
}
