"""The running mean of each key as Bytewax's documentation would write it. Runs in an environment that has Bytewax.

`python peer_bytewax.py FOLDER BATCH`: reads `key` (int64) and `value` (float64) in FOLDER, raw, leaves `out-keys` and
`out-means`, and prints the seconds of CPU time from the start of the dataflow to its end.
"""

from __future__ import annotations

import gc
import sys
import time
from array import array
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main


def running_mean(state: tuple[int, float] | None, value: float) -> tuple[tuple[int, float], float]:
    count, total = (0, 0.0) if state is None else state
    count, total = count + 1, total + value
    return (count, total), total / count


def main(folder: Path, batch: int) -> None:
    keys, values = read(folder / "key", "q"), read(folder / "value", "d")
    rows = list(zip(map(str, keys), values, strict=True))  # its keys are strings: made before the clock runs
    out: list[Any] = []
    flow = Dataflow("means")
    stream = op.input("rows", flow, TestingSource(rows, batch))
    means = op.stateful_map("mean", stream, running_mean)
    op.output("out", means, TestingSink(out))
    gc.set_threshold(100_000, 2, 25_000)  # as the other side has it: at the default it would be slower
    started = time.process_time()
    run_main(flow)
    seconds = time.process_time() - started
    (folder / "out-keys").write_bytes(array("q", (int(key) for key, _ in out)).tobytes())
    (folder / "out-means").write_bytes(array("d", (mean for _, mean in out)).tobytes())
    print(seconds)


def read(path: Path, code: str) -> array[Any]:
    values = array(code)
    values.frombytes(path.read_bytes())
    return values


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
