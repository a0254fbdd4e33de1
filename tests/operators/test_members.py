"""Tops that come as lists, row by row."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from streamflow.operators.events import CHANGE, CHANGE_NAMES, CHANGE_TYPE, INSERT, UPDATE_AFTER, UPDATE_BEFORE
from streamflow.operators.members import LIST, Members

ROWS = pa.list_(pa.struct({"x": pa.int64()}))
GIVEN = pa.schema({"k": pa.string(), LIST: ROWS, CHANGE: CHANGE_TYPE})
RANKED = pa.schema({"k": pa.string(), "rank": pa.int64(), "x": pa.int64(), CHANGE: CHANGE_TYPE})


def lists(*values: list[int]) -> list[Any]:
    return [[{"x": value} for value in one] for one in values]


def changes(keys: list[str], values: list[Any], kinds: list[int]) -> list[tuple[Any, ...]]:
    batch = pa.record_batch([keys, pa.array(values, ROWS), pa.array(kinds, CHANGE_TYPE)], schema=GIVEN)
    return [
        (CHANGE_NAMES[row[CHANGE]], row["k"], row["rank"], row["x"])
        for output in Members(RANKED).on_batch(0, batch)
        if isinstance(output, pa.RecordBatch)
        for row in output.to_pylist()
    ]


def test_a_row_that_comes_in_moves_those_below_it_down() -> None:
    both = [UPDATE_BEFORE, UPDATE_AFTER]
    assert changes(["a", "a"], lists([9, 5, 3], [9, 7, 5]), both) == [
        ("update_before", "a", 2, 5),
        ("update_after", "a", 2, 7),
        ("update_before", "a", 3, 3),
        ("update_after", "a", 3, 5),
    ]


def test_a_top_that_grows_or_shrinks_inserts_and_deletes() -> None:
    both = [UPDATE_BEFORE, UPDATE_AFTER]
    assert changes(["a", "a"], lists([9], [9, 5]), both) == [("insert", "a", 2, 5)]
    assert changes(["a", "a"], lists([9, 5], [9]), both) == [("delete", "a", 2, 5)]


def test_a_first_top_is_inserted_beside_an_update_of_another() -> None:
    kinds = [INSERT, UPDATE_BEFORE, UPDATE_AFTER]
    assert changes(["b", "a", "a"], lists([1, 1], [2], [4]), kinds) == [
        ("insert", "b", 1, 1),
        ("insert", "b", 2, 1),
        ("update_before", "a", 1, 2),
        ("update_after", "a", 1, 4),
    ]


def test_without_changes_the_rows_come_as_they_are() -> None:
    given = pa.record_batch({"k": pa.array(["a", "b"]), LIST: pa.array(lists([9, 5], [1]), ROWS)})
    [output] = Members(pa.schema({"k": pa.string(), "x": pa.int64()})).on_batch(0, given)
    assert isinstance(output, pa.RecordBatch)
    assert output.to_pylist() == [{"k": "a", "x": 9}, {"k": "a", "x": 5}, {"k": "b", "x": 1}]
