"""Functions of lists and records give what DuckDB gives."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamflow as sf
from streamflow import col
from streamflow.errors import SchemaError, UserError
from streamflow.testing import evaluate

LISTS = st.lists(st.none() | st.lists(st.none() | st.integers(-3, 3), max_size=5), min_size=2, max_size=8)
X = col("x").list


@settings(max_examples=25)
@given(LISTS)
def test_functions_of_lists_agree_with_duckdb(differences: Any, values: list[list[int | None] | None]) -> None:
    column = pa.array(values, pa.list_(pa.int64())).slice(1)
    both = [
        (X.len(), "len(x)"),
        (X.get(0), "x[1]"),
        (X.get(-2), "x[-2]"),
        (X.first(), "x[1]"),
        (X.last(), "x[-1]"),
        (X.contains(2), "list_contains(x, 2)"),
        (X.sum(), "list_sum(x)::BIGINT"),
        (X.min(), "list_min(x)"),
        (X.max(), "list_max(x)"),
        (X.mean(), "list_avg(x)"),
        (X.sort(), "list_sort(x, 'ASC', 'NULLS LAST')"),
        (X.sort(descending=True), "list_sort(x, 'DESC', 'NULLS LAST')"),
        (X.reverse(), "list_reverse(x)"),
        (X.slice(1, 2), "x[2:3]"),
        (X.head(2), "x[1:2]"),
        (X.n_unique(), "CASE WHEN x IS NOT NULL THEN list_unique(x) END"),
    ]
    assert not differences(both, {"x": column})
    kept = column.to_pylist()
    assert evaluate(X.tail(2), x=column) == [None if v is None else v[-2:] for v in kept]
    assert evaluate(X.slice(-2, 1), x=column) == [
        None if v is None else v[len(v) - 2 :][:1] if len(v) > 1 else [] for v in kept
    ]
    assert evaluate(X.unique(), x=column) == [None if v is None else list(dict.fromkeys(v)) for v in kept]


def test_elements_are_compared_as_keys_are() -> None:
    floats = [[math.nan, 0.0, -0.0, math.nan], []]
    assert evaluate(X.contains(math.nan), x=floats) == [True, False]
    assert evaluate(X.contains(-0.0), x=floats) == [True, False]
    assert evaluate(X.unique().list.len(), x=floats) == [2, 0]
    assert evaluate(X.max().is_nan(), x=floats) == [True, None]
    assert evaluate(X.contains(col("y")), x=[["a"], ["b"], ["c"]], y=["a", "a", None]) == [True, False, None]
    assert evaluate(X.get(col("y")), x=[["a"], ["b"]], y=[0, None]) == ["a", None]


def test_texts_are_joined_without_nulls() -> None:
    assert evaluate(X.join(", "), x=[["a", None, "b"], [None], [], None]) == ["a, b", "", "", None]


def test_records_are_made_and_taken_apart() -> None:
    made = sf.struct("a", b=col("a") + 1)
    assert evaluate(made, a=[1, None]) == [{"a": 1, "b": 2}, {"a": None, "b": None}]
    assert evaluate(made.struct.field("b"), a=[1]) == [2]
    with pytest.raises(UserError, match="a name of its own"):
        sf.struct("a", "a")


def test_what_does_not_fit_is_refused_while_the_flow_is_built() -> None:
    for expr in (X.sum(), X.contains(1), X.get(sf.lit("a")), col("s").list.len()):
        with pytest.raises(SchemaError, match="cannot take"):
            evaluate(expr, x=[["a"]], s=["a"])


@given(st.lists(st.none() | st.lists(st.none() | st.booleans(), max_size=4), min_size=1, max_size=8))
@settings(max_examples=25)
def test_conditions_in_lists_agree_with_duckdb(differences: Any, values: list[list[bool | None] | None]) -> None:
    both = [
        (col("x").list.any(), "list_aggregate(x, 'bool_or')"),
        (col("x").list.all(), "list_aggregate(x, 'bool_and')"),
        (col("x").list.count_matches(True), "CASE WHEN x IS NOT NULL THEN len(list_filter(x, lambda v: v)) END"),
        (col("x").list.drop_nulls(), "list_filter(x, lambda v: v IS NOT NULL)"),
    ]
    assert not differences(both, {"x": pa.array(values, pa.list_(pa.bool_()))})


def test_elements_are_counted_by_the_rows_value() -> None:
    lists, values = [[1.0, math.nan, math.nan], [0.0], [None], None, [2.0]], [math.nan, -0.0, 1.0, 1.0, None]
    assert evaluate(col("x").list.count_matches(col("v")), x=lists, v=values) == [2, 1, 0, None, None]
