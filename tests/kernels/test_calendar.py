"""Calendar windows against zoneinfo, a row at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.kernels.calendar import CalendarSlices

LEAST, GREATEST = -(2**63), 2**63 - 1
HOUR = 3_600_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Havana", "Pacific/Apia"]

moments = st.integers(-2_208_988_800_000_000, 4_070_908_800_000_000)
"""From 1900 to 2099."""


def us(text: str) -> int:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def local_day(time: int, zone: str) -> int:
    shown = (EPOCH + timedelta(microseconds=time)).astimezone(ZoneInfo(zone))
    return (shown.date() - EPOCH.date()).days


@given(st.sampled_from(ZONES), st.lists(moments, min_size=1, max_size=20))
def test_a_row_is_in_the_day_that_the_clocks_show(zone: str, times: list[int]) -> None:
    days = CalendarSlices(1, zone)
    wanted = [local_day(time, zone) for time in times]
    assert days.slice_ids(np.array(times)).tolist() == wanted
    assert [days.slice_of(time) for time in times] == wanted


@given(st.sampled_from(ZONES), st.integers(1, 30), st.integers(-50, 50), moments, moments)
def test_windows_hold_their_rows_and_are_closed_at_their_end(
    zone: str, days: int, hours: int, time: int, watermark: int
) -> None:
    slices = CalendarSlices(days, zone, hours * HOUR)
    number = slices.slice_of(time)
    start, end = slices.window_bounds(number)
    assert start <= time < end
    assert slices.ends(np.array([number])).tolist() == [end]
    assert slices.starts(np.array([end])).tolist() == [start]
    closed = slices.closed(watermark)
    assert slices.window_bounds(closed)[1] <= watermark < slices.window_bounds(closed + 1)[1]
    assert slices.closed_windows(np.array([number]), np.array([watermark])).tolist() == [end <= watermark]


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        ("2026-03-28T23:00", "2026-03-29T22:00", 23),
        ("2026-10-24T22:00", "2026-10-25T23:00", 25),
        ("2026-07-31T22:00", "2026-08-01T22:00", 24),
    ],
)
def test_a_day_in_berlin_has_23_24_or_25_hours(start: str, end: str, hours: int) -> None:
    days = CalendarSlices(1, "Europe/Berlin")
    number = days.slice_of(us(start))
    assert days.window_bounds(number) == (us(start), us(end))
    assert us(end) - us(start) == hours * HOUR
    edges = np.array([us(start) - 1, us(start), us(end) - 1, us(end)])
    assert days.slice_ids(edges).tolist() == [number - 1, number, number, number + 1]


def test_a_midnight_that_the_clocks_skip_is_the_moment_after() -> None:
    days = CalendarSlices(1, "America/Havana")
    assert days.window_bounds(days.slice_of(us("2024-03-10T12:00"))) == (us("2024-03-10T05:00"), us("2024-03-11T04:00"))


def test_a_day_that_a_zone_left_out_has_no_rows() -> None:
    days = CalendarSlices(1, "Pacific/Apia")
    before, after = days.slice_of(us("2011-12-30T09:59:59")), days.slice_of(us("2011-12-30T10:00"))
    assert after == before + 2
    assert days.closed(us("2011-12-30T10:00")) == before + 1


def test_weeks_begin_on_the_day_that_the_offset_says() -> None:
    weeks = CalendarSlices(7, "Europe/Berlin", 4 * 24 * HOUR)
    start, end = weeks.window_bounds(weeks.slice_of(us("2026-10-22T10:00")))
    assert (start, end) == (us("2026-10-18T22:00"), us("2026-10-25T23:00"))


def test_times_far_apart_are_looked_up_by_day() -> None:
    days = CalendarSlices(1, "America/New_York")
    times = np.array([us("1950-06-01T03:59:59"), us("2026-06-01T04:00"), us("1970-01-01T05:00"), LEAST, GREATEST - 1])
    assert days.slice_ids(times).tolist() == [days.slice_of(int(time)) for time in times]


@pytest.mark.parametrize("time", [LEAST, LEAST + 1, GREATEST - 1])
def test_the_ends_of_time_saturate(time: int) -> None:
    days = CalendarSlices(1, "Europe/Berlin")
    number = days.slice_of(time)
    assert days.slice_ids(np.array([time])).tolist() == [number]
    start, end = days.window_bounds(number)
    assert LEAST <= start <= time < end <= GREATEST
    assert days.closed(GREATEST) >= number
    assert days.closed_windows(np.array([number]), np.array([GREATEST])).tolist() == [1]


def test_a_start_that_was_learnt_is_not_looked_up() -> None:
    days = CalendarSlices(1, "Europe/Berlin")
    number = days.slice_of(us("2026-06-01T12:00"))
    days.learn({number: us("2026-05-31T21:00"), number + 1: us("2026-06-01T21:00")})
    assert days.window_bounds(number) == (us("2026-05-31T21:00"), us("2026-06-01T21:00"))
    assert days.slice_ids(
        np.array([us("2026-05-31T20:59"), us("2026-05-31T21:00"), us("2026-06-01T21:00")])
    ).tolist() == [
        number - 1,
        number,
        number + 1,
    ]
    days.forget(number)
    assert number not in days.known()
    assert days.known()[number + 1] == us("2026-06-01T21:00")


def test_equal_windows_are_equal() -> None:
    assert CalendarSlices(1, "Europe/Berlin") == CalendarSlices(1, "Europe/Berlin")
    assert CalendarSlices(1, "Europe/Berlin") != CalendarSlices(1, "Europe/Paris")
    with pytest.raises(ValueError, match="at least one day"):
        CalendarSlices(0, "UTC")
