"""Rule 6 with late rows: every (row, window) pair is either in a result or late, whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
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
Times: TypeAlias = "npt.NDArray[np.int64]"


def pairs(size: int, every: int) -> Callable[[int], list[int]]:
    """The starts of the windows that a row at this time is in, in seconds."""

    def starts(time: int) -> list[int]:
        last = time // every * every
        return [start for start in range(last, time - size, -every) if start <= time < start + size]

    return starts


@dataclass(frozen=True)
class Overlapping:
    """Windows of twelve seconds every six, by an assigner."""

    def assign(self, times: Times) -> tuple[Times, Times, Times]:
        rows = np.repeat(np.arange(len(times)), 2)
        starts = times[rows] // (6 * SECOND) * (6 * SECOND) - np.tile([6 * SECOND, 0], len(times))
        return rows, starts, starts + 12 * SECOND


CASES: dict[str, tuple[Any, Callable[[int], list[int]], str]] = {
    "tumbling by key": (sf.tumbling("10s"), pairs(10, 10), "k"),
    "tumbling": (sf.tumbling("10s"), pairs(10, 10), ""),
    "sliding by key": (sf.sliding("10s", every="2s"), pairs(10, 2), "k"),
    "sliding uneven": (sf.sliding("10s", every="4s"), pairs(10, 4), "k"),
    "sliding without a key": (sf.sliding("10s", every="3s"), pairs(10, 3), ""),
    "sliding with gaps": (sf.sliding("4s", every="10s"), pairs(4, 10), "k"),
    "cumulative": (sf.cumulative("12s", step="4s"), lambda time: list(range(time % 12 // 4, 3)), "k"),
    "days in a time zone": (sf.tumbling("1d", tz="Europe/Berlin"), lambda time: [0], "k"),
    "many slices": (sf.sliding("100s", every="1s"), pairs(100, 1), "k"),
    "own windows": (Overlapping(), lambda time: [(time // 6 - 1) * 6, time // 6 * 6], "k"),
    "own windows without a key": (Overlapping(), lambda time: [(time // 6 - 1) * 6, time // 6 * 6], ""),
    "sessions by key": (sf.session("3s"), lambda time: [time], "k"),
    "sessions": (sf.session("2s"), lambda time: [time], ""),
}


def table(rows: list[Row], first: int) -> pa.Table:
    """Each row has a bit of its own, so that sums tell which rows they are of."""
    keys, times = [key for key, _ in rows], [time * SECOND for _, time in rows]
    bits = [1 << (first + i) for i in range(len(rows))]
    return pa.table([keys, bits, pa.array(times, pa.int64()).view(TIME)], schema=SCHEMA)


def run(
    window: Any, key: str, how: str, given: list[list[Row]], seed: int, workers: int, crashes: int
) -> sf.testing.Results:
    flow = sf.Flow("late")
    watermark = sf.bounded_out_of_orderness("2s")
    rows = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="t", watermark=watermark)
    windowed = (rows.key_by(key) if key else rows).window(window)
    result = windowed.agg(n=sf.count(), bits=col("bit").sum()) if how == "agg" else windowed.top(60, by="bit")
    result.write("out", memory.Sink())
    tables, first = [], 0
    for part in given:
        tables.append(table(part, first))
        first += len(part)
    return sf.testing.run(flow, {"rows": splits(*tables)}, seed=seed, workers=workers, crashes=crashes)


ROWS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(-20, 40)), max_size=15)


@pytest.mark.parametrize("how", ["agg", "top"])
@pytest.mark.parametrize("name", CASES)
@settings(max_examples=7, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    parts=st.lists(ROWS, min_size=1, max_size=4),
    seed=st.integers(0, 2**31),
    workers=st.sampled_from([1, 2, 3, 7]),
    crashes=st.integers(0, 3),
)
def test_6_every_pair_is_in_a_result_or_late(
    name: str, how: str, parts: list[list[Row]], seed: int, workers: int, crashes: int
) -> None:
    window, starts, key = CASES[name]
    results = run(window, key, how, parts, seed, workers, crashes)
    out = results["out"].to_pylist()
    late = sum(results.late.values())
    rows = [row for part in parts for row in part]
    expected = sum(len(starts(time)) for _, time in rows)
    counted = sum(row["n"] for row in out) if how == "agg" else len(out)
    assert counted + late == expected
    _no_row_twice(out, rows, key, how)


def _no_row_twice(out: list[dict[str, Any]], rows: list[Row], key: str, how: str) -> None:
    """A row stands at most once in each window, in one that holds its time, under its key."""
    seen: set[tuple[Any, ...]] = set()
    for row in out:
        start, end = (row[name].timestamp() for name in ("window_start", "window_end"))
        of_row = [i for i in range(len(rows)) if row["bits" if how == "agg" else "bit"] >> i & 1]
        assert how == "top" or len(of_row) == row["n"]
        for i in of_row:
            assert start <= rows[i][1] < end
            assert not key or rows[i][0] == row["k"]
            assert (i, start, end) not in seen
            seen.add((i, start, end))


def late_flow(window: Any, key: str, how: str, firing: dict[str, Any]) -> sf.Flow:
    """Results into `out`, late rows into `late`."""
    flow = sf.Flow("late")
    watermark = sf.bounded_out_of_orderness("2s")
    rows = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="t", watermark=watermark)
    windowed = (rows.key_by(key) if key else rows).window(window, **firing)
    result = windowed.agg(n=sf.count(), bits=col("bit").sum()) if how == "agg" else windowed.top(60, by="bit")
    result.write("out", memory.Sink())
    result.late().write("late", memory.Sink())
    return flow


FIRINGS: dict[str, dict[str, Any]] = {
    "on time": {},
    "late": {"allowed_lateness": "3s"},
    "late and early": {"allowed_lateness": "5s", "trigger": sf.trigger(early=2, late=2)},
    "panes": {"allowed_lateness": "5s", "trigger": sf.trigger(early=2, late=2, accumulate=False)},
}


@pytest.mark.parametrize("firing", FIRINGS)
@pytest.mark.parametrize("name", CASES)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    parts=st.lists(ROWS, min_size=1, max_size=4),
    seed=st.integers(0, 2**31),
    workers=st.sampled_from([1, 2, 3, 7]),
    crashes=st.integers(0, 3),
    top=st.booleans(),
)
def test_6_every_pair_is_in_the_results_or_in_the_late_output(
    name: str, firing: str, parts: list[list[Row]], seed: int, workers: int, crashes: int, top: bool
) -> None:
    window, starts, key = CASES[name]
    how = "top" if top else "agg"
    given, first = [], 0
    for part in parts:
        given.append(table(part, first))
        first += len(part)
    flow = late_flow(window, key, how, FIRINGS[firing])
    results = sf.testing.run(flow, {"rows": splits(*given)}, seed=seed, workers=workers, crashes=crashes)
    rows = [row for part in parts for row in part]
    out = (final(results["out"]) if "_change" in results["out"].column_names else results["out"]).to_pylist()
    late = results["late"].to_pylist()
    assert len(late) == sum(results.late.values())

    seen: list[tuple[int, float, float]] = []
    for row in out:
        bits = row["bits" if how == "agg" else "bit"]
        seen += [(i, *_bounds(row)) for i in range(len(rows)) if bits >> i & 1]
    in_results = len(seen)
    seen += [(row["bit"].bit_length() - 1, *_bounds(row)) for row in late]
    assert len(seen) == len(set(seen)) == sum(len(starts(time)) for _, time in rows)
    assert how == "top" or in_results == sum(row["n"] for row in out)
    assert all(start <= rows[i][1] < end for i, start, end in seen)


def _bounds(row: dict[str, Any]) -> tuple[float, float]:
    return row["window_start"].timestamp(), row["window_end"].timestamp()


@pytest.mark.parametrize("name", [name for name in CASES if "session" not in name and "own" not in name])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    parts=st.lists(ROWS, min_size=1, max_size=4),
    seed=st.integers(0, 2**31),
    workers=st.sampled_from([1, 2, 3, 4]),
    crashes=st.integers(0, 3),
    top=st.booleans(),
)
def test_14_every_pair_is_in_the_results_or_counted_as_late_where_partials_refine_windows(
    name: str, parts: list[list[Row]], seed: int, workers: int, crashes: int, top: bool
) -> None:
    """Nobody reads the late rows, so that with several workers only partials are exchanged."""
    window, starts, key = CASES[name]
    flow = sf.Flow("late")
    watermark = sf.bounded_out_of_orderness("2s")
    read = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="t", watermark=watermark)
    windowed = (read.key_by(key) if key else read).window(window, allowed_lateness="4s")
    result = windowed.top(60, by="bit") if top else windowed.agg(n=sf.count(), bits=col("bit").sum())
    result.write("out", memory.Sink())
    given, first = [], 0
    for part in parts:
        given.append(table(part, first))
        first += len(part)
    results = sf.testing.run(flow, {"rows": splits(*given)}, seed=seed, workers=workers, crashes=crashes)
    rows = [row for part in parts for row in part]
    out = final(results["out"]).to_pylist()
    _no_row_twice(out, rows, key, "top" if top else "agg")
    counted = len(out) if top else sum(row["n"] for row in out)
    assert counted + sum(results.late.values()) == sum(len(starts(time)) for _, time in rows)


@pytest.mark.parametrize("lateness", [None, "5s"])
def test_14_a_late_partial_counts_as_its_rows(lateness: str | None) -> None:
    """Both workers' watermarks are far ahead when a batch of three rows of one key and slice comes."""
    flow = sf.Flow("late")
    rows = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="t")
    counts = rows.key_by("k").window(sf.tumbling("10s"), allowed_lateness=lateness).agg(n=sf.count())
    counts.write("out", memory.Sink())
    given = [table([("a", time) for time in (100, 1, 1, 1)], 0), table([("a", 100)], 4)]
    for seed in range(10):
        results = sf.testing.run(flow, {"rows": splits(*given)}, workers=2, seed=seed)
        counted = final(results["out"]) if lateness else results["out"]
        assert sum(results.late.values()) + sum(counted["n"].to_pylist()) == 5


def test_6_late_rows_carry_the_bounds_of_the_windows_whose_lateness_was_over() -> None:
    """By the row at 13 s the window from 0 to 10 s is over, with its three seconds; a microsecond earlier it is not."""
    for last, late in ((13 * SECOND - 1, []), (13 * SECOND, [(0, 10)])):
        flow = sf.Flow("late")
        rows = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="t")
        counts = rows.key_by("k").window(sf.tumbling("10s"), allowed_lateness="3s").agg(n=sf.count())
        counts.write("out", memory.Sink())
        counts.late().write("late", memory.Sink())
        given = [{"k": "a", "bit": 0, "t": time} for time in (1, last, 2)]
        results = sf.testing.run(flow, {"rows": [piece for row in given for piece in (row, sf.testing.advance("0s"))]})
        assert [_bounds(row) for row in results["late"].to_pylist()] == late
        assert sum(row["n"] for row in final(results["out"]).to_pylist()) == 3 - len(late)


def test_8_a_window_takes_all_that_those_upstream_send_late() -> None:
    """Panes that the first window sends late are in time for the second, which was not asked to wait."""
    flow = sf.Flow("late")
    rows = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="t")
    trigger = sf.trigger(accumulate=False)
    panes = rows.key_by("k").window(sf.tumbling("10s"), allowed_lateness="5s", trigger=trigger).agg(n=sf.count())
    plain = panes.select("k", "n")
    plain.window(sf.tumbling("10s")).agg(n=col("n").sum()).write("out", memory.Sink())
    given = [{"k": "a", "bit": 0, "t": time * SECOND} for time in (1, 12, 2, 14, 3, 15, 4)]
    pieces = [piece for row in given for piece in (row, sf.testing.advance("0s"))]
    results = sf.testing.run(flow, {"rows": pieces})
    assert [row["n"] for row in final(results["out"]).to_pylist()] == [3, 3]
    assert results.late == {"rows.tumbling": 1}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    parts=st.lists(ROWS, min_size=1, max_size=4),
    seed=st.integers(0, 2**31),
    workers=st.sampled_from([1, 2, 3, 7]),
    crashes=st.integers(0, 3),
)
def test_6_sessions_are_the_batch_answer_over_the_rows_that_were_not_late(
    parts: list[list[Row]], seed: int, workers: int, crashes: int
) -> None:
    """The rows of a result are known by their bits; those of one key must not touch those of its other sessions."""
    results = run(sf.session("3s"), "k", "agg", parts, seed, workers, crashes)
    rows = [row for part in parts for row in part]
    for row in results["out"].to_pylist():
        times = sorted(rows[i][1] for i in range(len(rows)) if row["bits"] >> i & 1)
        assert all(later - earlier < 3 for earlier, later in pairwise(times)), "one session"
        assert (row["window_start"].timestamp(), row["window_end"].timestamp()) == (times[0], times[-1] + 3)
