"""Whatever happens in whatever order, a job's master keeps to the protocol."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamflow.cluster.attempt import Job, Times
from streamflow.cluster.coordinator import Pace
from streamflow.cluster.events import (
    AllGone,
    Answer,
    Asked,
    Cancel,
    Claim,
    Claimed,
    Commit,
    Committed,
    Confirm,
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
    Launch,
    NotDone,
    Note,
    Performed,
    PerformerEvent,
    Recover,
    Recovered,
    Request,
    Rescale,
    Save,
    Saved,
    Send,
    Start,
    Stop,
    TakeSavepoint,
    Tick,
    WorkerGone,
)
from streamflow.cluster.job import JobMaster
from streamflow.cluster.job_log import Fenced
from streamflow.cluster.manifest import Manifest
from streamflow.cluster.restarts import Restarts
from streamflow.engine import control
from streamflow.engine.control import FromWorker, ToWorker
from streamflow.engine.split_state import SplitState
from streamflow.errors import DataError, Retryable, StepError, StreamflowError

JOB = Job(flow="f", graph="abc", reads=("bids",), key_groups=8, bounded=True)
TIMES = Times(
    checkpoints=Pace(every=100, timeout=1_000, tolerated=2),
    restarts=Restarts(most=5, first=10, longest=100),
    lease=5_000,
    deploy=5_000,
)
SPLITS = {"bids": {"a": SplitState(number=0), "b": SplitState(number=1)}}


@dataclass
class Worker:
    """A worker as its coordinator sees it: it does what it is told in order, and what it says may stay under way."""

    inbox: deque[ToWorker] = field(default_factory=deque)
    said: deque[FromWorker] = field(default_factory=lambda: deque([control.Joined("abc", "/w")]))
    triggered: list[int] = field(default_factory=list)
    acknowledged: set[int] = field(default_factory=set)
    alive: bool = True


class Master(RuleBasedStateMachine):
    """The world around one coordinator: its performer, the log, the workers, and who asks for something."""

    def __init__(self) -> None:
        super().__init__()
        self.master = JobMaster(JOB, workers=2, times=TIMES)
        self.now = 0
        self.started = False
        self.performing: deque[Performed] = deque()
        self.attempt = 0
        self.manifests: list[Manifest] = []
        self.saved: set[tuple[int, int]] = set()
        self.committed: set[tuple[int, int]] = set()
        self.confirmed: set[tuple[int, int]] = set()
        self.workers: dict[int, Worker] = {}
        self.live: int | None = None
        self.killing = False
        self.deployed: set[int] = set()
        self.finishing = False
        self.triggered = 0
        self.ended: End | None = None
        self.open: set[int] = set()
        self.asked = 0
        self.past: list[JobEvent] = []

    # -- what the master wants

    def tell(self, event: JobEvent) -> None:
        assert self.ended is None or self.master.handle(event, self.now) == []
        if self.ended is None:
            self.past.append(event)
            for instruction in self.master.handle(event, self.now):
                self.carry_out(instruction)

    def carry_out(self, instruction: Instruction) -> None:
        assert self.ended is None, "nothing comes after the end"
        match instruction:
            case Launch(attempt, workers):
                assert self.live is None, "no worker of another attempt lives"
                assert attempt == self.attempt
                self.live, self.killing, self.finishing = attempt, False, False
                self.workers = {number: Worker() for number in range(workers)}
                self.deployed, self.triggered = set(), 0
            case Send(attempt, worker, message):
                assert attempt == self.live
                assert not self.killing
                self.check(message)
                if self.workers[worker].alive:
                    self.workers[worker].inbox.append(message)
            case KillAll(attempt):
                assert attempt == self.live
                assert not self.killing
                self.killing = True
            case Answer(request):
                assert request in self.open, "what is asked is answered once"
                self.open.discard(request)
            case End(how):
                assert self.live is None
                assert how in ("cancelled", "failed") or self.finishing or not self.open or self.manifests
                self.ended = instruction
            case Note():
                pass
            case performed:
                self.check_performed(performed)
                self.performing.append(performed)

    def check(self, message: ToWorker) -> None:
        assert self.live is not None
        match message:
            case control.Trigger(barrier):
                assert self.deployed == set(self.workers), "a barrier only while all run"
                assert not self.finishing
                base = self.manifests[-1].checkpoint if self.manifests else 0
                assert barrier.checkpoint > base
                assert barrier.checkpoint >= self.triggered
                self.triggered = barrier.checkpoint
            case control.Completed(checkpoint):
                assert (self.live, checkpoint) in self.confirmed
            case control.Finish():
                final = self.manifests[-1]
                assert final.final
                assert (self.live, final.checkpoint) in self.confirmed
                self.finishing = True
            case control.Deploy(complete=complete, state=state):
                base = self.manifests[-1].checkpoint if self.manifests else 0
                assert complete == base, "it goes on from the latest"
                assert state == (self.manifests[-1].state if self.manifests else {})

    def check_performed(self, performed: Performed) -> None:
        match performed:
            case Claim():
                assert self.live is None
                assert not any(isinstance(one, Claim) for one in self.performing)
            case Save(attempt, manifest):
                assert attempt == self.live
                assert all(manifest.checkpoint in worker.acknowledged for worker in self.workers.values())
            case Commit(attempt, checkpoint):
                assert (attempt, checkpoint) in self.saved
            case Confirm(attempt, checkpoint):
                assert (attempt, checkpoint) in self.committed
            case CopySavepoint(_, checkpoint):
                assert (self.live, checkpoint) in self.confirmed

    # -- what happens

    @precondition(lambda self: not self.started)
    @rule()
    def start(self) -> None:
        self.started = True
        self.tell(Start())

    @precondition(lambda self: self.performing)
    @rule(outcome=st.sampled_from(["done", "done", "done", "done", "no answer", "not done", "boom"]))
    def perform(self, outcome: str) -> None:
        instruction = self.performing.popleft()
        event = self.done(instruction) if outcome in ("done", "no answer") else None
        errors: dict[str, StreamflowError] = {"boom": StepError("boom")}
        error = errors.get(outcome, Retryable("no answer"))
        self.tell(event if event is not None and outcome == "done" else NotDone(instruction, error))

    @precondition(lambda self: self.performing)
    @rule(chance=st.integers(0, 19))
    def fence(self, chance: int) -> None:
        if chance == 0:
            self.tell(NotDone(self.performing.popleft(), Fenced("taken over")))

    def done(self, instruction: Performed) -> PerformerEvent:
        match instruction:
            case Claim():
                self.attempt += 1
                base = self.manifests[-1] if self.manifests else None
                first = 1 if base is None else base.checkpoint + 1
                return Claimed(attempt=self.attempt, job="j", base=base, first=first)
            case Recover(attempt):
                return Recovered(attempt)
            case Discover(attempt):
                return Discovered(attempt, SPLITS)
            case Save(attempt, manifest):
                self.manifests.append(manifest)
                self.saved.add((attempt, manifest.checkpoint))
                return Saved(attempt, manifest.checkpoint)
            case Commit(attempt, checkpoint):
                self.committed.add((attempt, checkpoint))
                return Committed(attempt, checkpoint)
            case Confirm(attempt, checkpoint):
                self.confirmed.add((attempt, checkpoint))
                return Confirmed(attempt, checkpoint)
            case CopySavepoint(request):
                return Copied(request)

    @precondition(lambda self: self.workers)
    @rule(pick=st.integers(0, 3), outcome=st.sampled_from(["done", "done", "done", "done", "declined", "lost"]))
    def work(self, pick: int, outcome: str) -> None:
        """A worker takes its next message."""
        worker = self.workers[pick % len(self.workers)]
        if not worker.alive or not worker.inbox:
            return
        match worker.inbox.popleft():
            case control.Deploy():
                worker.said.append(control.Deployed())
            case control.Trigger(barrier) if outcome == "declined":
                worker.said.append(control.Declined(barrier.checkpoint, "no room"))
            case control.Trigger(barrier) if outcome == "done":
                worker.said.append(control.Acknowledged(barrier.checkpoint, {}, {}))
            case control.Drain():
                worker.said.append(control.ReadEnded("bids"))
            case control.Finish():
                worker.said.append(control.Finished())

    @precondition(lambda self: self.live is not None)
    @rule(pick=st.integers(0, 3))
    def hear(self, pick: int) -> None:
        """What a worker said arrives."""
        number = pick % len(self.workers)
        worker = self.workers[number]
        if self.live is None or not worker.said:
            return
        message = worker.said.popleft()
        if isinstance(message, control.Deployed):
            self.deployed.add(number)
        if isinstance(message, control.Acknowledged):
            worker.acknowledged.add(message.checkpoint)
        self.tell(Heard(self.live, number, message))

    @precondition(lambda self: self.live is not None and self.deployed)
    @rule(pick=st.integers(0, 3))
    def end_of_read(self, pick: int) -> None:
        number = pick % len(self.workers)
        if number in self.deployed and self.workers[number].alive:
            self.workers[number].said.append(control.ReadEnded("bids"))

    @precondition(lambda self: self.live is not None)
    @rule(pick=st.integers(0, 3), error=st.sampled_from([None, None, StepError("boom"), DataError("bad")]))
    def crash(self, pick: int, error: StreamflowError | None) -> None:
        number = pick % len(self.workers)
        if self.live is not None and self.workers[number].alive:
            self.workers[number].alive = False
            event = WorkerGone(self.live, number, "killed") if error is None else None
            self.tell(event or Heard(self.live, number, control.Failed(error or Retryable(""))))

    @precondition(lambda self: self.killing)
    @rule()
    def all_gone(self) -> None:
        assert self.live is not None
        gone, self.live, self.killing = self.live, None, False
        self.tell(AllGone(gone))

    @rule(passed=st.sampled_from([0, 1, 10, 100, 900]))
    def tick(self, passed: int) -> None:
        self.now += passed
        if self.started:
            self.tell(Tick())

    @precondition(lambda self: self.started and self.master.wakes_at() is not None)
    @rule()
    def wake(self) -> None:
        self.now = max(self.now, self.master.wakes_at() or 0)
        self.tell(Tick())

    @precondition(lambda self: self.past)
    @rule(pick=st.integers(0, 10_000))
    def repeat_something_old(self, pick: int) -> None:
        event = self.past[pick % len(self.past)]
        old = getattr(event, "attempt", getattr(getattr(event, "what", None), "attempt", None))
        if old is not None and old < self.attempt:
            self.tell(event)

    @precondition(lambda self: self.started and self.ended is None)
    @rule(
        what=st.sampled_from(
            [TakeSavepoint("/s"), Stop(), Stop("/s"), Stop(drain=True), Rescale(1), Rescale(3), Cancel()]
        ),
        chance=st.integers(0, 3),
    )
    def ask(self, what: Request, chance: int) -> None:
        if chance == 0 or isinstance(what, Rescale | TakeSavepoint):
            self.asked += 1
            self.open.add(self.asked)
            self.tell(Asked(self.asked, what))

    @invariant()
    def something_can_happen_until_the_end(self) -> None:
        if self.started and self.ended is None:
            assert self.performing or self.killing or self.live is not None or self.master.wakes_at() is not None

    def teardown(self) -> None:
        """With no more trouble the job comes to its end, and all that was asked is answered."""
        if not self.started:
            self.start()
        for _ in range(3_000):
            if self.ended is not None:
                break
            if self.performing:
                self.perform("done")
            elif self.killing:
                self.all_gone()
            elif not self.a_worker_goes_on():
                self.wake()
        assert self.ended is not None
        assert not self.open

    def a_worker_goes_on(self) -> bool:
        if self.live is None:
            return False
        for number, worker in self.workers.items():
            if worker.said:
                self.hear(number)
                return True
            if worker.inbox and worker.alive:
                self.work(number, "done")
                return True
            if worker.alive and number in self.deployed and not self.finishing and not worker.triggered:
                worker.triggered.append(1)
                worker.said.append(control.ReadEnded("bids"))
                return True
        return False


TestMaster = Master.TestCase
TestMaster.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
