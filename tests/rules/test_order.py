"""Rule 13: rows of one event time have an order, and it is the source's."""

from __future__ import annotations

from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import streamflow as sf
from streamflow import col
from streamflow.testing import splits


class Pair(NamedTuple):
    k: str
    v: int


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("seed", range(6))
def test_rows_of_one_moment_go_by_split_and_row_whatever_the_cuts_workers_and_crashes(
    table: Any, flow: Any, workers: int, seed: int
) -> None:
    parts = [table([("a", split * 100 + row, 5) for row in range(40)]) for split in range(4)]

    def steps(rows: sf.Stream) -> sf.Stream:
        windows = rows.key_by("k").window(sf.tumbling("10s"))
        return windows.agg(every=col("v").list(), head=col("v").first(), tail=col("v").last())

    results = sf.testing.run(flow(steps), {"rows": splits(*parts)}, seed=seed, workers=workers, crashes=2)
    [row] = results["out"].to_pylist()
    assert row["every"] == [split * 100 + line for split in range(4) for line in range(40)]
    assert (row["head"], row["tail"]) == (0, 339)


def test_event_time_comes_before_order(table: Any, flow: Any) -> None:
    def steps(rows: sf.Stream) -> sf.Stream:
        return rows.key_by("k").window(sf.tumbling("10s")).agg(every=col("v").list())

    given = table([("a", 1, 9), ("a", 2, 3), ("a", 3, 9), ("a", 4, 3)])
    [row] = sf.testing.run(flow(steps, bound="10s"), {"rows": given}, workers=2, seed=1)["out"].to_pylist()
    assert row["every"] == [2, 4, 1, 3]


def test_rows_keep_their_place_through_every_step_that_passes_rows_on(table: Any, flow: Any) -> None:
    def doubled(k: str, v: int) -> list[Pair]:
        return [Pair(k, v), Pair(k, v + 1)]

    def odd(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.filter(pc.equal(pc.bit_wise_and(batch.column("v"), 1), 1))

    def renamed(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.select(["k", "v"])

    def tenfold(k: str, w: int) -> Pair:
        return Pair(k, w)

    def steps(rows: sf.Stream) -> sf.Stream:
        rows = rows.map_batches(odd, max_rows=3).flat_map(doubled).map_batches(renamed).filter(col("v") > 3)
        rows = rows.with_columns(w=col("v") * 10).map(tenfold).peek(1)
        return rows.window(sf.tumbling("10s")).agg(every=col("v").list())

    given = table([("a", value, 5) for value in (1, 9, 2, 3, 8, 5)])
    for seed in range(4):
        [row] = sf.testing.run(flow(steps), {"rows": given}, workers=2, seed=seed, crashes=1)["out"].to_pylist()
        assert row["every"] == [90, 100, 40, 50, 60]


@pytest.mark.parametrize("workers", [1, 2])
def test_of_rows_of_one_key_the_first_by_time_and_then_by_split_is_kept(table: Any, flow: Any, workers: int) -> None:
    def steps(rows: sf.Stream) -> sf.Stream:
        return rows.key_by("k").dedup(keep="first")

    parts = [table([("a", 100 * split, 9), ("a", 100 * split + 1, 3), ("b", 100 * split, 5)]) for split in range(3)]
    for seed in range(6):
        out = sf.testing.run(flow(steps, bound="10s"), {"rows": splits(*parts)}, workers=workers, seed=seed)["out"]
        assert sorted((row["k"], row["v"]) for row in out.to_pylist()) == [("a", 1), ("b", 0)]


@pytest.mark.parametrize("workers", [1, 2])
def test_ties_of_a_top_go_by_the_other_columns_in_their_order_the_least_first(
    table: Any, flow: Any, workers: int
) -> None:
    """All rows are equal in what is ranked by; of the rest `k` decides, and then `v`."""

    def steps(rows: sf.Stream) -> sf.Stream:
        ranked = rows.select("k", "v", best=sf.lit(1))
        return ranked.window(sf.tumbling("10s")).top(3, by="best")

    given = [("b", 1, 5), ("a", 9, 5), ("c", 0, 5), ("a", 7, 5), ("b", 0, 5)]
    for seed in range(4):
        parts = splits(*(table([row]) for row in given))
        out = sf.testing.run(flow(steps), {"rows": parts}, workers=workers, seed=seed)["out"]
        assert [(row["k"], row["v"]) for row in out.to_pylist()] == [("a", 7), ("a", 9), ("b", 0)]
