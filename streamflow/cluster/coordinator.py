"""The barriers of one attempt of a job: when checkpoints start, what they hold, and the last one before the end.

Pure: `handle(event, now) -> instructions`. One checkpoint is in flight at a time; what comes late of one that was given
up is ignored (rule 25). When every read has ended, or the job is to stop, a final checkpoint is taken; only when that
is committed does the job finish (rule 29).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar, assert_never

from streamflow.engine.parts import Committables
from streamflow.engine.split_state import SplitState
from streamflow.operators.events import Barrier

StateT = TypeVar("StateT")
"""How a host keeps a snapshot: its bytes, or the file that they are in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When checkpoints are taken; times in microseconds.

    `every`: from the start of one to the start of the next, None: only when asked. `minimum_pause`: from the end of one
    to the start of the next. `timeout`: one that is not acknowledged by all after so long is given up, None: never.
    `tolerated`: so many in a row may fail.
    """

    every: int | None = None
    minimum_pause: int = 0
    timeout: int | None = None
    tolerated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Generic[StateT]):
    """What one of those that acknowledge holds of a checkpoint, or all of them together."""

    splits: Mapping[str, Mapping[str, SplitState]] = field(default_factory=dict)
    state: Mapping[str, Sequence[StateT]] = field(default_factory=dict)
    committables: Committables = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReadEnded:
    """All of a worker's splits of one read have ended, and no more can appear."""

    worker: int
    read: str


@dataclass(frozen=True, slots=True)
class CheckpointDue:
    """The interval has passed. Ignored while a checkpoint is in flight or the job is ending."""


@dataclass(frozen=True, slots=True)
class CheckpointAsked:
    """Somebody wants a checkpoint that starts from now on: it is the next one."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    """The job is to stop where it stands: a final checkpoint follows, and the watermark is not moved (rule 11)."""


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Look at the time."""


@dataclass(frozen=True, slots=True)
class Acknowledged(Generic[StateT]):
    """A task (or, where a worker speaks for all its tasks, the worker) has aligned on the barrier of `checkpoint`."""

    worker: int
    stage: int
    checkpoint: int
    part: Part[StateT]


@dataclass(frozen=True, slots=True)
class Declined:
    """Somebody could not take its part of the checkpoint."""

    checkpoint: int
    why: str


@dataclass(frozen=True, slots=True)
class Concluded:
    """The checkpoint is saved; its sinks have committed, or what they could not commit is part of the next."""

    checkpoint: int


CoordinatorEvent: TypeAlias = (
    "ReadEnded | CheckpointDue | CheckpointAsked | StopAsked | TimePassed | Acknowledged[StateT] | Declined | Concluded"
)


@dataclass(frozen=True, slots=True)
class Trigger:
    """Give this barrier to every task that has reads."""

    barrier: Barrier


@dataclass(frozen=True, slots=True)
class Complete(Generic[StateT]):
    """All have acknowledged: save it, let the sinks publish, then say `Concluded`. `ended`: all reads had ended."""

    barrier: Barrier
    part: Part[StateT]
    ended: bool


@dataclass(frozen=True, slots=True)
class Finish:
    """The final checkpoint is concluded: the job is done."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """More checkpoints in a row have failed than are tolerated."""

    why: str


CoordinatorInstruction: TypeAlias = "Trigger | Complete[StateT] | Finish | GiveUp"


class Coordinator(Generic[StateT]):
    """`reads`: the steps of the reads, each of which every worker has. `first`: the number of the first checkpoint.

    `start`: now. Who keeps no time leaves it out everywhere and says `CheckpointDue` instead.
    """

    def __init__(
        self,
        *,
        workers: int,
        stages: int,
        reads: Iterable[str],
        first: int = 1,
        pace: Pace = Pace(),
        start: int = 0,
    ) -> None:
        self._places = {(worker, stage) for worker in range(workers) for stage in range(stages)}
        self._running = {(worker, read) for worker in range(workers) for read in reads}
        self._pace = pace
        self._stopping = False
        self._asked = False
        self.next = first
        """The number of the next checkpoint."""
        self._barrier: Barrier | None = None
        self._acknowledged: dict[tuple[int, int], Part[StateT]] = {}
        self._concluding = False
        self._failures = 0
        self._triggered = start
        self._free = start  # when the next may start

    def handle(self, event: CoordinatorEvent[StateT], now: int = 0) -> list[CoordinatorInstruction[StateT]]:
        """Take one event in; the instructions are to be carried out in order."""
        match event:
            case ReadEnded(worker, read):
                self._running.discard((worker, read))
            case StopAsked():
                self._stopping = True
            case CheckpointAsked():
                self._asked = True
            case CheckpointDue():
                self._asked = self._asked or self._barrier is None
            case TimePassed():
                if (late := self._lapses()) is not None and late <= now:
                    return self._fail("not all workers had acknowledged it in time", now)
            case Declined(checkpoint, why):
                if self._in_flight(checkpoint):
                    return self._fail(why, now)
            case Acknowledged():
                if self._in_flight(event.checkpoint):
                    return self._acknowledge(event)
            case Concluded(checkpoint):
                return self._conclude(checkpoint, now)
            case other:
                assert_never(other)
        return self._go_on(now)

    def wakes_at(self) -> int | None:
        """When `TimePassed` is to be said, if nothing else comes before."""
        if self._barrier is not None:
            return self._lapses()
        return self._due()

    def _ends(self) -> bool:
        return self._stopping or not self._running

    def _due(self) -> int | None:
        """When the next checkpoint starts, where none is in flight."""
        if self._asked or self._ends():
            return self._free
        return None if self._pace.every is None else max(self._free, self._triggered + self._pace.every)

    def _lapses(self) -> int | None:
        """When the one in flight is given up; never when all have acknowledged it."""
        if self._barrier is None or self._concluding or self._pace.timeout is None:
            return None
        return self._triggered + self._pace.timeout

    def _go_on(self, now: int) -> list[CoordinatorInstruction[StateT]]:
        due = self._due()
        if self._barrier is not None or due is None or due > now:
            return []
        self._barrier = Barrier(self.next, self._ends())
        self.next += 1
        self._asked = False
        self._triggered = now
        self._acknowledged = {}
        return [Trigger(self._barrier)]

    def _in_flight(self, checkpoint: int) -> bool:
        return self._barrier is not None and checkpoint == self._barrier.checkpoint and not self._concluding

    def _acknowledge(self, event: Acknowledged[StateT]) -> list[CoordinatorInstruction[StateT]]:
        self._acknowledged[event.worker, event.stage] = event.part
        if self._barrier is None or self._acknowledged.keys() != self._places:
            return []
        self._concluding = True
        part = together(self._acknowledged[place] for place in sorted(self._places))
        return [Complete(self._barrier, part, not self._running)]

    def _fail(self, why: str, now: int) -> list[CoordinatorInstruction[StateT]]:
        """Give up what is in flight; the next one follows as soon as it may, for those that wait for this one."""
        self._barrier = None
        self._failures += 1
        if self._failures > self._pace.tolerated:
            return [GiveUp(why)]
        self._free = now + self._pace.minimum_pause
        self._asked = True
        return self._go_on(now)

    def _conclude(self, checkpoint: int, now: int) -> list[CoordinatorInstruction[StateT]]:
        if self._barrier is None or not self._concluding or checkpoint != self._barrier.checkpoint:
            return []
        if self._barrier.final:
            return [Finish()]  # it stays the one in flight: none follows
        self._barrier, self._concluding = None, False
        self._failures = 0
        self._free = now + self._pace.minimum_pause
        return self._go_on(now)


def together(parts: Iterable[Part[StateT]]) -> Part[StateT]:
    """All that these parts of one checkpoint hold.

    >>> one = Part(state={"counts/log": [b"a"]}, committables={"out": [{"id": "x"}]})
    >>> together([one, Part(state={"counts/log": [b"b"]})])
    Part(splits={}, state={'counts/log': [b'a', b'b']}, committables={'out': [{'id': 'x'}]})
    """
    splits: dict[str, dict[str, SplitState]] = {}
    state: dict[str, list[StateT]] = {}
    committables: dict[str, list[Mapping[str, int | str]]] = {}
    for part in parts:
        for read, states in part.splits.items():
            splits.setdefault(read, {}).update(states)
        for address, snapshots in part.state.items():
            state.setdefault(address, []).extend(snapshots)
        for step, prepared in part.committables.items():
            committables.setdefault(step, []).extend(prepared)
    return Part(splits=splits, state=state, committables=committables)


def assign(splits: Sequence[str], workers: int) -> list[list[str]]:
    """Which worker reads which splits, in the order in which they open: dealt in turn, so that all advance together.

    >>> assign(["a", "b", "c"], 2)
    [['a', 'c'], ['b']]
    """
    return [list(splits[worker::workers]) for worker in range(workers)]
