"""Keyed functions equal a naive interpreter: every key's rows sorted by time, its timers looked at between two of them.

The interpreter is plain Python over all rows at once and shares nothing with the operator. No row is late here, so the
results must not depend on cuts, splits, workers, crashes or restores (rule 12).
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
from streamflow.testing import assert_rows, splits

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


class Watch(sf.KeyedFunction):
    """Something of everything: cells of each kind, two timers that meet, are moved, cleared, and set in the past."""

    total = sf.cell(int, ttl="3s")
    recent = sf.list_cell(int)
    seen = sf.map_cell(int, int)
    quiet = sf.timer()
    tick = sf.timer()

    def __init__(self, keep: int) -> None:
        self.keep = keep

    def told(self, s: str | None, f: float | None, what: str, at: int, x: int = 0) -> Told:
        return Told(s, f, what, at, self.total, list(self.recent), self.seen.get(x, 0))

    def on_row(self, s: str | None, f: float | None, x: int, _time: int) -> Iterator[Told]:
        self.total = (self.total or 0) + x
        self.recent = [*self.recent, x][-self.keep :]
        self.seen[x] = self.seen.get(x, 0) + 1
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
        return [self.told(s, f, "quiet", _time), self.told(s, f, "again", _time)]

    def on_tick(self, s: str | None, f: float | None, _time: int) -> Told | None:
        if len(self.recent) > 4:
            self.recent.clear()
            return None
        if self.quiet.time is None and len(self.recent) == 3:
            self.quiet.set(_time + 1)
        self.seen = {}
        return self.told(s, f, "tick", _time)


def naive(rows: list[Row], keep: int) -> list[Row]:
    """What `Watch` must give."""
    by_key: dict[str, list[Row]] = {}
    for row in rows:
        by_key.setdefault(repr((row["s"], plain(row["f"]))), []).append(row)
    return [told._asdict() for of_key in by_key.values() for told in Naive(of_key, keep).run()]


class Naive:
    """All rows of one key, and what `Watch` keeps of it, as plain attributes."""

    def __init__(self, rows: list[Row], keep: int) -> None:
        self.s, self.f = rows[0]["s"], plain(rows[0]["f"])
        self.rows = sorted(rows, key=lambda row: (row["t"], row["x"]))
        self.keep = keep
        self.total: tuple[int, int] | None = None
        self.recent: list[int] = []
        self.seen: dict[int, int] = {}
        self.alarms: dict[str, tuple[int, int]] = {}
        self.settings = 0

    def run(self) -> Iterator[Told]:
        for row in self.rows:
            yield from self.alarms_until(row["t"])
            yield from self.on_row(row["t"], row["x"])
        yield from self.alarms_until(2**63 - 1)

    def alarms_until(self, time: int) -> Iterator[Told]:
        while self.alarms:
            name, (now, _) = min(self.alarms.items(), key=lambda alarm: alarm[1])
            if now > time:
                return
            del self.alarms[name]
            yield from self.on_quiet(now) if name == "quiet" else self.on_tick(now)

    def on_row(self, now: int, x: int) -> Iterator[Told]:
        self.total = ((self.living(now) or 0) + x, now)
        self.recent = [*self.recent, x][-self.keep :]
        self.seen[x] = self.seen.get(x, 0) + 1
        if x % 2 == 0:
            self.set("quiet", now + 2 * SECOND)
        if x % 3 == 0:
            self.set("tick", now + 2 * SECOND if x % 2 else now)
        if x == 5:
            self.alarms.pop("quiet", None)
            self.total = None
        if x != 1:
            yield self.told("row", now, x)

    def on_quiet(self, now: int) -> Iterator[Told]:
        self.set("tick", now)
        self.recent = [*self.recent, -1]
        yield self.told("quiet", now)
        yield self.told("again", now)

    def on_tick(self, now: int) -> Iterator[Told]:
        if len(self.recent) > 4:
            self.recent = []
            return
        if "quiet" not in self.alarms and len(self.recent) == 3:
            self.set("quiet", now + 1)
        self.seen = {}
        yield self.told("tick", now)

    def set(self, name: str, time: int) -> None:
        self.settings += 1
        self.alarms[name] = (time, self.settings)

    def living(self, now: int) -> int | None:
        return self.total[0] if self.total is not None and now < self.total[1] + 3 * SECOND else None

    def told(self, what: str, now: int, x: int = 0) -> Told:
        return Told(self.s, self.f, what, now, self.living(now), list(self.recent), self.seen.get(x, 0))


def plain(value: float | None) -> float | None:
    return None if value is None else value + 0.0


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


def build() -> sf.Flow:
    flow = sf.Flow("watch")
    rows = flow.read(
        "rows", memory.Source(SCHEMA.empty_table()), event_time="t", watermark=sf.bounded_out_of_orderness("5s")
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
    assert_rows(results["out"], naive([row for part in parts for row in part], keep=3))
