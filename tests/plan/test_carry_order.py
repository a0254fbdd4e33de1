"""Where the hidden order of rows is carried, and where it is not."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.errors import UserError
from streamflow.plan.placement import place
from streamflow.plan.rewrite import topological
from streamflow.plan.rules import optimise

SCHEMA = pa.schema({"k": pa.string(), "v": pa.int64(), "l": pa.list_(pa.int64()), "t": pa.timestamp("us", "UTC")})


def orders(*branches: Callable[[sf.Stream], sf.Stream]) -> list[tuple[str, int]]:
    """The nodes that carry an order, and of how many parts it is."""
    flow = sf.Flow("f")
    rows = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="t")
    for number, steps in enumerate(branches):
        steps(rows).write(f"out{number}", memory.Sink())
    graph = optimise(flow.graph())
    for node in place(graph, name="f", workers=2).nodes:
        assert node.schema.names.count("_order") <= 1
    return [(type(node).__name__, node.type.order) for node in topological(graph) if node.type.order]


def firsts(rows: sf.Stream) -> sf.Stream:
    return rows.key_by("k").window(sf.tumbling("10s")).agg(x=col("v").first())


def test_nothing_is_numbered_where_nothing_goes_by_order() -> None:
    assert orders(lambda rows: rows.key_by("k").window(sf.tumbling("10s")).agg(x=col("v").max())) == []


def test_rows_are_numbered_from_the_read_to_the_aggregate() -> None:
    assert orders(firsts) == [("Read", 1), ("WithEventTime", 1), ("Project", 1)]


def test_copies_add_a_part() -> None:
    assert orders(lambda rows: firsts(rows.explode("l"))) == [
        ("Read", 1), ("WithEventTime", 1), ("Explode", 2), ("Project", 2),
    ]  # fmt: skip


def test_a_branch_that_needs_no_order_lets_it_go() -> None:
    def largest(rows: sf.Stream) -> sf.Stream:
        return rows.window(sf.tumbling("1s")).top(1, by="v")

    named = orders(firsts, lambda rows: rows.filter(col("v") > 0), largest)
    assert [name for name, _ in named] == ["Read", "WithEventTime", "Project"]


def test_a_union_makes_room_for_the_input_with_the_most_parts() -> None:
    def both(rows: sf.Stream) -> sf.Stream:
        return firsts(rows.drop("l").union(rows.explode("l").drop("l")))

    assert ("Union", 3) in orders(both)


def test_rows_without_an_order_are_refused_while_the_flow_is_built() -> None:
    flow = sf.Flow("f")
    rows = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="t")
    untimed = flow.read("untimed", memory.Source(SCHEMA.empty_table()))
    top = rows.window(sf.tumbling("10s")).top(3, by="v")
    changes = rows.key_by("k").agg(n=sf.count()).changes()
    for stream in (top, changes):
        with pytest.raises(UserError, match=r"col\('k'\)\.last\(\) goes by event time, and these rows have no order"):
            stream.window(sf.tumbling("1m")).agg(k=col("k").last())
    with pytest.raises(UserError, match=r"col\('v'\)\.list\(\) goes by event time, and the rows have none"):
        untimed.key_by("k").agg(v=col("v").list())
