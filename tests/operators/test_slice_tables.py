"""Tables of slices give back what they have no room for, and lose nothing."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.kernels.tally import CountTable
from streamflow.operators import slice_tables
from streamflow.operators.slice_tables import SliceTables

ADDED = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60), st.lists(st.integers(1, 9), min_size=1, max_size=12)))


def counted(tables: list[CountTable]) -> Counter[int]:
    result: Counter[int] = Counter()
    for table in tables:
        result.update(dict(zip(*(column.tolist() for column in table.entries()), strict=True)))
    return result


@given(ADDED)
def test_what_is_held_and_what_was_given_back_is_what_was_added(added: list[tuple[int, int, list[int]]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slice_tables, "WIDEST", 10)
        patch.setattr(slice_tables, "_SLOTS", 25)
        tables, left = SliceTables(), []
        expected: dict[int, Counter[int]] = {}
        for number, low, counts in added:
            left += tables.add(number, CountTable(low, np.array(counts)))
            expected.setdefault(number, Counter()).update({low + i: count for i, count in enumerate(counts)})
            assert sum(len(table.counts) for held in tables for table in tables.of([held])) <= 25
        for number, wanted in expected.items():
            assert counted([*tables.of([number]), *(table for of, table in left if of == number)]) == wanted
        together = sum((counted([table]) for _, table in left), counted(tables.of(range(4))))
        assert together == sum(expected.values(), Counter())


def test_what_was_given_is_not_changed() -> None:
    tables, given_ = SliceTables(), CountTable(5, np.array([1, 1]))
    tables.add(1, given_)
    tables.add(1, CountTable(5, np.array([7])))
    assert given_.counts.tolist() == [1, 1]


def test_tables_that_lie_far_apart_are_not_added_up() -> None:
    tables = SliceTables()
    tables.add(1, CountTable(5, np.array([1])))
    tables.add(2, CountTable(10**9, np.array([1])))
    assert len(tables.of([1, 2, 3])) == 2


def test_a_slice_that_was_dropped_or_taken_is_empty() -> None:
    tables = SliceTables()
    for number in range(3):
        tables.add(number, CountTable(5, np.array([1])))
    tables.drop(1)
    tables.drop(9)
    assert [number for number, _ in tables.take()] == [0, 2]
    assert tables.of(range(3)) == []
