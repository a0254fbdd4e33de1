"""Grouping against a Python dict of the values, made canonical by hand."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.kernels.grouping import Groups, group

INT64 = st.sampled_from([-(2**63), -(2**63) + 1, -1, 0, 1, 7, 2**31, 2**63 - 1])
COLUMNS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int8(): st.integers(-128, 127),
    pa.int64(): INT64 | st.integers(0, 5),
    pa.uint64(): st.sampled_from([0, 1, 2**63, 2**64 - 1]),
    pa.float64(): st.sampled_from([0.0, -0.0, math.nan, -math.nan, math.inf, -math.inf, 1.5, 5e-324]),
    pa.float32(): st.sampled_from([0.0, -0.0, math.nan, 1.5]),
    pa.bool_(): st.booleans(),
    pa.string(): st.sampled_from(["", "a", "A", "é", "e\u0301", "\0", "x" * 300]),
    pa.binary(): st.sampled_from([b"", b"\0", b"\xff"]),
    pa.date32(): st.integers(-3, 3),
    pa.timestamp("us", "UTC"): st.integers(-3, 3),
    pa.decimal128(10, 2): st.sampled_from([Decimal("0.00"), Decimal("-1.50"), Decimal("1.50")]),
    pa.null(): st.none(),
}


def canonical(value: Any) -> Any:
    """A value that Python's == treats as SQL does."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    return value


def assert_groups_are_those_of(groups: Groups, rows: list[tuple[Any, ...]]) -> None:
    ids: dict[tuple[Any, ...], int] = {}
    for row, number in zip(rows, groups.ids.tolist(), strict=True):
        assert ids.setdefault(tuple(map(canonical, row)), number) == number
    assert sorted(ids.values()) == list(range(groups.count))
    assert groups.ids[groups.first].tolist() == list(range(groups.count))


@st.composite
def key_columns(draw: st.DrawFn) -> list[pa.Array]:
    types = draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=3))
    length = draw(st.integers(0, 40))
    return [
        pa.array(draw(st.lists(st.none() | COLUMNS[t], min_size=length, max_size=length)), t)
        if draw(st.booleans())
        else pa.array([draw(COLUMNS[t]) for _ in range(length)], t)
        for t in types
    ]


@settings(max_examples=300)
@given(key_columns(), st.integers(0, 3))
def test_rows_are_together_iff_all_their_keys_are_equal(keys: list[pa.Array], skipped: int) -> None:
    keys = [key.slice(skipped) for key in keys]
    rows = list(zip(*(values(key) for key in keys), strict=True))
    assert_groups_are_those_of(group(keys, len(keys[0])), rows)


def values(key: pa.Array) -> list[Any]:
    if pa.types.is_temporal(key.type):
        key = key.view(pa.int32() if key.type.bit_width == 32 else pa.int64())
    listed: list[Any] = key.to_pylist()
    return listed


@given(st.lists(st.tuples(INT64, st.sampled_from("abc")), min_size=1))
def test_a_leading_key_numbers_the_groups_in_its_order(rows: list[tuple[int, str]]) -> None:
    leading = np.array([number for number, _ in rows])
    groups = group([pa.array([letter for _, letter in rows])], len(rows), leading=leading)
    assert_groups_are_those_of(groups, rows)
    assert np.all(np.diff(leading[groups.first].astype(object)) >= 0)


@pytest.mark.parametrize("spread", [1, 1000, 2**44])
def test_many_rows_with_near_or_far_keys_are_grouped_alike(spread: int) -> None:
    keys = (np.arange(20_000) * 7919 % 3001) * spread
    groups = group([pa.array(keys), pa.array(keys % 5)], len(keys))
    assert groups.count == 3001
    assert np.array_equal(keys[groups.first][groups.ids], keys)


def test_without_keys_all_rows_are_one_group() -> None:
    assert group([], 3).ids.tolist() == [0, 0, 0]
    assert group([], 3).count == 1
    assert group([], 0).count == 0


@pytest.mark.parametrize("key", [pa.array([[1], [2]]), pa.array([{"a": 1}, {"a": 2}])])
def test_a_nested_key_is_refused(key: pa.Array) -> None:
    with pytest.raises(ValueError, match=r"(list|struct)<.*cannot be a key"):
        group([key], 2)
