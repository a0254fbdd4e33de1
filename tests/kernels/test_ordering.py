"""Every order is compared with plain Python's sort over keys that spell the rules out."""

from __future__ import annotations

import functools
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.kernels.ordering import fixed_codes, no_later, order, packed_argsort, top_rows

NAN = float("nan")
FLOATS = st.sampled_from([None, NAN, math.inf, -math.inf, 0.0, -0.0, 1.5, -1.5, 5e-324, 1.7e308])
INTS = st.sampled_from([None, 0, 1, -1, 2**63 - 1, -(2**63)])
STRINGS = st.sampled_from([None, "", "a", "aa", "b", "ä", "z" * 300, "\U0001f600", "\uffff"])
COLUMNS = {
    pa.int64(): INTS,
    pa.uint64(): st.sampled_from([None, 0, 2**64 - 1, 2**63]),
    pa.int8(): st.sampled_from([None, -128, 127, 0]),
    pa.float64(): FLOATS,
    pa.float32(): st.sampled_from([None, NAN, math.inf, 0.0, -0.0, 2.0]),
    pa.string(): STRINGS,
    pa.binary(): st.sampled_from([None, b"", b"\x00", b"\xff", b"\x00\x00"]),
    pa.bool_(): st.sampled_from([None, True, False]),
    pa.decimal128(10, 2): st.sampled_from([None, Decimal("-1.50"), Decimal("0.00"), Decimal("12.34")]),
    pa.list_(pa.int64()): st.sampled_from([None, [], [1], [1, 2], [None], [2]]),
    pa.struct([("x", pa.int64()), ("y", pa.string())]): st.builds(lambda x, y: {"x": x, "y": y}, INTS, STRINGS)
    | st.none(),
}


def compare(left: Any, right: Any, descending: bool) -> int:
    """-1, 0 or 1 by the rules: null last in both directions, NaN above all numbers."""
    if left is None or right is None:
        return (left is None) - (right is None)
    if isinstance(left, dict):
        return next((c for name in left if (c := compare(left[name], right[name], descending))), 0)
    if isinstance(left, list):
        found = next((c for pair in zip(left, right, strict=False) if (c := compare(*pair, False))), 0)
        result = found or (len(left) > len(right)) - (len(left) < len(right))
    else:
        a, b = spell(left), spell(right)
        result = (a > b) - (a < b)
    return -result if descending else result


def spell(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, float):
        return (math.isnan(value), 0.0 if math.isnan(value) else value)
    return value


def oracle(rows: list[tuple[Any, ...]], descending: list[bool]) -> list[int]:
    def both(i: int, j: int) -> int:
        pairs = zip(rows[i], rows[j], descending, strict=True)
        return next((c for left, right, down in pairs if (c := compare(left, right, down))), 0)

    return sorted(range(len(rows)), key=functools.cmp_to_key(both))


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[pa.Array], list[bool], list[tuple[Any, ...]]]:
    kinds = draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=3))
    rows = draw(st.lists(st.tuples(*(COLUMNS[kind] for kind in kinds)), max_size=30))
    skip = draw(st.integers(0, 2))
    columns = [pa.array([row[i] for row in rows], kind)[skip:] for i, kind in enumerate(kinds)]
    directions = draw(st.lists(st.booleans(), min_size=len(kinds), max_size=len(kinds)))
    return columns, directions, rows[skip:]


@settings(max_examples=300, deadline=None)
@given(tables())
def test_order_is_that_of_the_rules_for_every_type_and_stable(table: tuple[Any, ...]) -> None:
    columns, descending, rows = table
    assert order(columns, descending).tolist() == oracle(rows, descending)


@settings(max_examples=300, deadline=None)
@given(tables(), st.integers(1, 4), st.data())
def test_top_rows_are_the_first_n_of_each_group_in_order(table: tuple[Any, ...], n: int, data: st.DataObject) -> None:
    columns, descending, rows = table
    groups = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    ranked = oracle(rows, descending)
    expected = [i for group in range(4) for i in [i for i in ranked if groups[i] == group][:n]]
    assert top_rows(columns, descending, n, np.array(groups, np.int64)).tolist() == expected
    assert top_rows(columns, descending, n).tolist() == ranked[:n]


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3), max_size=50))
def test_packed_argsort_is_a_stable_argsort_whatever_the_range(keys: list[int]) -> None:
    found, values = packed_argsort(np.array(keys, np.int64))
    assert found.tolist() == sorted(range(len(keys)), key=keys.__getitem__)
    assert values.tolist() == sorted(keys)


@settings(max_examples=100, deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=20), st.booleans(), st.integers(0, 20))
def test_codes_of_two_batches_compare_like_codes_of_one(values: list[float | None], down: bool, cut: int) -> None:
    whole = fixed_codes(pa.array(values, pa.float64()), down)
    parts = [fixed_codes(pa.array(part, pa.float64()), down) for part in (values[:cut], values[cut:])]
    assert whole is not None
    assert whole.tolist() == [code for part in parts if part is not None for code in part.tolist()]


def test_strings_have_no_codes_that_hold_between_batches() -> None:
    assert fixed_codes(pa.array(["a"]), False) is None


def test_every_nan_is_the_same_value_above_infinity() -> None:
    negative = np.array([0xFFF8_0000_0000_0001, 0x7FF8_0000_0000_0001], np.uint64).view(np.float64)
    column = pa.array(np.array([negative[0], math.inf, negative[1], -math.inf]))
    assert order([column], [False]).tolist() == [3, 1, 0, 2]
    assert order([column, pa.array([1, 2, 0, 4])], [True, False]).tolist() == [2, 0, 1, 3]


def test_maps_are_ordered_as_lists_of_pairs() -> None:
    kind = pa.map_(pa.string(), pa.int64())
    column = pa.array([[("b", 1)], [("a", 2), ("b", 1)], None, [("a", 2)]], kind)
    assert order([column], [False]).tolist() == [3, 1, 0, 2]


def test_a_type_without_an_order_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="month_day_nano_interval"):
        order([pa.array([(1, 2, 3)], pa.month_day_nano_interval())], [False])


def test_n_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        top_rows([pa.array([1])], [False], 0)


@pytest.mark.parametrize("type_", [pa.int64(), pa.uint64(), pa.int8(), pa.float64(), pa.timestamp("us", "UTC")])
@pytest.mark.parametrize("descending", [False, True])
@given(data=st.data())
def test_rows_that_come_no_later_are_those_of_no_greater_code(
    type_: pa.DataType, descending: bool, data: st.DataObject
) -> None:
    drawn = COLUMNS.get(type_, INTS.filter(lambda value: value is None or abs(value) < 2))
    column = pa.array(data.draw(st.lists(drawn, min_size=1, max_size=8)), type_)
    codes = fixed_codes(column, descending)
    assert codes is not None
    for code in codes:
        assert no_later(column, descending, code).tolist() == (codes <= code).tolist()
