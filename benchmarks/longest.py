"""The longest single call into a task while windows of a million keys are filled and fired."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.engine.outputs import TaskOutput
from streamflow.engine.task import Task
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise

KEYS = 1_000_000
_BATCH = 16_384
_REPEATS = 3
_HOUR = sf.tumbling("1h")


@dataclass(frozen=True, slots=True)
class Longest:
    """CPU seconds of the longest call, and of all calls, in the best of several runs."""

    name: str
    filling: float
    firing: float
    whole: float


def measure(keys: int = KEYS) -> Iterable[Longest]:
    """Every key twice in an hour: counts and sums by int64 keys, by scattered ones, and by strings.

    Then in four of the last slices of windows that have 66.
    """
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(keys), 2))
    yield _best("compact", pa.array(order))
    yield _best("scattered", pa.array(order * 1_000_003))
    yield _best("text", pa.array([f"user-{number}" for number in order.tolist()]))
    yield _best("many slices", pa.array(order), sf.cumulative("33s", step="500ms", offset="3s"))


def _best(name: str, keys: pa.Array, window: Any = _HOUR) -> Longest:
    runs = [_run(keys, window) for _ in range(_REPEATS)]
    return Longest(name, *(min(run[place] for run in runs) for place in range(3)))


def _run(keys: pa.Array, window: Any) -> tuple[float, float, float]:
    table = pa.table({"k": keys, "v": np.arange(len(keys)), "t": pa.array(range(len(keys)), pa.timestamp("us", "UTC"))})
    flow = sf.Flow("longest")
    rows = flow.read("rows", memory.Source(table), event_time="t", watermark=sf.bounded_out_of_orderness("1s"))
    rows.key_by("k").window(window).agg(n=sf.count(), s=col("v").sum()).write("out", memory.Sink())
    graph = place(optimise(flow.graph()), name="longest", workers=1)
    task = Task(graph, 0, 0, splits={0: {"rows": {}}})
    filling = []
    for batch in table.select(graph.nodes[0].schema.names).to_batches(max_chunksize=_BATCH):
        filling += _calls(task, partial(task.on_rows, 0, "rows", batch))
    firing = _calls(task, partial(task.on_read_ended, 0))
    return max(filling), max(firing), sum(firing)


def _calls(task: Task, first: Callable[[], list[TaskOutput]]) -> list[float]:
    """CPU seconds of a call, and of those that go on with what it left."""
    seconds = []
    call = first
    while True:
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
        if not task.pending:
            return seconds
        call = task.resume
