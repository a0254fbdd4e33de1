"""Numeric kernels at the places where numpy, Arrow and SQL disagree (rule 16)."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.kernels import compute
from streamflow.kernels.compute import load, physical_type, store

NAN, INF = float("nan"), float("inf")


def numbers(values: list[Any], type_: pa.DataType) -> compute.Numbers:
    dtype = physical_type(type_)
    assert dtype is not None
    return load(pa.array(values, type_), dtype)


def back(result: compute.Numbers, type_: pa.DataType, rows: int) -> list[Any]:
    array = store(result, type_, rows)
    array.validate(full=True)
    listed: list[Any] = array.to_pylist()
    return listed


def test_float_order_is_that_of_sql() -> None:
    order = [-INF, -1.0, 0.0, 1.0, INF, NAN]
    functions: dict[str, Callable[[int, int], bool]] = {
        "eq": operator.eq,
        "ne": operator.ne,
        "lt": operator.lt,
        "le": operator.le,
        "gt": operator.gt,
        "ge": operator.ge,
    }
    for function, holds in functions.items():
        kernel = compute.comparison(function, floating=True)
        for j, right in enumerate(order):
            expected = [holds(i, j) for i in range(len(order))]
            left = numbers(order, pa.float64())
            beside_constant = kernel(left, (np.float64(right), None))
            beside_column = kernel(left, numbers([right] * len(order), pa.float64()))
            assert beside_constant[0].tolist() == expected, (function, right)
            assert beside_column[0].tolist() == expected, (function, right)


def test_zeros_are_equal() -> None:
    equal = compute.comparison("eq", floating=True)
    assert equal(numbers([-0.0], pa.float64()), numbers([0.0], pa.float64()))[0].tolist() == [True]
    among = compute.is_in(np.array([0.0, NAN, 1.0, 2.0, 3.0]), floating=True)
    assert among(numbers([-0.0, NAN, 5.0], pa.float64()))[0].tolist() == [True, True, False]


KLEENE = [True, False, None]


@pytest.mark.parametrize("a", KLEENE)
@pytest.mark.parametrize("b", KLEENE)
def test_kleene_logic(a: bool | None, b: bool | None) -> None:
    left, right = numbers([a], pa.bool_()), numbers([b], pa.bool_())
    conjunction = False if a is False or b is False else None if a is None or b is None else True
    disjunction = True if a or b else None if a is None or b is None else False
    assert back(compute.conjunction(left, right), pa.bool_(), 1) == [conjunction]
    assert back(compute.disjunction(left, right), pa.bool_(), 1) == [disjunction]


SMALL = st.integers(-128, 127)


@given(st.lists(st.tuples(SMALL, SMALL), min_size=1, max_size=20), st.sampled_from(["add", "sub", "mul"]))
def test_overflow_is_found_exactly(pairs: list[tuple[int, int]], function: str) -> None:
    python = {"add": int.__add__, "sub": int.__sub__, "mul": int.__mul__}[function]
    expected = [python(a, b) for a, b in pairs]
    kernel = compute.integer_arithmetic(function)
    left, right = numbers([a for a, _ in pairs], pa.int8()), numbers([b for _, b in pairs], pa.int8())
    if all(-128 <= value <= 127 for value in expected):
        assert kernel(left, right)[0].tolist() == expected
    else:
        with pytest.raises(OverflowError, match="int8"):
            kernel(left, right)


def test_the_lowest_integer_has_no_opposite() -> None:
    lowest = numbers([-(2**63)], pa.int64())
    for kernel in (compute.negate, compute.absolute):
        with pytest.raises(OverflowError):
            kernel(lowest)
    with pytest.raises(OverflowError):
        compute.integer_division("floordiv")(lowest, (np.int64(-1), None))
    assert compute.integer_division("mod")(lowest, (np.int64(-1), None))[0].tolist() == [0]


def test_division_by_zero_is_null_for_integers_and_infinite_for_floats() -> None:
    divide = compute.integer_division("floordiv")
    assert back(divide(numbers([7, -7, 7], pa.int64()), numbers([0, 2, None], pa.int64())), pa.int64(), 3) == [
        None,
        -4,
        None,
    ]
    assert back(divide(numbers([7, 1], pa.int64()), (np.int64(0), None)), pa.int64(), 2) == [None, None]
    ratio = compute.float_arithmetic("div")
    assert ratio(numbers([1.0, -1.0], pa.float64()), (np.float64(0), None))[0].tolist() == [INF, -INF]


def test_spans_start_at_the_epoch_before_it_too() -> None:
    floor = compute.floor_to(10)
    assert floor(numbers([-11, -10, -1, 0, 9, 10], pa.int64()))[0].tolist() == [-20, -10, -10, 0, 0, 10]
    with pytest.raises(OverflowError):
        floor(numbers([-(2**63)], pa.int64()))


@pytest.mark.parametrize(
    "type_",
    [pa.int8(), pa.uint64(), pa.float32(), pa.bool_(), pa.date32(), pa.timestamp("us", "UTC"), pa.duration("us")],
)
def test_columns_survive_the_way_through_numpy(type_: pa.DataType) -> None:
    dtype = physical_type(type_)
    assert dtype is not None
    array = pa.array([0, 1, None, 1, 0], pa.int32()).cast(pa.int64() if type_ != pa.date32() else pa.int32())
    array = array.cast(pa.bool_() if type_ == pa.bool_() else type_)
    for part in (array, array.slice(1, 3), array.slice(3)):
        assert store(load(part, dtype), type_, len(part)).equals(part)


def test_null_free_columns_share_memory() -> None:
    array = pa.array([1, 2, 3])
    values, nulls = load(array, np.dtype(np.int64))
    assert nulls is None
    assert values.ctypes.data == array.buffers()[1].address
    assert store((values, None), pa.int64(), 3).buffers()[1].address == array.buffers()[1].address
