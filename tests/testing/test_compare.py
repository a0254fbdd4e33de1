"""`assert_rows` and `final`."""

from __future__ import annotations

import math
import random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.operators.events import DELETE, INSERT, UPDATE_AFTER, UPDATE_BEFORE
from streamflow.testing import assert_rows, final


def test_order_does_not_matter_and_multiplicity_does() -> None:
    table = pa.table({"k": ["a", "b", "a"]})
    assert_rows(table, [{"k": "b"}, {"k": "a"}, {"k": "a"}])
    with pytest.raises(AssertionError, match="1 row too many, 1 missing"):
        assert_rows(table, [{"k": "b"}, {"k": "b"}, {"k": "a"}])
    with pytest.raises(AssertionError, match="0 rows too many, 1 missing"):
        assert_rows(table, [{"k": "b"}, {"k": "a"}, {"k": "a"}, {"k": "a"}])


def test_the_message_shows_the_rows_that_differ() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_rows(pa.table({"k": ["a"], "n": [1]}), [{"k": "a", "n": 2}])
    assert "not expected: {'k': 'a', 'n': 1}" in str(caught.value)
    assert "missing: {'k': 'a', 'n': 2}" in str(caught.value)


def test_a_missing_column_reads_as_null_and_nan_equals_nan() -> None:
    assert_rows(pa.table({"x": [math.nan], "y": pa.array([None], pa.int64())}), [{"x": math.nan}])


@pytest.mark.parametrize("wrong", [{"n": 1, "m": 2}, {"m": 1}])
def test_a_row_with_a_column_that_the_table_lacks_differs(wrong: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        assert_rows(pa.table({"n": [1]}), [wrong])


@given(st.lists(st.floats(-1e300, 1e300) | st.just(math.nan) | st.just(math.inf), max_size=8), st.randoms())
def test_rows_of_floats_that_are_nearly_equal_find_each_other(values: list[float], rng: random.Random) -> None:
    shuffled = sorted((value * (1 + 1e-12) for value in values), key=lambda _: rng.random())
    assert_rows(pa.table({"x": pa.array(values, pa.float64())}), [{"x": value} for value in shuffled])


def changes(*rows: tuple[int, str, int]) -> pa.Table:
    kinds, keys, values = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {"_change": pa.array(kinds, pa.int8()), "k": pa.array(keys, pa.string()), "n": pa.array(values, pa.int64())}
    )


def test_final_is_what_is_left_when_all_changes_are_applied() -> None:
    table = changes(
        (INSERT, "a", 1), (INSERT, "b", 1), (UPDATE_BEFORE, "a", 1), (UPDATE_AFTER, "a", 2), (DELETE, "b", 1)
    )
    assert final(table).to_pylist() == [{"k": "a", "n": 2}]
    assert final(changes()).num_rows == 0


def test_final_does_not_depend_on_the_order_in_which_workers_came() -> None:
    table = changes((UPDATE_BEFORE, "a", 1), (UPDATE_AFTER, "a", 2), (INSERT, "a", 1))
    assert final(table).to_pylist() == [{"k": "a", "n": 2}]


def test_final_refuses_a_changelog_that_takes_back_what_was_never_there() -> None:
    with pytest.raises(AssertionError, match="never there"):
        final(changes((INSERT, "a", 1), (UPDATE_BEFORE, "a", 2), (UPDATE_AFTER, "a", 3)))
