"""One attempt of a job: its workers from their launch to their end, and their checkpoints.

Pure: an event and the time in, instructions out. That it cannot go on is raised; the workers are then to be killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from streamflow.cluster.coordinator import (
    Acknowledged,
    CheckpointAsked,
    Complete,
    Concluded,
    Coordinator,
    CoordinatorEvent,
    CoordinatorInstruction,
    Declined,
    Finish,
    GiveUp,
    Pace,
    Part,
    ReadEnded,
    StopAsked,
    TimePassed,
    Trigger,
    assign,
)
from streamflow.cluster.events import (
    Claimed,
    Commit,
    Committed,
    Confirm,
    Confirmed,
    Heard,
    Instruction,
    Launch,
    NotDone,
    Note,
    Save,
    Saved,
    Send,
    Tick,
    WorkerGone,
)
from streamflow.cluster.liveness import Liveness
from streamflow.cluster.manifest import Manifest, manifest_of
from streamflow.cluster.restarts import Restarts
from streamflow.engine import control
from streamflow.engine.control import FromWorker, ToWorker
from streamflow.engine.parts import Splits
from streamflow.errors import EngineError, Retryable, StreamflowError, UserError
from streamflow.plan.fingerprint import difference
from streamflow.state.store import StateFile

MOST_UNCONFIRMED = 3
"""Checkpoints in a row whose sinks could not commit, before the job stops reading (rule 26)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a coordinator knows of a flow.

    `graph`: the fingerprint of what every worker must have built. `reads`: their steps. `stored`: its checkpoints
    outlive it, so that it is started again after a failure. `transactional`: all its sinks are, so that a worker of an
    earlier attempt can do no harm.
    """

    flow: str
    graph: str
    reads: tuple[str, ...]
    key_groups: int
    bounded: bool
    stored: bool = True
    transactional: bool = True
    signatures: Mapping[str, str] = field(default_factory=dict)
    """What the state of each step is, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """`lease`: a worker of which nothing is heard for so long is lost. `hang`: one that gets no further for so long
    hangs. `deploy`: so long may pass from the launch to the last worker's being ready. In microseconds.
    """

    checkpoints: Pace = field(default_factory=lambda: Pace(every=10_000_000, timeout=600_000_000, tolerated=3))
    restarts: Restarts = field(default_factory=Restarts)
    lease: int = 10_000_000
    hang: int = 600_000_000
    deploy: int = 300_000_000


@dataclass(slots=True)
class _Joining:
    """Some workers have not said that they are there, or it is too early."""

    joined: dict[int, control.Joined] = field(default_factory=dict)


@dataclass(slots=True)
class _Deploying:
    """Each worker has its part, and some are not ready. `early`: reads that have ended on those that are."""

    deployed: set[int] = field(default_factory=set)
    early: list[ReadEnded] = field(default_factory=list)


@dataclass(slots=True)
class _Running:
    """`saving`: the checkpoint that all have acknowledged and that is not concluded."""

    coordinator: Coordinator[StateFile]
    saving: Manifest | None = None


@dataclass(slots=True)
class _Finishing:
    """The final checkpoint is committed: nothing can be lost any more."""

    finished: set[int] = field(default_factory=set)


_Phase: TypeAlias = "_Joining | _Deploying | _Running | _Finishing"
AttemptEvent: TypeAlias = "Tick | Heard | WorkerGone | Saved | Committed | Confirmed | NotDone"


class Attempt:
    """`splits`: all, in the order in which they open. `not_before`: when the workers may begin (rule 36)."""

    def __init__(
        self, job: Job, times: Times, claimed: Claimed, splits: Splits, *, workers: int, now: int, not_before: int
    ) -> None:
        self.number = claimed.attempt
        self.workers = workers
        self.ended = False
        """All reads had ended when the final checkpoint began."""
        self.final: int | None = None
        """The final checkpoint, when it is concluded: `finish` comes next."""
        self._job = job
        self._times = times
        self._claimed = claimed
        self._splits = splits
        self._not_before = not_before
        self._deadline = max(now, not_before) + times.deploy
        self._liveness = Liveness(lease=times.lease, hang=times.hang, now=now)
        self._phase: _Phase = _Joining()
        self._unconfirmed = 0

    def launch(self) -> list[Instruction]:
        return [Launch(self.number, self.workers)]

    @property
    def running(self) -> bool:
        """All workers are ready, and the final checkpoint is not concluded."""
        return isinstance(self._phase, _Running) and self.final is None

    @property
    def finishing(self) -> bool:
        """Its last checkpoint is concluded and the workers are told to end."""
        return isinstance(self._phase, _Finishing)

    @property
    def over(self) -> bool:
        """All workers have finished."""
        return isinstance(self._phase, _Finishing) and len(self._phase.finished) == self.workers

    def wakes_at(self) -> int:
        """When `Tick` is to come, if nothing else does before."""
        times = [self._liveness.wakes_at()]
        match self._phase:
            case _Joining(joined):
                times.append(self._not_before if len(joined) == self.workers else self._deadline)
            case _Deploying():
                times.append(self._deadline)
            case _Running(coordinator):
                times += [due for due in (coordinator.wakes_at(),) if due is not None]
            case _Finishing():
                pass
            case other:
                assert_never(other)
        return min(times)

    # -- what is wanted of it while it is `running`

    def ask_checkpoint(self, now: int) -> tuple[int, list[Instruction]]:
        """Take a checkpoint that starts from now on: the least number that it may have."""
        number = self._running().coordinator.next
        return number, self._tell(CheckpointAsked(), now)

    def stop(self, now: int) -> tuple[int, list[Instruction]]:
        """Take a final checkpoint: the least number that it may have."""
        number = self._running().coordinator.next
        return number, self._tell(StopAsked(), now)

    def drain(self) -> list[Instruction]:
        """Let all reads end where they stand."""
        return self._to_all(control.Drain())

    def finish(self) -> list[Instruction]:
        """The final checkpoint is concluded, and nobody needs the workers any more."""
        self._phase = _Finishing()
        return self._to_all(control.Finish())

    # -- events

    def handle(self, event: AttemptEvent, now: int) -> list[Instruction]:
        """Take an event of this attempt in. Raises what ends the attempt."""
        match event:
            case Tick():
                return self._on_time(now)
            case Heard(_, worker, message):
                self._liveness.heard(worker, now)
                return self._on_message(worker, message, now)
            case WorkerGone(_, worker, why):
                return self._on_gone(worker, why)
            case Saved() | Committed() | Confirmed():
                return self._on_performed(event, now)
            case NotDone(what, error):
                return self._on_not_done(what, error, now)
            case other:
                assert_never(other)

    def _on_time(self, now: int) -> list[Instruction]:
        try:
            self._liveness.look(now)
        except Retryable:
            if not isinstance(self._phase, _Finishing):
                raise
            self._phase.finished.update(range(self.workers))
        match self._phase:
            case _Joining(joined) if len(joined) == self.workers:
                return self._deploy(joined, now)
            case _Joining(ready) | _Deploying(deployed=ready) if now >= self._deadline:
                missing = ", ".join(str(w) for w in range(self.workers) if w not in ready)
                raise Retryable(f"after {self._times.deploy / 1e6:.0f} s not ready: worker {missing}")
            case _Running():
                return self._tell(TimePassed(), now)
        return []

    def _on_gone(self, worker: int, why: str) -> list[Instruction]:
        match self._phase:
            case _Finishing(finished):
                finished.add(worker)
                self._liveness.gone(worker)
                return []
        raise Retryable(f"worker {worker} is lost: {why}")

    def _on_failed(self, worker: int, error: StreamflowError) -> list[Instruction]:
        if isinstance(self._phase, _Finishing) and isinstance(error, Retryable):
            return self._on_gone(worker, error.message)  # it has lost one that had ended: nothing is lost with it
        raise error

    def _on_message(self, worker: int, message: FromWorker, now: int) -> list[Instruction]:
        match self._phase, message:
            case _, control.Failed(error):
                return self._on_failed(worker, error)
            case _Finishing(), control.Report():
                return [Send(self.number, worker, control.Renewed())]
            case _, control.Report():
                self._liveness.reported(worker, message, now)
                return [Send(self.number, worker, control.Renewed())]
            case _Joining(joined), control.Joined(graph):
                if (where := difference(self._job.graph, graph)) is not None:
                    raise UserError(
                        f"worker {worker} has built another flow than the coordinator: {where}",
                        remedy="build gives an equal flow each time: it looks at no clock, file or random number",
                    )
                joined[worker] = message
                self._liveness.joined(worker, now)
                return self._deploy(joined, now)
            case _Deploying() as phase, control.Deployed():
                phase.deployed.add(worker)
                return self._run(phase, now) if len(phase.deployed) == self.workers else []
            case _Deploying(early=early), control.ReadEnded(read):
                early.append(ReadEnded(worker, read))
            case _Running(), control.ReadEnded(read):
                return self._tell(ReadEnded(worker, read), now)
            case _Running(), control.Acknowledged(checkpoint, state, splits, committables):
                part = Part(splits=splits, state=state, committables=committables)
                return self._tell(Acknowledged(worker, 0, checkpoint, part), now)
            case _Running(), control.Declined(checkpoint, why):
                note = Note(f"worker {worker} could not take its part of checkpoint {checkpoint}: {why}")
                return [note, *self._tell(Declined(checkpoint, why), now)]
            case _Finishing(finished), control.Finished():
                finished.add(worker)
                self._liveness.gone(worker)
        return []

    # -- deployment

    def _deploy(self, joined: dict[int, control.Joined], now: int) -> list[Instruction]:
        if len(joined) < self.workers or now < self._not_before:
            return []
        self._phase = _Deploying()
        base = self._claimed.base
        dealt = {read: assign(list(states), self.workers) for read, states in self._splits.items()}
        return [
            Send(
                self.number,
                worker,
                control.Deploy(
                    attempt=self.number,
                    job=self._claimed.job,
                    splits={r: {name: self._splits[r][name] for name in own[worker]} for r, own in dealt.items()},
                    known=self._splits,
                    state={} if base is None else base.state,
                    complete=0 if base is None else base.checkpoint,
                    peers={peer: joined[peer].address for peer in range(self.workers)},
                ),
            )
            for worker in range(self.workers)
        ]

    def _run(self, phase: _Deploying, now: int) -> list[Instruction]:
        coordinator: Coordinator[StateFile] = Coordinator(
            workers=self.workers,
            stages=1,
            reads=self._job.reads,
            first=self._claimed.first,
            pace=self._times.checkpoints,
            start=now,
        )
        self._phase = _Running(coordinator)
        return [instruction for event in phase.early for instruction in self._tell(event, now)]

    # -- checkpoints

    def _running(self) -> _Running:
        if not isinstance(self._phase, _Running):
            raise EngineError("an attempt takes checkpoints while it runs")
        return self._phase

    def _tell(self, event: CoordinatorEvent[StateFile], now: int) -> list[Instruction]:
        running = self._running()
        told = running.coordinator.handle(event, now)
        return [instruction for one in told for instruction in self._carried_out(running, one)]

    def _carried_out(self, running: _Running, wanted: CoordinatorInstruction[StateFile]) -> list[Instruction]:
        match wanted:
            case Trigger(barrier):
                return self._to_all(control.Trigger(barrier))
            case Complete(ended=ended):
                self.ended = ended
                job = self._job
                running.saving = manifest_of(wanted, self._claimed.job, job.flow, job.key_groups, job.signatures)
                return [Save(self.number, running.saving)]
            case Finish():
                self.final = running.coordinator.next - 1
                return []
            case GiveUp(why):
                raise Retryable(f"too many checkpoints in a row have failed: {why}")
            case other:
                assert_never(other)

    def _on_performed(self, event: Saved | Committed | Confirmed, now: int) -> list[Instruction]:
        phase = self._phase
        if not isinstance(phase, _Running) or phase.saving is None or phase.saving.checkpoint != event.checkpoint:
            return []
        match event:
            case Saved():
                return [Commit(self.number, event.checkpoint, phase.saving.committables)]
            case Committed():
                return [Confirm(self.number, event.checkpoint)]
            case Confirmed():
                self._unconfirmed = 0
                phase.saving = None
                return [*self._to_all(control.Completed(event.checkpoint)), *self._conclude(event.checkpoint, now)]

    def _on_not_done(self, what: object, error: StreamflowError, now: int) -> list[Instruction]:
        """What could not be committed is part of the next checkpoint, for the workers keep it (rules 25, 26)."""
        match self._phase, what:
            case _Running(saving=Manifest(checkpoint=saving)) as running, Commit(_, number) | Confirm(_, number) if (
                number == saving and isinstance(error, Retryable) and self._unconfirmed < MOST_UNCONFIRMED
            ):
                self._unconfirmed += 1
                running.saving = None
                out = [Note(f"the sinks could not commit checkpoint {number} yet: {error.message}")]
                told = self._conclude(number, now)
                if self.final is None:
                    return [*out, *told]
        raise error

    def _conclude(self, checkpoint: int, now: int) -> list[Instruction]:
        return self._tell(Concluded(checkpoint), now)

    def _to_all(self, message: ToWorker) -> list[Instruction]:
        return [Send(self.number, worker, message) for worker in range(self.workers)]
