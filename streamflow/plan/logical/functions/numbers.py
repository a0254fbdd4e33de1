"""What functions of numbers, conditions and values of any kind take and give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.types as pt

from streamflow.plan.logical.functions.types import (
    BOOL,
    DATE,
    DURATION,
    FLOAT64,
    INT64,
    NULL,
    STRING,
    TIMESTAMP,
    Bound,
    Operand,
    Signature,
    common,
    is_number,
    promote_integers,
    same,
)
from streamflow.plan.logical.terms import Call


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


_ADD: dict[tuple[pa.DataType, pa.DataType], Bound] = {
    (TIMESTAMP, DURATION): ((TIMESTAMP, DURATION), TIMESTAMP),
    (DURATION, TIMESTAMP): ((DURATION, TIMESTAMP), TIMESTAMP),
    (DATE, DURATION): ((TIMESTAMP, DURATION), TIMESTAMP),
    (DURATION, DATE): ((DURATION, TIMESTAMP), TIMESTAMP),
    (DURATION, DURATION): ((DURATION, DURATION), DURATION),
    (STRING, STRING): ((STRING, STRING), STRING),
}
_SUBTRACT: dict[tuple[pa.DataType, pa.DataType], Bound] = {
    (TIMESTAMP, TIMESTAMP): ((TIMESTAMP, TIMESTAMP), DURATION),
    (DATE, TIMESTAMP): ((TIMESTAMP, TIMESTAMP), DURATION),
    (TIMESTAMP, DATE): ((TIMESTAMP, TIMESTAMP), DURATION),
    (DATE, DATE): ((TIMESTAMP, TIMESTAMP), DURATION),
    (TIMESTAMP, DURATION): ((TIMESTAMP, DURATION), TIMESTAMP),
    (DATE, DURATION): ((TIMESTAMP, DURATION), TIMESTAMP),
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
        type_ = promote_integers(operand.type, pa.int8())
        return (type_,), type_
    return same(lambda t: is_number(t) or t == DURATION)(call, operands)


def _round(call: Call, operands: Sequence[Operand]) -> Bound | None:
    (operand,) = operands
    return ((operand.type,), operand.type) if is_number(operand.type) or pt.is_null(operand.type) else None


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


def _real(call: Call, operands: Sequence[Operand]) -> Bound | None:
    """A function of real numbers: float32 stays, every other number is taken as a float64."""
    (operand,) = operands
    if not (is_number(operand.type) or pt.is_null(operand.type)):
        return None
    type_ = operand.type if operand.type == pa.float32() else FLOAT64
    return (type_,), type_


def _real_test(call: Call, operands: Sequence[Operand]) -> Bound | None:
    bound = _real(call, operands)
    return None if bound is None else (bound[0], BOOL)


def _fill_nan(call: Call, operands: Sequence[Operand]) -> Bound | None:
    type_ = common(operands)
    return ((type_, type_), type_) if type_ is not None and pt.is_floating(type_) else None


def _clip(call: Call, operands: Sequence[Operand]) -> Bound | None:
    type_ = common(operands)
    if type_ is None or not (pt.is_integer(type_) or pt.is_floating(type_) or type_ in (TIMESTAMP, DATE, DURATION)):
        return None
    return (type_,) * len(operands), type_


def _extreme(call: Call, operands: Sequence[Operand]) -> Bound | None:
    type_ = common(operands)
    return None if type_ is None or pt.is_nested(type_) else ((type_,) * len(operands), type_)


def _hash(call: Call, operands: Sequence[Operand]) -> Bound | None:
    (operand,) = operands
    return None if pt.is_map(operand.type) else ((operand.type,), pa.uint64())


def _replace(call: Call, operands: Sequence[Operand]) -> Bound | None:
    """The column, the old values, the new values: all of one type."""
    type_ = common(operands)
    return None if type_ is None or pt.is_nested(type_) else ((type_,) * len(operands), type_)


def _replace_strict(call: Call, operands: Sequence[Operand]) -> Bound | None:
    """The column and a default, the old values, the new values: the old ones are of the column's type."""
    column, default, *pairs = operands
    middle = len(pairs) // 2
    before, after = common([column, *pairs[:middle]]), common([default, *pairs[middle:]])
    if before is None or after is None or pt.is_nested(before):
        return None
    return (before, after, *(before,) * middle, *(after,) * middle), after


NUMBERS: Mapping[str, Signature] = {
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
    "eq_missing": _compare,
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
    "sqrt": _real,
    "exp": _real,
    **dict.fromkeys(("cbrt", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "degrees", "radians"), _real),
    "log": _real,
    "sign": same(lambda t: pt.is_integer(t) or pt.is_floating(t)),
    "is_nan": _real_test,
    "is_finite": _real_test,
    "is_infinite": _real_test,
    "fill_nan": _fill_nan,
    "clip": _clip,
    "max_horizontal": _extreme,
    "min_horizontal": _extreme,
    "hash": _hash,
    "replace": _replace,
    "replace_strict": _replace_strict,
}
