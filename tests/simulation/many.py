"""Many seeds, and what they come to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from streamflow.testing.simulation import Failure, simulate
from tests.simulation.flows import CASES, of_seed

CHUNK = len(CASES) * 4


@dataclass(slots=True)
class Figures:
    """What a number of runs have shown."""

    runs: int = 0
    steps: int = 0
    attempts: int = 0
    gave_up: int = 0
    trouble: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, other: Figures) -> None:
        self.runs += other.runs
        self.steps += other.steps
        self.attempts += other.attempts
        self.gave_up += other.gave_up
        self.trouble += other.trouble
        self.failures += other.failures


def run(first: int, end: int) -> Figures:
    found = Figures()
    for seed in range(first, end):
        found.runs += 1
        try:
            outcome = simulate(of_seed(seed), seed)
        except Failure as failure:
            found.failures.append(str(failure))
            continue
        found.steps += outcome.steps
        found.attempts += outcome.attempts
        found.gave_up += not outcome.finished
        found.trouble.update(outcome.trouble)
    return found
