"""Text, times as text, and casts that may fail."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.kernels import text

UTC = pa.timestamp("us", "UTC")


def test_iso_times_with_and_without_a_zone_may_stand_side_by_side() -> None:
    array = pa.array(["1970-01-01T00:00:01Z", "1970-01-01 00:00:02", None, "1970-01-01T01:00:03+01:00"])
    assert text.parse_iso_times(array).cast(pa.int64()).to_pylist() == [1_000_000, 2_000_000, None, 3_000_000]


@pytest.mark.parametrize("wrong", ["yesterday", "2024-13-01", "2024-02-30T00:00:00Z", ""])
def test_a_text_that_is_no_time_is_named(wrong: str) -> None:
    with pytest.raises(ValueError, match=f"'{wrong}'"):
        text.parse_iso_times(pa.array(["2024-01-01", wrong]))


@given(st.lists(st.none() | st.sampled_from(["1", "-5", "x", "", "1.5", "99999999999999999999"]), max_size=20))
def test_what_does_not_fit_is_null(values: list[str | None]) -> None:
    expected = [int(value) if value in ("1", "-5") else None for value in values]
    assert text.cast_or_null(pa.array(values, pa.string()), pa.int64()).to_pylist() == expected


def test_choices_are_null_for_null() -> None:
    assert text.is_in(pa.array(["a", None, "c"]), pa.array(["c"])).to_pylist() == [False, None, True]
