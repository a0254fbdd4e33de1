"""Fractions of a second in texts, against Python's strptime."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamflow as sf
from streamflow import col
from streamflow.errors import UserError
from streamflow.kernels.text import parse_times

TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001 (written without a zone)
LAYOUTS = ["%d.%m.%Y %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S.%fZ"]


@given(st.lists(st.none() | TIMES, max_size=8), st.sampled_from(LAYOUTS), st.integers(1, 6))
def test_a_fraction_is_read_as_python_reads_it(times: list[datetime | None], layout: str, digits: int) -> None:
    end = layout.partition("%f")[2]
    texts = [None if time is None else time.strftime(layout).removesuffix(end) for time in times]
    short = [None if text is None else text[: len(text) - 6 + digits] + end for text in texts]
    expected = [None if text is None else datetime.strptime(text, layout).replace(tzinfo=UTC) for text in short]
    assert parse_times(pa.array(short, pa.string()), layout).to_pylist() == expected


@pytest.mark.parametrize(
    "text", ["1.5.2024 12:00:00", "1.5.2024 12:00:00.", "1.5.2024 12:00:00.1234567", "", "x.5", "."]
)
def test_what_has_no_such_fraction_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time as"):
        parse_times(pa.array(["1.5.2024 12:00:00.5", text]), LAYOUTS[0])


def test_a_zone_may_follow() -> None:
    parsed = parse_times(pa.array(["2024-05-01 12:00:00.5+0200"]), "%Y-%m-%d %H:%M:%S.%f%z")
    assert parsed.to_pylist() == [datetime(2024, 5, 1, 10, 0, 0, 500_000, tzinfo=UTC)]


@pytest.mark.parametrize("layout", ["%f", "%H%M%S%f", "%S.%f%Y", "%S.%f %d.%m", "%S.%f %S.%f"])
def test_a_layout_whose_fraction_cannot_be_told_is_refused(layout: str) -> None:
    with pytest.raises(UserError, match="%f does not stand as"):
        sf.testing.evaluate(col("t").str.to_datetime(layout), t=["1"])
