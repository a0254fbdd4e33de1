"""Windows that fire more than once, through whole flows: against plain Python, for any cut, worker and crash."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.testing import splits

SECOND = 1_000_000
TIME = pa.timestamp("us", "UTC")
SCHEMA = pa.schema([("k", pa.string()), ("bit", pa.int64()), ("t", TIME)])

Row = tuple[str, int]

ROWS = st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.integers(-20, 40)), max_size=12), min_size=1, max_size=3)
RUNS: dict[str, Any] = {
    "parts": ROWS,
    "seed": st.integers(0, 2**31),
    "workers": st.sampled_from([1, 2, 4]),
    "crashes": st.integers(0, 3),
}
few = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def tables(parts: list[list[Row]]) -> tuple[list[pa.Table], list[Row]]:
    """Each row has a bit of its own, so that sums tell which rows they are of."""
    made, first = [], 0
    for rows in parts:
        keys, times = [key for key, _ in rows], [time * SECOND for _, time in rows]
        bits = [1 << (first + i) for i in range(len(rows))]
        made.append(pa.table([keys, bits, pa.array(times, pa.int64()).view(TIME)], schema=SCHEMA))
        first += len(rows)
    return made, [row for rows in parts for row in rows]


def read(flow: sf.Flow) -> sf.Stream:
    watermark = sf.bounded_out_of_orderness("2s")
    return flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="t", watermark=watermark)


def bits_of(number: int) -> list[int]:
    return [place for place in range(number.bit_length()) if number >> place & 1]


@pytest.mark.parametrize("lateness", [None, "3s"])
@few
@given(**RUNS)
def test_9_panes_are_put_together_once_by_their_window(
    lateness: str | None, parts: list[list[Row]], seed: int, workers: int, crashes: int
) -> None:
    """Every row that was not late is in the one total of its window and key, and in no other."""
    flow = sf.Flow("panes")
    trigger = sf.trigger(early=2, late=2, accumulate=False)
    panes = read(flow).key_by("k").window(sf.tumbling("10s"), allowed_lateness=lateness, trigger=trigger)
    counted = panes.agg(bits=col("bit").sum())
    counted.key_by("window_start", "k").agg(bits=col("bits").sum(), panes=sf.count()).write("out", memory.Sink())
    given_tables, rows = tables(parts)
    results = sf.testing.run(flow, {"rows": splits(*given_tables)}, seed=seed, workers=workers, crashes=crashes)
    found = results["out"].to_pylist()
    assert "_change" not in results["out"].column_names
    assert max(Counter((row["window_start"], row["k"]) for row in found).values(), default=1) == 1
    seen = [(bit, row["window_start"].timestamp(), row["k"]) for row in found for bit in bits_of(row["bits"])]
    assert len(set(seen)) == len(seen) == len(rows) - sum(results.late.values())
    assert all((rows[bit][1] // 10 * 10, rows[bit][0]) == (start, key) for bit, start, key in seen)


@few
@given(**RUNS)
def test_8_what_takes_a_row_once_loses_no_late_result(
    parts: list[list[Row]], seed: int, workers: int, crashes: int
) -> None:
    flow = sf.Flow("late")
    panes = (
        read(flow).key_by("k").window(sf.tumbling("10s"), allowed_lateness="3s", trigger=sf.trigger(accumulate=False))
    )
    counted = panes.agg(bits=col("bit").sum()).step("panes")
    counted.window(sf.count_window(2)).agg(bits=col("bits").sum()).step("twos").write("out", memory.Sink())
    given_tables, rows = tables(parts)
    results = sf.testing.run(flow, {"rows": splits(*given_tables)}, seed=seed, workers=workers, crashes=crashes)
    assert results.late.get("twos", 0) == 0
    seen = [bit for row in results["out"].to_pylist() for bit in bits_of(row["bits"])]
    assert len(set(seen)) == len(seen) == len(rows) - results.late.get("panes", 0)
