"""The task: one worker's instance of one stage. Pure: events in, outputs out, no thread, clock, socket or file.

A batch that comes in is pushed through the chain of operators depth first, so that nothing is in flight inside a task
between two calls. The task merges watermarks at every node with several inputs, aligns barriers over its inputs, and
names the step and the user's line in every error. Who calls it (the inline runner, a worker's loop, the simulation)
does all I/O.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, assert_never

import pyarrow as pa

from streamflow.connect.source import BadRecord
from streamflow.engine.exchange import Router
from streamflow.engine.split_time import SplitEventTime, SplitTime
from streamflow.engine.watermarks import Merger
from streamflow.errors import DataError, StepError, StreamflowError
from streamflow.operators.base import Operator, Output, TimedOperator
from streamflow.operators.dead_letters import Rejected, letter, letters
from streamflow.operators.events import MAX_TIME, MIN_TIME, Barrier, Batch, End, Event, Watermark
from streamflow.operators.salvage import salvage
from streamflow.operators.tolerant import tolerant
from streamflow.plan.physical import Deliver, PhysicalGraph, PhysicalNode, ReadSplits, Run, SplitTimes
from streamflow.state.container import Container, Snapshot
from streamflow.state.memory import Memory
from streamflow.state.rejections import Rejections

Port: TypeAlias = "tuple[int, int]"
"""A node's input: (node id, port)."""

REJECTIONS = "~errors/rejections"
"""The address of the counts of rows that were not processed."""

Wrap: TypeAlias = "Callable[[Operator, PhysicalNode], Operator]"
"""What stands around a node's operator, to check or to measure it."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One direction between two tasks: from worker `sender` into one port of a node."""

    port: Port
    sender: int


@dataclass(frozen=True, slots=True)
class Send:
    """Put `event` on the channel from this worker into `port` of worker `worker`."""

    port: Port
    worker: int
    event: Event


@dataclass(frozen=True, slots=True)
class Write:
    """Hand `batch` to the sink of node `node`."""

    node: int
    batch: Batch


@dataclass(frozen=True, slots=True)
class Aligned:
    """The barrier has come in on every input and nothing is buffered: snapshot now, before the next call."""

    barrier: Barrier


@dataclass(frozen=True, slots=True)
class Finished:
    """Every input has ended."""


TaskOutput: TypeAlias = "Send | Write | Aligned | Finished"


@dataclass(slots=True)
class Counters:
    """What a node has seen, for progress."""

    rows_in: int = 0
    rows_out: int = 0


@dataclass(frozen=True, slots=True)
class Holder:
    """What others wait for: a split of a read, or, where `split` is None, the read as a whole; and its watermark."""

    read: str
    split: str | None
    watermark: int


@dataclass(slots=True)
class _Node:
    """A physical node at run time."""

    spec: PhysicalNode
    operator: Operator | None = None
    times: SplitEventTime | None = None
    columns: list[str] = field(default_factory=list)  # of a sink
    merger: Merger = field(default_factory=lambda: Merger(1))
    inputs: dict[tuple[int, int], int] = field(default_factory=dict)  # (port, sender or -1) -> the merger's index
    inner: list[tuple[_Node, int]] = field(default_factory=list)  # (node, port) in this task
    outer: list[tuple[Port, Router | None]] = field(default_factory=list)  # edges to later stages
    dead_inner: list[tuple[_Node, int]] = field(default_factory=list)  # as `inner`, of its dead letters
    dead_outer: list[tuple[Port, Router | None]] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)


class Task:
    """One stage on one worker.

    `splits`: for every read of the stage, the splits of this worker in the order in which they are opened; each maps a
    step of a `SplitTimes` to what its snapshot holds, where there is one.

    `memory`: what the state of this worker's tasks may take; without it all state stays in memory.
    """

    def __init__(
        self,
        graph: PhysicalGraph,
        stage: int,
        worker: int,
        *,
        splits: Mapping[int, Mapping[str, Mapping[str, SplitTime]]] | None = None,
        wrap: Wrap | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._graph = graph
        self.stage = stage
        self.worker = worker
        self._wrap = wrap
        self._outputs: list[TaskOutput] = []
        self._nodes: dict[int, _Node] = {}
        self._timed: dict[int, list[tuple[_Node, SplitEventTime]]] = {}  # by read: the nodes that give its rows a time
        self._clocked: list[tuple[_Node, TimedOperator]] = []  # the nodes that go by processing time
        self._now = MIN_TIME
        self.channels: list[Channel] = []
        self._barrier: Barrier | None = None
        self._waiting: set[Channel | int] = set()
        self._open: set[Channel | int] = set()
        self.rejections = Rejections()
        self._tolerates = any(spec.on_error != "fail" for spec in graph.nodes)
        for spec in graph.stage(stage):
            self._nodes[spec.id] = self._build(spec, splits or {})
        self._connect()
        self._open = {*self.channels, *self.reads()}
        self._memory = memory
        if memory is not None:
            memory.add(container for _, container in self._containers())

    # -- construction

    def _build(self, spec: PhysicalNode, splits: Mapping[int, Mapping[str, Mapping[str, SplitTime]]]) -> _Node:
        node = _Node(spec)
        match spec.work:
            case Run(make):
                operator = make() if spec.on_error == "fail" else tolerant(make())
                node.operator = operator if self._wrap is None else self._wrap(operator, spec)
                if isinstance(node.operator, TimedOperator):
                    self._clocked.append((node, node.operator))
            case SplitTimes() as work:
                known = {name: times.get(spec.step) for name, times in splits.get(work.read, {}).items()}
                node.times = SplitEventTime(work, spec.schema, known)
                self._timed.setdefault(work.read, []).append((node, node.times))
            case Deliver(schema=schema):
                node.columns = schema.names
            case ReadSplits():
                pass
            case other:
                assert_never(other)
        return node

    def _connect(self) -> None:
        graph, workers = self._graph, range(self._graph.workers)
        for spec in graph.nodes:
            for edge in spec.edges:
                source, target = graph.nodes[edge.source], (spec.id, edge.port)
                if spec.stage == self.stage:
                    node = self._nodes[spec.id]
                    if source.stage == self.stage:
                        node.inputs[edge.port, -1] = len(node.inputs)
                        above = self._nodes[source.id]
                        (above.dead_inner if edge.letters else above.inner).append((node, edge.port))
                    else:
                        for sender in workers if edge.exchange is not None else (self.worker,):
                            node.inputs[edge.port, sender] = len(node.inputs)
                            self.channels.append(Channel(target, sender))
                elif source.stage == self.stage:
                    router = None
                    if edge.exchange is not None:
                        router = Router(edge.exchange, source.schema, graph.key_groups, graph.workers)
                    above = self._nodes[source.id]
                    (above.dead_outer if edge.letters else above.outer).append((target, router))
        origins = graph.origins()
        for node in self._nodes.values():
            sources = {edge.port: edge.source for edge in node.spec.edges}
            places = [(sources[port], self.worker if sender < 0 else sender) for port, sender in node.inputs]
            node.merger = Merger(max(1, len(places)), [origins[place] for place in places])

    # -- what the host asks

    def reads(self) -> list[int]:
        """Node ids of the reads that the host polls for this task."""
        return [i for i, node in self._nodes.items() if isinstance(node.spec.work, ReadSplits)]

    def is_blocked(self, channel: Channel | int) -> bool:
        """This input has passed the barrier that others have not: deliver nothing from it until they have."""
        return self._barrier is not None and channel not in self._waiting

    def snapshot(self) -> dict[str, Snapshot]:
        """The state of every operator, by `step/container`. Only right after `Aligned`."""
        groups = self._graph.key_groups
        parts = {address: container.snapshot(groups) for address, container in self._containers()}
        if self._tolerates:
            parts[REJECTIONS] = self.rejections.snapshot(groups)
        return parts

    def restore(self, parts: Mapping[str, Sequence[Snapshot]], groups: range) -> None:
        """Take over these key groups from all workers' snapshots, before any other call."""
        for address, container in self._containers():
            container.restore(parts.get(address, ()), groups)
        if self.stage == 0:  # what the tasks of all stages counted, once
            self.rejections.restore(parts.get(REJECTIONS, ()), groups)
        self._settle()

    def addresses(self) -> set[str]:
        """Where `restore` looks for state."""
        return {address for address, _ in self._containers()} | {REJECTIONS}

    def _settle(self) -> None:
        if self._memory is not None:
            self._memory.settle()

    def _containers(self) -> Iterable[tuple[str, Container]]:
        for node in self._nodes.values():
            if node.operator is not None:
                for name, container in node.operator.state().items():
                    yield f"{node.spec.step}/{name}", container

    def split_times(self) -> dict[int, dict[str, dict[str, SplitTime]]]:
        """How far each split has come by read, split, and step of each `SplitTimes`: part of positions (rule 27)."""
        found: dict[int, dict[str, dict[str, SplitTime]]] = {}
        for node in self._nodes.values():
            if node.times is not None and isinstance(node.spec.work, SplitTimes):
                per_split = found.setdefault(node.spec.work.read, {})
                for split, time in node.times.times().items():
                    per_split.setdefault(split, {})[node.spec.step] = time
        return found

    def counters(self) -> dict[int, Counters]:
        return {i: node.counters for i, node in self._nodes.items()}

    def late(self) -> dict[int, int]:
        """(row, window) pairs left out so far, by node."""
        return {
            i: node.operator.late for i, node in self._nodes.items() if node.operator is not None and node.operator.late
        }

    def watermarks(self) -> dict[int, Watermark]:
        """The watermark at every node that knows event time."""
        found = {}
        for i, node in self._nodes.items():
            if node.times is not None:
                found[i] = node.times.clock.current
            elif node.spec.edges:
                found[i] = node.merger.current
        return found

    def greatest_time(self) -> int | None:
        """The greatest event time that any split has shown."""
        clocks = (node.times.clock for node in self._nodes.values() if node.times is not None)
        return max((time for clock in clocks for time in clock.greatest().values()), default=None)

    def holder(self) -> Holder | None:
        """The read whose watermark is behind, and its split, when others wait for it (rule 4)."""
        running = [
            (work.read, times.clock)
            for node in self._nodes.values()
            if (times := node.times) is not None and isinstance(work := node.spec.work, SplitTimes)
            if not times.clock.current.idle and times.clock.current.time < MAX_TIME
        ]
        if not running:
            return None
        read, last = min(running, key=lambda one: one[1].current.time)
        split = last.holder()
        time = last.current.time
        if split is None and all(clock.current.time == time for _, clock in running):
            return None
        return Holder(self._graph.nodes[read].step, split, time)

    # -- reads

    def on_rows(self, read: int, split: str, batch: Batch) -> list[TaskOutput]:
        """Rows of one split, in the split's order."""
        node = self._nodes[read]
        self._push(node, batch, split)
        self._advance(read, ended=False)
        return self._take()

    def on_bad_record(self, read: int, record: BadRecord) -> list[TaskOutput]:
        """A record of a split that could not be decoded. Raises DataError where the read's policy is to fail."""
        node = self._nodes[read]
        position = f"{record.split}:{record.position}"
        if node.spec.on_error == "fail":
            error = DataError(f"{position}: {record.error}", remedy="correct the record, or the schema it is read with")
            raise named(error, node.spec)
        self._count(node, 1)
        if node.spec.on_error == "dead_letter":
            self._bury(node, letter(node.spec.step, record.error, position, record.payload))
        return self._take()

    def on_unfit_rows(self, read: int, split: str, rejected: Rejected) -> list[TaskOutput]:
        """Rows of a split that do not fit the columns that its source declared. Raises where the policy is to fail."""
        self._reject(self._nodes[read], rejected, split)
        return self._take()

    def on_refused(self, sink: int, batch: Batch, error: DataError) -> list[TaskOutput]:
        """A sink did not take these rows. Raises the error where its policy is to fail.

        Nothing stays buffered after it: a barrier may just have passed.
        """
        self._reject(self._nodes[sink], Rejected(batch, (error,) * batch.num_rows), None)
        self._flush()
        return self._take()

    def on_watermark(self, read: int, split: str, time: int) -> list[TaskOutput]:
        """The reader declares how far a split has come."""
        for times in self._times_of(read):
            times.clock.on_watermark(split, time)
        self._advance(read, ended=False)
        return self._take()

    def on_quiet(self, read: int, splits: Iterable[str], now: int) -> list[TaskOutput]:
        """These splits were polled at `now` (monotonic, microseconds) and had nothing."""
        for times in self._times_of(read):
            times.clock.on_quiet(splits, now)
        self._advance(read, ended=False)
        return self._take()

    def on_new_split(self, read: int, split: str) -> list[TaskOutput]:
        """A split has appeared and is this worker's."""
        for times in self._times_of(read):
            known = times.min_time(split)
            times.clock.add(split, MIN_TIME if known is None else known)
        self._advance(read, ended=False)
        return self._take()

    def idle_at(self, read: int) -> int | None:
        """When the next of the read's splits becomes idle, if it stays quiet: it is to be polled then (rule 4)."""
        due = [times.clock.idle_at() for times in self._times_of(read)]
        return min((time for time in due if time is not None), default=None)

    def ahead(self, read: int) -> frozenset[str]:
        """The splits of the read that are to be paused, because others are too far behind them (rule 5).

        Never one that a watermark waits for, so that where a read has two event times, each with a watermark of its
        own, they cannot wait for one another.
        """
        clocks = [times.clock.ahead() for times in self._times_of(read)]
        return frozenset().union(*(ahead for ahead, _ in clocks)).difference(*(slowest for _, slowest in clocks))

    def on_paused(self, read: int, splits: Iterable[str]) -> None:
        """From now on these splits are not polled, so that they do not become idle."""
        for times in self._times_of(read):
            times.clock.on_paused(splits)

    def on_split_ended(self, read: int, split: str, *, last: bool) -> list[TaskOutput]:
        """The split has no more rows. `last`: so have all, and no split can appear (see `on_read_ended`)."""
        for times in self._times_of(read):
            times.clock.on_ended(split)
        if last:
            return self.on_read_ended(read)
        self._advance(read, ended=False)
        return self._take()

    def on_read_ended(self, read: int) -> list[TaskOutput]:
        """No split can have another row: the watermark goes to the end of time; barriers still pass (rule 29)."""
        self._push(self._nodes[read], Watermark(MAX_TIME), None)
        self._advance(read, ended=True)
        return self._take()

    def _times_of(self, read: int) -> list[SplitEventTime]:
        return [times for _, times in self._timed.get(read, ())]

    def _advance(self, read: int, *, ended: bool) -> None:
        """Send the read's watermark on from every node that generates it, where it has changed."""
        for node, times in self._timed.get(read, ()):
            before = times.clock.current
            now = times.clock.watermark(ended=ended)
            if now is not before:
                self._push(node, now, None)

    # -- processing time

    @property
    def goes_by_clock(self) -> bool:
        """Whether it has to be told the time."""
        return bool(self._clocked)

    def on_time(self, now: int) -> list[TaskOutput]:
        """The wall clock shows `now`, microseconds since 1970, UTC: what is due comes out.

        To be called before each event that is handed to a task that `goes_by_clock`, and at `next_wakeup`. A clock that
        is set back stands still here until it has caught up.
        """
        self._now = max(self._now, now)
        for node, operator in self._clocked:
            self._run(node, None, operator.on_timer, self._now)
        return self._take()

    def next_wakeup(self) -> int | None:
        """When `on_time` is to be called, if no event comes before."""
        wakeups = (operator.next_wakeup() for _, operator in self._clocked)
        return min((time for time in wakeups if time is not None), default=None)

    # -- channels

    def on_event(self, channel: Channel, event: Event) -> list[TaskOutput]:
        """The next event of a channel that is not blocked."""
        node_id, port = channel.port
        match event:
            case Barrier():
                self._align(channel, event)
            case End():
                self._end(channel)
            case _:
                self._give(self._nodes[node_id], port, channel.sender, event, None)
        return self._take()

    def on_trigger(self, barrier: Barrier) -> list[TaskOutput]:
        """The coordinator starts a checkpoint: a barrier comes in on all reads of this task at once."""
        for read in self.reads():
            self._align(read, barrier)
        return self._take()

    def on_end(self) -> list[TaskOutput]:
        """The final checkpoint is committed: the reads end (rule 29)."""
        for read in self.reads():
            self._end(read)
        return self._take()

    def _align(self, source: Channel | int, barrier: Barrier) -> None:
        if self._barrier is None:
            self._barrier = barrier
            self._waiting = set(self._open)
        self._waiting.discard(source)
        if self._waiting:
            return
        self._flush()
        self._barrier = None
        self._outputs.append(Aligned(barrier))
        self._broadcast(barrier)

    def _flush(self) -> None:
        for node in self._nodes.values():  # topological: what a node lets go may rest in a later one
            if node.operator is not None:
                self._run(node, None, node.operator.flush)

    def _end(self, source: Channel | int) -> None:
        self._open.discard(source)
        if not self._open:
            self._broadcast(End())
            self._outputs.append(Finished())

    def _broadcast(self, event: Event) -> None:
        for node in self._nodes.values():
            for port, router in (*node.outer, *node.dead_outer):
                self._send(port, router, event)

    # -- the chain

    def _take(self) -> list[TaskOutput]:
        """What an event led to, once its rows are where they belong: the moment at which state may leave memory."""
        self._settle()
        taken, self._outputs = self._outputs, []
        return taken

    def _push(self, node: _Node, item: Output, split: str | None) -> None:
        """`item` leaves `node`."""
        if isinstance(item, pa.RecordBatch):
            node.counters.rows_out += item.num_rows
        elif isinstance(item, Rejected):
            self._reject(node, item, split)
            return
        else:
            self._bury(node, item)  # the dead letters end, or rest, when all do that may send some
        for child, port in node.inner:
            self._give(child, port, -1, item, split)
        for target, router in node.outer:
            self._send(target, router, item)

    def _give(self, node: _Node, port: int, sender: int, item: Batch | Watermark, split: str | None) -> None:
        """`item` reaches `node`."""
        if isinstance(item, Watermark):
            merged = node.merger.update(node.inputs[port, sender], item)
            if merged is not None and isinstance(node.spec.work, Deliver):
                self._bury(node, merged)
            elif merged is not None and node.operator is not None:
                if merged.idle:  # others will go on without this input: rows held for speed would come late
                    self._run(node, None, node.operator.flush)
                self._run(node, None, node.operator.on_watermark, merged)
            return
        node.counters.rows_in += item.num_rows
        if node.operator is not None:
            self._run(node, split, node.operator.on_batch, port, item)
        elif node.times is not None:
            assert split is not None
            for stamped in self._stamp(node, split, item):
                self._push(node, stamped, split)
        else:
            self._outputs.append(Write(node.spec.id, item.select(node.columns)))

    def _run(self, node: _Node, split: str | None, call: Callable[..., Iterable[Output]], *args: Any) -> None:
        """Push what an operator yields, while it yields it; an error of its own is given its step and line."""
        try:
            results = iter(call(*args))
        except Exception as error:
            raise named(error, node.spec) from error
        while True:
            try:
                item = next(results)
            except StopIteration:
                return
            except Exception as error:
                raise named(error, node.spec) from error
            self._push(node, item, split)

    def _stamp(self, node: _Node, split: str, batch: Batch) -> Iterable[Output]:
        times = node.times
        assert times is not None
        try:
            if node.spec.on_error == "fail":
                return (times.on_rows(split, batch),)
            return salvage(batch, lambda rows: (times.on_rows(split, rows),))
        except Exception as error:
            raise named(error, node.spec) from error

    # -- rows that cannot be processed

    def _reject(self, node: _Node, rejected: Rejected, split: str | None) -> None:
        if node.spec.on_error == "fail":
            raise named(rejected.errors[0], node.spec)
        self._count(node, rejected.rows.num_rows)
        if node.spec.on_error == "dead_letter":
            self._bury(node, letters(node.spec.step, rejected, split))

    def _count(self, node: _Node, rows: int) -> None:
        self.rejections.add(node.spec.step, rows, dead=node.spec.on_error == "dead_letter")

    def _bury(self, node: _Node, item: Batch | Watermark) -> None:
        """`item` goes the way of the node's dead letters."""
        for child, port in node.dead_inner:
            self._give(child, port, -1, item, None)
        for target, router in node.dead_outer:
            self._send(target, router, item)

    def _send(self, port: Port, router: Router | None, event: Event) -> None:
        if router is None:
            self._outputs.append(Send(port, self.worker, event))
        elif isinstance(event, pa.RecordBatch):
            self._outputs += [Send(port, worker, part) for worker, part in router.split(event)]
        else:
            self._outputs += [Send(port, worker, event) for worker in range(self._graph.workers)]


def named(error: Exception, node: PhysicalNode) -> StreamflowError:
    """The error with the step and the user's line in it."""
    if isinstance(error, StreamflowError):
        if error.step is None:
            error.step = node.step
            error.location = error.location or node.location
        return error
    where = _user_frame(error)
    text = f"{type(error).__name__}: {error}" + (f" (raised at {where})" if where else "")
    return StepError(text, step=node.step, location=node.location)


def _user_frame(error: Exception) -> str | None:
    """The innermost line outside of streamflow and installed packages."""
    ours = str(Path(__file__).parents[1])
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        compiled = frame.filename.endswith((".pxi", ".pyx"))
        if not compiled and not frame.filename.startswith(ours) and "site-packages" not in frame.filename:
            return f"{frame.filename}:{frame.lineno}"
    return None
