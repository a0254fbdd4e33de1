"""The pipelines that are simulated, and rows for them. Values are whole numbers, so that results are exact."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import pyarrow as pa
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.testing import splits
from streamflow.testing.rows import Splits
from streamflow.testing.simulation import Subject

SECOND = 1_000_000
ROW_SETS = 8
"""Different rows for each pipeline."""
SCHEMA = pa.schema([("k", pa.string()), ("t", pa.timestamp("us", "UTC")), ("v", pa.int64())])


def rows(rng: random.Random, *, bound: int, number: int = 60, parts: int = 3) -> list[pa.Table]:
    """Splits whose rows are at most `bound` seconds behind the greatest time before them."""
    tables = []
    for part in range(rng.randint(1, parts)):
        greatest, found = 0, []
        for n in range(rng.randint(0, number // parts)):
            greatest += rng.choice([0, 1, 1, 2, 9])
            time = max(0, greatest - rng.randint(0, bound))
            found.append({"k": rng.choice("abcd"), "t": time * SECOND, "v": part * 1000 + n})
        tables.append(pa.Table.from_pylist(found, schema=SCHEMA))
    return tables


def read(flow: sf.Flow, name: str = "rows") -> sf.Stream:
    empty = memory.Source(SCHEMA.empty_table())
    return flow.read(name, empty, event_time="t", watermark=sf.bounded_out_of_orderness("3s"))


# -- pipelines


def copy() -> sf.Flow:
    flow = sf.Flow("copy")
    read(flow).filter(col("v") % 7 != 3).write("out", memory.Sink())
    return flow


def tumbling() -> sf.Flow:
    flow = sf.Flow("tumbling")
    counts = read(flow).key_by("k").window(sf.tumbling("10s")).agg(n=sf.count(), s=col("v").sum(), m=col("v").max())
    counts.step("counts").write("out", memory.Sink())
    return flow


def sliding() -> sf.Flow:
    flow = sf.Flow("sliding")
    windows = read(flow).key_by("k").window(sf.sliding("10s", every="4s"))
    windows.agg(n=sf.count(), s=col("v").sum()).step("counts").write("out", memory.Sink())
    return flow


def sessions() -> sf.Flow:
    flow = sf.Flow("sessions")
    found = read(flow).key_by("k").window(sf.session("4s")).agg(n=sf.count(), s=col("v").sum())
    found.step("visits").write("out", memory.Sink())
    return flow


class Seen(NamedTuple):
    k: str
    at: int
    total: int
    n: int


class Watch(sf.KeyedFunction):
    total = sf.cell(int, default=0)
    n = sf.cell(int, default=0)
    quiet = sf.timer()

    def on_row(self, k: str, v: int, _time: int) -> Seen:
        self.total = self.total + v
        self.n = self.n + 1
        self.quiet.set(_time + 4 * SECOND)
        return Seen(k, _time, self.total, self.n)

    def on_quiet(self, k: str, _time: int) -> Seen:
        total, self.total = self.total, 0
        return Seen(k, _time, -total, self.n)


def keyed() -> sf.Flow:
    flow = sf.Flow("keyed")
    read(flow).key_by("k").process(Watch()).step("watch").write("out", memory.Sink())
    return flow


def running() -> sf.Flow:
    flow = sf.Flow("running")
    read(flow).key_by("k").agg(n=sf.count(), s=col("v").sum()).step("totals").write("out", memory.Sink())
    return flow


def two_exchanges() -> sf.Flow:
    flow = sf.Flow("two exchanges")
    counts = read(flow).key_by("k").window(sf.tumbling("10s")).agg(n=sf.count(), s=col("v").sum()).step("counts")
    counts.key_by("window_end").top(1, by=["n", "s"]).step("top").write("out", memory.Sink())
    return flow


def union() -> sf.Flow:
    flow = sf.Flow("union")
    both = read(flow, "rows").union(read(flow, "others"))
    both.key_by("k").window(sf.tumbling("10s")).agg(n=sf.count(), s=col("v").sum()).step("counts").write(
        "out", memory.Sink()
    )
    return flow


def two_sinks() -> sf.Flow:
    flow = sf.Flow("two sinks")
    found = read(flow)
    found.write("raw", memory.Sink())
    found.key_by("k").window(sf.tumbling("10s")).agg(s=col("v").sum()).step("sums").write("out", memory.Sink())
    return flow


def first() -> sf.Flow:
    flow = sf.Flow("first")
    read(flow).key_by("k").dedup(keep="first", within="10s").step("first").write("out", memory.Sink())
    return flow


def late() -> sf.Flow:
    flow = sf.Flow("late")
    found = read(flow).key_by("k").window(sf.tumbling("5s")).agg(n=sf.count(), s=col("v").sum()).step("counts")
    found.write("out", memory.Sink())
    found.late().write("late", memory.Sink())
    return flow


def conserved(found: Mapping[str, pa.Table], given: Mapping[str, Any]) -> None:
    """Every row is in one result or is late, once (rule 6)."""
    expected: Counter[tuple[str, int]] = Counter()
    for table in given["rows"].parts:
        for row in table.to_pylist():
            expected[row["k"], int(row["t"].timestamp()) // 5 * 5] += 1 << 40 | row["v"]
    held: Counter[tuple[str, int]] = Counter()
    results = found["out"].to_pylist()
    assert len({(row["k"], row["window_start"]) for row in results}) == len(results), "a window has fired twice"
    for row in results:
        held[row["k"], int(row["window_start"].timestamp())] += (row["n"] << 40) + row["s"]
    for row in found["late"].to_pylist():
        held[row["k"], int(row["window_start"].timestamp())] += 1 << 40 | row["v"]
    assert held == expected


# -- the list


@dataclass(frozen=True)
class Case:
    build: Callable[[], sf.Flow]
    reads: tuple[str, ...] = ("rows",)
    bound: int = 3
    grows: bool = False
    check: Callable[[Mapping[str, pa.Table], Mapping[str, Any]], None] | None = None


CASES = (
    Case(copy),
    Case(tumbling),
    Case(keyed),
    Case(sessions),
    Case(running),
    Case(two_exchanges),
    Case(union, reads=("rows", "others")),
    Case(two_sinks),
    Case(late, bound=12, check=conserved),
    Case(sliding),
    Case(first),
    Case(copy, grows=True),
    Case(late, bound=12, grows=True, check=conserved),
)


def rows_of(row_set: int, *reads: str, bound: int = 3) -> dict[str, Splits]:
    rng = random.Random(row_set)
    return {name: splits(*rows(rng, bound=bound)) for name in reads}


@lru_cache(None)
def subject(case: int, row_set: int) -> Subject:
    one = CASES[case]
    grows = frozenset(one.reads if one.grows else ())
    return Subject(one.build, rows_of(row_set, *one.reads, bound=one.bound), grows=grows, check=one.check)


def of_seed(seed: int) -> Subject:
    """The pipeline and rows that a seed is run with."""
    case, left = seed % len(CASES), seed // len(CASES)
    return subject(case, left % ROW_SETS)


def of_pipeline(name: str, seed: int) -> Subject:
    """Of the same pipeline for every seed, on rows that differ."""
    cases = [number for number, case in enumerate(CASES) if case.build.__name__ == name]
    return subject(cases[seed % len(cases)], seed % ROW_SETS)
