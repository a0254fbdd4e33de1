"""Rule 3 through several stages: quiet splits let others go on, and cost no row that was not late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.testing import advance, splits

MINUTE = 60_000_000

Steps = st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0, 30, 90, 600]), st.integers(0, 15)), max_size=25)


def parts_of(steps: list[tuple[int, int, int]]) -> list[list[Any]]:
    """Three splits whose rows come in the order of their event times, of (split, silence, step of time) in seconds."""
    parts: list[list[Any]] = [[], [], []]
    clocks, clock, time = [0, 0, 0], 0, 0
    for row, (split, silence, passed) in enumerate(steps):
        clock, time = clock + 1 + silence, time + passed
        if clock > clocks[split]:
            parts[split].append(advance(f"{clock - clocks[split]}s"))
            clocks[split] = clock
        parts[split].append({"k": "abcd"[row % 4], "v": row, "t": time * 1_000_000})
    return parts


def hot_items(rows: sf.Stream) -> sf.Stream:
    counts = rows.key_by("k").window(sf.tumbling("10s")).agg(n=sf.count())
    return counts.key_by("window_end").top(10, by="n")


def twice(rows: sf.Stream) -> sf.Stream:
    counts = rows.key_by("k").window(sf.tumbling("10s")).agg(n=sf.count())
    return counts.window(sf.tumbling("20s")).agg(n=col("n").sum())


def sessions_again(rows: sf.Stream) -> sf.Stream:
    counts = rows.key_by("k").window(sf.session("10s")).agg(n=sf.count())
    return counts.key_by("k").window(sf.tumbling("20s")).agg(n=col("n").sum())


def beside_itself(rows: sf.Stream) -> sf.Stream:
    counts = rows.key_by("k").window(sf.tumbling("10s")).agg(n=sf.count())
    both = rows.select("k", n=sf.lit(1)).union(counts.select("k", "n"))
    return both.key_by("k").window(sf.tumbling("20s")).agg(n=col("n").sum())


@pytest.mark.parametrize("steps", [hot_items, twice, sessions_again, beside_itself], ids=lambda steps: steps.__name__)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(timeline=Steps, seed=st.integers(0, 2**31), workers=st.sampled_from([1, 2, 3]), crashes=st.integers(0, 2))
def test_3_rows_in_the_order_of_time_are_never_late_however_quiet_some_splits_are(
    flow: Callable[..., sf.Flow],
    steps: Callable[[sf.Stream], sf.Stream],
    timeline: list[tuple[int, int, int]],
    seed: int,
    workers: int,
    crashes: int,
) -> None:
    given = {"rows": splits(*parts_of(timeline))}
    results = sf.testing.run(flow(steps, idle="1m"), given, seed=seed, workers=workers, crashes=crashes)
    assert results.late == {}
    each = 2 if steps is beside_itself else 1
    assert sum(results["out"].column("n").to_pylist()) == each * len(timeline)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_3_a_quiet_read_does_not_hold_another_beside_it_not_even_behind_an_exchange(workers: int) -> None:
    """The windows of the busy read fire before it ends, although the other one, which waits for an hour, is at 0."""
    made = sf.Flow("f")
    schema = pa.schema([("k", pa.string()), ("t", pa.timestamp("us", "UTC"))])
    late = sf.bounded_out_of_orderness("0s", idle="1m")
    quiet, busy = (
        made.read(name, memory.Source(schema.empty_table()), event_time="t", watermark=late)
        for name in ("quiet", "busy")
    )
    counts = quiet.key_by("k").window(sf.tumbling("10s")).agg(n=sf.count()).select("k")
    counts.union(busy.select("k")).window(sf.tumbling("10s")).agg(n=sf.count()).step("both").write("out", memory.Sink())
    for seed in range(10):
        given = {
            "quiet": [{"k": "q", "t": 0}, advance("1h"), {"k": "q", "t": 500_000_000}],
            "busy": [
                *[{"k": "b", "t": 0}, advance("10m"), {"k": "b", "t": 100_000_000}],
                *[advance("10m"), {"k": "b", "t": 0}],
            ],
        }
        results = sf.testing.run(made, given, seed=seed, workers=workers)
        assert results.late.get("both", 0) >= 1
