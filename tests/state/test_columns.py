from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.state.columns import ChunkedColumn, FixedColumn, column

EXAMPLES: list[tuple[pa.DataType, list[Any]]] = [
    (pa.int8(), [1, -1, None]),
    (pa.uint64(), [2**64 - 1, 0, None]),
    (pa.float32(), [1.5, None, -0.25]),
    (pa.float64(), [1.5, None, float("inf")]),
    (pa.bool_(), [True, False, None]),
    (pa.date32(), [dt.date(1969, 12, 31), None, dt.date(2024, 2, 29)]),
    (pa.timestamp("us", "UTC"), [dt.datetime(1960, 1, 1, tzinfo=dt.UTC), None, dt.datetime(2024, 1, 1, tzinfo=dt.UTC)]),
    (pa.decimal128(38, 2), [Decimal("-1.50"), None, Decimal("99999.99")]),
    (pa.decimal256(50, 2), [Decimal("-1.50"), None, Decimal("99999.99")]),
    (pa.string(), ["", None, "ü" * 300]),
    (pa.binary(), [b"\0", None, b"x"]),
    (pa.list_(pa.int64()), [[1, 2], None, []]),
    (pa.struct({"a": pa.int64()}), [{"a": 1}, None, {"a": None}]),
    (pa.null(), [None, None, None]),
]


@pytest.mark.parametrize(("type_", "values"), EXAMPLES, ids=lambda x: str(x) if isinstance(x, pa.DataType) else "")
def test_a_column_returns_what_was_put_last(type_: pa.DataType, values: list[Any]) -> None:
    stored = column(type_)
    stored.reserve(3)
    stored.put(slice(0, 3), pa.array(values, type_))
    stored.reserve(5000)
    stored.put(np.array([2, 0]), pa.array([values[0], values[0], values[2]], type_).slice(1))
    got = stored.get(np.array([2, 1, 0, 0]))
    got.validate(full=True)
    assert got.type == type_
    assert got.to_pylist() == [values[0], values[1], values[2], values[2]]


@given(
    st.sampled_from([pa.int64(), pa.bool_(), pa.string(), pa.list_(pa.string())]),
    st.lists(st.sets(st.integers(0, 40), min_size=1).map(sorted), max_size=25),
    st.data(),
)
@settings(max_examples=100, deadline=None)
def test_a_column_is_a_dict_from_slot_to_value(type_: pa.DataType, puts: list[list[int]], data: st.DataObject) -> None:
    value: st.SearchStrategy[Any] = {
        "int64": st.integers(-(2**63), 2**63 - 1),
        "bool": st.booleans(),
        "string": st.text(max_size=9),
    }.get(str(type_), st.lists(st.none() | st.text(max_size=3), max_size=3))
    stored = column(type_)
    expected: dict[int, Any] = {}
    for slots in puts:
        values = data.draw(st.lists(st.none() | value, min_size=len(slots), max_size=len(slots)))
        stored.reserve(max(slots) + 1)
        stored.put(np.array(slots), pa.array(values, type_))
        expected.update(zip(slots, values, strict=True))
    slots = data.draw(st.permutations(list(expected)))
    assert stored.get(np.array(slots, dtype=np.int64)).to_pylist() == [expected[slot] for slot in slots]


def test_nothing_and_only_nulls_can_be_put() -> None:
    stored = column(pa.int64())
    stored.reserve(2)
    stored.put(np.array([], np.int64), pa.array([], pa.int64()))
    stored.put(slice(0, 2), pa.nulls(2, pa.int64()))
    assert stored.get(np.array([1, 0])).to_pylist() == [None, None]


def test_overwritten_strings_are_dropped_and_chunks_stay_few() -> None:
    stored = ChunkedColumn(pa.string())
    stored.reserve(1000)
    for step in range(300):
        slots = np.arange(step % 7, 1000, 7)
        stored.put(slots, pa.array([f"{step}:{slot}" for slot in slots.tolist()]))
        assert len(stored._chunks) < 20
    assert sum(len(chunk) for chunk in stored._chunks) < 70_000
    assert stored.get(np.array([0, 6, 999])).to_pylist() == ["294:0", "293:6", "299:999"]


def test_a_snapshot_of_a_column_does_not_see_later_puts() -> None:
    for stored in (FixedColumn(pa.int64(), np.dtype(np.uint64)), ChunkedColumn(pa.int64())):
        stored.reserve(2)
        stored.put(slice(0, 2), pa.array([1, 2]))
        before = stored.get(np.array([0, 1]))
        stored.put(np.array([0, 1]), pa.array([8, 9]))
        assert before.to_pylist() == [1, 2]
