"""Approximate numbers of distinct values: exact while there are few, within the stated error where there are many."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from streamflow.kernels.aggregate import AggregateSpec
from streamflow.kernels.aggregates.distinct import hashes_kept

INT = pa.int64()


def about(error: float, type_: pa.DataType = INT) -> AggregateSpec:
    return AggregateSpec("approx_n_unique", "x", type_, "r", options=(("error", error),))


def test_few_values_are_counted_exactly_as_sql_tells_them_apart(in_pieces: Any) -> None:
    floats = pa.array([0.0, -0.0, math.nan, -math.nan, None, 1.5])
    assert in_pieces(about(0.02, pa.float64()), [1, 1, 1, 1, 1, 2], {"x": floats}, [2]) == {1: 2, 2: 1}
    words = pa.array(["a", "", "a", None])
    assert in_pieces(about(0.02, pa.string()), [1, 1, 1, 2], {"x": words}, [1, 3]) == {1: 2, 2: 0}


@pytest.mark.parametrize("error", [0.05, 0.1, 0.3])
def test_errors_over_many_groups_are_as_stated(in_pieces: Any, error: float) -> None:
    groups, each = 60, 12 * hashes_kept(error)
    keys = np.repeat(np.arange(groups), each)
    values = pa.array(np.arange(groups * each) * 7)
    found = in_pieces(about(error), keys.tolist(), {"x": values}, [len(keys) // 3])
    misses = np.array([found[key] / each - 1 for key in range(groups)])
    assert np.sqrt((misses**2).mean()) < 1.3 * error
    assert np.abs(misses).max() < 4 * error


def test_repeats_and_cuts_change_nothing(in_pieces: Any) -> None:
    values = np.arange(5_000)
    once = in_pieces(about(0.1), [1] * 5_000, {"x": pa.array(values)}, ())
    again = np.concatenate([values[::-1], values])
    assert in_pieces(about(0.1), [1] * 10_000, {"x": pa.array(again)}, [3, 4_000, 8_000]) == once
