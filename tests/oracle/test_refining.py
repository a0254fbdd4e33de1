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
from streamflow.testing import final, splits

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


FIRINGS: dict[str, dict[str, Any]] = {
    "late": {"allowed_lateness": "3s"},
    "early": {"trigger": sf.trigger(early=2)},
    "both": {"allowed_lateness": "5s", "trigger": sf.trigger(early=3, late=2)},
}


def run(flow: sf.Flow, parts: list[list[Row]], seed: int, workers: int, crashes: int) -> sf.testing.Results:
    given_tables, _ = tables(parts)
    return sf.testing.run(flow, {"rows": splits(*given_tables)}, seed=seed, workers=workers, crashes=crashes)


@pytest.mark.parametrize("key", ["k", ""])
@pytest.mark.parametrize("firing", FIRINGS)
@few
@given(**RUNS)
def test_a_top_that_refines_is_that_of_the_rows_that_were_not_late(
    firing: str, key: str, parts: list[list[Row]], seed: int, workers: int, crashes: int
) -> None:
    """By the key, descending, which ties; these go by the bit. Each rank stands once."""
    flow = sf.Flow("tops")
    rows = read(flow)
    windowed = (rows.key_by(key) if key else rows).window(sf.sliding("10s", every="5s"), **FIRINGS[firing])
    top = windowed.top(2, by="k" if not key else col("bit"))
    top.write("out", memory.Sink())
    top.late().write("late", memory.Sink())
    results = run(flow, parts, seed, workers, crashes)
    _, every = tables(parts)
    late = {(row["bit"].bit_length() - 1, row["window_start"].timestamp()) for row in results["late"].to_pylist()}
    assert len(late) == sum(results.late.values()) == results["late"].num_rows
    groups: dict[tuple[float, str], list[int]] = {}
    for bit, (k, time) in enumerate(every):
        for start in (time // 5 * 5 - 5, time // 5 * 5):
            if (bit, start) not in late:
                groups.setdefault((start, k if key else ""), []).append(bit)
    wanted = {
        (start, k, rank): bit
        for (start, k), bits in groups.items()
        for rank, bit in enumerate(sorted(bits, key=lambda b: -b if key else (-ord(every[b][0]), b))[:2], 1)
    }
    found = {
        (row["window_start"].timestamp(), row["k"] if key else "", row["rank"]): row["bit"].bit_length() - 1
        for row in final(results["out"]).to_pylist()
    }
    assert found == wanted


@few
@given(**RUNS)
def test_panes_of_a_top_that_discards_hold_each_row_once(
    parts: list[list[Row]], seed: int, workers: int, crashes: int
) -> None:
    flow = sf.Flow("tops")
    trigger = sf.trigger(early=3, accumulate=False)
    top = read(flow).key_by("k").window(sf.tumbling("10s"), trigger=trigger).top(3, by="bit")
    top.write("out", memory.Sink())
    results = run(flow, parts, seed, workers, crashes)
    assert "rank" not in results["out"].column_names
    bits = results["out"]["bit"].to_pylist()
    assert len(set(bits)) == len(bits) == sum(map(len, parts)) - sum(results.late.values())


@pytest.mark.parametrize("accumulate", [None, True, False])
@few
@given(**RUNS)
def test_a_top_of_all_rows(
    accumulate: bool | None, parts: list[list[Row]], seed: int, workers: int, crashes: int
) -> None:
    flow = sf.Flow("tops")
    trigger = None if accumulate is None else sf.trigger(early=2, accumulate=accumulate)
    top = read(flow).key_by("k").window(sf.global_window(), trigger=trigger).top(3, by=col("t").asc())
    top.write("out", memory.Sink())
    results = run(flow, parts, seed, workers, crashes)["out"]
    _, every = tables(parts)
    order = sorted(range(len(every)), key=lambda bit: (every[bit][1], bit))
    wanted = {(k, bit) for k in "ab" for bit in [b for b in order if every[b][0] == k][:3]}
    if accumulate:
        results = final(results)
    found = [(row["k"], row["bit"].bit_length() - 1) for row in results.to_pylist()]
    assert len(set(found)) == len(found)
    assert set(found) >= wanted if accumulate is False else set(found) == wanted


@few
@given(
    **{
        **RUNS,
        "parts": st.lists(
            st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60)), max_size=12), max_size=1, min_size=1
        ),
    }
)
def test_a_top_of_every_four_rows(parts: list[list[Row]], seed: int, workers: int, crashes: int) -> None:
    flow = sf.Flow("tops")
    in_order = [sorted(parts[0], key=lambda row: row[1])]
    read(flow).key_by("k").window(sf.count_window(4)).top(1, by=col("bit")).write("out", memory.Sink())
    results = run(flow, in_order, seed, workers, crashes)["out"]
    wanted = []
    for key in "ab":
        bits = [bit for bit, row in enumerate(in_order[0]) if row[0] == key]
        wanted += [(key, bits[min(start + 3, len(bits) - 1)]) for start in range(0, len(bits), 4)]
    assert sorted((row["k"], row["bit"].bit_length() - 1) for row in results.to_pylist()) == sorted(wanted)


@few
@given(**RUNS)
def test_a_top_of_sessions_that_merge(parts: list[list[Row]], seed: int, workers: int, crashes: int) -> None:
    """No row is late, but sessions fire early, and merge."""
    flow = sf.Flow("tops")
    watermark = sf.bounded_out_of_orderness("100s")
    rows = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="t", watermark=watermark)
    sessions = rows.key_by("k").window(sf.session("4s"), trigger=sf.trigger(early=2))
    sessions.top(2, by=col("bit").asc()).write("out", memory.Sink())
    results = run(flow, parts, seed, workers, crashes)["out"]
    _, every = tables(parts)
    wanted = set()
    for key in "ab":
        open_: list[int] = []
        for bit in [*sorted((b for b in range(len(every)) if every[b][0] == key), key=lambda b: every[b][1]), None]:
            if open_ and (bit is None or every[bit][1] - every[open_[-1]][1] >= 4):
                start, end = every[open_[0]][1], every[open_[-1]][1] + 4
                wanted |= {(key, start, end, rank, b) for rank, b in enumerate(sorted(open_)[:2], 1)}
                open_ = []
            open_ += [] if bit is None else [bit]
    found = [
        (
            row["k"],
            row["window_start"].timestamp(),
            row["window_end"].timestamp(),
            row["rank"],
            row["bit"].bit_length() - 1,
        )
        for row in final(results).to_pylist()
    ]
    assert len(found) == len(set(found))
    assert set(found) == wanted
