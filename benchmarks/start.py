"""How long it takes until something runs: the import, the first flow, a whole small job; each in a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.machine import ROOT
from benchmarks.timing import REPEATS

_SMALL_JOB = """
import pyarrow as pa
import streamflow as sf
from streamflow import col
from streamflow_connectors import memory

def build() -> sf.Flow:
    flow = sf.Flow("small")
    table = pa.table({"user": ["a", "b", "a"], "t": pa.array([1, 2, 3], pa.int64()).cast(pa.timestamp("us", "UTC"))})
    rows = flow.read("rows", memory.Source(table), event_time="t", watermark=sf.bounded_out_of_orderness("1s"))
    counts = rows.filter(col("user") != "c").key_by("user").window(sf.tumbling("1s")).agg(n=sf.count())
    counts.write("out", memory.Sink())
    return flow

if __name__ == "__main__":
    sf.main(build)
"""

_ENV = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""An installed package has its bytecode: the first of the processes may write it."""


@dataclass(frozen=True, slots=True)
class Start:
    """Wall seconds of a whole process, or of a part of it that it measured itself. `target`: the most it may take."""

    name: str
    seconds: float
    target: float | None


def measure() -> Iterable[Start]:
    """Each the best of several processes; the bare interpreter and its biggest import stand beside."""
    yield Start("python, nothing else", _process("pass"), None)
    yield Start("import pyarrow, numpy", _inside("import pyarrow, numpy"), None)
    yield Start("import streamflow", _inside("import streamflow"), 0.35)
    yield Start("import streamflow, first Flow", _inside("import streamflow as sf; sf.Flow('first')"), 0.35)
    yield Start("a small job, whole process", _process(_SMALL_JOB), 1.0)


def _process(code: str) -> float:
    return min(_run(code)[0] for _ in range(REPEATS))


def _inside(statement: str) -> float:
    """Without the interpreter's own start."""
    code = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    return min(float(_run(code)[1]) for _ in range(REPEATS))


def _run(code: str) -> tuple[float, str]:
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=_ENV)
    return time.perf_counter() - start, done.stdout
