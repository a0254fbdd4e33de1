"""`python -m benchmarks.peers`: functions in Python, a row at a time, beside Bytewax in an environment of its own.

The same rows, the same function, the same answer, in one run: the running mean of each key. `STREAMFLOW_BYTEWAX` names
the interpreter that has Bytewax; `make peers` sets one up.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
from streamflow_connectors import memory

import streamflow as sf
from benchmarks.machine import facts, one_core
from benchmarks.nexmark import CountingSink
from benchmarks.report import aligned
from streamflow.runners.terminal import prepare_process

ROWS, ROUNDS = 500_000, 3
KEYS = (1_000, 100_000)
BATCH = 16_384
LEAST = 3.0
"""Times the speed of Bytewax as its documentation runs it that a keyed function must have, in time order too."""
DOCUMENTED = "Bytewax stateful_map"
"""With a source as in its documentation, which gives a row at a time."""
PEER = Path(__file__).with_name("peer_bytewax.py")


class Mean(TypedDict):
    key: int
    mean: float


class RunningMean(sf.KeyedFunction):
    count = sf.cell(int, default=0)
    total = sf.cell(float, default=0.0)

    def on_row(self, key: int, value: float) -> Mean:
        self.count += 1
        self.total += value
        return {"key": key, "mean": self.total / self.count}


def weighted(key: int, value: float) -> float:
    return value * 2 if key & 1 else value


def main() -> int:
    bytewax = os.environ.get("STREAMFLOW_BYTEWAX")
    if not bytewax:
        print("STREAMFLOW_BYTEWAX names no interpreter with Bytewax: run `make peers`", file=sys.stderr)
        return 2
    one_core()
    prepare_process()  # as `streamflow run` does
    print("   ".join(f"{name} {value}" for name, value in facts().items()), end="\n\n")
    table, missed = [("M rows/s of CPU time", *(f"{keys:,} keys" for keys in KEYS))], []
    columns = [measure(bytewax, rows_of(keys)) for keys in KEYS]
    for name in columns[0]:
        cells = [f"{ROWS / seconds[name] / 1e6:.2f}" for seconds in columns]
        if name.startswith("process"):
            ratios = [seconds[DOCUMENTED] / seconds[name] for seconds in columns]
            cells = [f"{cell} ({ratio:.1f} x)" for cell, ratio in zip(cells, ratios, strict=True)]
            missed += [f"{name}: {ratio:.1f} x Bytewax, at least {LEAST} wanted" for ratio in ratios if ratio < LEAST]
        table.append((name, *cells))
    print(aligned(table))
    print("\n".join(f"MISSED  {text}" for text in missed) or f"\nmet     at least {LEAST} x Bytewax")
    return 1 if missed else 0


def rows_of(keys: int) -> pa.Table:
    """Rows in time order, keys at random."""
    rng = np.random.default_rng(keys)
    times = pa.array(1_700_000_000_000_000 + 100 * np.arange(ROWS)).view(pa.timestamp("us", "UTC"))
    return pa.table({"key": rng.integers(0, keys, ROWS), "value": rng.random(ROWS), "at": times})


def measure(bytewax: str, rows: pa.Table) -> dict[str, float]:
    """Seconds of CPU time, the least of all rounds; each round has one run of everybody."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("key", "value"):
            rows[name].to_numpy().tofile(Path(folder, name))
        calls: dict[str, Callable[[], float]] = {
            "process, in time order": lambda: timed(rows, partial(means, ordered=True)),
            "process, as they come": lambda: timed(rows, partial(means, ordered=False)),
            DOCUMENTED: lambda: peer(bytewax, folder, 1),
            "the same, rows 1,000 at a time": lambda: peer(bytewax, folder, 1_000),
            f"the same, rows {BATCH:,} at a time": lambda: peer(bytewax, folder, BATCH),
            "with_columns(function of two columns)": lambda: timed(
                rows, lambda read: read.with_columns(value=weighted)
            ),
        }
        best = dict.fromkeys(calls, float("inf"))
        for _ in range(ROUNDS):
            for name, call in calls.items():
                best[name] = min(best[name], call())
        require_equal(rows, Path(folder))
        return best


def means(read: sf.Stream, *, ordered: bool) -> sf.Stream:
    return read.key_by("key").process(RunningMean(), ordered=ordered)


def timed(rows: pa.Table, steps: Callable[[sf.Stream], sf.Stream]) -> float:
    flow = flow_of(rows, steps, CountingSink())
    gc.collect()
    started = time.process_time()
    sf.run(flow)
    return time.process_time() - started


def flow_of(rows: pa.Table, steps: Callable[[sf.Stream], sf.Stream], sink: CountingSink | memory.Sink) -> sf.Flow:
    flow = sf.Flow("peers")
    source = memory.Source(rows.to_batches(BATCH))
    steps(flow.read("rows", source, event_time="at", watermark=sf.monotonic())).write("out", sink)
    return flow


def peer(bytewax: str, folder: str, batch: int) -> float:
    command = [bytewax, str(PEER), folder, str(batch)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def require_equal(rows: pa.Table, folder: Path) -> None:
    """The same mean for every row, bit for bit: as floats are added in the same order."""
    theirs = sorted_means(np.fromfile(folder / "out-keys", np.int64), np.fromfile(folder / "out-means"))
    for ordered in (True, False):
        sink = memory.Sink()
        sf.run(flow_of(rows, partial(means, ordered=ordered), sink))
        ours = sorted_means(sink.table()["key"].to_numpy(), sink.table()["mean"].to_numpy())
        if not all(np.array_equal(own, other) for own, other in zip(ours, theirs, strict=True)):
            raise AssertionError("Bytewax and streamflow disagree")


def sorted_means(keys: Any, means: Any) -> tuple[Any, Any]:
    order = np.lexsort((means, keys))
    return keys[order], means[order]


if __name__ == "__main__":
    sys.exit(main())
