"""Counting by table equals counting one by one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.kernels.tally import CountTable, key_range, tally, total

SMALL = st.integers(-3, 3)
ROWS = st.lists(st.tuples(SMALL, SMALL, st.integers(1, 2**40)), min_size=1, max_size=40)


@given(ROWS, st.sampled_from([0, 2**62, -(2**63) + 3]), st.booleans())
def test_pairs_come_in_order_with_their_counts(rows: list[tuple[int, int, int]], offset: int, weighted: bool) -> None:
    numbers, keys, counts = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    keys += offset
    low, high = int(numbers.min()), int(numbers.max())
    among = key_range(keys, high - low + 1)
    assert among is not None
    within = range(low + offset, high + offset + 1)
    found = tally(within, numbers - low, among, keys, counts if weighted else None)
    expected: Counter[tuple[int, int]] = Counter()
    for number, key, count in rows:
        expected[number + offset, key + offset] += count if weighted else 1
    slices, kept, times = (column.tolist() for column in found.entries())
    assert list(zip(zip(slices, kept, strict=True), times, strict=True)) == sorted(expected.items())
    by_table = {
        (number, key): count
        for number, table in found.tables()
        for key, count in zip(*(column.tolist() for column in table.entries()), strict=True)
    }
    assert by_table == expected
    assert [number for number, _ in found.tables()] == sorted({number for number, _ in expected})


def test_one_number_stands_for_all_rows() -> None:
    found = tally(range(7, 8), None, range(1, 3), np.array([2, 1, 2])).entries()
    assert [column.tolist() for column in found] == [[7, 7], [1, 2], [1, 2]]


def test_places_may_be_bools() -> None:
    found = tally(range(7, 9), np.array([False, True, True]), range(1, 3), np.array([2, 1, 1])).entries()
    assert [column.tolist() for column in found] == [[7, 8], [2, 1], [1, 2]]


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint8, np.uint16, np.uint32])
def test_narrow_keys_do_not_wrap(dtype: type[np.integer]) -> None:
    limits = np.iinfo(dtype)
    keys = np.array([limits.min, limits.max, limits.max], dtype)
    among = key_range(keys, 1)
    if limits.bits > 8:
        assert among is None
    else:
        assert among is not None
        _, found, counts = tally(range(1), None, among, keys).entries()
        assert (found.tolist(), counts.tolist()) == ([limits.min, limits.max], [1, 2])


def test_a_range_as_wide_as_int64_is_left_to_others() -> None:
    assert key_range(np.array([-(2**63), 2**63 - 1]), 1) is None
    assert key_range(np.array([1, 1]), 2**64) is None


@given(st.lists(st.tuples(st.integers(-20, 20), st.lists(st.integers(0, 3), min_size=1)), min_size=1, max_size=5))
def test_a_total_holds_what_all_hold(parts: list[tuple[int, list[int]]]) -> None:
    tables = [CountTable(low, np.array(counts)) for low, counts in parts]
    expected: Counter[int] = Counter()
    for low, counts in parts:
        expected.update({low + place: count for place, count in enumerate(counts) if count})
    whole = total(tables)
    assert whole is not None
    assert dict(zip(*(column.tolist() for column in whole.entries()), strict=True)) == expected
    slots = len(whole.counts)
    assert total(tables, slots - 1) is None
    assert total(tables, slots) is not None


def test_a_table_takes_only_keys_that_it_has_room_for() -> None:
    table = CountTable(5, np.array([1, 0, 2]))
    assert table.add(CountTable(6, np.array([3, 4])))
    assert table.counts.tolist() == [1, 3, 6]
    assert not table.add(CountTable(4, np.array([1])))
    assert not table.add(CountTable(7, np.array([1, 1])))
    assert table.counts.tolist() == [1, 3, 6]
