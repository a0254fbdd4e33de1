"""A coordinator's process: the edge around `JobMaster` and `Performer`, as the simulation has it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from streamflow.cluster.events import (
    AllGone,
    Answer,
    Asked,
    Claimed,
    End,
    Heard,
    Instruction,
    JobEvent,
    KillAll,
    Launch,
    Note,
    Performed,
    Request,
    Send,
    Start,
    Stop,
    Tick,
    WorkerGone,
)
from streamflow.cluster.job import JobMaster
from streamflow.engine.control import FromWorker, decode, encode
from streamflow.runners.performing import Performer
from streamflow.testing.simulation.process import Option, Process
from streamflow.testing.simulation.workers import Connections, WorkerProcess

if TYPE_CHECKING:
    from streamflow.testing.simulation.world import World


class MasterProcess(Process):
    """`launch` starts a worker. Its loop and what it does in the store have a thread each.

    `end`: what became of the job, as far as this coordinator knows.
    """

    def __init__(
        self,
        scene: World,
        name: str,
        *,
        master: Callable[[MasterProcess], JobMaster],
        performer: Callable[[MasterProcess], Performer],
        launch: Callable[[MasterProcess, int, int, int, Connections], WorkerProcess],
    ) -> None:
        super().__init__(scene, name)
        self._world = scene
        self._launch = launch
        self.workers: dict[tuple[int, int], WorkerProcess] = {}
        self._gone: set[tuple[int, int]] = set()
        self._killing: set[int] = set()
        self._events: deque[JobEvent] = deque([Start()])
        self._todo: deque[Performed] = deque()
        self._asked = 0
        self.nonce = f"{scene.rng.getrandbits(64):016x}"
        self.attempt = 0
        self.drains = False
        self.end: End | None = None
        self.master = master(self)
        self.performer = performer(self)

    def ask(self, what: Request) -> None:
        """Somebody wants something of the job."""
        self._asked += 1
        self._events.append(Asked(self._asked, what))

    def drain(self) -> None:
        """Somebody knows that no more rows will come."""
        self.drains = True
        self.ask(Stop(drain=True))

    # -- what it may do

    def options(self) -> list[Option]:
        found: list[Option] = []
        now = self.scene.time.now
        if self._events:
            found.append(("loop", self._take))
        elif (due := self.master.wakes_at()) is not None and due <= self.clock.monotonic():
            found.append(("loop", self._tick))
        if self._todo:
            found.append(("perform", self._perform))
        for key, worker in self.workers.items():
            if key not in self._gone and (at := worker.up.arrives_at()) is not None and at <= now:
                found.append(("loop", partial(self._hear, key, worker)))
        found += [("loop", partial(self._kill, attempt)) for attempt in self._killing]
        return found

    def wakes_at(self) -> int | None:
        due = [worker.up.arrives_at() for key, worker in self.workers.items() if key not in self._gone]
        if (tick := self.master.wakes_at()) is not None:
            due.append(self.scene.time.now + self.clock.until(tick))
        return min((at for at in due if at is not None), default=None)

    def die(self) -> None:
        super().die()
        for worker in self.workers.values():
            worker.down.closed = True

    # -- events and instructions

    def _take(self) -> None:
        self._handle(self._events.popleft())

    def _tick(self) -> None:
        self._handle(Tick())

    def _handle(self, event: JobEvent) -> None:
        for instruction in self.master.handle(event, self.clock.monotonic()):
            self._carry_out(instruction)

    def _carry_out(self, instruction: Instruction) -> None:
        match instruction:
            case Launch(attempt, workers):
                connections: Connections = {}
                for number in range(workers):
                    process = self._launch(self, attempt, number, workers, connections)
                    self.workers[attempt, number] = process
            case Send(attempt, worker, message):
                self.workers[attempt, worker].down.put(encode(message))
            case KillAll(attempt):
                self._killing.add(attempt)
            case End():
                self.end = instruction
                self.scene.trouble.story.append(f"{self.name} ends: {instruction.how} {instruction.error or ''}")
                self._world.on_end(self)
                self.die()
            case Answer() | Note():
                pass
            case _:
                self._todo.append(instruction)

    def _perform(self) -> None:
        instruction = self._todo.popleft()
        self.moment(f"begin {type(instruction).__name__}")
        event = self.performer.perform(instruction)
        if isinstance(event, Claimed):
            self.attempt = event.attempt
        self._events.append(event)
        self.moment(f"did {type(instruction).__name__}")

    # -- workers

    def _hear(self, key: tuple[int, int], worker: WorkerProcess) -> None:
        attempt, number = key
        data = worker.up.take()
        if data is not None:
            self._handle(Heard(attempt, number, cast("FromWorker", decode(data))))
        else:
            self._gone.add(key)
            self._handle(WorkerGone(attempt, number, "it has ended"))

    def _kill(self, attempt: int) -> None:
        """End its workers one after the other; what is heard of them in between is heard."""
        alive = [worker for (of, _), worker in self.workers.items() if of == attempt and worker.alive]
        if alive:
            alive[0].die()
        else:
            self._killing.discard(attempt)
            self._events.append(AllGone(attempt))
