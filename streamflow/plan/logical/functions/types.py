"""How the operands of a function meet in one type.

Two numbers meet in the narrower type that holds both (int32 + int64 is int64, any int + any float is float64); a
constant takes the column's type where it fits (int32 + 1 is int32, int32 + 2**40 is int64, float32 * 0.5 is float32).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
DATE = pa.date32()

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
        return promote_integers(a, b)
    if is_number(a) and is_number(b):
        if pt.is_decimal(a) or pt.is_decimal(b):
            return _promote_decimal(a, b)
        return FLOAT64
    if {a, b} == {pa.date32(), TIMESTAMP}:
        return TIMESTAMP
    return None


def promote_integers(a: pa.DataType, b: pa.DataType) -> pa.DataType:
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
        result = adapt(result, operand.value) if operand.loose else promote(result, operand.type)
    return result


def adapt(type_: pa.DataType, value: Value) -> pa.DataType | None:
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


# Signatures that many functions have


def same(accepts: Callable[[pa.DataType], bool]) -> Signature:
    """One operand, whose type is the result's."""

    def signature(call: Call, operands: Sequence[Operand]) -> Bound | None:
        (operand,) = operands
        return ((operand.type,), operand.type) if accepts(operand.type) or pt.is_null(operand.type) else None

    return signature


def fixed(*takes: pa.DataType, gives: pa.DataType) -> Signature:
    """Operands of just these types (a date also stands for its midnight, null for anything)."""

    def signature(call: Call, operands: Sequence[Operand]) -> Bound | None:
        if len(operands) != len(takes):
            return None
        for operand, wanted in zip(operands, takes, strict=True):
            if adapt(wanted, operand.value) != wanted if operand.loose else promote(operand.type, wanted) != wanted:
                return None
        return takes, gives

    return signature
