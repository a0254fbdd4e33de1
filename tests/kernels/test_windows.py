"""Slices and windows against their definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.kernels.windows import CumulativeSlices, FinalBound, Slices, SlidingSlices, dropped_before

LEAST, GREATEST = -(2**63), 2**63 - 1

growing = st.builds(
    lambda step, steps, offset: CumulativeSlices(step * steps, step, offset),
    st.integers(1, 20),
    st.integers(1, 6),
    st.integers(-70, 70),
)
slicings = st.builds(SlidingSlices, st.integers(1, 50), st.integers(1, 50), st.integers(-70, 70)) | growing
times = st.integers(-500, 500)


def windows_with(slices: SlidingSlices | CumulativeSlices, time: int) -> set[int]:
    """The windows that hold a time, by definition: [offset + k * every, + size), or those that grow."""
    if isinstance(slices, CumulativeSlices):
        return {
            k * slices.steps + step
            for k in range(-600, 600)
            for step in range(slices.steps)
            if 0 <= time - slices.offset - k * slices.size < (step + 1) * slices.step
        }
    return {
        k
        for k in range(-700, 700)
        if slices.offset + k * slices.every <= time < slices.offset + k * slices.every + slices.size
    }


@given(slicings, times)
def test_a_time_is_in_the_windows_of_its_slice(slices: SlidingSlices | CumulativeSlices, time: int) -> None:
    assert set(slices.windows_of(slices.slice_of(time))) == windows_with(slices, time)


@given(slicings, st.lists(times, min_size=1))
def test_arrays_agree_with_ints(slices: Slices, moments: list[int]) -> None:
    ids = slices.slice_ids(np.array(moments))
    assert ids.tolist() == [slices.slice_of(time) for time in moments]
    windows = [slices.windows_of(int(i)) for i in ids]
    assert slices.first_windows(ids).tolist() == [w.start for w in windows]
    assert slices.last_windows(ids).tolist() == [w.stop - 1 for w in windows]


@given(slicings, times)
def test_a_time_is_within_its_slice_and_slices_adjoin(slices: Slices, time: int) -> None:
    number = slices.slice_of(time)
    start, end = slices.slice_bounds(number)
    assert start <= time < end
    assert slices.slice_bounds(number + 1)[0] == end


@given(slicings, st.integers(-20, 20))
def test_a_window_is_exactly_its_slices(slices: Slices, window: int) -> None:
    numbers = slices.slices_of(window)
    start, end = slices.window_bounds(window)
    assert slices.slice_bounds(numbers[0])[0] == start
    assert slices.slice_bounds(numbers[-1])[1] == end
    assert all(window in slices.windows_of(number) for number in numbers)


@given(slicings, st.lists(st.integers(-20, 20)))
def test_arrays_of_bounds_agree_with_ints(slices: Slices, windows: list[int]) -> None:
    ends = slices.ends(np.array(windows, np.int64))
    assert ends.tolist() == [slices.window_bounds(window)[1] for window in windows]
    assert slices.starts(ends).tolist() == [slices.window_bounds(window)[0] for window in windows]


@given(slicings, times)
def test_the_last_closed_window_ends_at_or_before_the_watermark_and_the_next_after_it(
    slices: Slices, watermark: int
) -> None:
    window = slices.closed(watermark)
    assert slices.window_bounds(window)[1] <= watermark < slices.window_bounds(window + 1)[1]


@given(slicings, times, times)
def test_closed_windows_counts_the_windows_of_a_row_that_are_over(
    slices: SlidingSlices | CumulativeSlices, time: int, watermark: int
) -> None:
    over = [k for k in windows_with(slices, time) if slices.window_bounds(k)[1] <= watermark]
    counted = slices.closed_windows(slices.slice_ids(np.array([time])), np.array([watermark]))
    assert counted.tolist() == [len(over)]


def test_at_most_two_slices_a_slide_even_when_the_slide_does_not_divide_the_size() -> None:
    ids = SlidingSlices(size=10_000_000, every=3_000_001).slice_ids(np.arange(0, 30_000_010, 1000))
    assert len(set(ids.tolist())) == 20


def test_rows_between_windows_belong_to_none() -> None:
    gaps = SlidingSlices(size=3, every=10)
    assert [len(gaps.windows_of(gaps.slice_of(t))) for t in (0, 2, 3, 9, -1, -8)] == [1, 1, 0, 0, 0, 1]


def test_windows_before_1970_start_at_multiples_of_the_slide() -> None:
    tumbling = SlidingSlices(size=10, every=10)
    assert tumbling.window_bounds(tumbling.slice_of(-1)) == (-10, 0)


@pytest.mark.parametrize("time", [LEAST, LEAST + 1, GREATEST - 1])
@pytest.mark.parametrize(
    "slices", [SlidingSlices(10, 10), SlidingSlices(10, 4, 3), SlidingSlices(10, 3, 1), CumulativeSlices(9, 3, 7)]
)
def test_the_ends_of_time_saturate(slices: Slices, time: int) -> None:
    number = slices.slice_of(time)
    assert slices.slice_ids(np.array([time])).tolist() == [number]
    for window in slices.windows_of(number):
        start, end = slices.window_bounds(window)
        assert LEAST <= start <= time < end <= GREATEST
    assert slices.closed(GREATEST) >= slices.windows_of(number)[-1]
    closed = slices.closed_windows(np.array([number]), np.array([GREATEST]))
    assert closed.tolist() == [len(slices.windows_of(number))]


def test_a_final_bound_is_its_own_window() -> None:
    bound = FinalBound("window_start", 10)
    ids = bound.slice_ids(np.array([-10, 5, GREATEST]))
    assert ids.tolist() == [0, 15, GREATEST]
    assert bound.window_bounds(15) == (5, 15)
    assert bound.closed_windows(ids, np.array([15])).tolist() == [1, 1, 0]


def test_a_cumulative_window_is_a_multiple_of_its_step() -> None:
    with pytest.raises(ValueError, match="multiple of its step, not 10 of 3"):
        CumulativeSlices(10, 3)


@pytest.mark.parametrize("window", [SlidingSlices(10, 4), SlidingSlices(10, 10, 3), CumulativeSlices(30, 10)])
def test_ends_of_windows_stay_at_the_end_of_all_time(window: Slices) -> None:
    last = window.windows_of(window.slice_of(GREATEST - 1)).stop - 1
    numbers = np.arange(last - 3, last + 1)
    assert window.ends(numbers).tolist() == [window.window_bounds(int(number))[1] for number in numbers]
    assert window.ends(numbers)[-1] == GREATEST


def test_a_watermark_less_the_lateness_stays_in_time() -> None:
    watermarks = np.array([-(2**63), -(2**63) + 9, 100, GREATEST - 1, GREATEST])
    assert dropped_before(watermarks, 10).tolist() == [-(2**63), -(2**63), 90, GREATEST - 11, GREATEST]
