"""Timers by processing time against plain Python: the clock in the test's hand, any cuts, workers and crashes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamflow_connectors import memory

import streamflow as sf

SCHEMA = pa.schema({"k": pa.string(), "x": pa.int64(), "at": pa.timestamp("us", "UTC")})
GAP = 10
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
Event: TypeAlias = "tuple[str, int] | int"
"""A row, or by how many microseconds the clock goes on."""

EVENTS = st.lists(st.one_of(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), st.integers(0, 25)), max_size=30)


class Packet(NamedTuple):
    k: str
    rows: int
    total: int
    since: int
    at: int


class Packets(sf.KeyedFunction):
    """The rows of a key until none came for ten microseconds of processing time."""

    rows = sf.cell(int, default=0)
    total = sf.cell(int, default=0)
    since = sf.cell(int)
    full = sf.timer("processing")

    def on_row(self, x: int) -> None:
        if self.since is None:
            self.since = (self.full.now - EPOCH) // MICROSECOND
        self.rows += 1
        self.total += x
        self.full.set(GAP * MICROSECOND)

    def on_full(self, k: str, _time: int) -> Packet:
        assert self.since is not None
        packet = Packet(k, self.rows, self.total, self.since, _time)
        del self.rows, self.total, self.since
        return packet


def flow(*, timed: bool = False) -> sf.Flow:
    made = sf.Flow("packets")
    rows = made.read("rows", memory.Source(SCHEMA.empty_table()), event_time="at" if timed else None)
    rows.key_by("k").process(Packets(), ordered=False).write("out", memory.Sink())
    return made


def given_rows(events: list[Event]) -> list[Any]:
    return [sf.testing.advance(f"{e}us") if isinstance(e, int) else {"k": e[0], "x": e[1], "at": 7} for e in events]


def expected(events: list[Event]) -> list[tuple[Any, ...]]:
    now, found = 0, list[tuple[Any, ...]]()
    open_: dict[str, tuple[int, int, int, int]] = {}  # rows, total, since, due
    for event in [*events, GAP]:
        now += event if isinstance(event, int) else 0
        for key in [key for key, packet in open_.items() if packet[3] <= now]:
            found.append((key, *open_.pop(key)))
        if not isinstance(event, int):
            rows, total, since, _ = open_.get(event[0], (0, 0, now, 0))
            open_[event[0]] = (rows + 1, total + event[1], since, now + GAP)
    return sorted(found)


@settings(max_examples=50)
@given(events=EVENTS, seed=st.integers(0, 99), workers=st.integers(1, 3), timed=st.booleans())
def test_timers_go_off_by_the_clock(events: list[Event], seed: int, workers: int, timed: bool) -> None:
    out = sf.testing.run(flow(timed=timed), {"rows": given_rows(events)}, seed=seed, workers=workers)["out"]
    assert sorted(tuple(row.values()) for row in out.to_pylist()) == expected(events)


@settings(max_examples=50)
@given(events=EVENTS, seed=st.integers(0, 10_000), workers=st.integers(1, 3))
def test_after_crashes_each_row_is_in_one_packet(events: list[Event], seed: int, workers: int) -> None:
    out = sf.testing.run(flow(), {"rows": given_rows(events)}, seed=seed, workers=workers, crashes=2)["out"]
    packets = out.to_pylist()
    for key in "abc":
        values = [event[1] for event in events if not isinstance(event, int) and event[0] == key]
        own = [packet for packet in packets if packet["k"] == key]
        assert (sum(p["rows"] for p in own), sum(p["total"] for p in own)) == (len(values), sum(values))


class Reminder(NamedTuple):
    k: str
    again: int


class Reminders(sf.KeyedFunction):
    """Two reminders after a row, unless there is another before."""

    again = sf.cell(int, default=0)
    remind = sf.timer("processing")

    def on_row(self) -> None:
        self.again = 0
        self.remind.set(timedelta(minutes=1))

    def on_remind(self, k: str) -> Reminder:
        self.again += 1
        if self.again < 2:
            self.remind.set(timedelta(minutes=1))
        return Reminder(k, self.again)


@pytest.mark.parametrize("workers", [1, 2])
def test_in_time_order_results_have_an_event_time_that_the_next_window_takes(workers: int) -> None:
    made = sf.Flow("reminders")
    rows = made.read("rows", memory.Source(SCHEMA.empty_table()), event_time="at")
    reminders = rows.key_by("k").process(Reminders())
    reminders.window(sf.tumbling("1s")).agg(n=sf.count()).write("out", memory.Sink())
    row = {"k": "a", "x": 1, "at": 7}
    given = [row, sf.testing.watermark(8), sf.testing.advance("30s"), {**row, "at": 9}, sf.testing.advance("5m")]
    results = sf.testing.run(made, {"rows": [*given, {**row, "at": 20}]}, workers=workers)
    assert results["out"].column("n").to_pylist() == [4]
    assert not any(results.late.values())


def test_timers_by_event_time_know_their_time_too() -> None:
    class Later(sf.KeyedFunction):
        later = sf.timer()

        def on_row(self) -> None:
            self.later.set(3 * MICROSECOND)

        def on_later(self, k: str, _time: int) -> Reminder:
            assert (self.later.now - EPOCH) // MICROSECOND == _time
            return Reminder(k, _time)

    made = sf.Flow("later")
    rows = made.read("rows", memory.Source(SCHEMA.empty_table()), event_time="at")
    rows.key_by("k").process(Later()).write("out", memory.Sink())
    out = sf.testing.run(made, {"rows": [{"k": "a", "x": 1, "at": 7}]})["out"]
    assert out.column("again").to_pylist() == [10]
