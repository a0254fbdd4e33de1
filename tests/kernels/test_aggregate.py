"""Aggregates against plain Python, aggregated at once and in pieces that are merged."""

from __future__ import annotations

import math
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.kernels.aggregate import (
    AggregateSpec,
    Kind,
    finish,
    merge,
    merge_pairs,
    partial,
    partial_fields,
    result_type,
)
from streamflow.kernels.grouping import Groups, group

VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int64(): st.sampled_from([-(2**63), -(2**62), -1, 0, 1, 2**62, 2**63 - 1]) | st.integers(-9, 9),
    pa.int16(): st.integers(-(2**15), 2**15 - 1),
    pa.uint8(): st.integers(0, 255),
    pa.uint64(): st.sampled_from([0, 1, 2**63, 2**64 - 1]),
    pa.float64(): st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 1.5, -2.25, 1e300]),
    pa.float32(): st.sampled_from([0.0, -0.0, math.nan, 1.5, -2.25]),
    pa.decimal128(20, 2): st.decimals(-(10**17), 10**17, places=2),
    pa.decimal128(38, 0): st.integers(-(10**37), 10**37).map(Decimal),
    pa.string(): st.sampled_from(["", "a", "Z", "é", "x" * 300]),
    pa.binary(): st.sampled_from([b"", b"\0", b"\xff"]),
    pa.bool_(): st.booleans(),
    pa.date32(): st.integers(-3, 3),
    pa.timestamp("us", "UTC"): st.integers(-3, 3),
}
NUMBERS = [t for t in VALUES if pa.types.is_integer(t) or pa.types.is_floating(t) or pa.types.is_decimal(t)]


def expected(kind: Kind, type_: pa.DataType, values: list[Any]) -> Any:
    """SQL's answer; OverflowError where the result type cannot hold it."""
    present = [value for value in values if value is not None]
    if kind == "count":
        return len(present)
    if kind == "n_unique":
        return len({"NaN" if value != value else value for value in present})
    if not present:
        return None
    if kind in ("min", "max"):
        by = (lambda value: (value != value, value if value == value else 0)) if pa.types.is_floating(type_) else None
        return min(present, key=by) if kind == "min" else max(present, key=by)
    if pa.types.is_floating(type_):
        with np.errstate(all="ignore"):
            total = float(np.sum(np.array(present, np.float64)))
        return total if kind == "sum" else total / len(present)
    exact = sum(map(Fraction, present))
    if kind == "mean":
        return float(exact / len(present))
    result = result_type("sum", type_)
    if pa.types.is_decimal(result):
        if abs(exact) >= Fraction(10) ** (38 - result.scale):
            raise OverflowError
        return exact
    least, most = (0, 2**64 - 1) if pa.types.is_unsigned_integer(type_) else (-(2**63), 2**63 - 1)
    if not least <= exact <= most:
        raise OverflowError
    return int(exact)


def plain(array: pa.Array) -> list[Any]:
    if pa.types.is_temporal(array.type):
        array = array.view(pa.int32() if array.type.bit_width == 32 else pa.int64())
    listed: list[Any] = array.to_pylist()
    return listed


def assert_same(actual: Any, wanted: Any) -> None:
    if isinstance(wanted, float) and actual is not None:
        assert actual == pytest.approx(wanted, rel=1e-9, nan_ok=True)
        assert math.copysign(1, actual) == 1 or actual != 0
    elif isinstance(actual, Decimal):
        assert Fraction(actual) == wanted
    else:
        assert actual == wanted


def aggregated(spec: AggregateSpec, keys: pa.Array, values: pa.Array, cuts: list[int]) -> dict[Any, Any]:
    """Results by key; every piece is aggregated alone, then all are merged, twice."""
    pieces = []
    for start, stop in zip([0, *cuts], [*cuts, len(keys)], strict=True):
        some = keys.slice(start, stop - start)
        groups = group([some], len(some))
        parts = partial(spec, values.slice(start, stop - start), groups)
        assert [part.type for part in parts] == [field.type for field in partial_fields(spec)]
        pieces.append([some.take(pa.array(groups.first)), *parts])
    columns = [pa.concat_arrays(column) for column in zip(*pieces, strict=True)]
    for _ in range(2):
        groups = group([columns[0]], len(columns[0]))
        columns = [columns[0].take(pa.array(groups.first)), *merge(spec, columns[1:], groups)]
        assert [part.type for part in columns[1:]] == [field.type for field in partial_fields(spec)]
    result = finish(spec, columns[1:])
    assert result.type == result_type(spec.kind, spec.type)
    return dict(zip(columns[0].to_pylist(), plain(result), strict=True))


def merged_in_pairs(spec: AggregateSpec, keys: pa.Array, values: pa.Array, cuts: list[int]) -> dict[Any, Any]:
    """Results by key; every piece, with a null for each key, is aggregated alone and merged with what was before."""
    known = keys.unique()
    total = None
    for start, stop in zip([0, *cuts], [*cuts, len(keys)], strict=True):
        rows = pa.concat_arrays([keys.slice(start, stop - start), known])
        some = pa.concat_arrays([values.slice(start, stop - start), pa.nulls(len(known), values.type)])
        ids = np.searchsorted(np.sort(known), rows)
        parts = partial(spec, some, Groups(ids, len(known), np.zeros(len(known), np.int64)))
        total = parts if total is None else merge_pairs(spec, parts, total)
    assert total is not None
    return dict(zip(np.sort(known).tolist(), plain(finish(spec, total)), strict=True))


@st.composite
def cases(draw: st.DrawFn) -> tuple[AggregateSpec, list[tuple[int, Any]], list[int]]:
    kind: Kind = draw(st.sampled_from(["count", "sum", "min", "max", "mean", "n_unique"]))
    type_ = draw(st.sampled_from(NUMBERS if kind in ("sum", "mean") else list(VALUES)))
    value = VALUES[type_] if draw(st.booleans()) else st.none() | VALUES[type_]
    rows = draw(st.lists(st.tuples(st.integers(0, 3), value), max_size=25))
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    return AggregateSpec(kind, "x", type_, "result"), rows, cuts


@settings(max_examples=500)
@given(cases())
def test_any_cut_gives_the_answer_of_plain_python(case: tuple[AggregateSpec, list[tuple[int, Any]], list[int]]) -> None:
    spec, rows, cuts = case
    assert spec.type is not None
    by_key: dict[int, list[Any]] = defaultdict(list)
    for key, value in rows:
        by_key[key].append(value)
    keys, values = pa.array([key for key, _ in rows], pa.int64()), pa.array([value for _, value in rows], spec.type)
    try:
        wanted = {key: expected(spec.kind, spec.type, some) for key, some in by_key.items()}
    except OverflowError:
        with pytest.raises(OverflowError, match="'result' does not fit"):
            aggregated(spec, keys, values, cuts)
        return
    actual = aggregated(spec, keys, values, cuts)
    assert actual.keys() == wanted.keys()
    for key, value in wanted.items():
        assert_same(actual[key], value)
    pairs = merged_in_pairs(spec, keys, values, cuts)
    for key, value in wanted.items():
        assert_same(pairs[key], value)


def test_an_integer_sum_may_leave_int64_on_the_way_but_not_at_the_end() -> None:
    spec = AggregateSpec("sum", "x", pa.int64(), "total")
    values = pa.array([2**63 - 1, 2**63 - 1, -(2**63), -(2**63)])
    assert finish(spec, partial(spec, values, group([], 4))).to_pylist() == [-2]
    with pytest.raises(OverflowError, match="the sum 'total' does not fit int64"):
        finish(spec, partial(spec, values.slice(0, 2), group([], 2)))


def test_nan_is_the_greatest_number_and_minus_zero_comes_out_as_zero() -> None:
    values, groups = pa.array([math.nan, 1.0, -0.0]), group([pa.array([1, 1, 2])], 3)
    low, high = AggregateSpec("min", "x", pa.float64(), "low"), AggregateSpec("max", "x", pa.float64(), "high")
    assert [str(v) for v in finish(low, partial(low, values, groups)).to_pylist()] == ["1.0", "0.0"]
    assert [str(v) for v in finish(high, partial(high, values, groups)).to_pylist()] == ["nan", "0.0"]


def test_count_without_a_column_counts_rows_and_with_one_values() -> None:
    groups = group([], 3)
    rows, values = AggregateSpec("count", None, None, "n"), AggregateSpec("count", "x", pa.int64(), "n")
    assert partial(rows, None, groups)[0].to_pylist() == [3]
    assert partial(values, pa.array([1, None, None]), groups)[0].to_pylist() == [1]


@pytest.mark.parametrize(
    ("kind", "type_", "words"),
    [
        ("sum", pa.bool_(), "sum takes numbers, not bool"),
        ("mean", pa.timestamp("us"), "mean takes numbers, not timestamp"),
        ("max", pa.list_(pa.int64()), "max takes values that have an order, not list"),
        ("n_unique", pa.struct({"a": pa.int64()}), "n_unique takes plain values, not struct"),
        ("min", None, "min needs a column"),
    ],
)
def test_a_type_that_does_not_fit_is_refused_in_words(kind: Kind, type_: pa.DataType | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        result_type(kind, type_)
