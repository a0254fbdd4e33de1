"""`assert_rows` and `final`."""

from __future__ import annotations

import math
import random
import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

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


WORDS = pa.map_(pa.string(), pa.int64())
PLACE = pa.struct([("city", pa.string()), ("x", pa.float64()), ("seen", WORDS)])
ZONED, LOCAL = pa.timestamp("us", "UTC"), pa.timestamp("us")
NOON = datetime(2024, 5, 1, 12)  # noqa: DTZ001 (as users write it)


@pytest.mark.parametrize(
    ("type_", "value", "written", "other"),
    [
        (WORDS, {"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3}),
        (WORDS, {"a": 1}, [("a", 1)], {}),
        (pa.list_(WORDS), [{"a": 1}, None], [{"a": 1}, None], [{"a": 1}]),
        (
            PLACE,
            {"city": "Rome", "x": math.nan, "seen": {"a": 1}},
            {"city": "Rome", "x": math.nan, "seen": {"a": 1}},
            {},
        ),
        (PLACE, {"city": "Rome", "x": None, "seen": None}, {"city": "Rome"}, None),
        (pa.list_(pa.float64()), [1.0, math.nan], [1.0 + 1e-12, math.nan], [math.nan, 1.0]),
        (pa.decimal128(9, 2), Decimal("1.50"), Decimal("1.5"), Decimal("1.51")),
        (pa.float32(), 0.1, 0.1, 0.2),
        (pa.float64(), math.inf, math.inf, math.nan),
        (ZONED, NOON, NOON, NOON.replace(hour=13)),
        (ZONED, NOON, datetime(2024, 5, 1, 14, tzinfo=timezone(timedelta(hours=2))), None),
        (LOCAL, NOON, NOON.replace(tzinfo=UTC), NOON.replace(microsecond=1)),
        (pa.binary(), b"a", b"a", b"b"),
    ],
)
def test_values_are_written_as_python_has_them(type_: pa.DataType, value: Any, written: Any, other: Any) -> None:
    table = pa.table({"v": pa.array([value], type_)})
    assert_rows(table, [{"v": written}])
    with pytest.raises(AssertionError, match="1 row too many, 1 missing"):
        assert_rows(table, [{"v": other}])


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (pa.int64(), "a"),
        (pa.int64(), 1.5),
        (ZONED, "noon"),
        (WORDS, 1),
        (WORDS, {"a": 1.5}),
        (pa.list_(pa.int64()), [0.5]),
    ],
)
def test_a_value_that_the_column_cannot_hold_is_named(type_: pa.DataType, value: object) -> None:
    with pytest.raises(AssertionError, match=re.escape(f"{value!r} is expected in 'v', which is ")):
        assert_rows(pa.table({"v": pa.array([None], type_)}), [{"v": None}, {"v": value}])


def test_the_message_says_in_what_a_row_differs_from_its_nearest() -> None:
    table = pa.table({"k": [f"k{i}" for i in range(9)], "n": [*range(8), 80]})
    with pytest.raises(AssertionError) as caught:
        assert_rows(table, [{"k": f"k{i}", "n": i} for i in range(9)])
    assert str(caught.value).splitlines()[-1] == "  they differ in 'n': 80 and not 8"
    with pytest.raises(AssertionError, match="and 4 more"):
        assert_rows(table, [])


def test_final_keeps_values_of_every_type_as_they_are() -> None:
    row = {"m": {"a": 1}, "p": {"city": "Rome", "x": math.nan, "seen": {}}, "d": Decimal("1.50"), "t": NOON, "u": NOON}
    types = {"m": WORDS, "p": PLACE, "d": pa.decimal128(9, 2), "t": ZONED, "u": LOCAL}
    kinds = pa.array([INSERT, INSERT, DELETE], pa.int8())
    table = pa.table({"_change": kinds, **{name: pa.array([row[name]] * 3, types[name]) for name in row}})
    assert final(table).schema == table.schema.remove(0)
    assert_rows(final(table), [row])
