"""The interpreters of keyed steps against the engine."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.testing import assert_rows, final, naive

SCHEMA = pa.schema([("k", pa.float64()), ("x", pa.int64())])
ROWS = st.lists(
    st.fixed_dictionaries({"k": st.sampled_from([None, math.nan, 0.0, -0.0, 1.5]), "x": st.integers(-9, 9)}),
    max_size=30,
)


@settings(max_examples=25, deadline=None)
@given(ROWS, st.integers(0, 99), st.sampled_from([1, 2, 3]))
def test_a_running_aggregate_comes_to_what_all_rows_of_a_key_give(
    rows: list[dict[str, Any]], seed: int, workers: int
) -> None:
    flow = sf.Flow("running")
    read = flow.read("rows", memory.Source(SCHEMA.empty_table()))
    read.key_by("k").agg(total=col("x").sum(), rows=sf.count()).write("out", memory.Sink())
    made = sf.testing.run(flow, {"rows": pa.Table.from_pylist(rows, schema=SCHEMA)}, seed=seed, workers=workers)["out"]
    expected = naive.running(rows, ["k"], total=lambda of_key: sum(row["x"] for row in of_key), rows=len)
    assert_rows(final(made), expected)
