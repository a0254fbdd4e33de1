"""Functions of times give what DuckDB gives; those in a time zone what Python's own clocks show."""

# ruff: noqa: DTZ001 (times without a zone are UTC)

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow import col
from streamflow.errors import UserError
from streamflow.flow.expr import Expr
from streamflow.testing import evaluate

T = col("t").dt
TIMES = st.lists(
    st.none() | st.datetimes(datetime(1850, 1, 2), datetime(2150, 1, 1)) | st.sampled_from([datetime(2024, 2, 29)]),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25)
@given(TIMES)
def test_parts_and_truncation_agree_with_duckdb(differences: Any, values: list[datetime | None]) -> None:
    column = pa.array(values, pa.timestamp("us"))
    both: list[tuple[Expr, str]] = [
        (T.year(), "year(t)"),
        (T.iso_year(), "isoyear(t)"),
        (T.quarter(), "quarter(t)"),
        (T.month(), "month(t)"),
        (T.week(), "week(t)"),
        (T.day(), "day(t)"),
        (T.ordinal_day(), "dayofyear(t)"),
        (T.weekday(), "isodow(t)"),
        (T.hour(), "hour(t)"),
        (T.minute(), "minute(t)"),
        (T.second(), "second(t)"),
        (T.millisecond(), "millisecond(t) % 1000"),
        (T.microsecond(), "microsecond(t) % 1000000"),
        (T.days_in_month(), "day(last_day(t))"),
        (T.date(), "t::DATE"),
        (T.truncate("1mo").cast(int), "epoch_us(date_trunc('month', t))"),
        (T.truncate("1q").cast(int), "epoch_us(date_trunc('quarter', t))"),
        (T.truncate("1y").cast(int), "epoch_us(date_trunc('year', t))"),
        (T.truncate("1d").cast(int), "epoch_us(date_trunc('day', t))"),
        (T.month_start().cast(int), "epoch_us(date_trunc('month', t))"),
        (T.month_end().cast(int), "epoch_us(last_day(t)::TIMESTAMP)"),
        (T.offset_by("1mo").cast(int), "epoch_us(t + INTERVAL 1 MONTH)"),
        (T.offset_by("-13mo").cast(int), "epoch_us(t - INTERVAL 13 MONTH)"),
        (T.offset_by("1y").cast(int), "epoch_us(t + INTERVAL 1 YEAR)"),
        (T.offset_by("-36h").cast(int), "epoch_us(t - INTERVAL 36 HOUR)"),
        (T.strftime("%Y-%m-%d %H:%M:%S.%f"), "strftime(t, '%Y-%m-%d %H:%M:%S.%f')"),
    ]
    assert not differences(both, {"t": column})


ZONES = st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"])
CHANGES = [datetime(2026, 3, 29, 0, 59, 59), datetime(2026, 10, 25, 0, 30), datetime(2026, 10, 25, 1, 30)]


@settings(max_examples=25)
@given(
    st.lists(
        st.none() | st.datetimes(datetime(1860, 1, 2), datetime(2140, 1, 1)) | st.sampled_from(CHANGES), min_size=1
    ),
    ZONES,
)
def test_what_clocks_show_is_what_python_says(values: list[datetime | None], zone: str) -> None:
    clock = ZoneInfo(zone)
    shown = [None if v is None else v.replace(tzinfo=UTC).astimezone(clock) for v in values]
    column = pa.array(values, pa.timestamp("us"))
    assert evaluate(T.hour(zone), t=column) == [None if s is None else s.hour for s in shown]
    assert evaluate(T.date(zone), t=column) == [None if s is None else s.date() for s in shown]
    assert evaluate(T.strftime("%H:%M:%S.%f", tz=zone), t=column) == [
        None if s is None else s.strftime("%H:%M:%S.%f") for s in shown
    ]

    def at(day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=clock).astimezone(UTC)

    starts = [None if s is None else at(s.date()) for s in shown]
    assert evaluate(T.truncate("1d", tz=zone), t=column) == starts
    months = [None if s is None else at(s.date().replace(day=1)) for s in shown]
    assert evaluate(T.truncate("1mo", tz=zone), t=column) == months
    assert evaluate(T.month_start(zone), t=column) == months


def test_an_hour_that_clocks_show_twice_is_two() -> None:
    twice = [datetime(2026, 10, 25, 0, 30), datetime(2026, 10, 25, 1, 30)]
    assert evaluate(T.hour("Europe/Berlin"), t=twice) == [2, 2]
    assert evaluate(T.truncate("1h", tz="Europe/Berlin").dt.hour(), t=twice) == [0, 1]


def test_days_and_months_keep_the_time_that_clocks_show() -> None:
    before = [datetime(2026, 3, 28, 11)]
    assert evaluate(T.offset_by("1d", tz="Europe/Berlin").dt.hour(), t=before) == [10]
    assert evaluate(T.offset_by("24h").dt.hour(), t=before) == [11]
    assert evaluate(T.offset_by("1mo", tz="Europe/Berlin").dt.hour(), t=before) == [10]


def test_durations_are_counted_in_whole_units_toward_zero() -> None:
    spans = [timedelta(days=1, microseconds=1), -timedelta(days=1, microseconds=1), None]
    column = pa.array(spans, pa.duration("us"))
    d = col("d").dt
    assert evaluate(d.total_days(), d=column) == [1, -1, None]
    assert evaluate(d.total_hours(), d=column) == [24, -24, None]
    assert evaluate(d.total_minutes(), d=column) == [1440, -1440, None]
    assert evaluate(d.total_seconds(), d=column) == [86400, -86400, None]
    assert evaluate(d.total_milliseconds(), d=column) == [86_400_000, -86_400_000, None]
    assert evaluate(d.total_microseconds(), d=column) == [86_400_000_001, -86_400_000_001, None]


def test_what_is_no_time_zone_or_span_is_refused() -> None:
    with pytest.raises(UserError, match="no time zone"):
        T.hour("Mars/Base")
    with pytest.raises(UserError, match="longer than nothing"):
        T.truncate("0mo")
    with pytest.raises(UserError, match="duration"):
        T.offset_by("1 month")
    with pytest.raises(UserError, match="cannot hold the offset"):
        evaluate(T.strftime("%H%z", tz="Europe/Berlin"), t=[datetime(2024, 1, 1)])
    assert evaluate(T.strftime("%%z", tz="Europe/Berlin"), t=[datetime(2024, 1, 1)]) == ["%z"]
