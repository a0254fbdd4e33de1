"""What each method makes: columns, event time, changelog, bounds of windows, names of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow import errors as sf_errors
from streamflow.plan.logical.expr import Call, Column, Literal
from streamflow.plan.logical.names import walk
from streamflow.plan.logical.nodes import (
    Aggregate,
    Filter,
    Node,
    Project,
    Read,
    SortKey,
    Top,
    Union,
    WindowBound,
    WithEventTime,
)
from streamflow.plan.logical.windows import BoundedOutOfOrderness, Final, Session, Tumbling

HOUR = 3_600_000_000
UTC = pa.timestamp("us", "UTC")


class Fare(NamedTuple):
    city: str
    fare: float


@dataclass
class Ride:
    city: str
    riders: int


class Tag(TypedDict):
    tag: str


def fares(ride: Ride) -> Fare:
    return Fare(ride.city, ride.riders * 2.0)


def fares_of(city: str) -> Fare:
    return Fare(city, 1.0)


def split(tags: list[str]) -> Iterator[Tag]:
    for tag in tags:
        yield {"tag": tag}


def is_fraud(fare: float) -> bool:
    return fare > 1e6


def bucket(city: str, **row: object) -> int:
    return len(city) % 4


def hourly(rides: sf.Stream) -> sf.Stream:
    return rides.key_by("city").window(sf.tumbling("1h")).agg(rides=sf.count(), most=col("fare").max())


def node(stream: sf.Stream) -> Node:
    return stream._node


# Rows


def test_a_read_has_the_canonical_columns_of_its_source(flow: sf.Flow) -> None:
    source = memory.Source(pa.table({"at": pa.array([0], pa.timestamp("ms")), "s": pa.array(["a"], pa.large_string())}))
    read = node(flow.read("rides", source, event_time="at"))
    assert isinstance(read, Read)
    assert read.type.schema == pa.schema({"at": UTC, "s": pa.string()})
    assert read.type.event_time
    assert (read.name, read.event_time, read.watermark) == ("rides", Column("at"), BoundedOutOfOrderness(0))


def test_conditions_are_all_to_be_true(rides: sf.Stream) -> None:
    made = node(rides.filter(col("fare") > 1, col("city") == "Oslo", is_fraud))
    assert isinstance(made, Filter)
    assert isinstance(made.predicate, Call)
    assert made.predicate.function == "and"
    assert made.type == node(rides).type


def test_select_takes_names_expressions_and_functions_in_order(rides: sf.Stream) -> None:
    made = rides.select("city", (col("fare") * 0.9).alias("net"), col("riders") + 1, fraud=is_fraud, one=sf.lit(1))
    assert made.schema == pa.schema(
        {"city": pa.string(), "net": pa.float64(), "riders": pa.int64(), "fraud": pa.bool_(), "one": pa.int64()}
    )


def test_with_columns_replaces_in_place_and_adds_at_the_end(rides: sf.Stream) -> None:
    made = rides.select("city", "fare", "riders").with_columns(
        "city", net=col("fare") * 0.9, fare=col("fare").cast(int)
    )
    assert made.schema == pa.schema(
        {"city": pa.string(), "fare": pa.int64(), "riders": pa.int64(), "net": pa.float64()}
    )


def test_a_functions_record_adds_its_fields_and_the_function_is_called_once_per_row() -> None:
    called: list[str] = []

    def priced(city: str) -> Fare:
        called.append(city)
        return Fare(city.upper(), len(city) * 1.0)

    flow = sf.Flow("rides")
    rides = flow.read("rides", memory.Source(pa.table({"city": ["a", "bcd"], "riders": [1, 2]})))
    rides.with_columns(priced, twice=col("riders") * 2, was="city").write("out", memory.Sink())
    rows = sf.testing.run(flow)["out"].sort_by("riders").to_pylist()
    assert rows == [
        {"city": "A", "riders": 1, "fare": 1.0, "twice": 2, "was": "a"},
        {"city": "BCD", "riders": 2, "fare": 3.0, "twice": 4, "was": "bcd"},
    ]
    assert sorted(called) == ["a", "bcd"]


def test_a_functions_record_under_a_keyword_is_one_column(rides: sf.Stream) -> None:
    made = rides.select("city").with_columns(ride=fares_of)
    assert made.schema == pa.schema(
        {"city": pa.string(), "ride": pa.struct({"city": pa.string(), "fare": pa.float64()})}
    )


def test_columns_may_swap_their_names(rides: sf.Stream) -> None:
    made = node(rides.select("fare", "riders").rename({"fare": "riders", "riders": "fare"}))
    assert isinstance(made, Project)
    assert made.type.schema == pa.schema({"riders": pa.float64(), "fare": pa.int64()})
    assert [column.expr for column in made.columns] == [Column("fare"), Column("riders")]


def test_event_time_stays_when_its_column_goes(rides: sf.Stream) -> None:
    gone = rides.drop("at").select("city", "fare").rename({"city": "at"})
    assert node(gone).type.event_time
    assert gone.select(hour=col("_time").dt.hour()).schema == pa.schema({"hour": pa.int64()})


def test_functions_that_replace_the_row(rides: sf.Stream) -> None:
    assert rides.map(fares).schema == pa.schema({"city": pa.string(), "fare": pa.float64()})
    assert rides.flat_map(split).schema == pa.schema({"tag": pa.string()})
    assert node(rides.map(fares)).type.event_time


def test_map_batches_takes_schemas_and_record_types(rides: sf.Stream) -> None:
    assert rides.map_batches(lambda batch: batch).schema == rides.schema
    assert rides.map_batches(lambda batch: batch, schema=Fare).schema == rides.map(fares).schema
    large = pa.schema({"x": pa.large_string()})
    assert rides.map_batches(lambda batch: batch, schema=large).schema == pa.schema({"x": pa.string()})


def test_unnest_puts_fields_where_the_record_was() -> None:
    place = pa.struct([("city", pa.string()), ("zone", pa.int64())])
    rows = pa.table(
        {"a": [1, 2, 3], "p": pa.array([{"city": "Rome", "zone": 1}, None, {"zone": 3}], place), "b": [1, 2, 3]}
    )
    flow = sf.Flow("f")
    flow.read("rows", memory.Source(rows)).unnest("p").write("out", memory.Sink())
    out = sf.testing.run(flow, {"rows": rows}, workers=2)["out"]
    assert out.column_names == ["a", "city", "zone", "b"]
    sf.testing.assert_rows(
        out,
        [{"a": 1, "city": "Rome", "zone": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 3, "zone": 3, "b": 3}],
    )


def test_unnest_of_what_is_no_record_or_has_a_name_that_is_taken_is_refused(rides: sf.Stream) -> None:
    with pytest.raises(sf_errors.SchemaError, match="not a record"):
        rides.unnest("city")
    with pytest.raises(sf_errors.SchemaError, match="no column 'place'"):
        rides.unnest("place")
    with pytest.raises(sf_errors.UserError, match="of no column"):
        rides.unnest()
    with pytest.raises(sf_errors.SchemaError, match="'city'"):
        rides.with_columns(place=sf.struct("city")).unnest("place")


def test_explode_puts_elements_where_the_list_was(rides: sf.Stream) -> None:
    made = rides.select("city", "tags", "fare").explode("tags")
    assert made.schema == pa.schema({"city": pa.string(), "tags": pa.string(), "fare": pa.float64()})


def test_a_union_brings_columns_into_the_order_of_the_first(rides: sf.Stream) -> None:
    made = node(rides.select("city", "fare").union(rides.select("fare", "city")))
    assert isinstance(made, Union)
    assert [part.type.schema.names for part in made.inputs] == [["city", "fare"], ["city", "fare"]]


def test_a_union_fills_with_nulls(rides: sf.Stream) -> None:
    made = node(rides.select("city", "fare").union(rides.select("riders", "city")))
    assert isinstance(made, Union)
    assert made.type.schema == pa.schema({"city": pa.string(), "fare": pa.float64(), "riders": pa.int64()})
    second = made.inputs[1]
    assert isinstance(second, Project)
    assert [column.expr for column in second.columns] == [Column("city"), Literal(None, pa.float64()), Column("riders")]
    assert {part.type.schema for part in made.inputs} == {made.type.schema}


def test_a_stream_is_not_changed_by_its_methods(rides: sf.Stream) -> None:
    before = rides.schema
    rides.drop("fare")
    assert rides.schema == before


# Groups


def test_keys_that_are_columns_add_nothing(rides: sf.Stream) -> None:
    made = node(rides.key_by("city", col("riders")).agg(n=sf.count()))
    assert isinstance(made, Aggregate)
    assert (made.keys, made.input) == (("city", "riders"), node(rides))


def test_computed_keys_are_columns(rides: sf.Stream) -> None:
    made = rides.key_by("city", col("at").dt.truncate("1d").alias("day"), bucket=bucket).agg(n=sf.count())
    assert made.schema == pa.schema({"city": pa.string(), "day": UTC, "bucket": pa.int64(), "n": pa.int64()})


def test_a_windowed_aggregate_has_keys_bounds_and_aggregates(rides: sf.Stream) -> None:
    made = (
        rides.key_by("city").window(sf.tumbling("1h")).agg(sf.count(), col("fare").max(), mean=col("fare").mean() + 1)
    )
    assert made.schema == pa.schema(
        {
            "city": pa.string(),
            "window_start": UTC,
            "window_end": UTC,
            "count": pa.int64(),
            "fare": pa.float64(),
            "mean": pa.float64(),
        }
    )
    kind = node(made).type
    assert (kind.event_time, kind.changelog) == (True, None)
    assert kind.bounds == (WindowBound("window_start", HOUR), WindowBound("window_end", 0))


def test_a_session_has_no_length_so_its_start_is_no_bound(rides: sf.Stream) -> None:
    made = node(rides.window(sf.session("1h")).agg(n=sf.count()))
    assert isinstance(made, Aggregate)
    assert made.window == Session(HOUR)
    assert made.type.bounds == (WindowBound("window_end", 0),)


def test_running_aggregates_are_changelogs(rides: sf.Stream, untimed: sf.Stream) -> None:
    keyed = node(rides.key_by("city").agg(n=sf.count())).type
    assert (keyed.changelog, keyed.event_time, keyed.bounds) == (("city",), True, ())
    assert not node(untimed.key_by("city").agg(n=sf.count())).type.event_time
    assert node(rides.agg(n=sf.count())).type.changelog == ()


def test_a_changelog_keeps_its_key_under_another_name(rides: sf.Stream) -> None:
    counts = rides.key_by("city").agg(n=sf.count())
    assert node(counts.select("n", town="city")).type.changelog == ("town",)
    assert node(counts.filter(col("n") > 1).with_columns(twice=col("n") * 2)).type.changelog == ("city",)


def test_changes_are_plain_rows(rides: sf.Stream) -> None:
    made = rides.key_by("city").agg(n=sf.count()).changes()
    assert made.schema == pa.schema({"city": pa.string(), "n": pa.int64(), "change": pa.string()})
    assert node(made).type.changelog is None


def test_what_is_keyed_by_a_windows_end_is_final(rides: sf.Stream) -> None:
    best = node(hourly(rides).key_by("window_end").top(3, by=["rides", col("city").asc()]))
    assert isinstance(best, Top)
    assert best.window == Final("window_end", 0)
    assert best.by == (SortKey("rides", True), SortKey("city", False))
    assert best.type == node(hourly(rides)).type

    total = node(hourly(rides).key_by("window_end").agg(rides=col("rides").sum()))
    assert isinstance(total, Aggregate)
    assert total.window == Final("window_end", 0)
    assert total.type.schema == pa.schema({"window_end": UTC, "rides": pa.int64()})
    assert (total.type.changelog, total.type.event_time) == (None, True)
    assert total.type.bounds == (WindowBound("window_end", 0),)


def test_a_windows_start_makes_it_final_too(rides: sf.Stream) -> None:
    made = node(hourly(rides).key_by("city", "window_start").agg(n=sf.count()))
    assert isinstance(made, Aggregate)
    assert made.window == Final("window_start", HOUR)


def test_bounds_follow_their_column(rides: sf.Stream) -> None:
    renamed = hourly(rides).rename({"window_end": "until"})
    assert WindowBound("until", 0) in node(renamed).type.bounds
    assert node(renamed.filter(col("rides") > 1).drop("window_start")).type.bounds == (WindowBound("until", 0),)
    made = node(renamed.key_by("until").top(1, by="rides"))
    assert isinstance(made, Top)
    assert made.window == Final("until", 0)


@pytest.mark.parametrize(
    "lose",
    [
        lambda counts: counts.with_columns(window_end=col("window_end").dt.truncate("1d")),
        lambda counts: counts.with_event_time("window_start").drop("window_start"),
        lambda counts: counts.map_batches(lambda batch: batch),
    ],
)
def test_bounds_are_lost_with_what_they_mean(rides: sf.Stream, lose: Callable[[sf.Stream], sf.Stream]) -> None:
    changed = lose(hourly(rides))
    assert WindowBound("window_end", 0) not in changed._node.type.bounds


def test_a_union_keeps_the_bounds_that_all_have(rides: sf.Stream) -> None:
    both = hourly(rides).union(
        rides.key_by("city").window(sf.tumbling("2h")).agg(rides=sf.count(), most=col("fare").max())
    )
    assert node(both).type.bounds == (WindowBound("window_end", 0),)


def test_a_windowed_top_has_keys_bounds_and_the_other_columns(rides: sf.Stream) -> None:
    made = rides.select("fare", "city").key_by("city").window(sf.tumbling("1h")).top(3, by="fare")
    assert made.schema == pa.schema({"city": pa.string(), "window_start": UTC, "window_end": UTC, "fare": pa.float64()})


def test_rows_can_be_ordered_by_their_event_time(rides: sf.Stream) -> None:
    made = node(rides.drop("at").window(sf.tumbling("1h")).top(1, by="_time"))
    assert isinstance(made, Top)
    assert made.by == (SortKey("_time", True),)


def test_a_second_window_over_results(rides: sf.Stream) -> None:
    daily = hourly(rides).drop("window_start", "window_end").key_by("city").window(sf.tumbling("1d"))
    made = node(daily.agg(rides=col("rides").sum()))
    assert isinstance(made, Aggregate)
    assert made.window == Tumbling(24 * HOUR)
    again = hourly(rides).key_by("city").window(sf.tumbling("1d")).agg(last=col("window_end").max())
    assert again.schema.names == ["city", "window_start", "window_end", "last"]


# Names


def names(flow: sf.Flow) -> list[str | None]:
    return [step.name for step in walk(flow.graph()) if step.name is not None]


def test_steps_with_state_are_called_by_their_path(flow: sf.Flow, rides: sf.Stream) -> None:
    best = hourly(rides.filter(col("fare") > 1)).key_by("window_end").top(1, by="rides")
    best.write("out", memory.Sink())
    assert names(flow) == ["rides", "rides.tumbling", "rides.tumbling.top", "out"]


def test_a_given_name_starts_the_path_anew(flow: sf.Flow, rides: sf.Stream) -> None:
    counts = hourly(rides).step("counts")
    counts.key_by("window_end").agg(n=sf.count()).write("totals", memory.Sink())
    counts.key_by("window_end").top(1, by="rides").write("best", memory.Sink())
    rides.with_event_time("at").window(sf.session("1h")).top(1, by="fare").write("sessions", memory.Sink())
    rides.key_by("city").agg(n=sf.count()).changes().write("running", memory.Sink())
    assert names(flow) == [
        "rides",
        "counts",
        "counts.agg",
        "totals",
        "counts.top",
        "best",
        "rides.event-time",
        "rides.event-time.session-top",
        "sessions",
        "rides.agg",
        "running",
    ]


def test_steps_without_state_do_not_show_in_names(flow: sf.Flow, rides: sf.Stream) -> None:
    hourly(rides.filter(col("fare") > 1).step("large").with_columns(x=sf.lit(1))).write("out", memory.Sink())
    assert names(flow) == ["rides", "large", "rides.tumbling", "out"]


def test_a_union_joins_the_paths(flow: sf.Flow, rides: sf.Stream, untimed: sf.Stream) -> None:
    rides.union(untimed.with_event_time("at").step("late")).window(sf.tumbling("1h")).agg(n=sf.count()).write(
        "out", memory.Sink()
    )
    assert names(flow) == ["rides", "untimed", "late", "rides+late.tumbling", "out"]


def test_two_steps_with_one_path_must_be_named(flow: sf.Flow, rides: sf.Stream) -> None:
    hourly(rides).write("a", memory.Sink())
    rides.window(sf.tumbling("5m")).agg(n=sf.count()).write("b", memory.Sink())
    with pytest.raises(sf_errors.UserError, match=r"two steps are called 'rides\.tumbling'") as error:
        flow.graph()
    assert str(error.value).count("test_stream.py:") == 2
    assert ".step(" in (error.value.remedy or "")


def test_a_stream_read_twice_is_one_step(flow: sf.Flow, rides: sf.Stream) -> None:
    counts = hourly(rides)
    counts.write("a", memory.Sink())
    counts.filter(col("rides") > 1).write("b", memory.Sink())
    aggregates = [step for step in walk(flow.graph()) if isinstance(step, Aggregate)]
    assert len(aggregates) == 1


def test_with_event_time_replaces_what_there_was(untimed: sf.Stream) -> None:
    made = node(untimed.with_event_time(sf.from_epoch("epoch", "ms"), watermark=sf.bounded_out_of_orderness("1m")))
    assert isinstance(made, WithEventTime)
    assert made.type.event_time
    assert made.watermark == BoundedOutOfOrderness(60_000_000)
