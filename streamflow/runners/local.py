"""A job of one worker, in this process, with the real sources and sinks.

The loop polls the readers, hands what comes to the task and carries out what the task says. Transactional sinks publish
when a checkpoint completes. A job that stores its checkpoints (`runners.checkpoints`) takes one at every interval, and
goes on from the latest. One that does not has one at its end, so that a bounded job publishes all or nothing; an
unbounded one also has one every `INTERVAL`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import assert_never

from streamflow.cluster.coordinator import (
    Acknowledged,
    CheckpointDue,
    Complete,
    Concluded,
    Coordinator,
    CoordinatorEvent,
    Finish,
    GiveUp,
    Part,
    ReadEnded,
    StopAsked,
    Trigger,
)
from streamflow.cluster.events import Claimed
from streamflow.cluster.manifest import Manifest, manifest_of
from streamflow.engine.clock import SystemClock
from streamflow.engine.closing import close_all
from streamflow.engine.durable import StateWriter
from streamflow.engine.error_budget import check_budget, dead_rows, skipped_rows
from streamflow.engine.functions import OpenFunctions
from streamflow.engine.outputs import Aligned, Finished, Send, TaskOutput, Write
from streamflow.engine.parts import Files, Splits
from streamflow.engine.reading import MAX_ROWS, OpenRead, discover_all
from streamflow.engine.task import Task
from streamflow.engine.writing import Sinks
from streamflow.errors import EngineError
from streamflow.operators.events import MAX_TIME, MIN_TIME, Barrier
from streamflow.plan.physical import PhysicalGraph
from streamflow.runners.checkpoints import Checkpoints
from streamflow.runners.interrupt import Interrupt
from streamflow.runners.performing import open_job, publish
from streamflow.runners.progress import Snapshot, progress_for
from streamflow.runners.result import JobResult
from streamflow.runners.spilling import SpillFiles
from streamflow.state.captured import whole
from streamflow.state.files import read_all
from streamflow.state.memory import Memory
from streamflow.state.store import StateFile

INTERVAL = 10_000_000
"""How often an unbounded job publishes, in microseconds."""


def run_graph(
    graph: PhysicalGraph, memory: int, spilled: SpillFiles, checkpoints: Checkpoints | None = None
) -> JobResult:
    """Run a physical graph of one worker."""
    if graph.workers != 1 or graph.stages != 1:
        raise EngineError("the local runner has one worker and no exchange")
    with OpenFunctions(graph):
        job = _LocalJob(graph, memory, spilled, checkpoints)
        try:
            return job.run()
        finally:
            job.close()


class _LocalJob:
    def __init__(self, graph: PhysicalGraph, memory: int, spilled: SpillFiles, checkpoints: Checkpoints | None) -> None:
        self._graph = graph
        self._spilled = spilled
        self._interrupt = Interrupt()
        self._progress = progress_for(graph)
        self._clock = SystemClock()
        self._started = self._clock.monotonic()
        self._finished = False
        self._rows_in = 0
        self._interval = INTERVAL if checkpoints is None else checkpoints.every
        new = uuid.uuid4().hex
        self._performer = None if checkpoints is None else open_job(checkpoints, graph, new)
        self._claimed = Claimed(attempt=1, job=new) if self._performer is None else self._performer.claim()
        self._files = None if self._performer is None else StateWriter(self._performer.store, self._claimed.attempt, 0)
        self._coordinator: Coordinator[StateFile] = Coordinator(
            workers=1,
            stages=1,
            reads=[graph.nodes[read].step for read in graph.reads()],
            first=self._claimed.first,
        )
        base = self._claimed.base
        known = discover_all(graph, {} if base is None else base.splits)
        splits = {read: known[graph.nodes[read].step] for read in graph.reads()}
        self._task = Task(
            graph,
            0,
            0,
            splits={read: {name: state.times for name, state in own.items()} for read, own in splits.items()},
            memory=Memory(memory, spilled),
        )
        self._clocked = self._task.goes_by_clock
        self._sinks = self._restored(base)
        self._reads = [OpenRead(graph, graph.nodes[read], self._task, own) for read, own in splits.items()]
        self._publishes = checkpoints is not None or not all(work.source.bounded for work in graph.reads().values())
        """Before its end, too."""

    def _restored(self, base: Manifest | None) -> Sinks:
        """Open the sinks, and bring them and the task to where the checkpoint stands."""
        graph, claimed = self._graph, self._claimed
        groups = range(graph.key_groups)
        state = {}
        if self._performer is not None and base is not None:
            state = read_all(self._performer.store, base.state)
            self._performer.recover()
            self._task.restore(state, groups)
        sinks = Sinks(
            graph,
            0,
            job=claimed.job,
            attempt=claimed.attempt,
            seconds=lambda: self._clock.monotonic() / 1e6,
        )
        sinks.take_over(state, groups)
        return sinks

    # -- the loop

    def run(self) -> JobResult:
        with self._interrupt:
            try:
                self._loop()
            finally:
                self._progress.finish(self._snapshot())
        return JobResult(
            name=self._graph.name,
            rows_in=self._rows_in,
            rows_out=self._sinks.rows,
            late=sum(self._task.late().values()),
            skipped=skipped_rows([self._task]),
            dead=dead_rows([self._task]),
            spilled=self._spilled.written,
            seconds=(self._clock.monotonic() - self._started) / 1e6,
            stopped=self._interrupt.asked,
            published=self._finished,
        )

    def _loop(self) -> None:
        self._tell_time()
        publish_at = self._clock.monotonic() + self._interval
        for read in self._reads:
            self._take(read, read.start())
        while not self._finished:
            if self._interrupt.asked:
                if self._publishes:
                    self._tell(StopAsked())
                return
            now = self._clock.monotonic()
            if not self._poll_all(now):
                self._tell_time()
                self._wait(now)
            self._show(now)
            if self._publishes and now >= publish_at:
                publish_at = now + self._interval
                self._tell(CheckpointDue())

    def _gives_up(self) -> bool:
        """A job that was interrupted and publishes only at its end has nothing to do any more."""
        return self._interrupt.asked and not self._publishes

    def _show(self, now: int) -> None:
        if self._progress.is_due(now):
            self._progress.show(self._snapshot())

    def _poll_all(self, now: int) -> bool:
        """Poll every reader once that may have something; False when none may."""
        polled = False
        for read in self._reads:
            if read.can_poll(now):
                self._take(read, read.poll(MAX_ROWS, now))
                check_budget(self._graph, [self._task])
                polled = polled or read.wakes_at is None
        return polled

    def _take(self, read: OpenRead, calls: Iterable[list[TaskOutput]]) -> None:
        """Carry out what a read makes the task do. In between progress is shown, and an interrupt may end it."""
        if self._gives_up():
            return
        self._tell_time()
        for outputs in calls:
            self._carry_out(outputs)
            if self._task.pending:
                self._show(self._clock.monotonic())
                if self._gives_up():
                    return
        if read.ended:
            self._tell(ReadEnded(0, read.node.step))

    def _wait(self, now: int) -> None:
        """Until a reader wants to be polled or the task to be woken; short enough to see Ctrl-C and show progress."""
        waiting = [read.wakes_at for read in self._reads if not read.ended and read.wakes_at is not None]
        if (wakeup := self._task.next_wakeup()) is not None:
            waiting.append(now + wakeup - self._clock.now())
        if not self._finished:
            seconds = min(0.1, max(0.0, (min(waiting, default=now + 100_000) - now) / 1e6))
            ready = self._clock.wait([read.fileno for read in self._reads if read.fileno is not None], seconds)
            for read in self._reads:
                if read.fileno in ready:
                    read.wakes_at = None

    def _tell_time(self) -> None:
        if self._clocked:
            self._carry_out_all(self._task.on_time(self._clock.now()))

    # -- what the task and the coordinator want

    def _carry_out(self, outputs: Iterable[TaskOutput]) -> None:
        for output in outputs:
            match output:
                case Write(node_id, batch):
                    refused = self._sinks.write(node_id, batch, self._task.delivery(node_id))
                    if refused is not None:
                        self._carry_out(self._task.on_refused(node_id, refused))
                case Aligned(barrier):
                    self._prepare(barrier)
                case Finished():
                    self._finished = True
                case Send():
                    raise EngineError("a task of one worker has nobody to send to")
                case other:
                    assert_never(other)

    def _tell(self, event: CoordinatorEvent[StateFile]) -> None:
        for instruction in self._coordinator.handle(event):
            match instruction:
                case Trigger(barrier):
                    self._carry_out_all(self._task.on_trigger(barrier))
                case Complete():
                    check_budget(self._graph, [self._task])
                    self._complete(instruction)
                    self._tell(Concluded(instruction.barrier.checkpoint))
                case Finish():
                    self._carry_out_all(self._task.on_end())
                case GiveUp(why):
                    raise EngineError(why)
                case other:
                    assert_never(other)

    def _carry_out_all(self, outputs: list[TaskOutput]) -> None:
        for piece in self._task.to_end(outputs):
            self._carry_out(piece)

    def _prepare(self, barrier: Barrier) -> None:
        """Phase one. Where checkpoints are not stored nothing outlives this process, and no state is written."""
        number = barrier.checkpoint
        state: Files = {}
        splits: Splits = {}
        self._sinks.prepare(0, barrier)
        if self._files is not None:
            kept = whole(0, number, self._sinks.kept(0, self._graph.key_groups))
            state = self._files.write(number, [{**self._task.capture(number, self._files.complete), **kept}])
            splits = {read.node.step: read.states() for read in self._reads}
        part = Part(splits=splits, state=state, committables=self._sinks.prepared(number))
        self._tell(Acknowledged(0, 0, number, part))

    def _complete(self, complete: Complete[StateFile]) -> None:
        """Phase two. A sink that fails here stops the job; those that were committed before it stay published."""
        number, committables = complete.barrier.checkpoint, complete.part.committables
        if self._performer is None or self._files is None:
            publish(self._graph, self._claimed.job, committables)
        else:
            groups = self._graph.key_groups
            self._performer.save(
                manifest_of(complete, self._claimed.job, self._graph.name, groups, self._graph.signatures())
            )
            self._performer.commit(committables)
            self._performer.confirm()
            self._files.completed(number)
        self._sinks.committed(number)
        for read in self._reads:
            read.committed(read.positions())

    def _snapshot(self) -> Snapshot:
        """What progress shows."""
        reads = self._graph.reads()
        counters = self._task.counters()
        self._rows_in = sum(counters[read].rows_out for read in reads)
        times = [w.time for w in self._task.watermarks().values() if MIN_TIME < w.time < MAX_TIME]
        holder = self._task.holder()
        if holder is not None and holder.watermark == MIN_TIME:
            times = []
        return Snapshot(
            rows_in=self._rows_in,
            rows_out=self._sinks.rows,
            late=sum(self._task.late().values()),
            skipped=sum(self._task.rejections.skipped.values()),
            dead=sum(self._task.rejections.dead.values()),
            spilled=self._spilled.written,
            watermark=min(times, default=None),
            greatest=self._task.greatest_time(),
            held_by=None if holder is None else "/".join(filter(None, (holder.read, holder.split))),
            waiting=[f"{read.node.step}/{split}" for read in self._reads for split in sorted(read.paused)],
            elapsed=(self._clock.monotonic() - self._started) / 1e6,
        )

    def close(self) -> None:
        """Let go of everything; what was not committed is not published. Of several errors the first counts."""
        close_all([*(read.close for read in self._reads), self._sinks.close])
