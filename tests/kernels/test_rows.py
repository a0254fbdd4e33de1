"""Columns to Python and back, for every shape."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.kernels.rows import Entries, Items, Record, Scalar, Shape, arrow_type, from_python, to_python


class Pair(NamedTuple):
    a: int | None
    b: list[str] | None


INT = st.none() | st.integers(-(2**63), 2**63 - 1)
TEXT = st.none() | st.text("a\u00e9\u6f22\U0001f600", max_size=3)
TIMES = st.none() | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
PAIR = Record(Pair, (("a", Scalar(pa.int64())), ("b", Items(Scalar(pa.string())))))

SHAPES: list[tuple[Shape, st.SearchStrategy[Any]]] = [
    (Scalar(pa.int64()), INT),
    (Scalar(pa.float64()), st.none() | st.floats(allow_nan=False)),
    (Scalar(pa.string()), TEXT),
    (Scalar(pa.binary()), st.none() | st.binary(max_size=3)),
    (Scalar(pa.bool_()), st.none() | st.booleans()),
    (Scalar(pa.date32()), st.none() | st.dates()),
    (Scalar(pa.timestamp("us", "UTC")), TIMES),
    (Scalar(pa.timestamp("us", "UTC"), integer=True), INT),
    (Scalar(pa.duration("us")), st.none() | st.timedeltas(timedelta(-(10**6)), timedelta(10**6))),
    (Items(Scalar(pa.int64())), st.none() | st.lists(INT, max_size=3)),
    (Items(Items(Scalar(pa.string()))), st.none() | st.lists(st.none() | st.lists(TEXT, max_size=2), max_size=2)),
    (Entries(Scalar(pa.int64())), st.none() | st.dictionaries(st.text("abc", max_size=2), INT, max_size=2)),
    (PAIR, st.none() | st.builds(Pair, INT, st.none() | st.lists(TEXT, max_size=2))),
    (Items(PAIR), st.none() | st.lists(st.builds(Pair, INT, st.none()), max_size=2)),
]


@given(st.data())
def test_values_survive_the_way_through_arrow(data: st.DataObject) -> None:
    shape, values = data.draw(st.sampled_from(SHAPES))
    rows = data.draw(st.lists(values, max_size=8))
    array = from_python(rows, shape)
    array.validate(full=True)
    assert array.type.equals(arrow_type(shape))
    assert to_python(array, shape) == rows
    assert to_python(array.slice(len(rows) // 2), shape) == rows[len(rows) // 2 :]


def test_without_a_shape_values_come_as_their_type_gives_them() -> None:
    array = pa.array([{"a": 1, "b": [True], "c": datetime(2024, 5, 1, tzinfo=UTC)}, None])
    assert to_python(array) == [{"a": 1, "b": [True], "c": datetime(2024, 5, 1, tzinfo=UTC)}, None]


@pytest.mark.parametrize("micros", [2**62, -(2**62)])
def test_times_that_datetime_does_not_know_are_an_error(micros: int) -> None:
    with pytest.raises(ValueError, match="years 1 to 9999"):
        to_python(pa.array([micros], pa.timestamp("us", "UTC")))


def test_the_first_wrong_value_is_named() -> None:
    with pytest.raises(ValueError, match=r"row 2: 'x' is a str, not a int64"):
        from_python([1, None, "x", 5], Scalar(pa.int64()))
    with pytest.raises(ValueError, match=r"row 1: '\\ud800' is not a string"):
        from_python(["a", "\ud800"], Scalar(pa.string()))
    with pytest.raises(OverflowError, match="row 0"):
        from_python([2**64], Scalar(pa.int64()))
    with pytest.raises(ValueError, match="row 0: 300"):
        from_python([300], Scalar(pa.int8()))
