"""What it costs that state does not fit in memory: the same job with all that it wants, and with a quarter of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from streamflow_connectors import memory

import streamflow as sf
from benchmarks.nexmark import BARE_SIZE, CountingSink
from benchmarks.timing import Best, best_of_each

TIMES = 4
"""So many times the budget is what the state takes."""
_BYTES = 24
"""Of the state of one key and window: the key, a count and a sum."""


@dataclass(frozen=True, slots=True)
class Spilled:
    """A job in memory, and with state that is `TIMES` as large as its budget. `written`: megabytes."""

    name: str
    rows: int
    kept: Best
    spilled: Best
    written: float

    @property
    def ratio(self) -> float:
        """The part of the speed that is left."""
        return self.kept.cpu / self.spilled.cpu


def measure(rows: int) -> Iterable[Spilled]:
    """Windows over keys that come twice each, at random: one window of all rows, and eight of which two are open."""
    half = rows // 2
    keys = np.concatenate([np.random.default_rng(seed).permutation(half) for seed in (1, 2)]) * 1_000_003
    yield _windows("one window", keys, "1d", half)
    yield _windows("eight windows", keys, f"{rows // 8}us", rows // 8)


def _windows(name: str, keys: np.ndarray, size: str, groups: int) -> Spilled:
    """`groups`: keys that are open at once."""
    times = pa.array(np.arange(len(keys))).cast(pa.timestamp("us", "UTC"))
    table = pa.table({"key": keys, "value": np.arange(len(keys)) % 1000, "at": times})
    batches = table.to_batches(max_chunksize=BARE_SIZE)
    delay = sf.bounded_out_of_orderness("0s" if size == "1d" else size)
    written = []

    def job(budget: int | None, folder: str) -> Callable[[], None]:
        def run() -> None:
            flow = sf.Flow("spilling")
            rows = flow.read("rows", memory.Source(batches, schema=table.schema), event_time="at", watermark=delay)
            windows = rows.key_by("key").window(sf.tumbling(size))
            windows.agg(count=sf.count(), total=sf.col("value").sum()).write("out", CountingSink())
            result = sf.run(flow, memory=budget, spill_dir=folder)
            written.append(result.spilled / 1e6)

        return run

    with tempfile.TemporaryDirectory() as folder:
        found = best_of_each({"kept": job(None, folder), "spilled": job(groups * _BYTES // TIMES, folder)}, repeats=3)
    return Spilled(name, len(keys), found["kept"], found["spilled"], max(written))
