"""What an outline says of single steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.connect import Position, Reader
from streamflow.plan.logical.windows import Window
from streamflow.plan.outline import Arrow, Box, logical_outline


class Quiet:
    """A source that says nothing of itself: its `repr` has an address in it."""

    bounded = True

    def schema(self) -> pa.Schema:
        return pa.schema({"at": pa.timestamp("us", "UTC"), "n": pa.int64(), "m": pa.int64()})

    def splits(self) -> list[str]:
        return []

    def open(self, splits: Mapping[str, Position | None]) -> Reader:
        raise NotImplementedError


def outline(stream: sf.Stream, flow: sf.Flow) -> tuple[Box, ...]:
    stream.write("out", memory.Sink())
    return logical_outline(flow.graph(), "t").boxes


def titles(stream: sf.Stream, flow: sf.Flow) -> list[str]:
    return [box.title for box in outline(stream, flow)]


@pytest.fixture
def flow() -> sf.Flow:
    return sf.Flow("f")


@pytest.fixture
def numbers(flow: sf.Flow) -> sf.Stream:
    return flow.read("numbers", Quiet(), event_time="at")


def test_a_connector_without_a_repr_is_its_class(numbers: sf.Stream, flow: sf.Flow) -> None:
    assert titles(numbers, flow)[0] == "read test_outline.Quiet"


@dataclass
class Net:
    net: float


def test_a_projection_is_called_what_the_user_called_it(numbers: sf.Stream, flow: sf.Flow) -> None:
    def net(n: int) -> Net:
        return Net(n * 0.9)

    stream = numbers.drop("m").with_columns(twice=col("n") * 2).rename({"twice": "double"}).select("n", k="double")
    assert titles(stream.map(net), flow)[1:-1] == [
        "drop m",
        "with_columns twice = col('n') * 2",
        "rename col('twice') to double",
        "select n, k = col('double')",
        "map net(n)",
    ]


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (sf.tumbling("90m", offset="15m"), "in windows of 90m, offset 15m"),
        (sf.sliding("1d", every="1h"), "in windows of 1d every 1h"),
        (sf.cumulative("1d", step="1h"), "in windows that grow by 1h up to 1d"),
        (sf.tumbling("1d", tz="Europe/Berlin"), "in windows of 1 day in Europe/Berlin"),
        (sf.tumbling("7d", offset="4d", tz="UTC"), "in windows of 7 days in UTC, offset 4d"),
        (sf.session("500ms"), "in sessions that end after a gap of 500ms"),
    ],
)
def test_windows_are_in_the_largest_unit_that_is_exact(
    window: Window, text: str, numbers: sf.Stream, flow: sf.Flow
) -> None:
    assert titles(numbers.key_by("m").window(window).agg(n=sf.count()), flow)[1] == f"aggregate by m {text}"


def test_arrows_lead_from_every_input(numbers: sf.Stream, flow: sf.Flow) -> None:
    both = numbers.filter(col("n") > 1).union(numbers)
    assert [box.arrows for box in outline(both, flow)] == [(), (Arrow(1),), (Arrow(2), Arrow(1)), (Arrow(3),)]
