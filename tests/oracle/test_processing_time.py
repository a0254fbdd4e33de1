"""Windows by processing time against the naive ones, with the clock in the test's hand: any cuts, any workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.kernels.arrays import Int64s
from streamflow.testing import naive

SCHEMA = pa.schema({"k": pa.string(), "x": pa.int64()})
END = 1 << 60
Event: TypeAlias = "tuple[str, int] | int"
"""A row, or by how many microseconds the clock goes on."""

EVENTS = st.lists(st.one_of(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), st.integers(0, 25)), max_size=30)


def given_rows(events: list[Event]) -> list[Any]:
    return [sf.testing.advance(f"{e}us") if isinstance(e, int) else {"k": e[0], "x": e[1]} for e in events]


def flow(window: Any, **options: Any) -> sf.Flow:
    made = sf.Flow("clocked")
    rows = made.read("rows", memory.Source(SCHEMA.empty_table()))
    rows.key_by("k").window(window, **options).agg(n=sf.count(), x=col("x").sum()).write("out", memory.Sink())
    return made


def results(table: pa.Table) -> list[tuple[Any, ...]]:
    columns = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in table.columns]
    return sorted(zip(*(column.to_pylist() for column in columns), strict=True))


def arrivals(events: list[Event]) -> list[tuple[str, int, int]]:
    """The rows with the time of the clock when they come."""
    now, found = 0, []
    for event in events:
        if isinstance(event, int):
            now += event
        else:
            found.append((event[0], now, event[1]))
    return found


def expected_windows(events: list[Event], size: int, every: int) -> list[tuple[Any, ...]]:
    def windows_of(time: int) -> list[naive.Bounds]:
        last = time // every * every
        return [(start, start + size) for start in range(last, time - size, -every)]

    windows = naive.Windows(windows_of)
    for key, now, value in arrivals(events):
        windows.run([naive.Watermark(now), naive.Row(key, now, value)])
    windows.run([naive.Watermark(END)])
    assert not windows.late_rows
    return sorted((pane.key, *pane.bounds, len(pane.values), sum(pane.values)) for pane in windows.panes)


def expected_sessions(events: list[Event], gap: int) -> list[tuple[Any, ...]]:
    sessions: dict[str, list[list[int]]] = {}
    for key, now, value in arrivals(events):
        own = sessions.setdefault(key, [])
        if own and now < own[-1][1]:
            own[-1] = [own[-1][0], now + gap, own[-1][2] + 1, own[-1][3] + value]
        else:
            own.append([now, now + gap, 1, value])
    return sorted((key, *one) for key, own in sessions.items() for one in own)


@settings(max_examples=40)
@given(events=EVENTS, seed=st.integers(0, 99), workers=st.integers(1, 3))
def test_windows_hold_the_rows_that_come_while_the_clock_is_in_them(
    events: list[Event], seed: int, workers: int
) -> None:
    for size, every in ((10, 10), (10, 4)):
        window = sf.sliding(f"{size}us", every=f"{every}us", time="processing")
        out = sf.testing.run(flow(window), {"rows": given_rows(events)}, seed=seed, workers=workers)["out"]
        assert results(out) == expected_windows(events, size, every)


@settings(max_examples=40)
@given(events=EVENTS, seed=st.integers(0, 99), workers=st.integers(1, 3))
@example(events=[("a", 1), 5, ("b", 1), 5, ("b", 2), 40], seed=0, workers=1)  # b goes on though it was due
def test_sessions_end_when_the_clock_has_gone_on_without_a_row(events: list[Event], seed: int, workers: int) -> None:
    window = sf.session("10us", time="processing")
    out = sf.testing.run(flow(window), {"rows": given_rows(events)}, seed=seed, workers=workers)["out"]
    assert results(out) == expected_sessions(events, 10)


@settings(max_examples=60)
@given(events=EVENTS, seed=st.integers(0, 10_000), workers=st.integers(1, 3))
def test_after_crashes_each_row_counts_once_and_no_window_fires_again(
    events: list[Event], seed: int, workers: int
) -> None:
    """Rows that are read again come later, by the clock: so windows may differ, and what is in them all may not."""
    window = sf.tumbling("10us", time="processing")
    out = sf.testing.run(flow(window), {"rows": given_rows(events)}, seed=seed, workers=workers, crashes=2)
    found = results(out["out"])
    assert len({row[:2] for row in found}) == len(found)
    for key in "abc":
        values = [value for own, _, value in arrivals(events) if own == key]
        assert sum(row[3] for row in found if row[0] == key) == len(values)
        assert sum(row[4] for row in found if row[0] == key) == sum(values)
    assert not out.late


@pytest.mark.parametrize("workers", [1, 3])
def test_first_and_last_still_go_by_event_time(workers: int) -> None:
    schema = pa.schema([*SCHEMA, ("at", pa.timestamp("us", "UTC"))])
    made = sf.Flow("clocked")
    rows = made.read("rows", memory.Source(schema.empty_table()), event_time="at")
    windows = rows.key_by("k").window(sf.tumbling("10us", time="processing"))
    windows.agg(first=col("x").first(), all=col("x").list(), least=col("_time").min()).write("out", memory.Sink())
    given = [{"k": "a", "x": 1, "at": 700}, {"k": "a", "x": 2, "at": 300}, {"k": "a", "x": 3, "at": 500}]
    (row,) = sf.testing.run(made, {"rows": given}, workers=workers)["out"].drop("window_start").to_pylist()
    assert (row["first"], row["all"], row["least"].microsecond) == (2, [2, 3, 1], 300)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_top_of_a_window_by_processing_time(workers: int) -> None:
    made = sf.Flow("clocked")
    rows = made.read("rows", memory.Source(SCHEMA.empty_table()))
    rows.window(sf.tumbling("10us", time="processing")).top(1, by="x").write("out", memory.Sink())
    events: list[Event] = [("a", 1), ("b", 5), 9, ("a", 7), 1, ("c", 2), 40, ("a", 1)]
    out = sf.testing.run(made, {"rows": given_rows(events)}, workers=workers)["out"]
    assert out.schema.names == ["window_start", "window_end", "k", "x"]
    assert results(out) == [(0, 10, "a", 7), (10, 20, "c", 2), (50, 60, "a", 1)]


def test_early_panes_of_a_window_by_processing_time() -> None:
    options = {"trigger": sf.trigger(early=2, accumulate=False)}
    events: list[Event] = [("a", 1), ("a", 2), ("a", 3), 10, ("a", 4)]
    out = sf.testing.run(flow(sf.tumbling("10us", time="processing"), **options), {"rows": given_rows(events)})["out"]
    assert results(out) == [("a", 0, 10, 1, 3), ("a", 0, 10, 2, 3), ("a", 10, 20, 1, 4)]


def expected_panes(events: list[Event], delay: int, size: int | None) -> list[tuple[Any, ...]]:
    """Of panes that discard, each sent so long after its first row: in windows of the clock, or (None) in one."""

    def windows_of(time: int) -> list[naive.Bounds]:
        return [(0, END)] if size is None else [(time // size * size, time // size * size + size)]

    windows = naive.Windows(windows_of, accumulate=False, early_after=delay)
    for key, now, value in arrivals(events):
        on_time = [] if size is None else [naive.Watermark(now)]
        windows.run([naive.Clock(now), *on_time, naive.Row(key, now, value)])
    windows.run([naive.Clock(END), naive.Watermark(END)])
    bounds = [() if size is None else pane.bounds for pane in windows.panes]
    both = zip(windows.panes, bounds, strict=True)
    return sorted((pane.key, *own, len(pane.values), sum(pane.values)) for pane, own in both)


@settings(max_examples=40)
@given(events=EVENTS, seed=st.integers(0, 99), workers=st.integers(1, 3), delay=st.integers(1, 12))
def test_panes_are_sent_some_time_after_their_first_row(
    events: list[Event], seed: int, workers: int, delay: int
) -> None:
    trigger = sf.trigger(early=f"{delay}us", accumulate=False)
    for window, size in ((sf.global_window(), None), (sf.tumbling("10us", time="processing"), 10)):
        out = sf.testing.run(flow(window, trigger=trigger), {"rows": given_rows(events)}, seed=seed, workers=workers)
        assert results(out["out"]) == expected_panes(events, delay, size)


@settings(max_examples=40)
@given(events=EVENTS, seed=st.integers(0, 99), workers=st.integers(1, 3), delay=st.integers(1, 25))
def test_panes_of_sessions_are_sent_some_time_after_their_first_row(
    events: list[Event], seed: int, workers: int, delay: int
) -> None:
    window, trigger = sf.session("10us", time="processing"), sf.trigger(early=f"{delay}us", accumulate=False)
    out = sf.testing.run(flow(window, trigger=trigger), {"rows": given_rows(events)}, seed=seed, workers=workers)["out"]
    sessions = naive.Sessions(10, accumulate=False, early_after=delay)
    for key, now, value in arrivals(events):
        sessions.run([naive.Clock(now), naive.Watermark(now), naive.Row(key, now, value)])
    sessions.run([naive.Clock(END), naive.Watermark(END)])
    assert results(out) == sorted((p.key, *p.bounds, len(p.values), sum(p.values)) for p in sessions.panes)


@settings(max_examples=40)
@given(events=EVENTS, seed=st.integers(0, 10_000), workers=st.integers(1, 3), accumulate=st.booleans())
def test_after_crashes_each_row_is_in_one_pane(events: list[Event], seed: int, workers: int, accumulate: bool) -> None:
    trigger = sf.trigger(early="7us", accumulate=accumulate)
    for window in (sf.global_window(), sf.session("10us", time="processing")):
        made = flow(window, trigger=trigger)
        out = sf.testing.run(made, {"rows": given_rows(events)}, seed=seed, workers=workers, crashes=2)["out"]
        found = results(sf.testing.final(out) if accumulate else out)
        for key in "abc":
            values = [value for own, _, value in arrivals(events) if own == key]
            own = [row for row in found if row[0] == key]
            assert (sum(row[-2] for row in own), sum(row[-1] for row in own)) == (len(values), sum(values))


@pytest.mark.parametrize("window", [sf.tumbling("100us"), sf.session("50us")])
@pytest.mark.parametrize("workers", [1, 2])
def test_windows_of_event_time_fire_by_the_clock_before_their_end_and_after_it(workers: int, window: Any) -> None:
    schema = pa.schema([*SCHEMA, ("at", pa.timestamp("us", "UTC"))])
    made = sf.Flow("clocked")
    rows = made.read("rows", memory.Source(schema.empty_table()), event_time="at")
    trigger = sf.trigger(early="1m", late="10s", accumulate=False)
    windows = rows.key_by("k").window(window, allowed_lateness="1s", trigger=trigger)
    windows.agg(n=sf.count(), x=col("x").sum()).write("out", memory.Sink())

    def row(x: int) -> dict[str, Any]:
        return {"k": "a", "x": x, "at": 50}

    given = [
        *(row(1), sf.testing.advance("59s"), row(2), sf.testing.advance("1s"), row(4)),
        *(sf.testing.watermark(100), sf.testing.advance("1s"), row(8), sf.testing.advance("9s"), row(16)),
        *(sf.testing.advance("1s"), row(32), sf.testing.advance("1m")),
    ]
    out = sf.testing.run(made, {"rows": given}, workers=workers)["out"]
    assert sorted(row[-2:] for row in results(out)) == [(1, 4), (1, 32), (2, 3), (2, 24)]


class Product:
    partials = {"total": pa.int64()}  # noqa: RUF012
    result = pa.int64()

    def partial(self, ids: Int64s, count: int, values: pa.Array) -> dict[str, Any]:
        if values.null_count:
            raise ValueError("a product takes no null")
        total = np.ones(count, np.int64)
        np.multiply.at(total, ids, values.to_numpy())
        return {"total": total}

    def merge(self, ids: Int64s, count: int, partials: Mapping[str, pa.Array]) -> dict[str, Any]:
        return self.partial(ids, count, partials["total"])

    def finish(self, partials: Mapping[str, pa.Array]) -> pa.Array:
        return partials["total"]


@pytest.mark.parametrize("window", [sf.global_window(), sf.session("1m", time="processing")])
def test_panes_fire_by_the_clock_also_where_rows_may_be_skipped(window: Any) -> None:
    made = sf.Flow("clocked", on_error="skip")
    rows = made.read("rows", memory.Source(SCHEMA.empty_table()))
    windows = rows.window(window, trigger=sf.trigger(early="7us", accumulate=False))
    windows.agg(x=sf.aggregate(Product(), "x")).write("out", memory.Sink())
    given = [{"k": "a", "x": 2}, {"k": "a", "x": None}, sf.testing.advance("7us"), {"k": "a", "x": 3}]
    out = sf.testing.run(made, {"rows": given})["out"]
    assert sorted(out["x"].to_pylist()) == [2, 3]
