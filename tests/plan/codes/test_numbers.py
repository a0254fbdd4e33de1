"""Functions of numbers and of any values give what DuckDB gives."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamflow as sf
from streamflow import col
from streamflow.errors import DataError, SchemaError, UserError
from streamflow.flow.expr import Expr
from streamflow.kernels.hashing import hash_array
from streamflow.testing import evaluate

FLOATS = st.none() | st.sampled_from([0.0, -0.0, 1.0, -2.5, math.nan, math.inf, -math.inf]) | st.floats(-1e6, 1e6)
INTS = st.none() | st.integers(-(2**63), 2**63 - 1)
ROWS = st.integers(1, 10).flatmap(
    lambda n: st.tuples(*(st.lists(values, min_size=n, max_size=n) for values in (FLOATS, FLOATS, INTS, INTS)))
)
F, G, I = col("f"), col("g"), col("i")  # noqa: E741


@settings(max_examples=25)
@given(ROWS)
def test_functions_of_numbers_agree_with_duckdb(differences: Any, rows: tuple[list[Any], ...]) -> None:
    types = {"f": pa.float64(), "g": pa.float64(), "i": pa.int64(), "j": pa.int64()}
    columns = {name: pa.array(values, types[name]) for name, values in zip(types, rows, strict=True)}
    both: list[tuple[Expr, str]] = [
        (F.sqrt(), "CASE WHEN f < 0 THEN 'nan'::DOUBLE ELSE sqrt(f) END"),
        (F.log(), "CASE WHEN f < 0 THEN 'nan'::DOUBLE WHEN f = 0 THEN '-inf'::DOUBLE ELSE ln(f) END"),
        (F.log10(), "CASE WHEN f < 0 THEN 'nan'::DOUBLE WHEN f = 0 THEN '-inf'::DOUBLE ELSE log10(f) END"),
        ((F / 1e5).exp(), "exp(f / 1e5)"),
        (I.sign(), "sign(i)::BIGINT"),
        (F.is_nan(), "isnan(f)"),
        (F.is_not_nan(), "NOT isnan(f)"),
        (F.is_finite(), "isfinite(f)"),
        (F.is_infinite(), "isinf(f)"),
        (F.fill_nan(G), "CASE WHEN isnan(f) THEN g ELSE f END"),
        (F.fill_nan(None), "CASE WHEN isnan(f) THEN NULL ELSE f END"),
        (I.clip(-5, 5), "CASE WHEN i IS NOT NULL THEN least(greatest(i, -5), 5) END"),
        (I.clip(upper_bound=col("j")), "CASE WHEN i IS NOT NULL THEN least(i, j) END"),
        (F.eq_missing(G), "f IS NOT DISTINCT FROM g"),
        (I.ne_missing(col("j")), "i IS DISTINCT FROM j"),
        (I.eq_missing(None), "i IS NULL"),
        ((F / 1e5).sin(), "CASE WHEN isinf(f) THEN 'nan'::DOUBLE ELSE sin(f / 1e5) END"),
        (F.cbrt(), "cbrt(f)"),
        (F.arctan(), "atan(f)"),
        (sf.max_horizontal("f", "g"), "greatest(f, g)"),
        (sf.min_horizontal("f", "g"), "least(f, g)"),
        (sf.max_horizontal("i", "j", 7), "greatest(i, j, 7)"),
        (sf.min_horizontal("i", "j"), "least(i, j)"),
        (sf.coalesce("i", "j", 0), "coalesce(i, j, 0)"),
        (I.replace({1: 10, 0: 20}), "CASE i WHEN 1 THEN 10 WHEN 0 THEN 20 ELSE i END"),
    ]
    assert not differences(both, columns)


def test_texts_and_times_have_extremes_too() -> None:
    assert evaluate(sf.max_horizontal("a", "b"), a=["x", None, None], b=["y", "z", None]) == ["y", "z", None]
    assert evaluate(F.clip(0.0, 1.0), f=[math.nan, 2.0, None])[1:] == [1.0, None]
    assert math.isnan(evaluate(F.clip(0.0, 1.0), f=[math.nan])[0])


def test_the_hash_of_a_column_is_the_one_that_distributes_rows() -> None:
    values = pa.array(["ada", "bob", None])
    assert evaluate(col("s").hash(), s=values) == hash_array(values).tolist()
    assert evaluate(F.hash(), f=[0.0]) == evaluate(F.hash(), f=[-0.0])
    one, other = evaluate(sf.struct("a", "b").hash(), a=[1, 2], b=[2, 1])
    assert one != other


def test_mappings_replace_values_of_the_same_or_another_type() -> None:
    assert evaluate(col("s").replace({"a": "x", None: "?"}), s=["a", "b", None]) == ["x", "b", "?"]
    assert evaluate(col("s").replace({"a": None}), s=["a", "b"]) == [None, "b"]
    assert evaluate(F.replace({0.0: 5, math.nan: 6}), f=[-0.0, math.nan, 1]) == [5.0, 6.0, 1.0]
    assert evaluate(I.replace_strict({1: "one", 2: "two"}, default="many"), i=[1, 9, None]) == ["one", "many", None]
    assert evaluate(I.replace_strict({1: "one"}, default=col("s")), i=[1, 9], s=["a", "b"]) == ["one", "b"]
    with pytest.raises(DataError, match="9 has no replacement"):
        evaluate(I.replace_strict({1: "one"}), i=[1, 9])
    with pytest.raises(SchemaError, match="cannot take"):
        evaluate(I.replace({1: "one"}), i=[1])
    with pytest.raises(UserError, match="takes a dict"):
        I.replace({})


def test_functions_read_as_they_were_written() -> None:
    for text in [
        "sf.coalesce(col('a'), col('b'), 1)",
        "sf.struct(col('a'), b=col('c') * 2)",
        "sf.concat_str(col('a'), sf.lit('x'), separator='-', ignore_nulls=True)",
        "sf.max_horizontal(col('a'), 2)",
        "col('a').clip(0, 1)",
        "col('a').clip(upper_bound=1)",
        "col('a').log(10)",
        "col('a').replace({1: 2, 3: 4})",
        "col('a').replace_strict({1: 'x'}, default='y')",
        "col('a').dt.truncate('1mo', tz='Europe/Berlin')",
        "col('a').dt.hour(tz='Europe/Berlin')",
        "col('a').dt.offset_by('-36h')",
        "col('a').list.get(-1)",
        "col('a').list.sort(descending=True)",
        "col('a').str.split(' +', regex=True)",
        "col('a').str.replace_many({'b': 'c'})",
        "col('a').str.find('b', literal=True)",
        "col('a').list.std()",
        "col('a').eq_missing(col('b'))",
    ]:
        shown = repr(eval(text, {"sf": sf, "col": col}))  # noqa: S307
        assert shown == text.replace("sf.", ""), shown


def test_any_two_values_that_compare_may_both_be_missing() -> None:
    for type_, a, b in [
        (pa.string(), "x", "y"),
        (pa.decimal128(5, 2), Decimal("1.5"), Decimal(2)),
        (pa.bool_(), True, False),
    ]:
        left, right = pa.array([a, a, a, None], type_), pa.array([a, b, None, None], type_)
        assert evaluate(col("l").eq_missing(col("r")), l=left, r=right) == [True, False, False, True]
        assert evaluate(col("l").ne_missing(col("r")), l=left, r=right) == [False, True, True, False]
    with pytest.raises(SchemaError, match="cannot take"):
        evaluate(col("l").eq_missing("x"), l=[1])
