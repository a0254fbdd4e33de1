from __future__ import annotations

from datetime import timedelta

import pytest

import streamflow as sf
from streamflow.errors import UserError
from streamflow.plan.logical.windows import (
    BoundedOutOfOrderness,
    Calendar,
    Cumulative,
    ProcessingTime,
    Session,
    Sliding,
    Tumbling,
)


def test_durations_are_texts_or_timedeltas() -> None:
    assert sf.tumbling("10s") == sf.tumbling(timedelta(seconds=10)) == Tumbling(10_000_000)
    assert sf.sliding("1h", every="7m") == Sliding(3_600_000_000, 420_000_000)
    assert sf.cumulative("1d", step="1h", offset="6h") == Cumulative(86_400_000_000, 3_600_000_000, 21_600_000_000)
    assert sf.session("1h30m") == Session(5_400_000_000)
    assert sf.bounded_out_of_orderness("1s", idle="30s") == BoundedOutOfOrderness(1_000_000, 30_000_000)
    assert sf.monotonic() == BoundedOutOfOrderness(0)


def test_an_offset_counts_modulo_the_period() -> None:
    assert sf.tumbling("1h", offset="-15m") == sf.tumbling("1h", offset="45m") == sf.tumbling("1h", offset="2h45m")
    assert sf.sliding("1h", every="10m", offset="25m") == Sliding(3_600_000_000, 600_000_000, 300_000_000)


def test_days_of_a_time_zone() -> None:
    assert sf.tumbling("1d", tz="Europe/Berlin") == Calendar(1, "Europe/Berlin")
    assert sf.tumbling("7d", offset="-3d", tz="UTC") == Calendar(7, "UTC", 4 * 86_400_000_000)


def test_only_whole_days_have_a_time_zone() -> None:
    with pytest.raises(UserError, match="size='36h' with a time zone is not a number of whole days"):
        sf.tumbling("36h", tz="Europe/Berlin")


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "../etc/passwd"])
def test_a_time_zone_must_be_known(zone: str) -> None:
    with pytest.raises(UserError, match="is not a time zone that this machine knows") as error:
        sf.tumbling("1d", tz=zone)
    assert "Europe/Berlin" in str(error.value.remedy)


def test_a_cumulative_window_grows_by_a_part_of_its_size() -> None:
    with pytest.raises(UserError, match="size='1h' is not a multiple of step='25m'"):
        sf.cumulative("1h", step="25m")


@pytest.mark.parametrize("size", ["0s", "-1s", timedelta(0)])
def test_a_size_is_above_zero(size: str | timedelta) -> None:
    with pytest.raises(UserError, match="is not above zero"):
        sf.tumbling(size)
    with pytest.raises(UserError, match="every="):
        sf.sliding("10s", every=size)
    with pytest.raises(UserError, match="step="):
        sf.cumulative("10s", step=size)
    with pytest.raises(UserError, match="gap="):
        sf.session(size)


def test_a_bad_duration_names_the_parameter_the_line_and_the_units() -> None:
    with pytest.raises(UserError) as error:
        sf.sliding("1m", every="10x")
    assert str(error.value).startswith("every: duration '10x'")
    assert "sf.sliding(" in str(error.value)
    assert "us, ms, s, m, h, d" in str(error.value)


def test_a_number_alone_is_no_duration() -> None:
    with pytest.raises(UserError, match="size=10 has no unit") as error:
        sf.tumbling(10)  # type: ignore[arg-type]
    assert error.value.remedy == 'write size="10s", or a timedelta'


def test_a_bound_may_be_zero_but_not_below() -> None:
    assert sf.bounded_out_of_orderness("0s") == BoundedOutOfOrderness(0)
    with pytest.raises(UserError, match="negative"):
        sf.bounded_out_of_orderness("-1s")


def test_windows_by_processing_time_are_those_of_event_time_by_the_clock() -> None:
    assert sf.tumbling("1h", offset="15m", time="processing") == ProcessingTime(Tumbling(3_600_000_000, 900_000_000))
    assert sf.tumbling("1d", tz="Europe/Berlin", time="processing") == ProcessingTime(Calendar(1, "Europe/Berlin"))
    assert sf.session("30m", time="processing") == ProcessingTime(Session(1_800_000_000))
    assert sf.session("30m", time="event") == sf.session("30m")


def test_time_is_event_or_processing() -> None:
    with pytest.raises(UserError, match="time='ingestion' is unknown") as error:
        sf.tumbling("1h", time="ingestion")  # type: ignore[arg-type]
    assert "processing" in str(error.value.remedy)


@pytest.mark.parametrize(("given", "remedy"), [(5, '"5s"'), (0, '"10s"'), (-1, '"10s"'), (True, '"10s"')])
def test_a_number_without_a_unit_is_told_what_would_be_taken(given: object, remedy: str) -> None:
    with pytest.raises(UserError, match="has no unit") as raised:
        sf.session(given)  # type: ignore[arg-type]
    assert raised.value.remedy == f"write gap={remedy}, or a timedelta"


def test_accumulate_is_true_or_false() -> None:
    with pytest.raises(UserError, match="accumulate='no' is neither True nor False"):
        sf.trigger(early=1, accumulate="no")  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"workers": "2"}, {"crashes": -1}, {"crashes": "1"}])
def test_a_test_runs_on_at_least_one_worker_with_no_fewer_than_no_crashes(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError, match="is not a number of"):
        sf.testing.run(sf.Flow("none"), **wrong)  # type: ignore[arg-type]
