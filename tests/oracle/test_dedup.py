"""Rows without their repetitions, against the naive interpreter; any workers, cuts and crashes."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamflow_connectors import memory

import streamflow as sf
from streamflow.errors import UserError
from streamflow.testing import naive

SCHEMA = pa.schema({"at": pa.timestamp("us", "UTC"), "k": pa.string(), "v": pa.int64()})
START = datetime(2024, 5, 1, tzinfo=UTC)
ROWS = st.lists(
    st.tuples(st.integers(0, 40), st.none() | st.sampled_from(["a", "b", ""]), st.integers(0, 3)), max_size=30
).map(lambda rows: [{"at": START + timedelta(seconds=t), "k": k, "v": v} for t, k, v in rows])


def run(rows: Any, seed: int, workers: int, keep: Literal["any", "first"], within: str | None) -> list[Any]:
    flow = sf.Flow("dedup")
    read = flow.read(
        "rows", memory.Source(SCHEMA.empty_table()), event_time="at", watermark=sf.bounded_out_of_orderness("1m")
    )
    read.key_by("k").dedup(keep=keep, within=within).write("out", memory.Sink())
    made: list[Any] = sf.testing.run(flow, {"rows": rows}, seed=seed, workers=workers, crashes=seed % 3)[
        "out"
    ].to_pylist()
    return made


def first_ones(rows: list[Any], within: timedelta | None) -> list[Any]:
    return list(naive.dedup(rows, ["k"], time="at", within=within))


def counted(rows: list[Any]) -> Counter[Any]:
    return Counter(tuple(row.values()) for row in rows)


@settings(max_examples=25)
@given(ROWS, st.integers(0, 99), st.sampled_from([1, 2, 3]), st.sampled_from([None, 5, 12]))
def test_the_first_by_event_time_does_not_depend_on_anything(
    rows: list[Any], seed: int, workers: int, within: int | None
) -> None:
    made = run(rows, seed, workers, "first", None if within is None else f"{within}s")
    assert counted(made) == counted(first_ones(rows, None if within is None else timedelta(seconds=within)))


@settings(max_examples=25)
@given(ROWS, st.integers(0, 99), st.sampled_from([1, 2, 3]))
def test_any_row_is_one_per_key(rows: list[Any], seed: int, workers: int) -> None:
    made = run(rows, seed, workers, "any", None)
    assert Counter(row["k"] for row in made) == Counter({row["k"] for row in rows})
    assert not counted(made) - counted(rows)


@settings(max_examples=25)
@given(ROWS, st.integers(0, 99), st.sampled_from([1, 2, 3]))
def test_in_time_order_any_is_the_first_within_a_span(rows: list[Any], seed: int, workers: int) -> None:
    ordered = sorted(rows, key=lambda row: row["at"])
    times = [(row["k"], row["at"]) for row in run(ordered, seed, 1, "any", "5s")]
    assert Counter(times) == Counter((row["k"], row["at"]) for row in first_ones(rows, timedelta(seconds=5)))


def test_results_of_windows_are_deduplicated_when_they_are_final() -> None:
    flow = sf.Flow("finals")
    read = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="at")
    counts = read.key_by("k").window(sf.tumbling("10s")).agg(n=sf.count())
    counts.key_by("window_end").dedup(keep="first").write("out", memory.Sink())
    rows = [{"at": START + timedelta(seconds=s), "k": k, "v": 0} for s, k in [(1, "b"), (2, "a"), (11, "c")]]
    made = sf.testing.run(flow, {"rows": rows}, workers=2)["out"].sort_by("window_end").to_pylist()
    assert [row["k"] for row in made] == ["a", "c"]


def test_what_cannot_be_deduplicated_is_refused() -> None:
    flow = sf.Flow("refused")
    keyed = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="at").key_by("k")
    timeless = flow.read("others", memory.Source(SCHEMA.empty_table())).key_by("k")
    with pytest.raises(UserError, match="not known before the stream ends"):
        keyed.dedup(keep="last")
    with pytest.raises(UserError, match="longer than nothing"):
        keyed.dedup(within="0s")
    with pytest.raises(UserError, match="needs event time"):
        timeless.dedup(within="1h")
    assert timeless.dedup().schema == SCHEMA


def test_keys_that_drop_nothing_any_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamflow.operators import dedup
    from streamflow.operators.events import TIME, Watermark

    monkeypatch.setattr(dedup, "SWEEP", 10)
    schema = pa.schema({"k": pa.int64(), TIME: pa.timestamp("us", "UTC")})
    operator = dedup.Dedup(("k",), "any", 100, schema)
    for start in range(0, 1000, 20):
        times = np.arange(start, start + 20)
        columns = [pa.array(times), pa.array(times).view(schema.field(TIME).type)]
        (batch,) = operator.on_batch(0, pa.RecordBatch.from_arrays(columns, schema=schema))
        assert isinstance(batch, pa.RecordBatch)
        assert batch.num_rows == 20
        list(operator.on_watermark(Watermark(start + 20)))
    assert len(operator.state()["keys"].snapshot(4).rows) <= 240


def test_of_one_time_the_first_in_the_source_is_kept() -> None:
    """Rule 13: not the least of the other columns."""
    rows = [{"at": START, "k": "a", "v": value} for value in (2, 3, 1)]
    for seed in range(6):
        assert [row["v"] for row in run(rows, seed, 1 + seed % 3, "first", None)] == [2]


def test_rows_that_have_no_order_go_by_their_columns() -> None:
    flow = sf.Flow("dedup")
    read = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="at")
    top = read.key_by("k").window(sf.tumbling("1m")).top(3, by="v")
    top.key_by("k").dedup(keep="first").write("out", memory.Sink())
    rows = [{"at": START, "k": "a", "v": value} for value in (2, 3, 1)]
    assert [row["v"] for row in sf.testing.run(flow, {"rows": rows})["out"].to_pylist()] == [1]
