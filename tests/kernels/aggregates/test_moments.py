"""Variance and standard deviation against Python's exact fractions."""

from __future__ import annotations

import math
from collections import defaultdict
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamflow.kernels.aggregate import AggregateSpec, result_type

FLOAT = pa.float64()


def spec(kind: Any, type_: pa.DataType = FLOAT, ddof: int = 1) -> AggregateSpec:
    return AggregateSpec(kind, "x", type_, "r", options=(("ddof", ddof),))


def variance(values: list[float], ddof: int) -> float | None:
    if len(values) <= ddof:
        return None
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    return float(sum((value - mean) ** 2 for value in exact) / (len(exact) - ddof))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.none() | st.integers(-(2**20), 2**20)), min_size=1, max_size=30),
    base=st.sampled_from([0, 10**9, -(10**12)]),
    cuts=st.lists(st.integers(0, 30), max_size=3),
    ddof=st.integers(0, 2),
)
def test_any_cut_gives_the_exact_variance(
    in_pieces: Any, rows: list[tuple[int, int | None]], base: int, cuts: list[int], ddof: int
) -> None:
    numbers = [(key, None if value is None else value + base) for key, value in rows]
    by_key: dict[int, list[float]] = defaultdict(list)
    for key, value in numbers:
        by_key[key] += [] if value is None else [value]
    for type_ in (pa.float64(), pa.int64(), pa.decimal128(20, 0)):
        columns = {"x": pa.array([value for _, value in numbers], pa.int64()).cast(type_)}
        keys = [key for key, _ in numbers]
        found = in_pieces(spec("var", type_, ddof), keys, columns, sorted(min(cut, len(keys)) for cut in cuts))
        roots = in_pieces(spec("std", type_, ddof), keys, columns, ())
        for key in set(keys):
            wanted = variance(by_key[key], ddof)
            if wanted is None:
                assert (found[key], roots[key]) == (None, None)
            else:
                assert found[key] == pytest.approx(wanted, rel=1e-9, abs=0)
                assert roots[key] == pytest.approx(math.sqrt(wanted), rel=1e-9, abs=0)


def test_a_large_mean_costs_no_digits_and_a_constant_has_no_variance(in_pieces: Any) -> None:
    near = [1e15 + step for step in (0, 1, 2, 3)] * 100
    assert in_pieces(spec("var", ddof=0), [1] * 400, {"x": pa.array(near)}, range(1, 400)) == {1: 1.25}
    assert in_pieces(spec("std"), [1] * 7, {"x": pa.array([0.1] * 7)}, [2, 5]) == {1: 0.0}


def test_large_values_do_not_overflow_on_the_way(in_pieces: Any) -> None:
    found = in_pieces(spec("std", ddof=0), [1, 1, 1, 1], {"x": pa.array([1.5e150, 1.6e150, 1.5e150, 1.6e150])}, [1, 2])
    assert found[1] == pytest.approx(0.05e150)
    assert in_pieces(spec("var"), [1, 1], {"x": pa.array([1.7e308, 1.7e308])}, [1]) == {1: 0.0}


@pytest.mark.parametrize("strange", [math.inf, -math.inf, math.nan])
def test_infinite_values_and_nan_give_nan_and_one_value_gives_null(in_pieces: Any, strange: float) -> None:
    found = in_pieces(spec("var"), [1, 1, 1, 2, 3], {"x": pa.array([1.0, strange, 2.0, strange, None])}, [2])
    assert math.isnan(found[1])
    assert (found[2], found[3]) == (None, None)


def test_a_variance_is_of_numbers() -> None:
    with pytest.raises(ValueError, match="std takes numbers, not string"):
        result_type("std", pa.string())
