"""Equal flows have equal fingerprints, in every process; another flow has another, which says where it differs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from streamflow_connectors import jsonl, memory

import streamflow as sf
from streamflow import col
from streamflow.flow.load import load
from streamflow.plan.fingerprint import difference, fingerprint

SCRIPT = """\
import re
from typing import NamedTuple
import pyarrow as pa
import streamflow as sf
from streamflow import col
from streamflow.plan.fingerprint import fingerprint
from streamflow_connectors import memory

LEAST = 10
WORDS = re.compile("a|b")
class Rates:
    def __init__(self): self.by = {"a": 1.5}
    def of(self, city): return self.by.get(city, 1.0)

RATES = Rates()

class Sum(NamedTuple):
    total: float

class Total(sf.KeyedFunction):
    total = sf.cell(float, default=0.0)

    def on_row(self, fare: float) -> Sum:
        self.total += abs_of(fare)
        return Sum(self.total)

def abs_of(fare):
    return fare if fare > 0 else -fare

def large(fare: float) -> bool:
    return fare > LEAST and fare not in {7.0, 8.0} and str(fare) not in {"x", "y", "z"}

def build() -> sf.Flow:
    rates = Rates()
    def rated(city: str) -> float:
        return rates.of(city) if WORDS.match(city) else RATES.of(city)
    flow = sf.Flow("rides")
    rides = flow.read("rides", memory.Source(pa.table({"fare": [1.0], "city": ["a"]})))
    large_ones = rides.filter(large, col("fare").is_in([1, 2])).with_columns(rate=rated)
    large_ones.key_by("city").process(Total(), ordered=False).write("out", memory.Sink())
    return flow

if __name__ == "__main__":
    print(fingerprint(build().graph(), name="rides"))
"""


def of_script(script: Path) -> str:
    flow = load(str(script))()
    return fingerprint(flow.graph(), name=flow.name)


@pytest.mark.parametrize("seed", ["7", "8"])
def test_a_script_has_the_same_fingerprint_in_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: str
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    script = tmp_path / "fares.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.strip() == of_script(script) == of_script(script)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("fare > LEAST", "fare >= LEAST", "step 'after rides' (Filter) is another one there"),
        ("LEAST = 10", "LEAST = 11", "step 'after rides' (Filter) is another one there"),
        ('{"x", "y", "z"}', '{"x", "y"}', "step 'after rides' (Filter) is another one there"),
        ('"a|b"', '"a|c"', "step 'after rides' (Project) is another one there"),
        ('"a": 1.5', '"a": 2.5', "step 'after rides' (Project) is another one there"),
        ("get(city, 1.0)", "get(city, 2.0)", "step 'after rides' (Project) is another one there"),
        ("self.total += abs_of", "self.total -= abs_of", "step 'rides.process' (Process) is another one there"),
        ("else -fare", "else fare", "step 'rides.process' (Process) is another one there"),
        ('"city": ["a"]', '"city": ["a"], "x": [1]', "step 'rides' (Read) is another one there"),
        ('sf.Flow("rides")', 'sf.Flow("trips")', "it is the flow trips there, not the flow rides"),
    ],
)
def test_a_change_anywhere_in_what_is_computed_is_found_at_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, where: str
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    script = tmp_path / "fares.py"
    script.write_text(SCRIPT)
    before = of_script(script)
    assert old in SCRIPT
    (tmp_path / "changed").mkdir()
    changed = tmp_path / "changed" / "fares.py"
    changed.write_text(SCRIPT.replace(old, new))
    assert difference(before, of_script(changed)) == where


def test_lines_of_the_script_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    script = tmp_path / "fares.py"
    script.write_text(SCRIPT)
    before = of_script(script)
    script.write_text("# fares\n\n" + SCRIPT)
    assert of_script(script) == before


def made(make: Callable[[sf.Stream], sf.Stream], source: memory.Source | None = None, out: object = None) -> str:
    flow = sf.Flow("rides")
    table = pa.table({"fare": [1.0], "city": ["a"]})
    sink: Any = out or memory.Sink()
    make(flow.read("rides", source or memory.Source(table))).write("out", sink)
    return fingerprint(flow.graph(), name="rides")


def large(fare: float) -> bool:
    return fare > 10


def small(fare: float) -> bool:
    return fare < 10


def below(limit: float, batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.slice(int(limit))


@dataclass
class Below:
    limit: float

    def __call__(self, fare: float) -> bool:
        return fare < self.limit


def test_data_does_not_count() -> None:
    first = made(lambda rides: rides.filter(col("fare") > 1))
    second = made(
        lambda rides: rides.filter(col("fare") > 1), memory.Source(pa.table({"fare": [2.0, 3.0], "city": ["b", "c"]}))
    )
    assert first == second


def test_everything_that_is_computed_counts() -> None:
    flows: list[Callable[[sf.Stream], sf.Stream]] = [
        lambda rides: rides,
        lambda rides: rides.filter(col("fare") > 1),
        lambda rides: rides.filter(col("fare") > 2),
        lambda rides: rides.filter(col("fare") > 2.5),
        lambda rides: rides.filter(large),
        lambda rides: rides.filter(small),
        lambda rides: rides.filter(small).step("small"),
        lambda rides: rides.filter(Below(1)),
        lambda rides: rides.filter(Below(2)),
        lambda rides: rides.map_batches(partial(below, 1)),
        lambda rides: rides.map_batches(partial(below, 2)),
        lambda rides: rides.filter(Below(1).__call__),
        lambda rides: rides.drop("city"),
        lambda rides: rides.drop("fare"),
        lambda rides: rides.select("city", "fare"),
        lambda rides: rides.key_by("city").agg(n=sf.count()),
        lambda rides: rides.key_by("city").agg(m=sf.count()),
        lambda rides: rides.key_by("fare").agg(n=sf.count()),
        lambda rides: rides.union(rides),
    ]
    found = [made(make) for make in flows]
    assert len(set(found)) == len(flows)
    assert found == [made(make) for make in flows]


def test_how_a_sink_or_a_source_is_configured_counts() -> None:
    sinks = [jsonl.Sink("a"), jsonl.Sink("b"), jsonl.Sink("a", mode="append"), jsonl.Sink("a")]
    found = [made(lambda rides: rides, out=sink) for sink in sinks]
    assert len(set(found)) == 3
    assert found[0] == found[3]
    table = pa.table({"fare": [1.0], "city": ["a"]})
    assert made(lambda rides: rides, memory.Source(table)) != made(lambda rides: rides, memory.Source(table, splits=2))


def twice(rides: sf.Stream) -> sf.Stream:
    part = rides.filter(large)
    return part.union(part)


def test_sharing_counts() -> None:
    assert made(lambda rides: rides.filter(large).union(rides.filter(large))) != made(twice)


def test_no_address_is_in_it_and_what_refers_to_itself_ends() -> None:
    class Node:
        def __init__(self) -> None:
            self.me = self
            self.lock = object()

    node = Node()

    def uses(fare: float) -> bool:
        return fare > 1 or node.me is node or uses(fare)

    text = made(lambda rides: rides.filter(uses))
    assert text == made(lambda rides: rides.filter(uses))
    assert not re.search("0x", text)


def test_another_number_of_errors_is_another_flow() -> None:
    assert difference(fingerprint((), name="a"), fingerprint((), name="a", max_errors=3)) == (
        "it is the flow a, max_errors=3 there, not the flow a"
    )
