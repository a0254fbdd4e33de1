"""The inline runner: n logical workers in one thread, every interleaving decided by a seed.

It drives the tasks, readers and coordinator that every runner drives. Sinks are collected: rows of a checkpoint that is
not complete are dropped by a crash, as a transactional sink would drop them.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import TypeAlias, assert_never

import pyarrow as pa

from streamflow.cluster.checkpoint import Checkpoint
from streamflow.cluster.coordinator import (
    Acknowledged,
    CheckpointDue,
    Complete,
    Concluded,
    Coordinator,
    CoordinatorInstruction,
    Finish,
    GiveUp,
    Part,
    ReadEnded,
    Trigger,
    assign,
)
from streamflow.engine.chain import PAUSE_AFTER, Wrap
from streamflow.engine.clock import ManualClock
from streamflow.engine.error_budget import check_budget, dead_rows, skipped_rows
from streamflow.engine.functions import OpenFunctions
from streamflow.engine.outputs import Aligned, Channel, Finished, Send, TaskOutput, Write
from streamflow.engine.reading import OpenRead, known_splits
from streamflow.engine.split_state import SplitState
from streamflow.engine.task import Task
from streamflow.errors import EngineError
from streamflow.kernels.hashing import groups_of_worker
from streamflow.operators.events import Barrier, Event
from streamflow.plan.physical import PhysicalGraph
from streamflow.state.captured import PartFiles
from streamflow.state.memory import Memory, SpillBuffers

Place: TypeAlias = "tuple[int, int]"
"""A task's: (worker, stage)."""


class InlineJob:
    """One attempt of a job. `step` does one thing that may happen next; which one is up to the seed.

    `clock`: what the idleness of splits and processing time go by. It moves only when nothing else can be done, to the
    next moment at which a reader or a task wants to go on.
    `pause_after`: after how many rows a task leaves the rest of a call for later steps.
    `memory`: bytes that the state of each worker may take; what spills goes into buffers. None: there is no limit.
    """

    def __init__(
        self,
        graph: PhysicalGraph,
        *,
        seed: int = 0,
        checkpoint: Checkpoint | None = None,
        clock: ManualClock | None = None,
        max_rows: int = 16_384,
        pause_after: int = PAUSE_AFTER,
        wrap: Wrap | None = None,
        memory: int | None = None,
    ) -> None:
        self._graph = graph
        self._rng = random.Random(seed)
        self._clock = clock or ManualClock()
        self._max_rows = max_rows
        self._pause_after = pause_after
        self._channels: dict[tuple[int, Channel], deque[Event]] = {}
        self._tasks: dict[Place, Task] = {}
        self._under_way: dict[Place, deque[Iterator[list[TaskOutput]]]] = {}
        """What a task has begun, and behind it what it is given next; no entry is empty."""
        self._reads: list[tuple[int, OpenRead]] = []
        writers = [(worker, node) for worker in range(graph.workers) for node in graph.sinks()]
        self._pending: dict[tuple[int, int], list[pa.RecordBatch]] = {writer: [] for writer in writers}
        self._prepared: dict[tuple[int, int], list[pa.RecordBatch]] = {writer: [] for writer in writers}
        self.committed: dict[int, list[pa.RecordBatch]] = {node: [] for node in graph.sinks()}
        self.checkpoint: Checkpoint | None = checkpoint
        self._completed = 0
        self._files: list[PartFiles[bytes]] = [PartFiles() for _ in range(graph.workers)]
        self.finished = False
        self.batches_read = 0
        self._coordinator: Coordinator[bytes] = Coordinator(
            workers=graph.workers,
            stages=graph.stages,
            reads=[graph.nodes[read].step for read in graph.reads()],
            first=1 if checkpoint is None else checkpoint.number + 1,
        )
        self._unfinished = {(worker, stage) for worker in range(graph.workers) for stage in range(graph.stages)}
        self._functions = OpenFunctions(graph)
        with ExitStack() as opened:
            opened.enter_context(self._functions)
            self._deploy(checkpoint, wrap, memory)
            opened.pop_all()

    # -- deployment

    def _deploy(self, checkpoint: Checkpoint | None, wrap: Wrap | None, limit: int | None) -> None:
        workers = self._graph.workers
        assigned = [self._assignment(worker, checkpoint) for worker in range(workers)]
        parts = {} if checkpoint is None else checkpoint.snapshots()
        for worker in range(workers):
            splits = {read: {name: s.times for name, s in own.items()} for read, own in assigned[worker].items()}
            memory = None if limit is None else Memory(limit, SpillBuffers())
            for stage in range(self._graph.stages):
                task = Task(
                    self._graph,
                    stage,
                    worker,
                    splits=splits,
                    wrap=wrap,
                    memory=memory,
                    pause_after=self._pause_after,
                )
                task.restore(parts, groups_of_worker(worker, self._graph.key_groups, workers))
                self._tasks[worker, stage] = task
                for channel in task.channels:
                    self._channels[worker, channel] = deque()
        self._clocked = [task for task in self._tasks.values() if task.goes_by_clock]
        for task in self._clocked:
            self._begin((task.worker, task.stage), self._time(task))
        for worker in range(workers):
            for read in self._tasks[worker, 0].reads():
                opened = OpenRead(
                    self._graph,
                    self._graph.nodes[read],
                    self._tasks[worker, 0],
                    assigned[worker][read],
                    looks=worker == 0,
                    known={name: state for own in assigned for name, state in own[read].items()},
                )
                self._reads.append((worker, opened))
        for worker, opened in self._reads:
            self._begin((worker, 0), self._through(worker, opened, opened.start()))

    def _assignment(self, worker: int, checkpoint: Checkpoint | None) -> dict[int, dict[str, SplitState]]:
        found: dict[int, dict[str, SplitState]] = {}
        for read in self._graph.reads():
            node = self._graph.nodes[read]
            states = known_splits(self._graph, node, {} if checkpoint is None else checkpoint.splits[node.step])
            own = assign(list(states), self._graph.workers)[worker]
            found[read] = {name: states[name] for name in own}
        return found

    # -- one step

    def step(self) -> bool:
        """Do one thing that can be done; False when nothing can, or the job is finished."""
        if self.finished:
            return False
        choices: list[tuple[int, OpenRead | Channel | Task | Place]] = [(place[0], place) for place in self._under_way]
        choices += [(worker, read) for worker, read in self._reads if self._can_poll(worker, read)]
        choices += [(worker, c) for (worker, c), queue in self._channels.items() if queue and self._can_take(worker, c)]
        now = self._clock.now()
        choices += [
            (task.worker, task)
            for task in self._clocked
            if (due := task.next_wakeup()) is not None
            and due <= now
            and (task.worker, task.stage) not in self._under_way
        ]
        if not choices:
            return self._jump_clock()
        worker, chosen = self._rng.choice(choices)
        match chosen:
            case OpenRead():
                self.batches_read += 1
                rows = 1 + int(self._max_rows * self._rng.random() ** 3)
                polled = chosen.poll(rows, self._clock.monotonic())
                self._begin((worker, 0), self._through(worker, chosen, polled))
            case Channel():
                task = self._tasks[worker, self._stage(chosen)]
                self._begin((worker, task.stage), self._event(task, chosen, self._channels[worker, chosen].popleft()))
            case Task():
                self._begin((worker, chosen.stage), self._time(chosen))
            case place:
                self._go_on(place)
        check_budget(self._graph, self._tasks.values())
        return True

    def _through(self, worker: int, read: OpenRead, calls: Iterator[list[TaskOutput]]) -> Iterator[list[TaskOutput]]:
        """What a read makes of its task, and then what the coordinator is to know of it."""
        yield from self._time(self._tasks[worker, 0])
        yield from calls
        if read.ended:
            self._instruct(self._coordinator.handle(ReadEnded(worker, read.node.step)))

    def _begin(self, place: Place, calls: Iterator[list[TaskOutput]]) -> None:
        """Let the task do this; at once, if there is nothing that it does before."""
        busy = place in self._under_way
        self._under_way.setdefault(place, deque()).append(calls)
        if not busy:
            self._go_on(place)

    def _go_on(self, place: Place) -> None:
        """Take what the task does next, and as much of the rest as the seed says."""
        for outputs in self._under_way[place][0]:
            self._carry_out(*place, outputs)
            if outputs and self._rng.random() < 0.25:
                return
        self._under_way[place].popleft()
        if not self._under_way[place]:
            del self._under_way[place]

    def _can_poll(self, worker: int, read: OpenRead) -> bool:
        free = (worker, 0) not in self._under_way and not self._tasks[worker, 0].is_blocked(read.node.id)
        return free and read.can_poll(self._clock.monotonic())

    def _jump_clock(self) -> bool:
        """Nothing to do now: go to the next moment at which a reader wants to be polled, or a task to be woken."""
        waiting = [r.wakes_at for _, r in self._reads if not r.ended and r.wakes_at is not None]
        waiting += [due for task in self._clocked if (due := task.next_wakeup()) is not None]
        if not waiting:
            if any(self._channels.values()):
                raise EngineError("channels hold events that no task may take: a barrier cannot align")
            return False
        self._clock.advance(max(1, min(waiting) - self._clock.monotonic()))
        return True

    def _time(self, task: Task) -> Iterator[list[TaskOutput]]:
        """What a task is told before each event, and when it wants to be woken."""
        if task.goes_by_clock:
            yield from task.to_end(task.on_time(self._clock.now()))

    def _event(self, task: Task, channel: Channel, event: Event) -> Iterator[list[TaskOutput]]:
        yield from self._time(task)
        yield from task.to_end(task.on_event(channel, event))

    def _can_take(self, worker: int, channel: Channel) -> bool:
        place = (worker, self._stage(channel))
        return place not in self._under_way and not self._tasks[place].is_blocked(channel)

    def _stage(self, channel: Channel) -> int:
        return self._graph.nodes[channel.port[0]].stage

    # -- what tasks and coordinator want

    def _carry_out(self, worker: int, stage: int, outputs: Iterable[TaskOutput]) -> None:
        for output in outputs:
            match output:
                case Send(port, to, event):
                    self._channels[to, Channel(port, worker)].append(event)
                case Write(node, batch):
                    self._pending[worker, node].append(batch)
                case Aligned(barrier):
                    self._acknowledge(worker, stage, barrier.checkpoint)
                case Finished():
                    self._unfinished.discard((worker, stage))
                    self.finished = not self._unfinished
                case other:
                    assert_never(other)

    def _acknowledge(self, worker: int, stage: int, checkpoint: int) -> None:
        task = self._tasks[worker, stage]
        for node in self._graph.sinks():
            if self._graph.nodes[node].stage == stage:
                self._prepared[worker, node] += self._pending[worker, node]
                self._pending[worker, node] = []
        splits = {r.node.step: r.states() for w, r in self._reads if w == worker and stage == 0}
        state = self._files[worker].name(task.capture(checkpoint, self._completed), bytes)
        part = Part(splits=splits, state=state)
        self._instruct(self._coordinator.handle(Acknowledged(worker, stage, checkpoint, part)))

    def _instruct(self, instructions: Iterable[CoordinatorInstruction[bytes]]) -> None:
        for instruction in instructions:
            match instruction:
                case Trigger(barrier):
                    for worker in range(self._graph.workers):
                        self._begin((worker, 0), self._control(worker, barrier))
                case Complete(barrier, part):
                    check_budget(self._graph, self._tasks.values())
                    self._commit(barrier.checkpoint, part)
                case Finish():
                    for worker in range(self._graph.workers):
                        self._begin((worker, 0), self._control(worker, None))
                case GiveUp(why):
                    raise EngineError(why)
                case other:
                    assert_never(other)

    def _control(self, worker: int, barrier: Barrier | None) -> Iterator[list[TaskOutput]]:
        """A barrier, or the end, for the reads of a worker, when it has come to it."""
        task = self._tasks[worker, 0]
        yield from task.to_end(task.on_end() if barrier is None else task.on_trigger(barrier))

    def _commit(self, number: int, part: Part[bytes]) -> None:
        state = {address: tuple(snapshots) for address, snapshots in part.state.items()}
        self.checkpoint = Checkpoint(number=number, key_groups=self._graph.key_groups, splits=part.splits, state=state)
        self._completed = number
        for (_, node), batches in self._prepared.items():
            self.committed[node] += batches
            batches.clear()
        self._instruct(self._coordinator.handle(Concluded(number)))

    # -- what the test does

    def trigger_checkpoint(self) -> None:
        """Ask for a checkpoint now; it completes as the job goes on."""
        self._instruct(self._coordinator.handle(CheckpointDue()))

    def run(self) -> None:
        """Step until the job has finished."""
        while self.step():
            pass
        if not self.finished:
            raise EngineError("the job stands still: no split can be read and no channel holds an event")

    def late(self) -> dict[str, int]:
        """(row, window) pairs left out, by step."""
        found: dict[str, int] = {}
        for task in self._tasks.values():
            for node, count in task.late().items():
                step = self._graph.nodes[node].step
                found[step] = found.get(step, 0) + count
        return found

    def skipped(self) -> dict[str, int]:
        """Rows that were left out because they could not be processed, by step."""
        return skipped_rows(self._tasks.values())

    def dead(self) -> dict[str, int]:
        """Rows that went to the dead letters, by step."""
        return dead_rows(self._tasks.values())

    def close(self) -> None:
        """Let go of everything; a second call does nothing."""
        for _, read in self._reads:
            read.close()
        self._functions.close()

    def results(self) -> Mapping[str, pa.Table]:
        """Committed rows by the sink's step."""
        return {
            self._graph.nodes[node].step: pa.Table.from_batches(self.committed[node], schema=work.schema)
            for node, work in self._graph.sinks().items()
        }
