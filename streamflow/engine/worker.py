"""A worker in one attempt of a job: its tasks, reads and sinks, and in which order they have their turn.

It does one piece of work at a time, as `step` is called: what comes last in the flow first, so that rows leave before
others come in; and nothing for a stage whose way out is full. What it has to say to the coordinator is in `taken`, what
it has for other workers in `links`, and what is to be written to the checkpoint store in `writes`, to be done beside
its work. It has no thread, socket or clock of its own: a process and the simulation run the same object.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, assert_never

from streamflow.connect.sink import Committable
from streamflow.connect.source import Position
from streamflow.engine.chain import PAUSE_AFTER, Wrap
from streamflow.engine.control import (
    Acknowledged,
    Completed,
    Declined,
    Deploy,
    Deployed,
    Drain,
    Failed,
    Finish,
    FromWorker,
    ReadEnded,
    Renewed,
    Report,
    ToWorker,
    Trigger,
)
from streamflow.engine.control import Finished as WorkerFinished
from streamflow.engine.durable import StateWriter
from streamflow.engine.error_budget import check_budget, dead_rows, skipped_rows
from streamflow.engine.functions import OpenFunctions
from streamflow.engine.links import Links
from streamflow.engine.outputs import Aligned, Channel, Finished, Send, TaskOutput, Write
from streamflow.engine.pace import Pace
from streamflow.engine.parts import Files
from streamflow.engine.reading import MAX_ROWS, OpenRead
from streamflow.engine.split_state import SplitState
from streamflow.engine.task import Task
from streamflow.engine.writing import Sinks
from streamflow.errors import EngineError, StreamflowError
from streamflow.kernels.hashing import groups_of_worker
from streamflow.operators.events import MAX_TIME, MIN_TIME, Barrier, Event
from streamflow.plan.physical import PhysicalGraph
from streamflow.state.captured import Captured, whole
from streamflow.state.files import read_all
from streamflow.state.memory import Memory
from streamflow.state.store import CheckpointStore

Calls: TypeAlias = "Iterator[list[TaskOutput]]"
"""Calls into a task, made one by one; what each gave."""


class Clock(Protocol):
    def monotonic(self) -> int: ...

    def now(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a write: the files of a checkpoint, or why they could not be written."""

    checkpoint: int
    files: Files | None
    why: str = ""


@dataclass(slots=True)
class _Part:
    """The worker's part of a checkpoint, as its stages align."""

    stages: set[int] = field(default_factory=set)
    state: list[Mapping[str, Captured]] = field(default_factory=list)
    splits: dict[str, dict[str, SplitState]] = field(default_factory=dict)
    positions: list[Mapping[str, Position]] = field(default_factory=list)
    committables: Mapping[str, Sequence[Committable]] = field(default_factory=dict)


class Worker:
    """`number`: which of the graph's workers it is. `store`: where the state of the job is kept.

    `clock`: the machine's. `memory`: what the state of its tasks may take. `max_rows`: the most rows of a poll.
    `spilled`: tells how many bytes of state were written to files. `pause_after`, `wrap`: see `Task`. `links`: its own,
    with other limits than the usual ones.
    """

    def __init__(
        self,
        graph: PhysicalGraph,
        number: int,
        *,
        store: CheckpointStore,
        clock: Clock,
        memory: Memory | None = None,
        spilled: Callable[[], int] = int,
        max_rows: int = MAX_ROWS,
        pause_after: int = PAUSE_AFTER,
        wrap: Wrap | None = None,
        links: Links | None = None,
    ) -> None:
        self._graph = graph
        self.number = number
        self._store = store
        self._clock = clock
        self._memory = memory
        self._spilled = spilled
        self._max_rows = max_rows
        self._pause_after = pause_after
        self._wrap = wrap
        self.links = links or Links(graph, number)
        self.turns = 0
        self.writes: list[Callable[[], Written]] = []
        """To be called once each, in order, anywhere; what one gives is handed to `on_written`."""
        self._running = False
        self._stopped = False
        """A final barrier has come: nothing is read behind it."""
        self._said: list[FromWorker] = []
        self._tasks: list[Task] = []
        self._reads: list[OpenRead] = []
        self._paces: list[Pace] = []
        self._polled: list[tuple[int, int] | None] = []
        """By read: when it was polled and how many rows it had given before; None where it had nothing."""
        self._sinks: Sinks | None = None
        self._under_way: list[deque[Calls]] = [deque() for _ in range(graph.stages)]
        """By stage: what its task has begun, and behind it what it is given next."""
        self._unfinished = set(range(graph.stages))
        self._last_first = tuple(reversed(range(graph.stages)))
        self._parts: dict[int, _Part] = {}
        self._open = ExitStack()

    # -- what it is told

    def on_message(self, message: ToWorker) -> None:
        """Take in what the coordinator says."""
        with _Guard(self):
            match message:
                case Deploy():
                    self._deploy(message)
                case Trigger(barrier):
                    self._stopped = self._stopped or barrier.final
                    self._under_way[0].append(self._trigger(barrier))
                case Completed(checkpoint):
                    self._completed(checkpoint)
                case Finish():
                    self._under_way[0].append(self._finish())
                case Drain():
                    self._under_way[0] += [self._through(read, read.drain()) for read in self._reads if not read.ended]
                case Renewed():
                    pass
                case other:
                    assert_never(other)

    def on_data(self, peer: int, data: bytes | bytearray | memoryview) -> None:
        """Take in what was read from the connection with another worker, cut anywhere."""
        with _Guard(self):
            self.links.feed(peer, data)

    def on_written(self, written: Written) -> None:
        """Take in what came of one of `writes`."""
        part = self._parts.get(written.checkpoint)
        if part is None or not self._running:
            return
        if written.files is None:
            self._said.append(Declined(written.checkpoint, written.why))
            return
        self._said += [
            self.report(),
            Acknowledged(written.checkpoint, written.files, part.splits, part.committables),
        ]

    def taken(self) -> list[FromWorker]:
        """What it has to say to the coordinator, once."""
        said, self._said = self._said, []
        return said

    @property
    def running(self) -> bool:
        """It is deployed, and has neither failed nor come to its end."""
        return self._running

    # -- deployment

    def _deploy(self, message: Deploy) -> None:
        graph, number = self._graph, self.number
        self._files = StateWriter(self._store, message.attempt, number)
        self._open.enter_context(OpenFunctions(graph))
        by_step = {graph.nodes[read].step: read for read in graph.reads()}
        splits = {by_step[step]: own for step, own in message.splits.items()}
        times = {read: {name: state.times for name, state in own.items()} for read, own in splits.items()}
        state = read_all(self._store, message.state)
        groups = groups_of_worker(number, graph.key_groups, graph.workers)
        for stage in range(graph.stages):
            task = Task(
                graph,
                stage,
                number,
                splits=times,
                wrap=self._wrap,
                memory=self._memory,
                pause_after=self._pause_after,
            )
            task.restore(state, groups)
            self._tasks.append(task)
        self._sinks = Sinks(
            graph,
            number,
            job=message.job,
            attempt=message.attempt,
            seconds=lambda: self._clock.monotonic() / 1e6,
        )
        self._open.callback(self._sinks.close)
        self._sinks.take_over(state, groups)
        for step, read in by_step.items():
            opened = OpenRead(
                graph,
                graph.nodes[read],
                self._tasks[0],
                splits.get(read, {}),
                looks=number == 0,
                known=message.known.get(step, {}),
            )
            self._open.callback(opened.close)
            self._reads.append(opened)
            self._paces.append(Pace(self._max_rows))
            self._polled.append(None)
            self._under_way[0].append(self._through(opened, opened.start()))
        self._running = True
        self._said.append(Deployed())

    def close(self) -> None:
        """Let go of everything; what was not committed is not published. A second call does nothing."""
        self._running = False
        self._open.close()

    # -- one piece of work

    def step(self) -> bool:
        """Do one piece of work; False when there is nothing that can be done now."""
        if not self._running:
            return False
        done = False
        with _Guard(self):
            done = self._step(self._clock.monotonic())
            self.turns += done
        return done

    def _step(self, now: int) -> bool:
        self.links.release(now)
        for stage in self._last_first:
            if not self.links.has_room(stage):
                continue
            calls = self._under_way[stage] or self._next(stage, now)
            if calls:
                self._go_on(stage, now)
                return True
        return self.links.release(None)

    def _next(self, stage: int, now: int) -> deque[Calls]:
        """Begin what the stage may do next, if there is anything."""
        task, calls = self._tasks[stage], self._under_way[stage]
        channel = next((one for one in self.links.waiting(stage) if not task.is_blocked(one)), None)
        if channel is not None:
            calls.append(self._event(task, channel, self.links.take(channel, now)))
        elif task.goes_by_clock and (due := task.next_wakeup()) is not None and due <= self._clock.now():
            calls.append(self._time(task))
        elif stage == 0 and not self._stopped:
            for index, read in enumerate(self._reads):
                if read.can_poll(now) and not task.is_blocked(read.node.id):
                    self._measure(index, now)
                    calls.append(self._through(read, self._poll(index, now)))
        return calls

    def _go_on(self, stage: int, now: int) -> None:
        """Make the calls that are next, up to where the task pauses."""
        calls, task = self._under_way[stage], self._tasks[stage]
        for outputs in calls[0]:
            self._carry_out(task, outputs, now)
            if task.pending:
                return
        calls.popleft()
        check_budget(self._graph, self._tasks)

    def _measure(self, index: int, now: int) -> None:
        """Set the pace of a read by its last poll, if that gave rows."""
        polled, self._polled[index] = self._polled[index], None
        if polled is not None:
            at, rows = polled
            self._paces[index].took(self._reads[index].taken - rows, now - at)

    def _poll(self, index: int, now: int) -> Calls:
        read = self._reads[index]
        before = read.taken
        yield from read.poll(self._paces[index].rows, now)
        if read.taken > before:
            self._polled[index] = (now, before)

    def _through(self, read: OpenRead, calls: Calls) -> Calls:
        """What a read makes of its task, and then what the coordinator is to know of it."""
        yield from self._time(self._tasks[0])
        yield from calls
        if read.ended:
            self._said.append(ReadEnded(read.node.step))

    def _event(self, task: Task, channel: Channel, event: Event) -> Calls:
        yield from self._time(task)
        yield from task.to_end(task.on_event(channel, event))

    def _time(self, task: Task) -> Calls:
        if task.goes_by_clock:
            yield from task.to_end(task.on_time(self._clock.now()))

    def _trigger(self, barrier: Barrier) -> Calls:
        yield from self._tasks[0].to_end(self._tasks[0].on_trigger(barrier))

    def _finish(self) -> Calls:
        yield from self._tasks[0].to_end(self._tasks[0].on_end())

    # -- what its tasks say

    def _carry_out(self, task: Task, outputs: list[TaskOutput], now: int) -> None:
        for output in outputs:
            match output:
                case Send(port, worker, event):
                    self.links.send(port, worker, event, now)
                case Write(node, batch):
                    assert self._sinks is not None
                    refused = self._sinks.write(node, batch, task.delivery(node))
                    if refused is not None:
                        self._carry_out(task, task.on_refused(node, refused), now)
                case Aligned(barrier):
                    self._align(task, barrier)
                case Finished():
                    self._unfinished.discard(task.stage)
                    if not self._unfinished:
                        self._running = False
                        self._said += [self.report(), WorkerFinished()]
                case other:
                    assert_never(other)

    def _align(self, task: Task, barrier: Barrier) -> None:
        """Phase one of a stage: its state as of now, and what its sinks have prepared."""
        assert self._sinks is not None
        number = barrier.checkpoint
        part = self._parts.setdefault(number, _Part())
        self._sinks.prepare(task.stage, barrier)
        kept = whole(task.stage, number, self._sinks.kept(task.stage, self._graph.key_groups))
        part.state.append({**task.capture(number, self._files.complete), **kept})
        if task.stage == 0:
            part.splits = {read.node.step: read.states() for read in self._reads}
            part.positions = [read.positions() for read in self._reads]
        part.stages.add(task.stage)
        if len(part.stages) == self._graph.stages:
            part.committables = self._sinks.prepared(number)
            state, part.state = part.state, []
            self.writes.append(lambda: self._write(number, state))

    def _write(self, checkpoint: int, state: Sequence[Mapping[str, Captured]]) -> Written:
        try:
            return Written(checkpoint, self._files.write(checkpoint, state))
        except Exception as error:  # noqa: BLE001 - whatever it is, the checkpoint fails and the job may go on
            return Written(checkpoint, None, str(error) or type(error).__name__)

    def _completed(self, checkpoint: int) -> None:
        assert self._sinks is not None
        self._sinks.committed(checkpoint)
        self._files.completed(checkpoint)
        part = self._parts.get(checkpoint)
        if part is not None:
            for read, positions in zip(self._reads, part.positions, strict=True):
                read.committed(positions)
        self._parts = {number: part for number, part in self._parts.items() if number > checkpoint}

    # -- what its host asks

    def wakes_at(self) -> int | None:
        """When `step` is to be called again if nothing comes in before, on the monotonic clock."""
        reads = () if self._stopped else self._reads
        waiting = [read.wakes_at for read in reads if not read.ended and read.wakes_at is not None]
        ahead = self._clock.monotonic() - self._clock.now()
        waiting += [due + ahead for task in self._tasks if (due := task.next_wakeup()) is not None]
        return min(waiting, default=None)

    def filenos(self) -> list[int]:
        """What readers wait for: when one can be read, `on_readable` and `step` are to be called."""
        return [read.fileno for read in self._reads if read.fileno is not None]

    def on_readable(self, fileno: int) -> None:
        """A reader's descriptor can be read: it need not wait longer."""
        for read in self._reads:
            if read.fileno == fileno:
                read.wakes_at = None

    def report(self) -> Report:
        """How far it is."""
        if not self._tasks:
            return Report(turns=self.turns)
        assert self._sinks is not None
        times = [mark.time for task in self._tasks for mark in task.watermarks().values()]
        holder = self._tasks[0].holder()
        unknown = holder is not None and holder.watermark == MIN_TIME
        known = [] if unknown else [time for time in times if MIN_TIME < time < MAX_TIME]
        return Report(
            turns=self.turns,
            rows_in=sum(read.taken for read in self._reads),
            rows_out=self._sinks.rows,
            late=sum(count for task in self._tasks for count in task.late().values()),
            skipped=skipped_rows(self._tasks),
            dead=dead_rows(self._tasks),
            spilled=self._spilled(),
            watermark=min(known, default=None),
            greatest=self._tasks[0].greatest_time(),
            held_by=None if holder is None else "/".join(filter(None, (holder.read, holder.split))),
            waiting=[f"{read.node.step}/{split}" for read in self._reads for split in sorted(read.paused)],
        )

    def fail(self, error: Exception) -> None:
        """It cannot go on: tell the coordinator why, and do nothing more."""
        if not isinstance(error, StreamflowError):
            error = EngineError(f"{type(error).__name__}: {error}")
        self._running = False
        self._said.append(Failed(error))


class _Guard:
    """An error of what is done within ends the worker, and is told."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self._worker.fail(error)
        return True
