"""The best of several runs, in CPU time and wall time."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

REPEATS = 5


@dataclass(frozen=True, slots=True)
class Best:
    """Seconds; each the least of all runs, which need not have been in the same run."""

    cpu: float
    wall: float


def best_of(call: Callable[[], object], repeats: int = REPEATS) -> Best:
    """Run `call` so many times and keep the best."""
    return best_of_each({"": call}, repeats)[""]


def best_of_each(calls: Mapping[str, Callable[[], object]], repeats: int = REPEATS) -> dict[str, Best]:
    """Run all in turn, so many times: what disturbs the machine for a while disturbs all of them."""
    found: dict[str, Best] = {}
    for _ in range(repeats):
        for name, call in calls.items():
            run, best = _timed(call), found.get(name)
            found[name] = run if best is None else Best(min(run.cpu, best.cpu), min(run.wall, best.wall))
    return found


def _timed(call: Callable[[], object]) -> Best:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return Best(time.process_time() - cpu, time.perf_counter() - wall)
