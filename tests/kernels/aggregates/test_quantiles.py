"""Quantiles against sorting in plain Python; approximate ones within their bound."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamflow.kernels.aggregate import AggregateSpec

FLOATS = st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 1.5, -2.25, 1e300, -1e300, 3.0, 1e-300, -7e-5])


FLOAT = pa.float64()


def exact(q: float, interpolation: str, type_: pa.DataType = FLOAT) -> AggregateSpec:
    return AggregateSpec("quantile", "x", type_, "r", options=(("q", q), ("interpolation", interpolation)))


def approximate(q: float, error: float) -> AggregateSpec:
    return AggregateSpec("approx_quantile", "x", pa.float64(), "r", options=(("q", q), ("error", error)))


def ranked(values: list[float], q: float, interpolation: str) -> float | None:
    """By the definition: NaN last, rank (n - 1) * q."""
    ordered = sorted(values, key=lambda value: (math.isnan(value), 0 if math.isnan(value) else value))
    if not ordered:
        return None
    rank = (len(ordered) - 1) * q
    low, high, part = ordered[math.floor(rank)], ordered[math.ceil(rank)], rank - math.floor(rank)
    if low == high or part == 0:
        return low
    match interpolation:
        case "nearest":
            return high if part >= 0.5 else low
        case "lower":
            return low
        case "higher":
            return high
        case _:
            part = 0.5 if interpolation == "midpoint" else part
            return low * (1 - part) + high * part


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.none() | FLOATS), min_size=1, max_size=25),
    q=st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0, 1 / 3]),
    interpolation=st.sampled_from(["nearest", "lower", "higher", "midpoint", "linear"]),
    cuts=st.lists(st.integers(0, 25), max_size=3),
)
def test_any_cut_gives_the_ranked_value(
    in_pieces: Any, rows: list[tuple[int, float | None]], q: float, interpolation: str, cuts: list[int]
) -> None:
    keys = [key for key, _ in rows]
    columns = {"x": pa.array([value for _, value in rows], pa.float64())}
    cuts = sorted(min(cut, len(keys)) for cut in cuts)
    found = in_pieces(exact(q, interpolation), keys, columns, cuts)
    near = in_pieces(approximate(q, 0.01), keys, columns, cuts)
    for key in set(keys):
        values = [value for other, value in rows if other == key and value is not None]
        if values:
            assert found[key] == pytest.approx(ranked(values, q, interpolation), rel=1e-12, abs=0, nan_ok=True)
            assert near[key] == pytest.approx(ranked(values, q, "nearest"), rel=0.01, abs=0, nan_ok=True)
        else:
            assert (found[key], near[key]) == (None, None)


@pytest.mark.parametrize("error", [0.001, 0.01, 0.1, 0.5])
def test_an_approximate_quantile_keeps_its_bound_and_depends_on_no_cut(in_pieces: Any, error: float) -> None:
    generator = np.random.default_rng(7)
    values = np.concatenate([generator.lognormal(3, 4, 20_000), -generator.lognormal(0, 2, 10_000), np.zeros(500)])
    generator.shuffle(values)
    ordered = np.sort(values)
    for q in (0.0, 0.01, 0.3, 0.34, 0.5, 0.99, 1.0):
        found = in_pieces(approximate(q, error), [1] * len(values), {"x": pa.array(values)}, ())[1]
        wanted = ordered[math.floor((len(values) - 1) * q + 0.5)]
        assert abs(found - wanted) <= error * abs(wanted)
        assert found == in_pieces(approximate(q, error), [1] * len(values), {"x": pa.array(values)}, [17, 9_999])[1]


def test_integers_and_decimals_have_quantiles_too(in_pieces: Any) -> None:
    assert in_pieces(exact(0.5, "linear", pa.int64()), [1, 1], {"x": pa.array([2, 3])}, [1]) == {1: 2.5}
    prices = pa.array([100, 250]).cast(pa.decimal128(20, 0))
    assert in_pieces(exact(1.0, "nearest", prices.type), [1, 1], {"x": prices}, [1]) == {1: 250.0}
