"""Rows without their repetitions, against the naive interpreter; any workers, cuts and crashes."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.errors import UserError
from streamflow.testing import naive

Keep: TypeAlias = Literal["any", "first", "last"]
SCHEMA = pa.schema({"at": pa.timestamp("us", "UTC"), "k": pa.string(), "v": pa.int64()})
START = datetime(2024, 5, 1, tzinfo=UTC)
ROWS = st.lists(
    st.tuples(st.integers(0, 40), st.none() | st.sampled_from(["a", "b", ""]), st.integers(0, 3)), max_size=30
).map(lambda rows: [{"at": START + timedelta(seconds=t), "k": k, "v": v} for t, k, v in rows])


def run(rows: Any, seed: int, workers: int, keep: Keep, within: str | None, bound: str = "1m") -> list[Any]:
    flow = sf.Flow("dedup")
    read = flow.read(
        "rows", memory.Source(SCHEMA.empty_table()), event_time="at", watermark=sf.bounded_out_of_orderness(bound)
    )
    kept = read.key_by("k").dedup(keep=keep, within=within)
    kept.write("out", memory.Sink())
    table = sf.testing.run(flow, {"rows": rows}, seed=seed, workers=workers, crashes=seed % 3)["out"]
    made: list[Any] = (table if "_change" not in table.column_names else sf.testing.final(table)).to_pylist()
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
    with pytest.raises(UserError, match="no order where it is the same"):
        keyed.window(sf.tumbling("1m")).top(3, by="v").key_by("k").dedup(keep="last")
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


def last_ones(rows: list[Any], within: int | None) -> list[Any]:
    span = None if within is None else timedelta(seconds=within)
    return list(naive.dedup(rows, ["k"], time="at", keep="last", within=span))


@settings(max_examples=25)
@given(ROWS, st.integers(0, 99), st.sampled_from([1, 2, 3]), st.sampled_from([None, 5, 12]))
def test_the_last_by_event_time_does_not_depend_on_anything(
    rows: list[Any], seed: int, workers: int, within: int | None
) -> None:
    made = run(rows, seed, workers, "last", None if within is None else f"{within}s")
    assert counted(made) == counted(last_ones(rows, within))


@settings(max_examples=15)
@given(ROWS, st.integers(0, 99), st.sampled_from([1, 2, 3]))
def test_no_row_comes_too_late_to_be_the_last_of_its_key(rows: list[Any], seed: int, workers: int) -> None:
    assert counted(run(rows, seed, workers, "last", None, bound="0s")) == counted(last_ones(rows, None))


def test_a_later_row_replaces_the_last_and_an_earlier_one_does_not() -> None:
    flow = sf.Flow("changes")
    read = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="at")
    read.key_by("k").dedup(keep="last").with_columns(time="_time").changes().write("out", memory.Sink())
    rows = [{"at": START + timedelta(seconds=s), "k": "a", "v": v} for s, v in [(3, 1), (1, 2), (3, 3), (5, 4)]]
    apart = [piece for row in rows for piece in (row, sf.testing.watermark(START))]
    made = sf.testing.run(flow, {"rows": apart})["out"].to_pylist()
    assert [(row["change"], row["v"], (row["time"] - START).seconds) for row in made] == [
        ("insert", 1, 3),
        ("update_before", 1, 3),
        ("update_after", 3, 3),
        ("update_before", 3, 5),
        ("update_after", 4, 5),
    ]


def test_the_last_of_a_burst_has_its_own_event_time_and_is_late_for_nothing() -> None:
    """Rule 7: the watermark is held back by the span, so that a window takes every row."""
    flow = sf.Flow("bursts")
    read = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="at")
    last = read.key_by("k").dedup(keep="last", within="10s")
    last.window(sf.tumbling("4s")).agg(n=sf.count(), at=col("at").min()).write("out", memory.Sink())
    rows = [{"at": START + timedelta(seconds=s), "k": "a", "v": 0} for s in (0, 9, 18, 28, 37, 50)]
    for seed in range(4):
        results = sf.testing.run(flow, {"rows": rows}, seed=seed, workers=1 + seed % 2)
        made = results["out"].sort_by("window_start").to_pylist()
        assert results.late == {}
        assert [((row["window_start"] - START).seconds, (row["at"] - START).seconds) for row in made] == [
            (16, 18),
            (36, 37),
            (48, 50),
        ]


def test_where_rows_are_nothing_but_keys_the_last_is_the_key() -> None:
    flow = sf.Flow("keys")
    read = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="at")
    read.select("k").key_by("k").dedup(keep="last").write("out", memory.Sink())
    rows = [{"at": START + timedelta(seconds=s), "k": k, "v": 0} for s, k in ((0, "a"), (1, None), (2, "a"))]
    table = sf.testing.run(flow, {"rows": rows}, workers=2)["out"]
    assert counted(table.to_pylist()) == Counter({(0, "a"): 1, (0, None): 1})
