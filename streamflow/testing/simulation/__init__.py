"""A whole job in one process under one seed: what can go wrong does, and the results are compared with a calm run's.

The objects are those of production: `JobMaster`, `Performer`, `Worker` and all that they are made of. What is around
them is simulated: processes that die, stand still and come back; a store that forgets what was not synced, answers too
late or not at all; connections that break or hold back; clocks that jump; sources and sinks.

`simulate(subject, seed)` raises `Failure`, whose text ends with what happened; the same seed does the same again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streamflow.testing.simulation.judging import judge
from streamflow.testing.simulation.subject import Subject
from streamflow.testing.simulation.world import World

__all__ = ["Failure", "Outcome", "Subject", "simulate"]


class Failure(AssertionError):
    """A run has shown a fault of the engine, or of the flow. `seed`: of that run."""

    def __init__(self, seed: int, what: str, story: list[str]) -> None:
        told = "\n".join(f"  {line}" for line in story)
        super().__init__(f"seed {seed}: {what}\nwhat happened:\n{told}")
        self.seed = seed


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a run that was right: its `steps` and the job's `attempts`; how often which kind of `trouble` came, and its
    `story`; whether the job has come to its end. One that has not had a file of its store damaged, and has said so.
    """

    steps: int
    attempts: int
    trouble: Mapping[str, int]
    story: tuple[str, ...]
    finished: bool


def simulate(subject: Subject, seed: int, *, most_trouble: int = 6) -> Outcome:
    """One run of a flow. Raises Failure where its results are wrong, where it hangs, or where it fails."""
    world = World(subject, seed, most_trouble=most_trouble)
    world.run()
    if not world.failure and not world.finished and not world.gave_up:
        world.failure = "nobody has anything to do, and the job has not come to its end"
    what = world.failure or judge(world)
    if what is not None:
        raise Failure(seed, what, world.trouble.story)
    trouble = world.trouble
    return Outcome(
        world.steps,
        world.attempts,
        {str(kind): times for kind, times in trouble.times.items()},
        tuple(trouble.story),
        world.finished,
    )
