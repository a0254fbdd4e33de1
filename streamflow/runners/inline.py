"""The inline runner: n logical workers in one thread, every interleaving decided by a seed.

It drives the tasks, readers and coordinator that every runner drives. Sinks are collected: rows of a checkpoint that is
not complete are dropped by a crash, as a transactional sink would drop them.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import assert_never

import pyarrow as pa

from streamflow.cluster.checkpoint import Checkpoint, SplitState
from streamflow.cluster.coordinator import (
    Acknowledged,
    CheckpointDue,
    Commit,
    Committed,
    Coordinator,
    Finish,
    Instruction,
    ReadEnded,
    Trigger,
    assign,
)
from streamflow.engine.clock import ManualClock
from streamflow.engine.error_budget import check_budget, dead_rows, skipped_rows
from streamflow.engine.task import Aligned, Channel, Finished, Send, Task, TaskOutput, Wrap, Write
from streamflow.errors import EngineError
from streamflow.kernels.hashing import groups_of_worker
from streamflow.operators.events import Event
from streamflow.plan.physical import PhysicalGraph
from streamflow.runners.functions import OpenFunctions
from streamflow.runners.reading import OpenRead, discover, split_states
from streamflow.state.files import decode, encode
from streamflow.state.memory import Memory, SpillBuffers


class InlineJob:
    """One attempt of a job. `step` does one thing that may happen next; which one is up to the seed.

    `clock`: what the idleness of splits and processing time go by. It moves only when nothing else can be done, to the
    next moment at which a reader or a task wants to go on.
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
        wrap: Wrap | None = None,
        memory: int | None = None,
    ) -> None:
        self._graph = graph
        self._rng = random.Random(seed)
        self._clock = clock or ManualClock()
        self._max_rows = max_rows
        self._channels: dict[tuple[int, Channel], deque[Event]] = {}
        self._tasks: dict[tuple[int, int], Task] = {}
        self._reads: list[tuple[int, OpenRead]] = []
        writers = [(worker, node) for worker in range(graph.workers) for node in graph.sinks()]
        self._pending: dict[tuple[int, int], list[pa.RecordBatch]] = {writer: [] for writer in writers}
        self._prepared: dict[tuple[int, int], list[pa.RecordBatch]] = {writer: [] for writer in writers}
        self.committed: dict[int, list[pa.RecordBatch]] = {node: [] for node in graph.sinks()}
        self.checkpoint: Checkpoint | None = checkpoint
        self.finished = False
        self.batches_read = 0
        self._coordinator = Coordinator(
            workers=graph.workers,
            stages=graph.stages,
            reads=[graph.nodes[read].step for read in graph.reads()],
            key_groups=graph.key_groups,
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
        parts = {} if checkpoint is None else {a: [decode(d) for d in ds] for a, ds in checkpoint.state.items()}
        for worker in range(workers):
            splits = {read: {name: s.times for name, s in own.items()} for read, own in assigned[worker].items()}
            memory = None if limit is None else Memory(limit, SpillBuffers())
            for stage in range(self._graph.stages):
                task = Task(self._graph, stage, worker, splits=splits, wrap=wrap, memory=memory)
                task.restore(parts, groups_of_worker(worker, self._graph.key_groups, workers))
                self._tasks[worker, stage] = task
                for channel in task.channels:
                    self._channels[worker, channel] = deque()
        self._clocked = [task for task in self._tasks.values() if task.goes_by_clock]
        for task in self._clocked:
            self._tell_time(task)
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
            self._carry_out(worker, 0, opened.start())
            self._report_end(worker, opened)

    def _assignment(self, worker: int, checkpoint: Checkpoint | None) -> dict[int, dict[str, SplitState]]:
        found: dict[int, dict[str, SplitState]] = {}
        for read in self._graph.reads():
            node = self._graph.nodes[read]
            known = {} if checkpoint is None else checkpoint.splits[node.step]
            found_now = discover(self._graph, node)
            names = [*found_now, *(name for name in known if name not in found_now)]
            own = assign(names, self._graph.workers)[worker]
            states = split_states(names, known)
            found[read] = {name: states[name] for name in own}
        return found

    # -- one step

    def step(self) -> bool:
        """Do one thing that can be done; False when nothing can, or the job is finished."""
        if self.finished:
            return False
        choices: list[tuple[int, OpenRead | Channel | Task]] = [
            (worker, read) for worker, read in self._reads if self._can_poll(worker, read)
        ]
        choices += [
            (worker, c) for (worker, c), queue in self._channels.items() if queue and not self._blocked(worker, c)
        ]
        now = self._clock.now()
        choices += [
            (task.worker, task) for task in self._clocked if (due := task.next_wakeup()) is not None and due <= now
        ]
        if not choices:
            return self._jump_clock()
        worker, chosen = self._rng.choice(choices)
        match chosen:
            case OpenRead():
                self._tell_time(self._tasks[worker, 0])
                self.batches_read += 1
                rows = 1 + int(self._max_rows * self._rng.random() ** 3)
                self._carry_out(worker, 0, chosen.poll(rows, self._clock.monotonic()))
                self._report_end(worker, chosen)
            case Task():
                self._tell_time(chosen)
            case channel:
                stage = self._graph.nodes[channel.port[0]].stage
                self._tell_time(self._tasks[worker, stage])
                event = self._channels[worker, channel].popleft()
                self._carry_out(worker, stage, self._tasks[worker, stage].on_event(channel, event))
        check_budget(self._graph, self._tasks.values())
        return True

    def _can_poll(self, worker: int, read: OpenRead) -> bool:
        return read.can_poll(self._clock.monotonic()) and not self._tasks[worker, 0].is_blocked(read.node.id)

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

    def _tell_time(self, task: Task) -> None:
        if task.goes_by_clock:
            self._carry_out(task.worker, task.stage, task.on_time(self._clock.now()))

    def _blocked(self, worker: int, channel: Channel) -> bool:
        return self._tasks[worker, self._graph.nodes[channel.port[0]].stage].is_blocked(channel)

    def _report_end(self, worker: int, read: OpenRead) -> None:
        if read.ended:
            self._instruct(self._coordinator.handle(ReadEnded(worker, read.node.step)))

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
        state = {address: encode(part) for address, part in task.snapshot().items()}
        self._instruct(self._coordinator.handle(Acknowledged(worker, stage, checkpoint, state, splits)))

    def _instruct(self, instructions: Iterable[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Trigger(barrier):
                    for worker in range(self._graph.workers):
                        self._carry_out(worker, 0, self._tasks[worker, 0].on_trigger(barrier))
                case Commit(checkpoint):
                    check_budget(self._graph, self._tasks.values())
                    self._commit(checkpoint)
                case Finish():
                    for worker in range(self._graph.workers):
                        self._carry_out(worker, 0, self._tasks[worker, 0].on_end())
                case other:
                    assert_never(other)

    def _commit(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        for (_, node), batches in self._prepared.items():
            self.committed[node] += batches
            batches.clear()
        self._instruct(self._coordinator.handle(Committed(checkpoint.number)))

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
