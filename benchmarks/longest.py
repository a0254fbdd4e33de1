"""The longest single call into a task while steps of a million keys are filled and fired, by kind of step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.engine.outputs import TaskOutput
from streamflow.engine.task import Task
from streamflow.operators.events import ORDER
from streamflow.operators.order import order_in_split
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise
from streamflow.runners.terminal import prepare_process
from streamflow.state.memory import Memory, SpillBuffers

KEYS = 1_000_000
_BATCH = 16_384
_REPEATS = 3
_HOUR = 3_600_000_000
_SPILLED = 4
"""With so many times the memory that it is given."""


@dataclass(frozen=True, slots=True)
class Longest:
    """CPU seconds of the longest call while rows come, and of the longest and all calls that fire, in the best of
    several runs.
    """

    name: str
    filling: float
    firing: float
    whole: float


class Seen(NamedTuple):
    k: int
    n: int


class Remind(sf.KeyedFunction):
    """Goes off an hour after a key's last row."""

    n = sf.cell(int, default=0)
    silence = sf.timer()

    def on_row(self, v: int) -> None:
        self.n += 1
        self.silence.set(timedelta(hours=1))

    def on_silence(self, k: int) -> Seen:
        return Seen(k, self.n)


class RemindByClock(sf.KeyedFunction):
    n = sf.cell(int, default=0)
    silence = sf.timer("processing")

    def on_row(self, v: int) -> None:
        self.n += 1
        self.silence.set(timedelta(hours=1))

    def on_silence(self, k: int) -> Seen:
        return Seen(k, self.n)


def _windows(window: Any, **options: Any) -> Callable[[sf.KeyedStream], sf.Stream]:
    return lambda rows: rows.window(window, **options).agg(n=sf.count(), s=col("v").sum())


_HOURS, _VISITS = sf.tumbling("1h"), sf.session("1h")
_PANES = {"allowed_lateness": "1h", "trigger": sf.trigger(accumulate=False, late=2)}
_BY_CLOCK = {"trigger": sf.trigger(early="1m")}
STEPS: dict[str, Callable[[sf.KeyedStream], sf.Stream]] = {
    "windows": _windows(_HOURS),
    "windows of 66 slices": _windows(sf.cumulative("33s", step="500ms", offset="3s")),
    "sliding windows": _windows(sf.sliding("1h", every="30m")),
    "sessions": _windows(_VISITS),
    "windows that refine": _windows(_HOURS, allowed_lateness="1h"),
    "windows that refine, panes": _windows(_HOURS, **_PANES),
    "windows that refine by the clock": _windows(_HOURS, **_BY_CLOCK),
    "the global window by the clock": _windows(sf.global_window(), **_BY_CLOCK),
    "windows by processing time": _windows(sf.tumbling("1h", time="processing")),
    "sessions that refine": _windows(_VISITS, allowed_lateness="1h"),
    "sessions that refine, panes": _windows(_VISITS, **_PANES),
    "sessions that refine by the clock": _windows(_VISITS, **_BY_CLOCK),
    "windows of 10 rows": _windows(sf.count_window(10)),
    "top of windows": lambda rows: rows.window(_HOURS).top(1, by="v"),
    "top of sessions": lambda rows: rows.window(_VISITS).top(1, by="v"),
    "top of windows that refine": lambda rows: rows.window(_HOURS, allowed_lateness="1h").top(1, by="v"),
    "running aggregate": lambda rows: rows.agg(n=sf.count(), s=col("v").sum()),
    "dedup, any": lambda rows: rows.dedup(),
    "dedup, any, within": lambda rows: rows.dedup(within="1h"),
    "dedup, first": lambda rows: rows.dedup(keep="first"),
    "dedup, last": lambda rows: rows.dedup(keep="last"),
    "dedup, last, within": lambda rows: rows.dedup(keep="last", within="1h"),
    "process, timers": lambda rows: rows.process(Remind()),
    "process, timers by the clock": lambda rows: rows.process(RemindByClock()),
}


def measure(keys: int = KEYS) -> Iterator[Longest]:
    """Every key twice: windows by int64 keys, by scattered ones, and by strings; then the other steps; some spill."""
    prepare_process()
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(keys), 2))
    yield _best("windows, scattered keys", STEPS["windows"], pa.array(order * 1_000_003))
    yield _best("windows, text keys", STEPS["windows"], pa.array([f"user-{number}" for number in order.tolist()]))
    for name, step in STEPS.items():
        yield _best(name, step, pa.array(order))
    for name, taken in SPILLING.items():
        yield _best(f"{name}, spilling", STEPS[name], pa.array(order), limit=taken * keys // KEYS // _SPILLED)


def _best(name: str, step: Callable[[sf.KeyedStream], sf.Stream], keys: pa.Array, limit: int = 0) -> Longest:
    runs = [_run(step, keys, limit) for _ in range(_REPEATS)]
    return Longest(name, *(min(run[place] for run in runs) for place in range(3)))


SPILLING = {  # bytes that they take for a million keys, by and large
    "windows": 60_000_000,
    "sessions": 60_000_000,
    "windows that refine": 120_000_000,
    "sessions that refine": 200_000_000,
    "running aggregate": 60_000_000,
    "dedup, first": 60_000_000,
}


def _run(step: Callable[[sf.KeyedStream], sf.Stream], keys: pa.Array, limit: int) -> tuple[float, float, float]:
    """The rows of two seconds, one that comes hours later, the clock that goes on as much, and the end."""
    times = pa.array(range(len(keys)), pa.timestamp("us", "UTC"))
    table = pa.table({"k": keys, "v": np.arange(len(keys)), "t": times})
    numbered = table.append_column(ORDER, order_in_split(0, 0, len(keys)))
    flow = sf.Flow("longest")
    rows = flow.read("rows", memory.Source(table), event_time="t", watermark=sf.bounded_out_of_orderness("1s"))
    step(rows.key_by("k")).write("out", memory.Sink())
    graph = place(optimise(flow.graph()), name="longest", workers=1)
    memory_of_state = Memory(limit, SpillBuffers()) if limit else None
    task = Task(graph, 0, 0, splits={0: {"rows": {}}}, memory=memory_of_state)
    names = graph.nodes[0].schema.names
    filling: list[float] = []
    if task.goes_by_clock:
        filling += _calls(task, partial(task.on_time, 0))
    for batch in numbered.select(names).to_batches(max_chunksize=_BATCH):
        filling += _calls(task, partial(task.on_rows, 0, "rows", batch))
    last = numbered.slice(0, 1).set_column(2, "t", pa.array([3 * _HOUR], times.type)).select(names).to_batches()[0]
    firing = []
    if task.goes_by_clock:
        firing += _calls(task, partial(task.on_time, 3 * _HOUR))
    firing += _calls(task, partial(task.on_rows, 0, "rows", last))
    firing += _calls(task, partial(task.on_read_ended, 0))
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
