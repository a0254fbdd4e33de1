"""What goes wrong in one run, and how often: all of it decided by the run's seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "kill",  # a process, before or after anything that it does outside
    "power",  # the whole machine: what was not synced is gone
    "freeze",  # a process stands still, is taken for dead, and goes on later
    "slow",  # a call takes long; the rest of its process goes on
    "error",  # a call fails, having done nothing
    "lost answer",  # a call fails, having done all
    "cut",  # a connection between two processes breaks
    "partition",  # nothing passes between a worker and its coordinator for a while, and nobody is told
    "jump",  # a clock jumps
    "rival",  # somebody starts the same job a second time
    "rescale",  # the job is to go on with another number of workers
    "savepoint",  # somebody asks for one
    "stop",  # the job is stopped, and started again
    "rot",  # the machine crashes and a file of the store is damaged
]

_LARGE: dict[Kind, int] = {
    "kill": 6,
    "power": 2,
    "freeze": 4,
    "cut": 1,
    "partition": 1,
    "rival": 2,
    "rescale": 2,
    "savepoint": 1,
    "stop": 1,
    "rot": 2,
}
"""How likely each is beside the others, where several may happen."""
_SMALL: dict[Kind, int] = {"error": 4, "lost answer": 4, "slow": 3, "jump": 2}
"""Those after which an attempt may go on, so that there can be more of them."""
_MORE = 4


class Trouble:
    """Decides. Each run has only some kinds of trouble, a number of them, and its own rate (swarm testing).

    So that a run comes to its end, so does its trouble: at most `most` times something large, and `_MORE` times as
    often something small. `times`: how often which kind has come; `story`: what happened.
    """

    def __init__(self, rng: random.Random, most: int) -> None:
        self._rng = rng
        self._large = {kind: weight for kind, weight in _LARGE.items() if rng.random() < 0.5}
        self._small = {kind: weight for kind, weight in _SMALL.items() if rng.random() < 0.4}
        self._large_left = rng.randint(0, most)
        self._small_left = rng.randint(0, _MORE * most)
        self._rate = rng.choice([0.005, 0.02, 0.06, 0.2])
        self._pause = rng.choice([10, 100, 300])
        self._calm = self._drawn_pause()
        self.times: Counter[Kind] = Counter()
        self.story: list[str] = []

    def strikes(self, kinds: Sequence[Kind], where: str) -> Kind | None:
        """Which of these happens here and now, if any does."""
        self._calm -= 1
        if self._calm > 0 or self._rng.random() >= self._rate:
            return None
        large = self._large if self._large_left else {}
        small = self._small if self._small_left else {}
        weights = [large.get(kind, 0) + small.get(kind, 0) for kind in kinds]
        if not any(weights):
            return None
        kind = self._rng.choices(kinds, weights)[0]
        if kind in _LARGE:
            self._large_left -= 1
            self._calm = self._drawn_pause()
        else:
            self._small_left -= 1
        self.times[kind] += 1
        self.story.append(f"{kind}: {where}")
        return kind

    def _drawn_pause(self) -> int:
        """So many moments pass before something large can come, so that there is something to spoil."""
        return int(self._rng.expovariate(1 / self._pause))
