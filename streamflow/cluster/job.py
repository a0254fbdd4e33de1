"""The master of a job, as a state machine: attempts one after the other, until the job is over.

Pure: `handle(event, now) -> instructions`; who carries them out knows processes, sockets, the store and the clock. An
attempt claims the log, commits what the one before may have left, looks for splits, launches its workers and runs
(`cluster.attempt`). When it cannot go on, all its workers are killed, and only when none lives the next one claims.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from streamflow.cluster.attempt import Attempt, AttemptEvent, Job, Times
from streamflow.cluster.events import (
    AllGone,
    Answer,
    Asked,
    Cancel,
    Claim,
    Claimed,
    Committed,
    Confirmed,
    Copied,
    CopySavepoint,
    Discover,
    Discovered,
    End,
    Heard,
    Instruction,
    JobEvent,
    KillAll,
    NotDone,
    Note,
    Recover,
    Recovered,
    Request,
    Rescale,
    Saved,
    Start,
    Stop,
    TakeSavepoint,
    Tick,
    WorkerGone,
    of_attempt,
)
from streamflow.cluster.job_log import Fenced
from streamflow.cluster.restarts import Budget
from streamflow.engine.parts import Splits
from streamflow.errors import EngineError, Fatal, StreamflowError, TooManyErrors, UserError

_HOPELESS = (UserError, Fatal, EngineError, TooManyErrors, Fenced)
"""What trying again cannot help. What a user's function raises may be gone the next time, so it is tried again."""


@dataclass(frozen=True, slots=True)
class _New:
    """Not started."""


@dataclass(frozen=True, slots=True)
class _Claiming:
    """Whose the job is, is being settled."""


@dataclass(frozen=True, slots=True)
class _Recovering:
    """What the attempt before has left is put in order. `since`: of when the claim is."""

    claimed: Claimed
    since: int


@dataclass(frozen=True, slots=True)
class _Discovering:
    """The sources are asked."""

    claimed: Claimed
    since: int


@dataclass(frozen=True, slots=True)
class _Live:
    """The attempt has workers."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class _Killing:
    """Until none of the attempt's workers lives. Then comes `end`, or after `delay` the next attempt."""

    attempt: int
    delay: int
    end: End | None


@dataclass(frozen=True, slots=True)
class _Pausing:
    """Before the next attempt."""

    until: int


@dataclass(frozen=True, slots=True)
class _Over:
    """Nothing follows."""


_State: TypeAlias = "_New | _Claiming | _Recovering | _Discovering | _Live | _Killing | _Pausing | _Over"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What was asked and is not done.

    `checkpoint`: it waits for one of this number or a later one; None: for a running attempt. `copying`: it waits for
    its savepoint's files.
    """

    request: int
    what: TakeSavepoint | Stop | Rescale
    checkpoint: int | None = None
    copying: bool = False


class JobMaster:
    """`workers`: how many the first attempt has."""

    def __init__(self, job: Job, *, workers: int, times: Times | None = None) -> None:
        times = times or Times()
        if job.bounded and not job.stored:  # it publishes at its end, all or nothing
            times = replace(times, checkpoints=replace(times.checkpoints, every=None))
        self._job = job
        self._workers = workers
        self._times = times
        self._budget = Budget(times.restarts)
        self._state: _State = _New()
        self._latest = 0  # the greatest attempt that was claimed
        self._wanted: _Wanted | None = None

    def handle(self, event: JobEvent, now: int) -> list[Instruction]:
        """Take one event in, at `now` (monotonic, microseconds); the instructions are to be carried out in order."""
        match self._state, event:
            case _Over(), _:
                return []
            case _New(), Start():
                return self._claim()
            case _, Asked(request, what):
                return self._on_asked(request, what, now)
            case _, Copied(request):
                return self._on_copied(request, None)
            case _, NotDone(CopySavepoint(request), error):
                return self._on_copied(request, error)
            case _Live(live), (
                Tick() | Heard() | WorkerGone() | Saved() | Committed() | Confirmed() | NotDone()
            ) as own:
                return self._on_live(live, own, now) if of_attempt(own) in (None, live.number) else []
            case _Killing(attempt, delay, end), AllGone(gone) if gone == attempt:
                return self._pause(delay, now) if end is None else self._end(end)
            case _Pausing(until), Tick() if until <= now:
                return self._claim()
        return self._on_prepared(event, now)

    def _on_prepared(self, event: JobEvent, now: int) -> list[Instruction]:
        """What comes of the steps before an attempt has workers."""
        match self._state, event:
            case _Claiming(), Claimed() as claimed if claimed.attempt > self._latest:
                self._latest = claimed.attempt
                self._state = _Recovering(claimed, now)
                return [Recover(claimed.attempt)]
            case _Recovering(claimed, since), Recovered(attempt) if attempt == claimed.attempt:
                return self._on_recovered(claimed, since)
            case _Discovering(claimed, since), Discovered(attempt, splits) if attempt == claimed.attempt:
                return self._launch(claimed, splits, since, now)
            case _Claiming(), NotDone(Claim(), error):
                return self._fail(error, now)
            case (_Recovering() | _Discovering()) as state, NotDone(Recover() | Discover() as what, error):
                return self._fail(error, now) if what.attempt == state.claimed.attempt else []
        return []  # late

    def wakes_at(self) -> int | None:
        """When `Tick` is to come, if nothing else does before; None: nothing here waits for time to pass."""
        match self._state:
            case _Live(live):
                return live.wakes_at()
            case _Pausing(until):
                return until
        return None

    # -- one attempt after the other

    def _claim(self) -> list[Instruction]:
        self._state = _Claiming()
        return [Claim()]

    def _on_recovered(self, claimed: Claimed, since: int) -> list[Instruction]:
        """All that the latest checkpoint prepared is published."""
        if claimed.base is not None and claimed.base.completed:
            return self._end(End("finished"))
        if self._stops_plainly():
            return self._end(End("stopped"))
        self._state = _Discovering(claimed, since)
        return [Discover(claimed.attempt)]

    def _launch(self, claimed: Claimed, splits: Splits, since: int, now: int) -> list[Instruction]:
        not_before = now if self._job.transactional or not claimed.waits else since + self._times.lease
        live = Attempt(self._job, self._times, claimed, splits, workers=self._workers, now=now, not_before=not_before)
        self._state = _Live(live)
        return live.launch()

    def _on_live(self, live: Attempt, event: AttemptEvent, now: int) -> list[Instruction]:
        ran = live.running
        try:
            out = live.handle(event, now)
        except StreamflowError as error:
            return self._leave(End("failed", error)) if live.finishing else self._fail(error, now)
        if live.running and not ran:
            out += self._on_running(live, now)
        if isinstance(event, Confirmed):
            out += self._on_confirmed(live, event.checkpoint)
        if live.over:
            out += self._leave(End("finished" if live.ended else "stopped"))
        return out

    def _fail(self, error: StreamflowError, now: int) -> list[Instruction]:
        """The attempt cannot go on: begin the next one, if that may help."""
        delay = None if isinstance(error, _HOPELESS) or not self._job.stored else self._budget.spend()
        if delay is None:
            if not self._job.stored and not isinstance(error, _HOPELESS):
                error.remedy = error.remedy or "give the job checkpoint=, so that it goes on after a failure"
            return self._leave(End("failed", error))
        out: list[Instruction] = [Note(f"{error.message}; the job goes on from its latest checkpoint")]
        match self._wanted:
            case _Wanted(request, TakeSavepoint() | Stop(savepoint=str())):
                self._wanted = None
                out.append(Answer(request, error))
            case _Wanted() as wanted:
                self._wanted = replace(wanted, checkpoint=None)
        return out + (
            self._kill(self._state.attempt, delay) if isinstance(self._state, _Live) else self._pause(delay, now)
        )

    def _kill(self, live: Attempt, delay: int, end: End | None = None) -> list[Instruction]:
        self._state = _Killing(live.number, delay, end)
        return [KillAll(live.number)]

    def _pause(self, delay: int, now: int) -> list[Instruction]:
        if not delay or self._stops_plainly():
            return self._claim()
        self._state = _Pausing(now + delay)
        return []

    def _leave(self, end: End) -> list[Instruction]:
        """End the job as soon as no worker lives."""
        match self._state:
            case _Live(live):
                return self._kill(live, 0, end)
            case _Killing() as killing:
                self._state = replace(killing, end=killing.end or end)
                return []
        return self._end(end)

    def _end(self, end: End) -> list[Instruction]:
        self._state = _Over()
        if self._wanted is None:
            return [end]
        error = end.error
        if error is None and not isinstance(self._wanted.what, Stop):
            error = UserError("the job has ended")
        return [Answer(self._wanted.request, error), end]

    # -- what is asked

    def _stops_plainly(self) -> bool:
        """It is to stop, and its latest checkpoint is all that is wanted."""
        return self._wanted is not None and self._wanted.what == Stop()

    def _on_asked(self, request: int, what: Request, now: int) -> list[Instruction]:
        match what:
            case Cancel():
                return [*self._superseded(), Answer(request), *self._leave(End("cancelled"))]
            case Stop():
                return [*self._superseded(), *self._want(_Wanted(request, what), now)]
        if self._wanted is not None:
            return [Answer(request, UserError("the job is busy with something else", remedy="ask again later"))]
        if not self._job.stored:
            return [Answer(request, UserError("the job keeps no checkpoints", remedy="give it checkpoint="))]
        if isinstance(what, Rescale):
            if not 1 <= what.workers <= self._job.key_groups:
                return [Answer(request, UserError(f"a job has 1 to {self._job.key_groups} workers"))]
            self._workers = what.workers
        return self._want(_Wanted(request, what), now)

    def _superseded(self) -> list[Instruction]:
        """What was asked before gives way."""
        wanted, self._wanted = self._wanted, None
        return [] if wanted is None else [Answer(wanted.request, UserError("the job was told to end"))]

    def _want(self, wanted: _Wanted, now: int) -> list[Instruction]:
        self._wanted = wanted
        match self._state, wanted.what:
            case _Live(live), _ if live.running:
                return self._on_running(live, now)
            case _Live(live), Stop(savepoint=None, drain=False) if live.final is None:
                return self._leave(End("stopped"))
            case _Live(live), Rescale() if live.final is None:
                return self._kill(live, 0)
            case _Discovering(), Stop(savepoint=None, drain=False):
                return self._end(End("stopped"))
            case _Pausing(), Stop(savepoint=None, drain=False):
                return self._claim()
        return []

    def _on_running(self, live: Attempt, now: int) -> list[Instruction]:
        """Begin with what is wanted."""
        if self._wanted is None:
            return []
        match self._wanted.what:
            case Rescale(workers) if workers == live.workers:
                request, self._wanted = self._wanted.request, None
                return [Answer(request)]
            case Stop(savepoint=None, drain=False) if self._job.bounded and not self._job.stored:
                return self._leave(End("stopped"))
            case Stop(drain=True):
                number, out = 0, live.drain()
            case Stop():
                number, out = live.stop(now)
            case Rescale() | TakeSavepoint():
                number, out = live.ask_checkpoint(now)
            case other:
                assert_never(other)
        self._wanted = replace(self._wanted, checkpoint=number)
        return out

    def _on_confirmed(self, live: Attempt, checkpoint: int) -> list[Instruction]:
        """The checkpoint is complete and its sinks have committed."""
        self._budget.refill()
        wanted = self._wanted
        if wanted is not None and wanted.checkpoint is not None and not wanted.copying:
            final = live.final is not None
            if final or checkpoint >= wanted.checkpoint:
                match wanted.what:
                    case Rescale() if not final:
                        return self._kill(live, 0)
                    case TakeSavepoint(folder):
                        return self._copy(wanted, checkpoint, folder)
                    case Stop(savepoint=str() as folder) if final:
                        return self._copy(wanted, checkpoint, folder)
        return [] if self._wanted is not None and self._wanted.copying else self._finish()

    def _copy(self, wanted: _Wanted, checkpoint: int, folder: str) -> list[Instruction]:
        self._wanted = replace(wanted, copying=True)
        return [CopySavepoint(wanted.request, checkpoint, folder)]

    def _on_copied(self, request: int, error: StreamflowError | None) -> list[Instruction]:
        out: list[Instruction] = []
        match self._wanted:
            case _Wanted(own, Stop(), copying=True) as wanted if own == request and error is None:
                self._wanted = replace(wanted, what=Stop(), copying=False)  # answered when the job has ended
            case _Wanted(own, copying=True) if own == request:
                self._wanted = None
                out.append(Answer(request, error))
        return out + self._finish()

    def _finish(self) -> list[Instruction]:
        """Let the workers end, if the final checkpoint is concluded."""
        match self._state:
            case _Live(live) if live.final is not None and not live.finishing:
                return live.finish()
        return []
