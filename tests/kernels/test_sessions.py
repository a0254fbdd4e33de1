from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.kernels.grouping import group
from streamflow.kernels.sessions import merge_intervals, row_ends

FIRST, LAST = -(2**63), 2**63 - 1
STARTS = st.integers(-20, 60) | st.sampled_from([FIRST, FIRST + 1, LAST - 1])
LENGTHS = st.integers(1, 12) | st.just(2**62)
INTERVALS = st.lists(st.tuples(st.sampled_from([-(2**40), 0, 1, 2**62]), STARTS, LENGTHS), max_size=40)


def oracle(intervals: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """(key, start, end) of each union, by plain insertion in order of start."""
    found: list[tuple[int, int, int]] = []
    for key, start, end in sorted(intervals):
        if found and found[-1][0] == key and start < found[-1][2]:
            found[-1] = (key, found[-1][1], max(found[-1][2], end))
        else:
            found.append((key, start, end))
    return found


@given(INTERVALS)
def test_sessions_are_the_unions_of_overlapping_intervals(drawn: list[tuple[int, int, int]]) -> None:
    intervals = [(key, start, min(start + length, LAST)) for key, start, length in drawn]
    codes, starts, ends = (np.array([row[i] for row in intervals], np.int64) for i in range(3))
    found = merge_intervals(group([pa.array(codes)], len(codes)), starts, ends)
    assert found.count == len(found.starts)
    assert sorted(zip(codes[found.first], found.starts, found.ends, strict=True)) == oracle(intervals)
    assert (found.ids[found.first] == np.arange(found.count)).all()
    for (key, start, end), session in zip(intervals, found.ids, strict=True):
        assert key == codes[found.first[session]]
        assert found.starts[session] <= start < end <= found.ends[session]


def test_rows_exactly_one_gap_apart_are_two_sessions_and_one_microsecond_less_is_one() -> None:
    times = np.array([0, 10, 19])
    found = merge_intervals(group([], 3), times, row_ends(times, 10))
    assert found.starts.tolist() == [0, 10]
    assert found.ends.tolist() == [10, 29]
    assert found.ids.tolist() == [0, 1, 1]


def test_a_session_at_the_end_of_time_ends_there() -> None:
    assert row_ends(np.array([LAST - 1, LAST - 10, LAST - 11]), 10).tolist() == [LAST, LAST, LAST - 1]


def test_no_rows_are_no_sessions() -> None:
    nothing = np.zeros(0, np.int64)
    assert merge_intervals(group([], 0), nothing, nothing).count == 0


def test_a_gap_below_one_microsecond_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 us"):
        row_ends(np.array([0]), 0)
