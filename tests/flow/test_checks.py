"""What is wrong with a flow is found while it is built: each error names the step, the user's line and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.errors import SchemaError, UserError


class Fare(NamedTuple):
    city: str
    fare: float


def fares(city: str, fare: float) -> Fare:
    return Fare(city, fare)


def label(city: str) -> str:
    return city


def hourly(rides: sf.Stream) -> sf.Stream:
    return rides.key_by("city").window(sf.tumbling("1h")).agg(rides=sf.count(), most=col("fare").max())


def running(rides: sf.Stream) -> sf.Stream:
    return rides.key_by("city").agg(rides=sf.count())


class AppendOnly:
    changelog = False

    def open(self, who: object) -> None: ...


CASES: list[tuple[str, Callable[[sf.Stream], object], str, str]] = [
    # step, call, message, remedy
    (
        "filter",
        lambda s: s.filter(col("fair") > 1),
        "no column 'fair'; did you mean 'fare'",
        "the columns are at, city",
    ),
    ("filter", lambda s: s.filter(col("city") > 1), "cannot take string and int64", "cast"),
    ("filter", lambda s: s.filter("fare"), "is double, not a condition", "compare"),
    ("filter", lambda s: s.filter(), "no condition", "filter"),
    ("filter", lambda s: s.filter(col("fare").max() > 1), "aggregates many rows", ".agg"),
    ("select", lambda s: s.select(), "no column", "select"),
    ("select", lambda s: s.select("fare", "fare"), "two columns are called 'fare'", "alias"),
    ("select", lambda s: s.select("fare", net="fare").select("nte"), "did you mean 'net'", "the columns are fare, net"),
    ("select", lambda s: s.select("_time"), "'_time' is reserved", 'time=col("_time")'),
    ("select", lambda s: s.select(_order="fare"), "'_order' is reserved", "another name"),
    ("select", lambda s: s.select(["fare"]), "a list is not a column", "without brackets"),  # type: ignore[arg-type]
    ("with_columns", lambda s: s.with_columns(_change="fare"), "'_change' is reserved", "another name"),
    ("with_columns", lambda s: s.with_columns(), "no column", "with_columns"),
    ("drop", lambda s: s.drop("fair"), "no column 'fair'", "the columns are"),
    ("drop", lambda s: s.select("fare").drop("fare"), "every column", "drop"),
    ("rename", lambda s: s.rename({"fair": "x"}), "no column 'fair'", "the columns are"),
    ("rename", lambda s: s.rename({"fare": "city"}), "two columns are called 'city'", "alias"),
    ("rename", lambda s: s.rename("fare"), "old names and new ones", "rename({"),  # type: ignore[arg-type]
    ("filter", lambda s: s.filter(col("fare").is_null), ".is_null stands without", "call it: .is_null()"),
    ("select", lambda s: s.select(hour=col("at").dt.hour), ".dt.hour stands without", "call it: .dt.hour()"),
    ("select", lambda s: s.select(**{"~net": "fare"}), "start with ~", "another name"),
    ("rename", lambda s: s.rename({"fare": "~net"}), "start with ~", "another name"),
    ("agg", lambda s: s.agg(n=sf.count), "sf.count stands without", "call it: sf.count()"),  # type: ignore[arg-type]
    ("out", lambda s: s.write("out", memory.Sink), "memory.Sink is a class", "memory.Sink(...)"),  # type: ignore[arg-type]
    ("explode", lambda s: s.explode("fare"), "'fare' is double, not a list", "split"),
    ("map", lambda s: s.map(label), "does not return a record", "with_columns"),
    ("map", lambda s: s.drop("fare").map(fares), "asks for 'fare'", "the columns are"),
    ("map_batches", lambda s: s.map_batches(lambda batch: batch, max_rows=0), "not a number of rows", "1 or more"),
    ("union", lambda s: s.union(), "of one stream", "union"),
    ("union", lambda s: s.union(s.drop("fare"), how="vertical"), "has no column 'fare'", "without how="),
    ("union", lambda s: s.union(s.select("at", fare="city"), how="diagonal"), "'fare' is double in one", "cast"),
    ("union", lambda s: s.union(running(s)), "is a changelog (key: city)", ".changes()"),
    (
        "union",
        lambda s: s.union(sf.Flow("x").read("y", memory.Source(s.schema.empty_table()))),
        "another flow",
        "one flow",
    ),
    (
        "with_event_time",
        lambda s: s.with_event_time("epoch"),
        "int64, not a timestamp",
        "sf.from_epoch('epoch', \"ms\")",
    ),
    ("with_event_time", lambda s: s.with_event_time("written"), "string, not a timestamp", "str.to_datetime()"),
    ("with_event_time", lambda s: s.with_event_time("fare"), "double, not a timestamp", "convert"),
    ("peek", lambda s: s.peek(0), "0 is not a number of rows", "1 or more"),
    ("changes", lambda s: s.changes(), "no changelog", "leave .changes() out"),
    ("key_by", lambda s: s.key_by(), "no key", "leave it out"),
    ("key_by", lambda s: s.key_by("ctiy"), "did you mean 'city'", "the columns are"),
    ("key_by", lambda s: s.key_by("tags"), "which cannot be compared", "one of its parts"),
    ("key_by", lambda s: s.key_by("city", "city"), "two columns are called 'city'", "name one"),
    ("key_by", lambda s: s.key_by(fare=col("fare").round()), "the name of a column", "another name"),
    ("window", lambda s: s.window("1h"), "'1h' is not a window", "sf.tumbling"),  # type: ignore[arg-type]
    ("window", lambda s: running(s).window(sf.tumbling("1h")), "a window takes rows that are only added", ".changes()"),
    ("agg", lambda s: running(s).agg(sf.count()), "agg takes rows that are only added", ".changes()"),
    ("agg", lambda s: running(s).key_by("rides").agg(sf.count()), "agg takes rows that are only added", ".changes()"),
    ("agg", lambda s: s.agg(), "no aggregate", "sf.count()"),
    ("agg", lambda s: s.agg(x=col("fare")), "col('fare') is not aggregated", "col('fare').max()"),
    ("agg", lambda s: s.agg(x=col("fare") * sf.count()), "col('fare') is not aggregated", "col('fare').max()"),
    ("agg", lambda s: s.agg(x=sf.lit(1)), "aggregates nothing", "sf.count()"),
    ("agg", lambda s: s.agg(x=col("city").sum()), "sum", ""),
    ("agg", lambda s: s.agg(x=col("fare").max().sum()), "aggregate of an aggregate", "twice"),
    ("agg", lambda s: s.agg(col("fare").max(), col("fare").min()), "two columns are called 'fare'", "alias"),
    ("agg", lambda s: s.key_by("city").agg(city=sf.count()), "two columns are called 'city'", "keyword"),
    (
        "agg",
        lambda s: hourly(s).key_by("window_end").window(sf.tumbling("1d")).agg(sf.count()),
        "a column 'window_end', and a key has that name too",
        'rename({"window_end"',
    ),
    ("agg", lambda s: s.window(sf.tumbling("1d")).agg(window_end=sf.count()), "'window_end', and a column", "rename"),
    ("top", lambda s: s.window(sf.tumbling("1h")).top(0, by="fare"), "0 is not a number of rows", "1 or more"),
    ("top", lambda s: s.window(sf.tumbling("1h")).top(1, by=[]), "needs a column to order by", "by="),
    ("top", lambda s: s.window(sf.tumbling("1h")).top(1, by="tags"), "has no order", "parts"),
    ("top", lambda s: s.window(sf.tumbling("1h")).top(1, by=["fare", "fare"]), "names 'fare' twice", ""),
    ("top", lambda s: s.window(sf.tumbling("1h")).top(1, by=col("fare") * 2), "is computed", "with_columns"),
    ("top", lambda s: s.key_by("city").top(1, by="fare"), "would never be final", "window_end"),
    ("top", lambda s: hourly(s).key_by("city").top(1, by="rides"), "would never be final", "window_end"),
    ("top", lambda s: hourly(s).window(sf.tumbling("1d")).top(1, by="rides"), "'window_start', and a column", "rename"),
    ("step", lambda s: s.step("more"), "already called 'rides'", "once"),
    ("step", lambda s: s.filter(col("fare") > 1).step("a").step("b"), "already called 'a'", "once"),
    ("step", lambda s: s.filter(col("fare") > 1).step("a/b"), "'a/b' cannot be a step's name", "letters"),
    ("out", lambda s: s.write("out", "out.parquet"), "'out.parquet' is not a sink", "parquet.Sink"),  # type: ignore[arg-type]
    ("out", lambda s: running(s).write("out", AppendOnly()), "AppendOnly takes rows", ".changes().write"),  # type: ignore[arg-type]
    ("rides", lambda s: s.write("rides", memory.Sink()), "two steps are called 'rides'", "another name"),
    ("select", lambda s: running(s).select("rides"), "'city' is in its key, which would be lost", ".changes()"),
    ("map", lambda s: running(s).map(label), "map takes rows that are only added", ".changes()"),
]


@pytest.mark.parametrize(("step", "call", "message", "remedy"), CASES)
def test_a_mistake_is_found_at_its_line(
    rides: sf.Stream, step: str, call: Callable[[sf.Stream], object], message: str, remedy: str
) -> None:
    with pytest.raises(UserError) as error:
        call(rides)
    assert message in error.value.message
    assert remedy in (error.value.remedy or "")
    assert error.value.step == step
    assert error.value.location is not None
    assert error.value.location.file == __file__


def test_the_line_is_shown_as_it_stands_in_the_script(rides: sf.Stream) -> None:
    with pytest.raises(SchemaError) as error:
        rides.filter(col("fair") > 1)
    assert error.value.location is not None
    assert error.value.location.source == 'rides.filter(col("fair") > 1)'


def test_a_mistake_in_a_function_is_found_at_the_functions_line(rides: sf.Stream) -> None:
    with pytest.raises(UserError) as error:
        rides.drop("fare").map(fares)
    assert error.value.location is not None
    assert error.value.location.source == "def fares(city: str, fare: float) -> Fare:"


def test_reads_are_checked(flow: sf.Flow) -> None:
    source = memory.Source(pa.table({"at": pa.array([0], pa.timestamp("s")), "n": [1]}))
    with pytest.raises(UserError, match="is not a source"):
        flow.read("a", "a.parquet")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"(?s)memory.Source is a class.*call it"):
        flow.read("a", memory.Source)  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match=r"(?s)'~n' is reserved.*renamed in the source"):
        flow.read("a", memory.Source(pa.table({"~n": [0]})))
    with pytest.raises(SchemaError, match="no column 'att'; did you mean 'at'"):
        flow.read("a", source, event_time="att")
    with pytest.raises(SchemaError, match="not a timestamp"):
        flow.read("a", source, event_time="n")
    with pytest.raises(UserError, match="without event_time="):
        flow.read("a", source, watermark=sf.monotonic())
    with pytest.raises(UserError, match="is no watermark"):
        flow.read("a", source, event_time="at", watermark="1s")  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="'_time' is reserved"):
        flow.read("a", memory.Source(pa.table({"_time": [0]})))
    flow.read("a", source, event_time=sf.from_epoch("n", "ms"))
    with pytest.raises(UserError, match="two steps are called 'a'") as error:
        flow.read("a", source)
    assert str(error.value).count("test_checks.py:") == 2


def test_a_union_wants_event_time_in_all_or_none(rides: sf.Stream, untimed: sf.Stream) -> None:
    with pytest.raises(UserError, match="some of the streams have event time"):
        rides.union(untimed)


def test_windows_want_event_time(untimed: sf.Stream) -> None:
    with pytest.raises(UserError, match="needs event time") as error:
        untimed.key_by("city").window(sf.tumbling("1h"))
    assert "with_event_time" in (error.value.remedy or "")


def test_time_can_be_read_by_name_where_there_is_one(rides: sf.Stream, untimed: sf.Stream) -> None:
    assert rides.select(hour=col("_time").dt.hour()).schema == pa.schema({"hour": pa.int64()})
    with pytest.raises(SchemaError, match="no column '_time'"):
        untimed.select(hour=col("_time").dt.hour())


def test_a_step_is_named_directly_after_its_method(rides: sf.Stream) -> None:
    counts = hourly(rides)
    counts.write("out", memory.Sink())
    with pytest.raises(UserError, match="another one has read"):
        counts.step("counts")


def test_two_steps_with_one_name_show_both_lines(rides: sf.Stream) -> None:
    rides.filter(col("fare") > 1).step("same")
    with pytest.raises(UserError, match="two steps are called 'same'") as error:
        rides.filter(col("fare") > 2).step("same")
    assert 'rides.filter(col("fare") > 1).step("same")' in str(error.value)
    assert 'rides.filter(col("fare") > 2).step("same")' in str(error.value)


@pytest.mark.parametrize(
    "unread",
    [
        lambda rides: rides.filter(col("fare") > 1),
        lambda rides: rides.key_by("city"),
        lambda rides: rides.key_by(hour=col("at").dt.truncate("1h")),
        lambda rides: rides.window(sf.tumbling("1h")),
        lambda rides: rides.key_by("city").window(sf.tumbling("1h")),
        lambda rides: hourly(rides).step("hourly"),
    ],
)
def test_a_stream_that_no_sink_reads_is_an_error(
    flow: sf.Flow, rides: sf.Stream, unread: Callable[[sf.Stream], object]
) -> None:
    rides.write("out", memory.Sink())
    flow.graph()
    unread(rides)
    with pytest.raises(UserError, match="no sink reads this stream") as error:
        flow.graph()
    assert error.value.location is not None
    assert error.value.location.file == __file__


def test_a_flow_without_a_sink_is_an_error() -> None:
    with pytest.raises(UserError, match="'empty' has no sink"):
        sf.Flow("empty").graph()
    with pytest.raises(UserError, match="a flow's name is a text"):
        sf.Flow(3)  # type: ignore[arg-type]
