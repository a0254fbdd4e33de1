"""How functions of numbers, conditions and values of any kind are compiled."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from streamflow.kernels import compute, elementary, text
from streamflow.kernels.canonical import canonical_key
from streamflow.kernels.compute import Unary, physical_type
from streamflow.kernels.hashing import hash_array
from streamflow.plan.codes.code import (
    Code,
    Compile,
    array_of,
    binary,
    from_arrow,
    of_arrays,
    unary,
)
from streamflow.plan.logical.terms import Call


def _arithmetic(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    left, right = args
    function = call.function
    if left.type == pa.string():
        return of_arrays(text.concatenate, type_, args)
    if pt.is_floating(type_) and pt.is_floating(left.type):
        return binary(compute.float_arithmetic(function), type_, left, right)
    if left.numbers is None or right.numbers is None:
        return of_arrays(_decimal_arithmetic(function, type_), type_, args)
    if function in ("floordiv", "mod"):
        return binary(compute.integer_division(function), type_, left, right)
    if function == "div":  # durations
        to_float = compute.to_float(np.dtype(np.float64))
        ratio = compute.float_arithmetic("div")
        return binary(lambda a, b: ratio(to_float(a), to_float(b)), type_, left, right)
    return binary(compute.integer_arithmetic(function), type_, left, right)


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
        return of_arrays(pc.negate if call.function == "neg" else pc.abs, type_, args)
    return unary(compute.negate if call.function == "neg" else compute.absolute, type_, arg)


def _round(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    (arg,) = args
    if call.function == "round":
        decimals = call.option("decimals")
        if pt.is_integer(type_) and decimals >= 0:
            return arg
        return of_arrays(lambda a: pc.round(a, decimals, "half_towards_infinity"), type_, args)
    if pt.is_integer(type_):
        return arg
    if arg.numbers is None:
        function = pc.floor if call.function == "floor" else pc.ceil
        return of_arrays(lambda a: function(a).cast(type_), type_, args)
    ufunc = np.floor if call.function == "floor" else np.ceil
    return unary(lambda a: (ufunc(a[0]), a[1]), type_, arg)


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
        return of_arrays(_ARROW_COMPARISONS[function], pa.bool_(), (left, right))
    kernel = compute.comparison(function, floating=pt.is_floating(left.type))
    return binary(kernel, pa.bool_(), left, right)


def _eq_missing(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    if args[0].numbers is None:
        return of_arrays(text.equal_or_both_null, type_, args)
    return binary(compute.equal_or_both_null(floating=pt.is_floating(args[0].type)), type_, *args)


def _between(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    value, low, high = args
    closed = call.option("closed")
    above = _comparison("ge" if closed in ("both", "left") else "gt", value, low)
    below = _comparison("le" if closed in ("both", "right") else "lt", value, high)
    return binary(compute.conjunction, pa.bool_(), above, below)


def _is_in(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    value, *choices = args
    empty = pa.RecordBatch.from_arrays([], [])
    listed = pa.array([choice.arrow(empty).as_py() for choice in choices], value.type)
    if value.numbers is None:
        return of_arrays(lambda a: text.is_in(a, listed), pa.bool_(), (value,))
    dtype = physical_type(value.type)
    assert dtype is not None
    kernel = compute.is_in(compute.load(listed, dtype)[0], floating=pt.is_floating(value.type))
    return unary(kernel, pa.bool_(), value)


def _logic(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    kernel = compute.conjunction if call.function == "and" else compute.disjunction
    return binary(kernel, type_, *args)


def _is_null(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    (arg,) = args
    function = pc.is_null if call.function == "is_null" else pc.is_valid
    return of_arrays(function, type_, (arg,))


def _coalesce(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    if physical_type(type_) is not None:
        return reduce(lambda a, b: binary(compute.coalesce, type_, a, b), args)
    return of_arrays(pc.coalesce, type_, args)


def _unary_of(make: Callable[[Call], Unary]) -> Compile:
    return lambda call, args, type_: unary(make(call), type_, args[0])


def _logarithm(call: Call) -> Unary:
    base = call.option("base")
    return elementary.logarithm(math.e if base is None else float(base))


def _clip(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    value, low, high = args
    return binary(elementary.clip("below"), type_, binary(elementary.clip("above"), type_, value, low), high)


def _extreme(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    if physical_type(type_) is not None:
        kernel = elementary.extreme(call.function, floating=pt.is_floating(type_))
        return reduce(lambda a, b: binary(kernel, type_, a, b), args)
    function = pc.max_element_wise if call.function == "max_horizontal" else pc.min_element_wise
    return of_arrays(function, type_, args)


def _hash(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    return of_arrays(lambda a: pa.array(hash_array(canonical_key(a))), type_, args)


def _listed(codes: Sequence[Code], type_: pa.DataType) -> pa.Array:
    """Constants as an array."""
    empty = pa.RecordBatch.from_arrays([], [])
    return pa.array([code.arrow(empty).as_py() for code in codes], type_)


def _replace(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    middle = len(args) // 2 + 1
    keys, values = _listed(args[1:middle], type_), _listed(args[middle:], type_)
    return of_arrays(lambda a: elementary.replaced(a, keys, values), type_, args[:1])


def _replace_strict(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    value, default, *pairs = args
    middle = len(pairs) // 2
    keys, values = _listed(pairs[:middle], value.type), _listed(pairs[middle:], type_)
    run, other = array_of(value), default.arrow if call.option("default") else lambda batch: None
    return from_arrow(type_, lambda batch: elementary.mapped(run(batch), keys, values, other(batch)))


NUMBERS: Mapping[str, Compile] = {
    **dict.fromkeys(("add", "sub", "mul", "div", "floordiv", "mod", "pow"), _arithmetic),
    **dict.fromkeys(("neg", "abs"), _negate),
    **dict.fromkeys(("round", "floor", "ceil"), _round),
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge"), _compare),
    "eq_missing": _eq_missing,
    "between": _between,
    "is_in": _is_in,
    "and": _logic,
    "or": _logic,
    "not": lambda call, args, type_: unary(compute.negation, type_, args[0]),
    "is_null": _is_null,
    "is_not_null": _is_null,
    "coalesce": _coalesce,
    "sqrt": _unary_of(lambda call: elementary.real(np.sqrt)),
    "exp": _unary_of(lambda call: elementary.real(np.exp)),
    **{
        name: _unary_of(lambda call: elementary.real(getattr(np, call.function)))
        for name in ("cbrt", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "degrees", "radians")
    },
    "log": _unary_of(_logarithm),
    "sign": _unary_of(lambda call: elementary.real(np.sign)),
    "is_nan": _unary_of(lambda call: elementary.real(np.isnan)),
    "is_finite": _unary_of(lambda call: elementary.real(np.isfinite)),
    "is_infinite": _unary_of(lambda call: elementary.real(np.isinf)),
    "fill_nan": lambda call, args, type_: binary(elementary.fill_nan, type_, *args),
    "clip": _clip,
    "max_horizontal": _extreme,
    "min_horizontal": _extreme,
    "hash": _hash,
    "replace": _replace,
    "replace_strict": _replace_strict,
}
