"""Keyed functions equal a naive interpreter: every key's rows sorted by time, its timers looked at between two of them.

The interpreter is plain Python over all rows at once. No row is late here, so the results must not depend on cuts,
splits, workers, crashes or restores (rule 12).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamflow_connectors import memory

import streamflow as sf
from streamflow.cluster.checkpoint import Checkpoint
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise
from streamflow.runners.inline import InlineJob
from streamflow.testing import assert_rows, naive, splits

SECOND = 1_000_000
BOUND = 5 * SECOND
SCHEMA = pa.schema([("s", pa.string()), ("f", pa.float64()), ("x", pa.int64()), ("t", pa.timestamp("us", "UTC"))])
STRINGS = [None, "", "a", "ä€𝄞"]
FLOATS = [None, 0.0, -0.0, math.nan, 1.5]

Row = dict[str, Any]


class Told(NamedTuple):
    s: str | None
    f: float | None
    what: str
    at: int
    total: int | None
    recent: list[int]
    seen: int
    lately: list[int]
    counts: list[str]


class Watch(sf.KeyedFunction):
    """Something of everything: cells of each kind, two timers that meet, are moved, cleared, and set in the past."""

    total = sf.cell(int, ttl="3s")
    recent = sf.list_cell(int)
    seen = sf.map_cell(int, int)
    lately = sf.list_cell(int, ttl="3s")
    counts = sf.map_cell(int, int, ttl="1us")
    quiet = sf.timer()
    tick = sf.timer()

    def __init__(self, keep: int) -> None:
        self.keep = keep

    def told(self, s: str | None, f: float | None, what: str, at: int, x: int = 0) -> Told:
        counts = [f"{key}: {count}" for key, count in self.counts.items()]
        return Told(s, f, what, at, self.total, list(self.recent), self.seen.get(x, 0), list(self.lately), counts)

    def on_row(self, s: str | None, f: float | None, x: int, _time: int) -> Iterator[Told]:
        self.total = (self.total or 0) + x
        self.recent = [*self.recent, x][-self.keep :]
        self.seen[x] = self.seen.get(x, 0) + 1
        if x < 6:
            self.lately.append(x)
        elif x == 7:
            self.lately += [x]
        self.counts[x] = self.counts.get(x, 0) + 1
        if x % 2 == 0:
            self.quiet.set(_time + 2 * SECOND)
        if x % 3 == 0:
            self.tick.set(_time + 2 * SECOND if x % 2 else _time - SECOND)
        if x == 5:
            self.quiet.clear()
            del self.total
        if x != 1:
            yield self.told(s, f, "row", _time, x)

    def on_quiet(self, s: str | None, f: float | None, _time: int) -> list[Told]:
        self.tick.set(_time)
        self.recent.append(-1)
        if self.lately:
            self.lately = self.lately[1:]
        return [self.told(s, f, "quiet", _time), self.told(s, f, "again", _time)]

    def on_tick(self, s: str | None, f: float | None, _time: int) -> Told | None:
        if len(self.recent) > 4:
            self.recent.clear()
            return None
        if self.quiet.time is None and len(self.recent) == 3:
            self.quiet.set(_time + 1)
        self.seen = {}
        return self.told(s, f, "tick", _time)


def told(rows: list[Row], keep: int) -> list[Row]:
    """What `Watch` must give."""
    return [record._asdict() for _, record in naive.process(Watch(keep), rows, ["s", "f"], time="t")]


@st.composite
def split_rows(draw: st.DrawFn, start: int) -> list[Row]:
    """Rows of one split in arrival order: never more than BOUND behind the greatest time before them."""
    rows: list[Row] = []
    greatest = start
    for _ in range(draw(st.integers(0, 25))):
        step = draw(st.sampled_from([0, 1, -1, SECOND, 2 * SECOND, 3 * SECOND, 11 * SECOND, -SECOND, -BOUND]))
        time = max(greatest + step, greatest - BOUND)
        greatest = max(greatest, time)
        rows.append(
            {
                "s": draw(st.sampled_from(STRINGS)),
                "f": draw(st.sampled_from(FLOATS)),
                "x": draw(st.integers(0, 7)),
                "t": time,
            }
        )
    return rows


@st.composite
def inputs(draw: st.DrawFn) -> list[list[Row]]:
    start = draw(st.sampled_from([0, -40 * SECOND, 1_700_000_000 * SECOND]))
    return [draw(split_rows(start)) for _ in range(draw(st.integers(1, 3)))]


def build(table: pa.Table | None = None) -> sf.Flow:
    flow = sf.Flow("watch")
    rows = flow.read(
        "rows",
        memory.Source(SCHEMA.empty_table() if table is None else table),
        event_time="t",
        watermark=sf.bounded_out_of_orderness("5s"),
    )
    rows.key_by("s", "f").process(Watch(keep=3)).write("out", memory.Sink())
    return flow


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(parts=inputs(), workers=st.sampled_from([1, 2, 3, 7]), crashes=st.integers(0, 3), seed=st.integers(0, 2**32 - 1))
def test_rows_and_timers_come_in_the_order_of_event_time(
    parts: list[list[Row]], workers: int, crashes: int, seed: int
) -> None:
    tables = [pa.Table.from_pylist(part, schema=SCHEMA) for part in parts]
    results = sf.testing.run(build(), {"rows": splits(*tables)}, seed=seed, workers=workers, crashes=crashes)
    assert results.late == {}
    assert_rows(results["out"], told([row for part in parts for row in part], keep=3))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=split_rows(0), seed=st.integers(0, 99))
def test_restoring_after_every_row_onto_other_workers_changes_nothing(rows: list[Row], seed: int) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    parts: list[pa.Table] = []
    checkpoint: Checkpoint | None = None
    finished = False
    while not finished:
        job = InlineJob(
            place(optimise(build(table).graph()), name="watch", workers=1 + (seed + len(parts)) % 3),
            seed=seed + len(parts),
            checkpoint=checkpoint,
            max_rows=1,
        )
        while not job.batches_read and job.step():
            pass
        job.trigger_checkpoint()
        while job.checkpoint is checkpoint and job.step():
            pass
        checkpoint, finished = job.checkpoint, job.finished
        parts.append(job.results()["out"])
    assert len(parts) > len(rows)
    assert_rows(pa.concat_tables(parts), told(rows, keep=3))


class Step(NamedTuple):
    s: str | None
    what: str
    at: int


class Chain(sf.KeyedFunction):
    """Timers that set each other at one time, and go on behind the last row until they stop."""

    left = sf.cell(int, default=0)
    first = sf.timer()
    second = sf.timer()

    def on_row(self, s: str | None, x: int, _time: int) -> Step:
        self.left = 3
        self.second.set(_time + x)
        self.first.set(_time + x)
        return Step(s, f"row {x}", _time)

    def on_first(self, s: str | None, _time: int) -> Step:
        if self.left:
            self.left -= 1
            self.second.set(_time)
        return Step(s, f"first {self.left}", _time)

    def on_second(self, s: str | None, _time: int) -> Step:
        if self.left:
            self.first.set(_time + 1)
        return Step(s, f"second {self.left}", _time)


@settings(max_examples=25, deadline=None)
@given(parts=inputs(), workers=st.sampled_from([1, 2, 3]), crashes=st.integers(0, 2), seed=st.integers(0, 999))
def test_timers_that_set_each_other_go_off_in_order_to_the_end(
    parts: list[list[Row]], workers: int, crashes: int, seed: int
) -> None:
    flow = sf.Flow("chain")
    read = flow.read(
        "rows", memory.Source(SCHEMA.empty_table()), event_time="t", watermark=sf.bounded_out_of_orderness("5s")
    )
    read.key_by("s").process(Chain()).write("out", memory.Sink())
    tables = [pa.Table.from_pylist(part, schema=SCHEMA) for part in parts]
    results = sf.testing.run(flow, {"rows": splits(*tables)}, seed=seed, workers=workers, crashes=crashes)
    rows = [row for part in parts for row in part]
    assert_rows(results["out"], [step._asdict() for _, step in naive.process(Chain(), rows, ["s"], time="t")])


class Taken(NamedTuple):
    s: str | None
    x: int


def doubled(s: str | None, x: int) -> Iterator[Taken]:
    yield Taken(s, x + 100)
    yield Taken(s, x)


class Seen(NamedTuple):
    s: str | None
    x: int
    before: list[int]


class Before(sf.KeyedFunction):
    """What came before each row."""

    xs = sf.list_cell(int)

    def on_row(self, s: str | None, x: int) -> Seen:
        seen = Seen(s, x, list(self.xs))
        self.xs.append(x)
        return seen


@settings(max_examples=25, deadline=None)
@given(
    xs=st.lists(
        st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.integers(0, 9)), max_size=12), max_size=3
    ),
    workers=st.sampled_from([1, 2, 3]),
    crashes=st.integers(0, 2),
    seed=st.integers(0, 999),
)
def test_rows_of_one_time_come_as_they_stand_in_the_source(
    xs: list[list[tuple[str, int, int]]], workers: int, crashes: int, seed: int
) -> None:
    """Rule 13: not as they arrive, nor by what they hold; also in a union, and where one row becomes several."""
    parts = [[{"s": s, "f": None, "x": x, "t": t} for s, t, x in part] for part in xs] or [[]]
    flow = sf.Flow("before")
    rows, others = (
        flow.read(
            name, memory.Source(SCHEMA.empty_table()), event_time="t", watermark=sf.bounded_out_of_orderness("5s")
        )
        for name in ("rows", "others")
    )
    rows.flat_map(doubled).union(others.flat_map(doubled)).key_by("s").process(Before()).write("out", memory.Sink())
    read = splits(*(pa.Table.from_pylist(part, schema=SCHEMA) for part in parts))
    made = sf.testing.run(flow, {"rows": read, "others": read}, seed=seed, workers=workers, crashes=crashes)
    twice = [{"s": s, "f": None, "x": x + more, "t": t} for part in xs for s, t, x in part for more in (100, 0)]
    expected = naive.process(Before(), twice * 2, ["s"], time="t")
    assert_rows(made["out"], [record._asdict() for _, record in expected])
