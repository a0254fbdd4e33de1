"""Stages and exchanges: where rows must meet, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.plan.physical import PhysicalGraph, ReadSplits, Run
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise

SCHEMA = pa.schema([("k", pa.string()), ("v", pa.int64()), ("t", pa.timestamp("us", "UTC"))])


def placed(steps: Callable[[sf.Stream], sf.Stream], workers: int) -> PhysicalGraph:
    flow = sf.Flow("f")
    steps(flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="t")).write("out", memory.Sink())
    return place(optimise(flow.graph()), name="f", workers=workers)


def exchanges(graph: PhysicalGraph) -> list[tuple[str, ...]]:
    return [edge.exchange for node in graph.nodes for edge in node.edges if edge.exchange is not None]


def counts(rows: sf.Stream) -> sf.Stream:
    return rows.key_by("k").window(sf.tumbling("10s")).agg(n=sf.count())


FLOWS: dict[str, tuple[Any, list[tuple[str, ...]], int]] = {
    "row by row": (lambda rows: rows.filter(col("v") > 1).with_columns(x=col("v") + 1), [], 1),
    "a windowed aggregate": (counts, [("k",)], 2),
    "without a key": (lambda rows: rows.window(sf.tumbling("10s")).agg(n=sf.count()), [()], 2),
    "sessions": (lambda rows: rows.key_by("k").window(sf.session("10s")).agg(n=sf.count()), [("k",)], 2),
    "a running aggregate": (lambda rows: rows.key_by("k", "v").agg(n=sf.count()), [("k", "v")], 2),
    "hot items": (lambda rows: counts(rows).key_by("window_end").top(1, by="n"), [("k",), ("window_end",)], 3),
    "a top of rows": (lambda rows: rows.window(sf.tumbling("10s")).top(1, by="v"), [()], 2),
    "beside its own aggregate": (
        lambda rows: counts(rows.select("k").union(counts(rows).select("k"))),
        [("k",), ("k",)],
        3,
    ),
}


@pytest.mark.parametrize("name", FLOWS)
def test_rows_are_exchanged_where_keys_meet_and_each_exchange_starts_a_stage(name: str) -> None:
    steps, expected, stages = FLOWS[name]
    graph = placed(steps, 3)
    assert exchanges(graph) == expected
    assert graph.stages == stages


@pytest.mark.parametrize("name", FLOWS)
def test_one_worker_has_no_exchange_no_partial_and_one_stage(name: str) -> None:
    graph = placed(FLOWS[name][0], 1)
    assert exchanges(graph) == []
    assert graph.stages == 1
    assert not [node.label for node in graph.nodes if node.label.startswith(("partial", "final", "local"))]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", FLOWS)
def test_nodes_are_numbered_in_topological_order_and_never_go_back_a_stage(name: str, workers: int) -> None:
    graph = placed(FLOWS[name][0], workers)
    for place_, node in enumerate(graph.nodes):
        assert node.id == place_
        for edge in node.edges:
            assert edge.source < node.id
            assert node.stage >= graph.nodes[edge.source].stage + (edge.exchange is not None)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", FLOWS)
def test_operators_make_the_schema_that_their_node_declares(name: str, workers: int) -> None:
    for node in placed(FLOWS[name][0], workers).nodes:
        if isinstance(node.work, Run):
            declared = getattr(node.work.make(), "output_schema", node.schema)
            assert declared.equals(node.schema), node.label


def test_a_stream_that_is_used_twice_is_read_once() -> None:
    graph = placed(lambda rows: rows.filter(col("v") > 0).union(rows.filter(col("v") <= 0)), 2)
    assert sum(isinstance(node.work, ReadSplits) for node in graph.nodes) == 1


def test_origins_are_all_workers_behind_an_exchange_and_the_own_one_before() -> None:
    graph = placed(counts, 2)
    partial = next(node for node in graph.nodes if node.label.startswith("partial"))
    final = next(node for node in graph.nodes if node.label.startswith("final"))
    assert graph.origins()[partial.id, 1] == {(0, 1)}
    assert graph.origins()[final.id, 1] == {(0, 0), (0, 1)}


def test_a_watermark_made_in_mid_stream_is_an_origin_of_its_own() -> None:
    def steps(rows: sf.Stream) -> sf.Stream:
        again = counts(rows).with_event_time("window_start", watermark=sf.monotonic())
        return again.window(sf.tumbling("1m")).agg(n=sf.count())

    graph = placed(steps, 2)
    made = next(node for node in graph.nodes if isinstance(node.work, Run) and node.work.times)
    assert graph.origins()[graph.nodes[-1].id, 0] == {(made.id, 0), (made.id, 1)}


def refined(window: Any = None, **firing: Any) -> Callable[[sf.Stream], sf.Stream]:
    """Counts in windows that take late rows."""
    window = window or sf.tumbling("10s")
    return lambda rows: rows.key_by("k").window(window, allowed_lateness="5s", **firing).agg(n=sf.count())


@pytest.mark.parametrize("window", [sf.tumbling("10s"), sf.sliding("10s", every="3s"), sf.cumulative("10s", step="2s")])
def test_windows_that_late_rows_refine_are_aggregated_ahead_of_the_exchange(window: Any) -> None:
    graph = placed(refined(window), 2)
    final = next(node for node in graph.nodes if node.label.startswith("final aggregate"))
    before = graph.nodes[final.edges[0].source]
    assert before.label.startswith("partial aggregate")
    assert final.edges[0].exchange == ("k",)
    assert "exchanged whole" not in final.label


WHOLE: dict[str, tuple[Any, str]] = {
    "late rows are read": (refined(), "its late rows are read"),
    "every second late row": (refined(trigger=sf.trigger(late=2)), "it fires by single rows"),
    "early": (refined(trigger=sf.trigger(early=10)), "it fires by single rows"),
    "by the clock": (refined(trigger=sf.trigger(early="1m")), "it fires by single rows"),
    "panes": (refined(trigger=sf.trigger(accumulate=False)), "it fires by single rows"),
    "days": (refined(sf.tumbling("1d", tz="Europe/Berlin")), "days that are over are still to be told apart"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_the_plan_says_why_rows_are_exchanged_whole(name: str) -> None:
    steps, why = WHOLE[name]
    flow = sf.Flow("f")
    windows = steps(flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="t"))
    windows.write("out", memory.Sink())
    if name == "late rows are read":
        windows.late().write("late", memory.Sink())
    one, two = (place(optimise(flow.graph()), name="f", workers=workers) for workers in (1, 2))
    assert not [node for node in two.nodes if node.label.startswith("partial")]
    assert any(node.label.endswith(f"of rows that were exchanged whole, for {why}") for node in two.nodes)
    assert not any("exchanged whole" in node.label for node in one.nodes)
