"""What a keyed function says of itself is checked while the flow is built."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow.errors import SchemaError, UserError
from streamflow.plan.explain import explain


class Alert(NamedTuple):
    city: str
    fare: float


class Other(NamedTuple):
    city: str


class Quiet(sf.KeyedFunction):
    last = sf.cell(float)
    recent = sf.list_cell(float)
    by_city = sf.map_cell(str, int)
    silence = sf.timer()

    def __init__(self, limit: float = 5.0) -> None:
        self.limit = limit

    def on_row(self, fare: float, at: datetime) -> None:
        self.last = fare
        self.silence.set(at)

    def on_silence(self, city: str) -> Iterator[Alert]:
        yield Alert(city, self.last or self.limit)


def test_a_process_gives_the_record_of_its_function_with_event_time(rides: sf.Stream) -> None:
    alerts = rides.key_by("city").process(Quiet())
    assert alerts.schema == pa.schema({"city": pa.string(), "fare": pa.float64()})
    alerts.window(sf.tumbling("1h")).agg(alerts=sf.count()).write("out", memory.Sink())


def test_the_plan_says_what_is_kept_and_in_which_order(flow: sf.Flow, rides: sf.Stream) -> None:
    rides.key_by("city").process(Quiet()).step("quiet").write("out", memory.Sink())
    text = explain(flow.graph(), name="rides", workers=2)
    assert "quiet  process Quiet by city" in text
    assert "last: double, recent: list<item: double>, by_city: map<string, int64>," in text
    assert "rows by event time, held until the watermark has passed them" in text
    assert "process Quiet by city, in time order" in text
    assert "exchanged by city" in text
    assert "reads only  at, city, fare" in text


def test_the_plan_says_that_results_depend_on_arrival(flow: sf.Flow, rides: sf.Stream) -> None:
    rides.key_by("city").process(Quiet(), ordered=False).write("out", memory.Sink())
    text = explain(flow.graph(), name="rides")
    assert "rides.process  process Quiet by city" in text
    assert "rows as they arrive: results depend on how they arrive" in text


def test_a_base_class_adds_its_cells() -> None:
    class Louder(Quiet):
        count = sf.cell(int, default=0)
        silence = sf.timer()

    from streamflow.flow.keyed_function import keyed_calls

    assert keyed_calls(Louder()).state.names == ["last", "recent", "by_city", "count", "silence"]


class NoRow(sf.KeyedFunction):
    pass


class NoMethod(sf.KeyedFunction):
    silence = sf.timer()

    def on_row(self, city: str) -> Alert | None: ...


class NoTimer(sf.KeyedFunction):
    def on_row(self, city: str) -> Alert | None: ...
    def on_silence(self) -> None: ...


class NoType(sf.KeyedFunction):
    def on_row(self, city) -> Alert | None: ...  # type: ignore[no-untyped-def]


class NoReturn(sf.KeyedFunction):
    def on_row(self, city: str): ...  # type: ignore[no-untyped-def]


class Nothing(sf.KeyedFunction):
    def on_row(self, city: str) -> None: ...


class Text(sf.KeyedFunction):
    def on_row(self, city: str) -> str: ...  # type: ignore[empty-body]


class Two(sf.KeyedFunction):
    silence = sf.timer()

    def on_row(self, city: str) -> Alert | None: ...
    def on_silence(self) -> list[Other]: ...  # type: ignore[empty-body]


class Early(sf.KeyedFunction):
    last = sf.cell(float)

    def __init__(self) -> None:
        self.last = 1.0

    def on_row(self, city: str) -> Alert | None: ...


class Column(sf.KeyedFunction):
    def on_row(self, town: str) -> Alert | None: ...


class Kind(sf.KeyedFunction):
    def on_row(self, city: int) -> Alert | None: ...


class NoKey(sf.KeyedFunction):
    silence = sf.timer()

    def on_row(self, city: str) -> Alert | None: ...
    def on_silence(self, fare: float) -> None: ...


class Row(sf.KeyedFunction):
    silence = sf.timer()

    def on_row(self, city: str) -> Alert | None: ...
    def on_silence(self, **row: object) -> None: ...


class Async(sf.KeyedFunction):
    async def on_row(self, city: str) -> Alert | None: ...


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (NoRow, "no method on_row"),
        (NoMethod, "a timer 'silence', and no method on_silence"),
        (NoTimer, "a method on_silence, and no timer 'silence'"),
        (NoType, "does not say the type of its parameter 'city'"),
        (NoReturn, "does not say what it returns"),
        (Nothing, "gives nothing"),
        (Text, "gives str, which is no record"),
        (Two, "on_row gives Alert and on_silence Other"),
        (Early, "sets the cell 'last' where there is no key yet"),
        (Column, "there is no column 'town'"),
        (Kind, "takes 'city' as int64, and the column is string"),
        (NoKey, "there is no column 'fare'"),
        (Row, "takes keys by name"),
        (Async, "is an async function"),
    ],
)
def test_what_is_amiss_is_said_with_the_line(rides: sf.Stream, function: type[sf.KeyedFunction], text: str) -> None:
    with pytest.raises(UserError, match=text) as raised:
        rides.key_by("city").process(function())
    assert raised.value.location is not None
    assert raised.value.location.file == __file__


def test_an_object_is_asked_for(rides: sf.Stream) -> None:
    with pytest.raises(UserError, match=r"write process\(Quiet\(\)\)"):
        rides.key_by("city").process(Quiet)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"derived from sf\.KeyedFunction"):
        rides.key_by("city").process(print)  # type: ignore[arg-type]


def test_time_order_timers_and_a_time_to_live_need_event_time(untimed: sf.Stream) -> None:
    class Count(sf.KeyedFunction):
        def on_row(self, city: str) -> Other: ...  # type: ignore[empty-body]

    class Short(Count):
        last = sf.cell(int, ttl="1h")

    keyed = untimed.key_by("city")
    with pytest.raises(UserError, match="process in time order needs event time"):
        keyed.process(Count())
    for timed in (Quiet(), Short()):
        with pytest.raises(UserError, match="timers or a time to live needs event time"):
            keyed.process(timed, ordered=False)
    assert keyed.process(Count(), ordered=False).schema.names == ["city"]


def test_a_changelog_is_refused(rides: sf.Stream) -> None:
    counts = rides.key_by("city").agg(fare=sf.col("fare").max())
    with pytest.raises(UserError, match="process takes rows that are only added"):
        counts.key_by("city").process(Quiet())


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: sf.cell(complex), "not a type of a column"),
        (lambda: sf.cell(int, default="one"), "'one' is a str"),
        (lambda: sf.cell(list[int], default=[]), "one object for all keys"),
        (lambda: sf.cell(int, ttl="0s"), "not above zero"),
        (lambda: sf.cell(int, ttl="10 parsecs"), "unknown unit"),
    ],
)
def test_a_cell_of_no_known_type_is_refused(make: object, text: str) -> None:
    assert callable(make)
    with pytest.raises((UserError, SchemaError), match=text):
        make()
