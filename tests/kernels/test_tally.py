"""Counting by table equals counting one by one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.kernels.tally import tally

SMALL = st.integers(-3, 3)
ROWS = st.lists(st.tuples(SMALL, SMALL, st.integers(1, 2**40)), min_size=1, max_size=40)


@given(ROWS, st.sampled_from([0, 2**62, -(2**63) + 3]), st.booleans())
def test_pairs_come_in_order_with_their_counts(rows: list[tuple[int, int, int]], offset: int, weighted: bool) -> None:
    numbers, keys, counts = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    found = tally(numbers + offset, keys + offset, counts if weighted else None)
    expected: Counter[tuple[int, int]] = Counter()
    for number, key, count in rows:
        expected[number + offset, key + offset] += count if weighted else 1
    assert found is not None
    pairs = zip(found.numbers.tolist(), found.keys.tolist(), strict=True)
    assert list(zip(pairs, found.counts.tolist(), strict=True)) == sorted(expected.items())


def test_one_number_stands_for_all_rows() -> None:
    found = tally(7, np.array([2, 1, 2]))
    assert found is not None
    assert (found.numbers.tolist(), found.keys.tolist(), found.counts.tolist()) == ([7, 7], [1, 2], [1, 2])


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint8, np.uint16, np.uint32])
def test_narrow_keys_do_not_wrap(dtype: type[np.integer]) -> None:
    limits = np.iinfo(dtype)
    keys = np.array([limits.min, limits.max, limits.max], dtype)
    found = tally(0, keys)
    if limits.bits > 8:
        assert found is None
    else:
        assert found is not None
        assert (found.keys.tolist(), found.counts.tolist()) == ([limits.min, limits.max], [1, 2])


def test_a_range_as_wide_as_int64_is_left_to_others() -> None:
    assert tally(0, np.array([-(2**63), 2**63 - 1])) is None
    assert tally(np.array([-(2**63), 2**63 - 1]), np.array([1, 1])) is None
