"""`make sim`: many seeds on all processors, with figures. `python -m tests.simulation --replay 17` runs one again."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from streamflow.engine.clock import SystemClock
from streamflow.testing.simulation import simulate
from tests.simulation.flows import CASES, of_seed
from tests.simulation.many import CHUNK, Figures, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--replay", type=int, metavar="SEED")
    given = parser.parse_args()
    if given.replay is not None:
        outcome = simulate(of_seed(given.replay), given.replay)
        print(*outcome.story, f"{outcome.steps} steps, {outcome.attempts} attempts", sep="\n")
        return 0
    clock = SystemClock()
    started = clock.monotonic()
    total, end = Figures(), given.first + given.seeds
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        starts = range(given.first, end, CHUNK)
        for figures in pool.map(run, starts, [min(start + CHUNK, end) for start in starts]):
            total.add(figures)
            for failure in figures.failures:
                print(f"{failure}\nrepeat it: python -m tests.simulation --replay {failure.split()[1].rstrip(':')}\n")
    seconds = (clock.monotonic() - started) / 1e6
    right = total.runs - len(total.failures)
    print(f"{total.runs} runs of {len(CASES)} pipelines in {seconds:.0f} s, {len(total.failures)} failed")
    print(f"{total.steps / max(1, right):.0f} steps and {total.attempts / max(1, right):.1f} attempts a run")
    print(f"{total.gave_up} ended with a damaged file, named")
    print("went wrong: " + ", ".join(f"{kind} {times}" for kind, times in total.trouble.most_common()))
    return bool(total.failures)


if __name__ == "__main__":
    sys.exit(main())
