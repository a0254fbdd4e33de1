"""Equal graphs have equal hashes, in every process; another flow has another."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.flow.load import load
from streamflow.plan.logical.fingerprint import graph_hash

SCRIPT = """\
import pyarrow as pa
import streamflow as sf
from streamflow import col
from streamflow.plan.logical.fingerprint import graph_hash
from streamflow_connectors import memory

def large(fare: float) -> bool:
    return fare > 10

def build() -> sf.Flow:
    flow = sf.Flow("rides")
    rides = flow.read("rides", memory.Source(pa.table({"fare": [1.0]})))
    rides.filter(large, col("fare").is_in([1, 2])).write("out", memory.Sink())
    return flow

if __name__ == "__main__":
    print(graph_hash(build().graph()))
"""


def test_a_script_has_the_same_hash_in_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    script = tmp_path / "fares.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.strip() == graph_hash(load(str(script))().graph()) == graph_hash(load(str(script))().graph())


def _hash(make: Callable[[sf.Stream], sf.Stream], source: memory.Source | None = None) -> str:
    flow = sf.Flow("rides")
    table = pa.table({"fare": [1.0], "city": ["a"]})
    make(flow.read("rides", source or memory.Source(table))).write("out", memory.Sink())
    return graph_hash(flow.graph())


def large(fare: float) -> bool:
    return fare > 10


def small(fare: float) -> bool:
    return fare < 10


def test_lines_and_data_do_not_count() -> None:
    first = _hash(lambda rides: rides.filter(col("fare") > 1))
    second = _hash(
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
        lambda rides: rides.drop("city"),
        lambda rides: rides.drop("fare"),
        lambda rides: rides.select("city", "fare"),
        lambda rides: rides.key_by("city").agg(n=sf.count()),
        lambda rides: rides.key_by("city").agg(m=sf.count()),
        lambda rides: rides.key_by("fare").agg(n=sf.count()),
        lambda rides: rides.union(rides),
    ]
    assert len({_hash(make) for make in flows}) == len(flows)


def twice(rides: sf.Stream) -> sf.Stream:
    part = rides.filter(large)
    return part.union(part)


def test_sharing_counts() -> None:
    assert _hash(lambda rides: rides.filter(large).union(rides.filter(large))) != _hash(twice)
