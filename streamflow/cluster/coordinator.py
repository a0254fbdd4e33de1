"""The coordinator of one attempt of a job.

It assigns splits, starts checkpoints, collects what they hold, and ends a bounded job.

Pure: `handle(event) -> instructions`. One checkpoint is in flight at a time (rule 25). When every read has ended, a
final checkpoint is taken; only when it is complete does the job finish (rule 29).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from streamflow.cluster.checkpoint import Checkpoint
from streamflow.engine.split_state import SplitState
from streamflow.operators.events import Barrier


@dataclass(frozen=True, slots=True)
class ReadEnded:
    """All of a worker's splits of one read have ended, and no more can appear."""

    worker: int
    read: str


@dataclass(frozen=True, slots=True)
class CheckpointDue:
    """The interval has passed, or somebody asked. Ignored while one is in flight or the job is ending."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    """The job is to stop where it stands: a final checkpoint follows, and the watermark is not moved (rule 11)."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A task has aligned on the barrier of `checkpoint`; here is its part of it."""

    worker: int
    stage: int
    checkpoint: int
    state: Mapping[str, bytes]
    splits: Mapping[str, Mapping[str, SplitState]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Committed:
    """The sinks' parts of `checkpoint` are published."""

    checkpoint: int


CoordinatorEvent: TypeAlias = "ReadEnded | CheckpointDue | StopAsked | Acknowledged | Committed"


@dataclass(frozen=True, slots=True)
class Trigger:
    """Give this barrier to every task that has reads."""

    barrier: Barrier


@dataclass(frozen=True, slots=True)
class Commit:
    """The checkpoint is complete: save it, then let the sinks publish, then report `Committed`."""

    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Finish:
    """The final checkpoint is committed: the job is done."""


Instruction: TypeAlias = "Trigger | Commit | Finish"


class Coordinator:
    """`reads`: the steps of the reads, each of which every worker has. `first`: the number of the first checkpoint."""

    def __init__(self, *, workers: int, stages: int, reads: Iterable[str], key_groups: int, first: int = 1) -> None:
        self._tasks = {(worker, stage) for worker in range(workers) for stage in range(stages)}
        self._running = {(worker, read) for worker in range(workers) for read in reads}
        self._key_groups = key_groups
        self._next = first
        self._barrier: Barrier | None = None
        self._acknowledged: dict[tuple[int, int], Acknowledged] = {}
        self._committing: int | None = None

    def handle(self, event: CoordinatorEvent) -> list[Instruction]:
        """Take one event in; the instructions are to be carried out in order."""
        match event:
            case ReadEnded(worker, read):
                self._running.discard((worker, read))
                return self._end_if_done()
            case CheckpointDue():
                return self._trigger(final=False) if self._running and self._idle() else []
            case StopAsked():
                self._running.clear()
                return self._end_if_done()
            case Acknowledged():
                return self._acknowledge(event)
            case Committed(checkpoint):
                return self._committed(checkpoint)
            case other:
                assert_never(other)

    def _idle(self) -> bool:
        return self._barrier is None and self._committing is None

    def _end_if_done(self) -> list[Instruction]:
        return [] if self._running or not self._idle() else self._trigger(final=True)

    def _trigger(self, *, final: bool) -> list[Instruction]:
        self._barrier = Barrier(self._next, final)
        self._next += 1
        self._acknowledged = {}
        return [Trigger(self._barrier)]

    def _acknowledge(self, event: Acknowledged) -> list[Instruction]:
        if self._barrier is None or event.checkpoint != self._barrier.checkpoint:
            return []  # late: that checkpoint is over (rule 25)
        self._acknowledged[event.worker, event.stage] = event
        if self._acknowledged.keys() != self._tasks:
            return []
        self._committing = self._barrier.checkpoint
        return [Commit(self._complete(self._barrier))]

    def _complete(self, barrier: Barrier) -> Checkpoint:
        splits: dict[str, dict[str, SplitState]] = {}
        state: dict[str, list[bytes]] = {}
        for key in sorted(self._acknowledged):
            part = self._acknowledged[key]
            for read, states in part.splits.items():
                splits.setdefault(read, {}).update(states)
            for address, data in part.state.items():
                state.setdefault(address, []).append(data)
        return Checkpoint(
            number=barrier.checkpoint,
            key_groups=self._key_groups,
            splits=splits,
            state={address: tuple(parts) for address, parts in state.items()},
            final=barrier.final,
        )

    def _committed(self, checkpoint: int) -> list[Instruction]:
        if checkpoint != self._committing or self._barrier is None:
            return []
        final = self._barrier.final
        self._barrier = self._committing = None
        return [Finish()] if final else self._end_if_done()


def assign(splits: Sequence[str], workers: int) -> list[list[str]]:
    """Which worker reads which splits, in the order in which they open: dealt in turn, so that all advance together.

    >>> assign(["a", "b", "c"], 2)
    [['a', 'c'], ['b']]
    """
    return [list(splits[worker::workers]) for worker in range(workers)]
