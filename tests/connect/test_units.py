from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.connect import UserError, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("5us", 5),
        ("5ms", 5_000),
        ("5s", 5_000_000),
        ("5m", 300_000_000),
        ("5h", 18_000_000_000),
        ("5d", 432_000_000_000),
        ("5w", 3_024_000_000_000),
        ("1h30m", 5_400_000_000),
        (" 1h 30 m ", 5_400_000_000),
        ("-1m30s", -90_000_000),
        ("0s", 0),
        (7, 7),
        (timedelta(days=-1, microseconds=1), -86_399_999_999),
    ],
)
def test_durations_in_all_their_forms(text: str | int | timedelta, microseconds: int) -> None:
    assert parse_duration(text) == microseconds


@pytest.mark.parametrize(
    "text", ["", "-", "5", "s", "5 minutes", "1.5s", "1s1s", "5S", "1s-1ms", "999999999999w", None, 1.5, True, b"1s"]
)
def test_what_is_no_duration_is_refused_with_a_remedy(text: object) -> None:
    with pytest.raises(UserError, match="duration") as raised:
        parse_duration(text)  # type: ignore[arg-type]
    assert raised.value.remedy is not None
    assert "1h30m" in raised.value.remedy


@given(st.integers(0, 10**9), st.integers(0, 59), st.integers(0, 59))
def test_parts_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == ((hours * 60 + minutes) * 60 + seconds) * 1_000_000


@pytest.mark.parametrize(
    ("text", "count"),
    [("128MB", 128_000_000), ("64 KiB", 65_536), ("1gb", 10**9), ("5", 5), ("5B", 5), (0, 0), (12, 12)],
)
def test_sizes_in_all_their_forms(text: str | int, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "MB", "1.5MB", "-1MB", -1, "1XB", None, 1.5, True])
def test_what_is_no_size_is_refused_with_a_remedy(text: object) -> None:
    with pytest.raises(UserError, match="is not a number of bytes") as raised:
        parse_size(text)  # type: ignore[arg-type]
    assert raised.value.remedy is not None
