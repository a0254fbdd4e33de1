"""`sf.run(build, workers=n)`: a job on several worker processes, whose coordinator is in this one.

`JobMaster` decides. Here its instructions are carried out: processes are started, spoken to and ended (`workers`), what
touches the store and the sinks is done in a thread (`performing`), and time, signals and progress are looked at.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import assert_never

from streamflow.cluster.attempt import Job, Times
from streamflow.cluster.events import (
    Answer,
    Asked,
    Claim,
    Commit,
    Confirm,
    CopySavepoint,
    Discover,
    End,
    Heard,
    Instruction,
    JobEvent,
    KillAll,
    Launch,
    Note,
    Performed,
    PerformerEvent,
    Recover,
    Save,
    Send,
    Start,
    Stop,
    Tick,
)
from streamflow.cluster.job import JobMaster
from streamflow.connect.sink import TransactionalSink
from streamflow.engine.clock import SystemClock
from streamflow.engine.control import Deployed, Failed, Report
from streamflow.engine.error_budget import added, check_counts
from streamflow.errors import TooManyErrors
from streamflow.plan.physical import PhysicalGraph
from streamflow.runners.checkpoints import Checkpoints
from streamflow.runners.interrupt import Interrupt
from streamflow.runners.orders import Orders
from streamflow.runners.performing import Performer, open_job
from streamflow.runners.progress import Snapshot, progress_for
from streamflow.runners.result import JobResult, Restart
from streamflow.runners.sockets import Tcp
from streamflow.runners.target import Target
from streamflow.runners.workers import Workers

LEASE = 10_000_000
"""How long a worker lives without its coordinator, and counts as living without a report, in microseconds."""
_LOOK = 100
"""The longest time, in milliseconds, between two looks at processes and signals."""
_LOG = logging.getLogger("streamflow.job")


def run_workers(
    graph: PhysicalGraph,
    target: Target,
    fingerprint: str,
    *,
    checkpoint: Checkpoints | None = None,
    restarts: int | None = None,
    memory: int,
    spill_dir: str | os.PathLike[str] | None = None,
    network: Tcp | None = None,
) -> JobResult:
    """Run a physical graph on as many processes as it has workers; all but these are as for `sf.run`.

    `target`: how they build its flow; `fingerprint`: of what each must have built.
    """
    job = Job(
        flow=graph.name,
        graph=fingerprint,
        reads=tuple(graph.nodes[read].step for read in graph.reads()),
        key_groups=graph.key_groups,
        bounded=all(work.source.bounded for work in graph.reads().values()),
        stored=checkpoint is not None,
        transactional=all(isinstance(work.sink, TransactionalSink) for work in graph.sinks().values()),
        signatures=graph.signatures(),
    )
    with _own() if checkpoint is None else nullcontext(checkpoint) as checkpoints:
        times = _times(checkpoints, restarts)
        orders = Orders(
            target=target,
            key_groups=graph.key_groups,
            store=checkpoints.location,
            memory=memory,
            spill_dir=None if spill_dir is None else os.fspath(spill_dir),
            lease=times.lease,
            tcp=network,
        )
        performer = open_job(checkpoints, graph, uuid.uuid4().hex)
        coordinator = _Coordinator(graph, JobMaster(job, workers=graph.workers, times=times), orders, performer)
        try:
            return coordinator.run(publishes=job.stored or not job.bounded)
        finally:
            coordinator.close()


@contextmanager
def _own() -> Iterator[Checkpoints]:
    """Checkpoints that are not to outlive the job."""
    made = tempfile.mkdtemp(prefix="streamflow-")
    try:
        yield Checkpoints(made)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _times(checkpoints: Checkpoints, restarts: int | None) -> Times:
    times = Times()
    return replace(
        times,
        lease=LEASE,
        checkpoints=replace(times.checkpoints, every=checkpoints.every),
        restarts=times.restarts if restarts is None else replace(times.restarts, most=restarts),
    )


@dataclass(slots=True)
class _Recovery:
    """A failure from which the job has not recovered."""

    cause: str
    since: int


class _Coordinator:
    def __init__(self, graph: PhysicalGraph, master: JobMaster, orders: Orders, performer: Performer) -> None:
        self._graph = graph
        self._master = master
        self._clock = SystemClock()
        self._started = self._clock.monotonic()
        self._interrupt = Interrupt()
        self._progress = progress_for(graph)
        self._workers = Workers(orders)
        self._performing = _Performing(performer, self._workers)
        self._end: End | None = None
        self._reports: dict[int, Report] = {}
        self._before = (0, 0)
        """Rows in and out of earlier attempts."""
        self._running: set[int] = set()
        self._count = 0
        self._recovery: _Recovery | None = None
        self._restarts: list[Restart] = []

    def run(self, *, publishes: bool) -> JobResult:
        with self._interrupt:
            try:
                self._handle(Start())
                asked = False
                while self._end is None:
                    self._turn()
                    if self._interrupt.asked and not asked:
                        asked = True
                        self._handle(Asked(0, Stop()))
            finally:
                self._progress.finish(self._snapshot())
        if self._end.error is not None:
            raise self._end.error
        return self._result(published=self._end.how == "finished" or publishes)

    def close(self) -> None:
        self._workers.close()
        self._performing.close()

    def _turn(self) -> None:
        now = self._clock.monotonic()
        if self._progress.is_due(now):
            self._progress.show(self._snapshot())
        due = self._master.wakes_at()
        if due is not None and due <= now:
            self._handle(Tick())
            due = self._master.wakes_at()
        wait = _LOOK if due is None else min(_LOOK, max(0.0, (due - now) / 1000))
        for event in self._workers.wait(wait):
            self._handle(event)
        for done in self._performing.done():
            self._handle(done)

    def _handle(self, event: JobEvent) -> None:
        if self._end is not None:
            return
        if isinstance(event, Heard):
            event = self._noted(event)
        now = self._clock.monotonic()
        instructions = self._master.handle(event, now)
        notes = [instruction.text for instruction in instructions if isinstance(instruction, Note)]
        if notes and any(isinstance(instruction, KillAll) for instruction in instructions):
            self._recovery = self._recovery or _Recovery(notes[-1], now)
        for instruction in instructions:
            self._carry_out(instruction)

    def _carry_out(self, instruction: Instruction) -> None:
        match instruction:
            case Launch(attempt, workers):
                before = self._snapshot()
                self._before = (before.rows_in, before.rows_out)
                self._reports.clear()
                self._count, self._running = workers, set()
                self._workers.launch(attempt, workers)
            case Send(attempt, worker, message):
                self._workers.send(attempt, worker, message)
            case KillAll(attempt):
                self._workers.kill(attempt)
            case Note(text):
                _LOG.warning(text)
            case Answer(_, error):
                if error is not None:
                    _LOG.warning("%s", error)
            case End():
                self._end = instruction
            case Claim() | Recover() | Discover() | Save() | Commit() | Confirm() | CopySavepoint():
                self._performing.begin(instruction)
            case other:
                assert_never(other)

    # -- what workers tell of themselves

    def _noted(self, event: Heard) -> Heard:
        """Take in how far the worker is. Too many rows that could not be processed, of all workers, are an error."""
        match event.message:
            case Report() as report:
                self._reports[event.worker] = report
                try:
                    reports = self._reports.values()
                    skipped, dead = added(r.skipped for r in reports), added(r.dead for r in reports)
                    check_counts(self._graph, skipped, dead)
                except TooManyErrors as error:
                    return Heard(event.attempt, event.worker, Failed(error))
            case Deployed():
                self._running.add(event.worker)
                if len(self._running) == self._count and self._recovery is not None:
                    seconds = (self._clock.monotonic() - self._recovery.since) / 1e6
                    self._restarts.append(Restart(self._recovery.cause, seconds))
                    self._recovery = None
            case _:
                pass
        return event

    def _snapshot(self) -> Snapshot:
        reports = list(self._reports.values())
        rows_in, rows_out = self._before
        times = [report.watermark for report in reports if report.watermark is not None]
        held = next(
            (r.held_by for r in reports if r.held_by is not None and r.watermark == min(times, default=None)), None
        )
        return Snapshot(
            rows_in=rows_in + sum(report.rows_in for report in reports),
            rows_out=rows_out + sum(report.rows_out for report in reports),
            late=sum(report.late for report in reports),
            skipped=sum(sum(report.skipped.values()) for report in reports),
            dead=sum(sum(report.dead.values()) for report in reports),
            spilled=sum(report.spilled for report in reports),
            watermark=None if held is not None and not times else min(times, default=None),
            greatest=max((report.greatest for report in reports if report.greatest is not None), default=None),
            held_by=held,
            waiting=[split for report in reports for split in report.waiting],
            elapsed=(self._clock.monotonic() - self._started) / 1e6,
        )

    def _result(self, *, published: bool) -> JobResult:
        now = self._snapshot()
        reports = self._reports.values()
        return JobResult(
            name=self._graph.name,
            rows_in=now.rows_in,
            rows_out=now.rows_out,
            late=now.late,
            skipped=added(report.skipped for report in reports),
            dead=added(report.dead for report in reports),
            spilled=now.spilled,
            seconds=now.elapsed,
            stopped=self._interrupt.asked,
            published=published,
            restarts=tuple(self._restarts),
        )


class _Performing:
    """A thread that carries out what touches the store and the sinks, one after the other."""

    def __init__(self, performer: Performer, workers: Workers) -> None:
        self._performer = performer
        self._workers = workers
        self._wanted: SimpleQueue[Performed | None] = SimpleQueue()
        self._done: deque[PerformerEvent] = deque()
        self._thread = threading.Thread(target=self._run, name="streamflow-performer", daemon=True)
        self._thread.start()

    def begin(self, instruction: Performed) -> None:
        self._wanted.put(instruction)

    def done(self) -> list[PerformerEvent]:
        """What has been carried out since the last call."""
        found = []
        while self._done:
            found.append(self._done.popleft())
        return found

    def close(self) -> None:
        """What was begun is carried out before."""
        self._wanted.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (instruction := self._wanted.get()) is not None:
            self._done.append(self._performer.perform(instruction))
            self._workers.bell.ring()
