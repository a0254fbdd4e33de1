"""An optimised plan gives what the plan as written gives: over Parquet files with push-down, and over memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from streamflow_connectors import memory, parquet

import streamflow as sf
from streamflow import col
from streamflow.plan.placement import place
from streamflow.plan.rewrite import Graph
from streamflow.plan.rules import optimise
from streamflow.plan.rules.aggregates import plain_aggregates
from streamflow.plan.rules.event_time import time_per_split
from streamflow.runners.inline import InlineJob
from streamflow.testing import assert_rows, final

TIME = pa.timestamp("us", "UTC")
SCHEMA = pa.schema([("s", pa.string()), ("i", pa.int64()), ("f", pa.float64()), ("b", pa.bool_()), ("t", TIME)])
ROW = st.tuples(
    st.sampled_from([None, "", "a", "b", "ä"]),
    st.sampled_from([None, 0, 1, -1, 5, 2**40]),
    st.sampled_from([None, 0.0, -0.0, math.nan, math.inf, -1.5, 2.0]),
    st.sampled_from([None, True, False]),
    st.integers(-30_000_000, 30_000_000),
)
CONDITIONS = [
    col("i") > 0,
    col("i") != 1,
    col("i").is_null(),
    col("s").is_in(["a", "ä"]),
    ~col("s").is_in(["a"]),
    col("f") > 1.0,
    col("f") <= 1.0,
    col("f") != 2.0,
    col("f").is_between(-2.0, 2.0, closed="left"),
    sf.lit(1) < col("i"),
    col("b"),
    ~col("b"),
    (col("i") > 0) | (col("s") == "a"),
    (col("i") > 0) & ((col("f") + 1) > 2),
    col("s").is_not_null() & (col("i") >= -1),
]


def steps(shape: int, conditions: list[sf.Expr]) -> Callable[[sf.Stream], sf.Stream]:
    """The flows of the test; each uses all the conditions."""

    def build(rows: sf.Stream) -> sf.Stream:
        match shape:
            case 0:
                return rows.filter(*conditions).select("i", x="f")
            case 1:
                kept = rows.with_columns(j=col("i") - 1)
                return (
                    kept.filter(*conditions).key_by("b").window(sf.tumbling("10s")).agg(n=sf.count(), j=col("j").sum())
                )
            case 2:
                return rows.filter(*conditions).key_by("s").agg(n=sf.count(), m=col("f").max(), k=col("i").n_unique())
            case 3:
                one, other = rows.filter(conditions[0]), rows.filter(*conditions)
                return one.select("s", "i").union(other.select("s", "i")).key_by("s").agg(n=sf.count())
            case 4:
                return rows.filter(*conditions).select("s", "f").window(sf.tumbling("10s")).top(2, by="f")
            case _:
                return (
                    rows.rename({"i": "f", "f": "i"}).rename({"i": "f", "f": "i"}).filter(*conditions).select("b", "t")
                )

    return build


def as_written(graph: Graph) -> Graph:
    """Only what is needed to run it at all."""
    return plain_aggregates(time_per_split(graph))


def result(
    source: Any, build: Callable[[sf.Stream], sf.Stream], rules: Callable[[Graph], Graph]
) -> list[dict[str, Any]]:
    flow = sf.Flow("f")
    build(flow.read("rows", source, event_time="t", watermark=sf.bounded_out_of_orderness("2m"))).write(
        "out", memory.Sink()
    )
    job = InlineJob(place(rules(flow.graph()), name="f"))
    job.run()
    assert job.late() == {}
    table = job.results()["out"]
    return list((final(table) if "_change" in table.column_names else table).to_pylist())


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as path:
        yield Path(path)


@settings(max_examples=60, deadline=None)
@example(
    rows=[(None, None, None, None, 0), (None, None, None, None, 0), (None, None, math.nan, None, 0)] * 2,
    shape=0,
    chosen=[col("f") != 2.0],
    group=3,
)  # a row group of nulls and NaN has no statistics
@given(
    rows=st.lists(ROW, max_size=30),
    shape=st.integers(0, 5),
    chosen=st.lists(st.sampled_from(CONDITIONS), min_size=1, max_size=3),
    group=st.sampled_from([1, 3, 100]),
)
def test_push_down_into_parquet_changes_no_result(
    folder: Path, rows: list[Any], shape: int, chosen: list[sf.Expr], group: int
) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 5
    arrays = [pa.array(c, f.type) for c, f in zip(columns[:4], SCHEMA, strict=False)]
    table = pa.table([*arrays, pa.array(columns[4], pa.int64()).cast(TIME)], schema=SCHEMA)
    for number in range(2):
        part = table.slice(number * (len(rows) // 2), len(rows) // 2 if number == 0 else len(rows))
        pq.write_table(part, folder / f"{number}.parquet", row_group_size=group)
    build = steps(shape, chosen)
    expected = result(memory.Source(table), build, as_written)
    for source in (parquet.Source(folder), memory.Source(table, splits=2)):
        for rules in (optimise, as_written):
            found = result(source, build, rules)
            names = list(expected[0]) if expected else []
            assert len(found) == len(expected)
            assert_rows(
                pa.Table.from_pylist(found, schema=pa.schema([(n, _type(n, expected)) for n in names])), expected
            )


def _type(name: str, rows: list[dict[str, Any]]) -> pa.DataType:
    return pa.array([row[name] for row in rows]).type
