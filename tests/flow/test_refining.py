"""Windows that fire more than once, and their late rows: what is built, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.errors import SchemaError, UserError
from streamflow.plan.explain import explain
from streamflow.plan.logical.nodes import Aggregate, Dedup, Hold, Late, Process, Top
from streamflow.plan.logical.windows import After, Final, Global, Trigger

SCHEMA = pa.schema({"at": pa.timestamp("us", "UTC"), "city": pa.string(), "fare": pa.float64()})
SECOND = 1_000_000
Times: TypeAlias = "npt.NDArray[np.int64]"


@pytest.fixture
def flow() -> sf.Flow:
    return sf.Flow("rides")


@pytest.fixture
def rides(flow: sf.Flow) -> sf.Stream:
    return flow.read("rides", memory.Source(SCHEMA.empty_table()), event_time="at")


@dataclass(frozen=True)
class Halves:
    """Windows of half a second."""

    def assign(self, times: Times) -> tuple[Times, Times]:
        starts = times // (SECOND // 2) * (SECOND // 2)
        return starts, starts + SECOND // 2


class Total(NamedTuple):
    city: str
    rides: int


class Count(sf.KeyedFunction):
    total = sf.cell(int, default=0)

    def on_row(self, city: str, rides: int) -> Total:
        self.total += rides
        return Total(city, self.total)


def by_city(rides: sf.Stream, **firing: Any) -> sf.Stream:
    return rides.key_by("city").window(sf.tumbling("1h"), **firing).agg(rides=sf.count())


def test_with_allowed_lateness_the_results_are_a_changelog_by_key_and_window(rides: sf.Stream) -> None:
    node = by_city(rides, allowed_lateness="5s")._node
    assert isinstance(node, Aggregate)
    assert node.lateness == 5 * SECOND
    assert node.type.changelog == ("city", "window_start", "window_end")
    assert node.type.bounds == ()


@pytest.mark.parametrize("lateness", [None, "5s"])
def test_panes_that_discard_are_append_only_and_their_windows_are_final(rides: sf.Stream, lateness: str | None) -> None:
    panes = by_city(rides, allowed_lateness=lateness, trigger=sf.trigger(early=10, accumulate=False))
    assert panes._node.type.changelog is None
    totals = panes.key_by("window_end", "city").agg(rides=col("rides").sum())
    assert totals._node.type.changelog is None
    assert totals._node.type.lateness == 0
    busiest = totals.key_by("window_end").top(1, by="rides")._node
    assert isinstance(busiest, Top)
    assert busiest.window == Final("window_end", 0)


def test_steps_that_take_a_row_once_wait_for_late_results(flow: sf.Flow, rides: sf.Stream) -> None:
    changes = by_city(rides, allowed_lateness="5s").changes()
    for name, stream in (
        ("twos", changes.window(sf.count_window(2)).agg(n=sf.count())),
        ("once", changes.key_by("city").dedup(keep="first")),
        ("totals", changes.key_by("city").process(Count())),
    ):
        node = stream._node
        assert isinstance(node, Aggregate | Dedup | Process)
        assert isinstance(node.input, Hold)
        assert node.input.by == 5 * SECOND
        assert node.type.lateness == 0
        stream.step(name).write(f"{name} out", memory.Sink())
    assert explain(flow.graph(), name="rides", workers=1).count("watermark held back by 5s") == 9  # in three graphs


@pytest.mark.parametrize(("asked", "needed"), [(None, 5), ("2s", 5), ("9s", 9)])
def test_a_window_waits_at_least_for_what_comes_late_from_upstream(
    rides: sf.Stream, asked: str | None, needed: int
) -> None:
    first = by_city(rides, allowed_lateness="5s", trigger=sf.trigger(accumulate=False))
    renamed = first.filter(col("rides") > 1).select("city", "rides").with_columns(double=col("rides") * 2)
    second = renamed.union(renamed).window(sf.tumbling("1h"), allowed_lateness=asked).agg(n=sf.count())
    node = second._node
    assert isinstance(node, Aggregate)
    assert node.lateness == needed * SECOND
    assert node.type.lateness == (5 + int((asked or "0s")[0])) * SECOND
    third = by_city(rides, allowed_lateness="3s").changes().window(sf.tumbling("1h")).agg(n=sf.count())._node
    assert isinstance(third, Aggregate)
    assert third.lateness == 3 * SECOND


def test_a_new_event_time_makes_nothing_late(rides: sf.Stream) -> None:
    panes = by_city(rides, allowed_lateness="5s", trigger=sf.trigger(accumulate=False))
    again = panes.with_event_time("window_end").window(sf.tumbling("1h")).agg(n=sf.count())
    assert again._node.type.changelog is None


def test_a_global_window_needs_no_event_time_and_gives_none() -> None:
    rows = sf.Flow("rows").read("rows", memory.Source(pa.table({"k": ["a"]})))
    totals = rows.key_by("k").window(sf.global_window()).agg(n=sf.count())
    assert totals.schema.names == ["k", "n"]
    assert not totals._node.type.event_time
    early = rows.window(sf.global_window(), trigger=sf.trigger(early=2)).agg(n=sf.count())
    assert early._node.type.changelog == ()
    assert isinstance(early._node, Aggregate)
    assert early._node.window == Global()


def test_windows_of_so_many_rows_have_no_bounds_and_no_event_time(rides: sf.Stream) -> None:
    tens = rides.key_by("city").window(sf.count_window(10)).agg(mean=col("fare").mean())
    assert tens.schema.names == ["city", "mean"]
    assert not tens._node.type.event_time
    untimed = sf.Flow("rows").read("rows", memory.Source(pa.table({"k": ["a"]})))
    with pytest.raises(UserError, match="needs event time"):
        untimed.window(sf.count_window(10))


def test_late_rows_are_the_windows_rows_with_its_bounds(rides: sf.Stream) -> None:
    late = by_city(rides.drop("fare"), allowed_lateness="5s").step("hourly").late()
    assert late.schema.names == ["at", "city", "window_start", "window_end"]
    assert isinstance(late._node, Late)
    assert late._node.lateness == 5 * SECOND
    assert not late._node.type.event_time
    assert late._node.type.changelog is None


def test_late_rows_can_be_all_that_is_read(flow: sf.Flow, rides: sf.Stream) -> None:
    by_city(rides).late().write("late", memory.Sink())
    given = [{"at": second * SECOND, "city": "a", "fare": 1.0} for second in (4000, 1)]
    pieces = [piece for row in given for piece in (row, sf.testing.advance("0s"))]
    results = sf.testing.run(flow, {"rides": pieces})
    assert [row["window_end"].timestamp() for row in results["late"].to_pylist()] == [3600]


def test_a_top_that_is_a_changelog_has_a_rank_in_its_key(rides: sf.Stream) -> None:
    top = rides.key_by("city").window(sf.tumbling("1m"), allowed_lateness="1s").top(2, by="fare")
    assert top.schema.names == ["city", "window_start", "window_end", "rank", "at", "fare"]
    assert top._node.type.changelog == ("city", "window_start", "window_end", "rank")
    assert top._node.type.lateness == SECOND
    of_all = rides.window(sf.global_window(), trigger=sf.trigger(early=1)).top(2, by="fare")
    assert of_all._node.type.changelog == ("rank",)
    with pytest.raises(SchemaError, match="has a column 'rank'"):
        rides.rename({"fare": "rank"}).window(sf.tumbling("1m"), allowed_lateness="1s").top(2, by="rank")


def test_a_top_that_fires_once_has_none(rides: sf.Stream) -> None:
    for window in (sf.count_window(3), sf.global_window()):
        top = rides.key_by("city").window(window).top(1, by="fare")
        assert top.schema.names == ["city", "at", "fare"]
        assert top._node.type.changelog is None
        assert not top._node.type.event_time


REFUSED: dict[str, tuple[Callable[[sf.Stream], object], str]] = {
    "late for all": (lambda rides: rides.window(sf.global_window(), allowed_lateness="1s"), "no row is late"),
    "late of no window": (lambda rides: rides.filter(col("fare") > 1).late(), "not the result of a window"),
    "late of what is final": (
        lambda rides: by_city(rides).key_by("window_end").agg(n=sf.count()).late(),
        "not the result of a window",
    ),
    "late of one window": (lambda rides: rides.window(sf.global_window()).agg(n=sf.count()).late(), "can be late for"),
    "late for so many rows": (lambda rides: rides.window(sf.count_window(3), allowed_lateness="1s"), "no row is late"),
    "so many rows, early": (lambda rides: rides.window(sf.count_window(3), trigger=sf.trigger(early=1)), "has them"),
    "no rows": (lambda rides: sf.count_window(0), "is not a number of rows"),
    "negative lateness": (lambda rides: rides.window(sf.tumbling("1m"), allowed_lateness="-1s"), "is negative"),
    "no trigger": (lambda rides: rides.window(sf.tumbling("1m"), trigger=5), "not a trigger"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_there_is_refused(what: str, rides: sf.Stream) -> None:
    build, message = REFUSED[what]
    with pytest.raises(UserError, match=message):
        build(rides)


def test_a_session_behind_late_results_takes_them(rides: sf.Stream) -> None:
    panes = by_city(rides, allowed_lateness="5s", trigger=sf.trigger(accumulate=False))
    sessions = panes.window(sf.session("1m")).agg(n=sf.count())._node
    assert isinstance(sessions, Aggregate)
    assert sessions.lateness == 5 * SECOND
    assert sessions.type.changelog == ("window_start", "window_end")


def test_sessions_and_windows_of_ones_own_have_late_rows(rides: sf.Stream) -> None:
    for window in (sf.session("1m"), Halves()):
        late = rides.window(window, allowed_lateness="5s").agg(n=sf.count()).late()
        assert late.schema.names == ["at", "city", "fare", "window_start", "window_end"]


def test_late_rows_have_no_event_time_until_they_are_given_one(rides: sf.Stream) -> None:
    late = by_city(rides).late()
    with pytest.raises(UserError, match="needs event time") as error:
        late.window(sf.tumbling("1h"))
    assert "with_event_time" in str(error.value.remedy)
    again = late.with_event_time("at", watermark=sf.bounded_out_of_orderness("1d")).drop("window_start", "window_end")
    assert again.window(sf.tumbling("1d")).agg(n=sf.count())._node.type.event_time


def test_late_rows_need_the_names_of_the_bounds(rides: sf.Stream) -> None:
    windows = rides.with_columns(window_end=col("at")).window(sf.tumbling("1m"))
    with pytest.raises(SchemaError, match="window_end"):
        windows.agg(n=sf.count()).late()


@pytest.mark.parametrize("rows", [0, -1, True, 1.5])
def test_a_trigger_counts_rows(rows: Any) -> None:
    with pytest.raises(UserError, match="is not a number of rows"):
        sf.trigger(early=rows)
    with pytest.raises(UserError, match="is not a number of rows"):
        sf.trigger(late=rows)
    assert sf.trigger(early=5, late=2) == Trigger(5, 2)


def test_the_plan_says_when_windows_fire(flow: sf.Flow, rides: sf.Stream) -> None:
    counts = by_city(rides, allowed_lateness="5s", trigger=sf.trigger(early=10, late=2)).step("counts")
    counts.write("out", memory.Sink())
    counts.late().write("late", memory.Sink())
    text = explain(flow.graph(), name="rides", workers=2)
    for part in (
        "lateness    5s after its end a window is dropped",
        "fires       early every 10 rows, late every 2 rows, accumulating",
        "counts.late  rows late for results by city in windows of 1h",
        "rows of a key together by city",
        "rows late for tumbling 1h, allowed lateness 5s",
        "state       windows (window table), progress",
    ):
        assert " ".join(part.split()) in " ".join(text.split())


def test_a_trigger_takes_durations_of_processing_time() -> None:
    assert sf.trigger(early="1m", late=timedelta(seconds=10)) == Trigger(After(60_000_000), After(10_000_000))


@pytest.mark.parametrize("given", ["soon", "0s", "-1m", timedelta(0)])
def test_a_duration_of_a_trigger_is_above_zero(given: Any) -> None:
    with pytest.raises(UserError, match="late"):
        sf.trigger(late=given)


@pytest.mark.parametrize("workers", [1, 2])
def test_sessions_by_processing_time_are_triggered_by_rows(workers: int) -> None:
    flow = sf.Flow("f")
    rows = flow.read("rows", memory.Source(SCHEMA.empty_table()))
    sessions = rows.window(sf.session("1m", time="processing"), trigger=sf.trigger(early=2, accumulate=False))
    sessions.agg(n=sf.count()).write("out", memory.Sink())
    given = [{"city": "a"}, sf.testing.advance("1s"), {"city": "a"}, sf.testing.advance("1s"), {"city": "a"}]
    out = sf.testing.run(flow, {"rows": given}, workers=workers)["out"]
    assert sorted(out["n"].to_pylist()) == [1, 2]


@pytest.mark.parametrize("window", [sf.tumbling("1h"), sf.session("1h")])
def test_the_plan_says_that_a_trigger_goes_by_processing_time(window: Any) -> None:
    flow = sf.Flow("f")
    rows = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="at")
    windows = rows.window(window, allowed_lateness="1h", trigger=sf.trigger(early="1m", late="10s"))
    windows.agg(n=sf.count()).write("out", memory.Sink())
    text = explain(flow.graph()).replace("│", "")
    assert "early 1m of processing time after a first new row, late 10s of processing time" in " ".join(text.split())
