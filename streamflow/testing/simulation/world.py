"""One run: a whole job in one process, and what happens next picked by the seed, thing by thing."""

from __future__ import annotations

import random

from streamflow.cluster.attempt import Times
from streamflow.cluster.coordinator import Pace
from streamflow.cluster.events import Rescale, Stop, TakeSavepoint
from streamflow.cluster.job import JobMaster
from streamflow.cluster.job_log import Fenced
from streamflow.cluster.manifest import Manifest
from streamflow.cluster.restarts import Restarts
from streamflow.engine.links import LEAST, Links
from streamflow.engine.worker import Worker
from streamflow.errors import Fatal
from streamflow.runners.performing import Performer
from streamflow.state.memory import Memory, SpillBuffers
from streamflow.testing.checks import checked
from streamflow.testing.simulation.clocks import Time
from streamflow.testing.simulation.disk import Disk
from streamflow.testing.simulation.masters import MasterProcess
from streamflow.testing.simulation.process import Process
from streamflow.testing.simulation.store import SimulatedStore
from streamflow.testing.simulation.subject import Subject
from streamflow.testing.simulation.trouble import Kind, Trouble
from streamflow.testing.simulation.workers import LEASE, Connections, WorkerProcess

MOST_STEPS = 12_000
"""More than any run needs: one that comes to so many hangs."""
_DEEPEST = 3
_ANYWHERE: tuple[Kind, ...] = (
    "kill", "power", "freeze", "cut", "partition", "jump", "rival", "rescale", "savepoint", "stop", "rot",
)  # fmt: skip


class World:
    """Coordinators, workers, store, network, clocks, sources and sinks.

    `manifest`: the latest in the log, `saved_at`: since when. `failure`: what is wrong with the engine. `finished`: the
    log holds the end of the job. `gave_up`: the job has ended with an error that is right, for a file of its store was
    damaged.
    """

    def __init__(self, subject: Subject, seed: int, *, most_trouble: int = 6) -> None:
        self.rng = random.Random(seed)
        self.trouble = Trouble(self.rng, most_trouble)
        self.time = Time()
        self.disk = Disk()
        self.acting: Process | None = None
        self.steps = 0
        self.failure: str | None = None
        self.finished = False
        self.gave_up = False
        self.subject = subject
        self._processes: list[Process] = []
        self._masters: list[MasterProcess] = []
        self._start_at = 0
        self._depth = 0
        self._workers = self.rng.randint(1, 3)
        self._max_rows = self.rng.choice([1, 7, 100])
        self._memory = self.rng.choice([None, 1, 4096])
        self._pause_after = self.rng.choice([1, 10, 100_000])
        self._credit = self.rng.choice([1, 2_000, LEAST])
        self._keep = self.rng.randint(1, 3)
        self.savepoints: dict[str, Disk] = {}
        self._log_seen = 0
        self.manifest: Manifest | None = None
        self.saved_at = 0
        self._job = subject.job()
        self._times = Times(
            checkpoints=Pace(every=self.rng.choice([1_000, 5_000, 20_000, 100_000]), timeout=400_000, tolerated=10),
            restarts=Restarts(most=1000, first=1_000, longest=1_000_000),
            lease=LEASE,
            deploy=10 * LEASE,
        )
        subject.set_up(self)

    # -- one thing after the other

    def run(self) -> None:
        while self.step():
            pass

    def step(self) -> bool:
        """Let one thing happen; False when nothing can any more, or all is over."""
        self.steps += 1
        if self.steps > MOST_STEPS and not self.failure:
            self.failure = f"the job has not come to its end after {MOST_STEPS} steps"
        if self.failure:
            return False
        self.time.now += int(self.rng.random() * 500)
        self._strike()
        self._start()
        for process in self.rng.sample(self._processes, len(self._processes)):
            if process.frozen_until <= self.time.now and process.alive and process.act():
                self._look_at_log()
                return True
        return self._pass_time()

    def meanwhile(self, process: Process) -> None:
        if self._depth == _DEEPEST:
            return
        self._depth += 1
        for _ in range(self.rng.choice([2, 20, 200, 1000] if process.frozen_until else [2, 20, 200])):
            if not process.alive or not self.step():
                break
            if 0 < process.frozen_until <= self.time.now:
                break
        process.frozen_until = 0
        self._depth -= 1

    def _pass_time(self) -> bool:
        """Nobody has anything to do now: go to the next moment at which somebody has."""
        living = [process for process in self._processes if process.alive]
        due = [
            process.frozen_until if process.frozen_until > self.time.now else process.wakes_at() for process in living
        ]
        if not living and not self._is_over():
            due.append(self._start_at)
        known = [time for time in due if time is not None]
        if not known:
            if living and not self._depth:
                self.failure = f"{', '.join(process.name for process in living)} wait for ever"
            return False
        self.time.now = max(self.time.now + 1, min(known))
        return True

    # -- the job, and who starts it

    def _is_over(self) -> bool:
        return self.finished or self.gave_up

    def _start(self) -> None:
        """Whoever wants the job done starts it again when nobody is at it any more."""
        if self._is_over() or self.time.now < self._start_at:
            return
        if any(master.alive and master.frozen_until <= self.time.now for master in self._masters):
            return
        self.start_master()

    def start_master(self) -> None:
        self._start_at = self.time.now + self.rng.choice([1_000, 100_000, 5_000_000])
        name = f"master {len(self._masters) + 1}"
        master = MasterProcess(self, name, master=self._job_master, performer=self._performer, launch=self._launch)
        self._masters.append(master)
        self._processes = [process for process in self._processes if process.alive] + [master]

    def _look_at_log(self) -> None:
        """The job has come to its end when the log says so: then nobody starts it who has not begun already."""
        if self.disk.log_changes == self._log_seen or self.finished:
            return
        self._log_seen = self.disk.log_changes
        manifest = self.disk.manifest()
        if manifest is None:
            return
        if self.manifest is None or manifest.checkpoint != self.manifest.checkpoint:
            self.saved_at = self.time.now
        self.manifest = manifest
        if manifest.completed and not manifest.committables:
            self.finished = True
            self.trouble.story.append("finished")
            for master in self._masters:
                if not master.attempt:
                    master.die()
        elif self.subject.grows and self.subject.is_read(manifest):
            for master in self._masters:
                if master.alive and master.attempt and not master.drains:
                    master.drain()

    def on_end(self, master: MasterProcess) -> None:
        """A coordinator says that the job is over."""
        assert master.end is not None
        error = master.end.error
        taken_over = self.disk.last_nonce() != master.nonce
        match master.end.how:
            case "failed" if isinstance(error, Fenced) and not taken_over:
                self.failure = "a coordinator says that another has taken over, and none has"
            case "failed" if taken_over or isinstance(error, Fenced):
                pass  # what it still says of the job is of no consequence
            case "failed" if isinstance(error, Fatal) and any(path in str(error) for path in self.disk.rotten):
                self.gave_up = True
            case "failed":
                self.fail(error)
            case "finished" if not self.finished:
                self.failure = "a coordinator says that the job has come to its end, and its log does not"
            case _:
                pass

    def fail(self, error: BaseException | None) -> None:
        self.failure = self.failure or f"{type(error).__name__}: {error}"

    # -- trouble

    def _strike(self) -> None:
        kind = self.trouble.strikes(_ANYWHERE, f"step {self.steps}")
        if kind is None:
            return
        living = [process for process in self._processes if process.alive]
        process = self.rng.choice(living) if living else None
        match kind:
            case "power":
                self.lose_power()
            case "rival" if not self._is_over():
                self.start_master()
            case "rot":
                self._rot()
                self.lose_power()
            case _ if process is None:
                pass
            case "kill":
                process.die()
            case "freeze":
                process.freeze()
            case "jump":
                process.clock.jump(self.rng)
            case "cut" | "partition" if isinstance(process, WorkerProcess):
                process.cut(kind)
            case "rescale" | "savepoint" | "stop" if isinstance(process, MasterProcess):
                self._ask(process, kind)
            case _:
                pass
        self.trouble.story.append(f"  ... {process.name if process else ''}")

    def _ask(self, master: MasterProcess, kind: Kind) -> None:
        folder = f"savepoints/{self.steps}"
        match kind:
            case "rescale":
                self._workers = self.rng.randint(1, 4)
                master.ask(Rescale(self._workers))
            case "savepoint":
                master.ask(TakeSavepoint(folder))
            case _:
                master.ask(Stop(self.rng.choice([None, folder])))

    def _rot(self) -> None:
        manifest = self.disk.manifest()
        if manifest is not None and not self.finished:
            paths = sorted(manifest.paths() & self.disk.files.keys())
            if paths:
                self.disk.rot(self.rng.choice(paths), self.rng)

    def lose_power(self) -> None:
        for process in self._processes:
            if process.alive:
                process.die()
        self.disk.lose_power(self.rng)

    # -- what is simulated

    def _launch(
        self, master: MasterProcess, attempt: int, number: int, workers: int, connections: Connections
    ) -> WorkerProcess:
        process = WorkerProcess(
            self,
            f"{master.name}'s worker {attempt}.{number}",
            number,
            connections=connections,
            make=lambda process: self._worker(process, workers),
            graph=self._job.graph,
        )
        self._processes.append(process)
        return process

    @property
    def attempts(self) -> int:
        return max((master.attempt for master in self._masters), default=0)

    def _job_master(self, process: MasterProcess) -> JobMaster:
        return JobMaster(self._job, workers=self._workers, times=self._times)

    def _performer(self, process: MasterProcess) -> Performer:
        return Performer(
            SimulatedStore(self.disk, process),
            self.subject.graph(1),
            process.nonce,
            keep=self._keep,
            opened=lambda folder: SimulatedStore(self.savepoints.setdefault(folder, Disk()), process),
        )

    def _worker(self, process: WorkerProcess, workers: int) -> Worker:
        graph = self.subject.graph(workers)
        return Worker(
            graph,
            process.number,
            links=Links(graph, process.number, first=self._credit, least=self._credit),
            store=SimulatedStore(self.disk, process),
            clock=process.clock,
            memory=None if self._memory is None else Memory(self._memory, SpillBuffers()),
            max_rows=self._max_rows,
            pause_after=self._pause_after,
            wrap=checked,
        )
