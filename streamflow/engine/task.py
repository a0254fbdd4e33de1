"""The task: one worker's instance of one stage. Pure: events in, outputs out, no thread, clock, socket or file.

It merges watermarks at every node with several inputs, aligns barriers over its inputs, and lets what comes in run
through its chain of operators. Who calls it (the inline runner, a worker's loop, the simulation) does all I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import pyarrow as pa

from streamflow.connect.source import BadRecord
from streamflow.engine.chain import PAUSE_AFTER, Chain, Counters, Node, Steps, Wrap
from streamflow.engine.delivery import Delivery
from streamflow.engine.exchange import Router
from streamflow.engine.naming import named
from streamflow.engine.outputs import Aligned, Channel, Finished, TaskOutput
from streamflow.engine.split_time import SplitEventTime, SplitTime
from streamflow.engine.watermarks import Merger
from streamflow.engine.writing import kept_address
from streamflow.errors import DataError, EngineError, UserError
from streamflow.operators.base import TimedOperator
from streamflow.operators.dead_letters import Rejected, letter
from streamflow.operators.events import MAX_TIME, MIN_TIME, Barrier, Batch, End, Event, Watermark
from streamflow.operators.tolerant import tolerant
from streamflow.plan.physical import Deliver, PhysicalGraph, PhysicalNode, ReadSplits, Run, SplitTimes
from streamflow.state.captured import Captured, Lineage
from streamflow.state.chains import resolved
from streamflow.state.container import Container, Snapshot
from streamflow.state.memory import Memory

REJECTIONS = "~errors/rejections"
"""The address of the counts of rows that were not processed."""


@dataclass(frozen=True, slots=True)
class Holder:
    """What others wait for: a split of a read, or, where `split` is None, the read as a whole; and its watermark."""

    read: str
    split: str | None
    watermark: int


class Task:
    """One stage on one worker.

    A call may leave work undone, so that none takes long: while `pending` is true, the host carries out the outputs and
    calls `resume`, and gives the task nothing else. Others may have their turn in between.

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
        pause_after: int = PAUSE_AFTER,
        memory: Memory | None = None,
    ) -> None:
        self._graph = graph
        self.stage = stage
        self.worker = worker
        self._wrap = wrap
        self._chain = Chain(worker, graph.workers, pause_after)
        self._nodes: dict[int, Node] = {}
        self._timed: dict[int, list[tuple[Node, SplitEventTime]]] = {}  # by read: the nodes that give its rows a time
        self._clocked: list[tuple[Node, TimedOperator]] = []  # the nodes that go by processing time
        self._now = MIN_TIME
        self.channels: list[Channel] = []
        self._barrier: Barrier | None = None
        self._newest = 0
        self._waiting: set[Channel | int] = set()
        self._open: set[Channel | int] = set()
        self.rejections = self._chain.rejections
        self._tolerates = any(spec.on_error != "fail" for spec in graph.nodes)
        for spec in graph.stage(stage):
            self._nodes[spec.id] = self._build(spec, splits or {})
        self._connect()
        self._open = {*self.channels, *self.reads()}
        self._lineages: dict[str, Lineage] = {}
        self._memory = memory
        if memory is not None:
            memory.add(container for _, container in self._containers())

    # -- work that is spread over several calls

    @property
    def pending(self) -> bool:
        """The last call has left something to do: `resume` comes next."""
        return self._chain.pending

    def resume(self) -> list[TaskOutput]:
        """Go on with what is pending, up to its end or the next pause."""
        outputs = self._chain.run()
        self._settle()
        return outputs

    def to_end(self, outputs: list[TaskOutput]) -> Iterator[list[TaskOutput]]:
        """What a call gave, and piece by piece what it has left to do."""
        yield outputs
        while self._chain.pending:
            yield self.resume()

    def _begin(self, steps: Steps) -> list[TaskOutput]:
        if self._chain.pending:
            raise EngineError("a task was given something else before what was pending was done")
        self._chain.do(steps)
        return self.resume()

    # -- construction

    def _build(self, spec: PhysicalNode, splits: Mapping[int, Mapping[str, Mapping[str, SplitTime]]]) -> Node:
        node = Node(spec)
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
            case Deliver(schema=schema, key=key):
                node.columns = schema.names
                node.delivery = None if spec.on_error == "fail" else Delivery(key)
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

    def capture(self, checkpoint: int, completed: int) -> dict[str, Captured]:
        """The state of every operator, as of now, by `step/container`. Only right after `Aligned`; short.

        `completed`: the latest checkpoint of this attempt that the worker was told is complete, 0 where there is none.
        """
        containers = [*self._containers(), *([(REJECTIONS, self.rejections)] if self._tolerates else [])]
        found = {}
        for address, container in containers:
            lineage = self._lineages.setdefault(address, Lineage(self.stage, address))
            found[address] = lineage.capture(container, self._graph.key_groups, checkpoint, completed)
        return found

    def restore(self, parts: Mapping[str, Sequence[Snapshot]], groups: range) -> None:
        """Take over these key groups from all workers' snapshots, before any other call.

        `parts`: by address, those of one worker after another, each worker's in the order in which it named them.
        """
        for address, container in self._containers():
            try:
                container.restore(resolved(parts.get(address, ()), groups), groups)
            except (KeyError, ValueError, pa.ArrowException, EngineError) as error:
                raise UserError(
                    f"the state {address} in the checkpoint does not fit the step: {error}",
                    remedy="give the step another name, so that it starts afresh",
                ) from error
        if self.stage == 0:  # what the tasks of all stages counted, once
            self.rejections.restore(resolved(parts.get(REJECTIONS, ()), groups), groups)
        self._settle()

    def addresses(self) -> set[str]:
        """Where `restore` looks for state."""
        kept = {kept_address(node.spec) for node in self._nodes.values() if isinstance(node.spec.work, Deliver)}
        return {address for address, _ in self._containers()} | kept | {REJECTIONS}

    def _settle(self) -> None:
        """State may leave memory when all rows are where they belong."""
        if self._memory is not None and not self._chain.pending:
            self._memory.settle()

    def _containers(self) -> Iterable[tuple[str, Container]]:
        for node in self._nodes.values():
            if node.operator is not None:
                for name, container in node.operator.state().items():
                    yield f"{node.spec.step}/{name}", container
            elif node.delivery is not None:
                yield f"{node.spec.step}/refused", node.delivery.absent

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
        return self._begin(self._rows(read, split, batch))

    def _rows(self, read: int, split: str, batch: Batch) -> Steps:
        self._chain.leave(self._nodes[read], batch, split)
        yield
        yield from self._advance(read)

    def on_bad_record(self, read: int, record: BadRecord) -> list[TaskOutput]:
        """A record of a split that could not be decoded. Raises DataError where the read's policy is to fail."""
        return self._begin(self._bad_record(self._nodes[read], record))

    def _bad_record(self, node: Node, record: BadRecord) -> Steps:
        position = f"{record.split}:{record.position}"
        if node.spec.on_error == "fail":
            error = DataError(f"{position}: {record.error}", remedy="correct the record, or the schema it is read with")
            raise named(error, node.spec)
        self._chain.count(node, 1)
        if node.spec.on_error == "dead_letter":
            self._chain.bury(node, letter(node.spec.step, record.error, position, record.payload))
            yield

    def on_unfit_rows(self, read: int, split: str, rejected: Rejected) -> list[TaskOutput]:
        """Rows of a split that do not fit the columns that its source declared. Raises where the policy is to fail."""
        return self._begin(self._unfit(self._nodes[read], split, rejected))

    def _unfit(self, node: Node, split: str, rejected: Rejected) -> Steps:
        self._chain.reject(node, rejected, split)
        yield

    def delivery(self, sink: int) -> Delivery | None:
        """How the host hands rows over to a sink that may refuse some; None where the first that it refuses is one too
        many.
        """
        return self._nodes[sink].delivery

    def on_refused(self, sink: int, rejected: Rejected) -> list[TaskOutput]:
        """A sink that has a `delivery` did not take these rows.

        Nothing stays buffered after it: a barrier may just have passed. Also while something is pending: then the rows
        are dealt with in the course of that, before it ends.
        """
        steps = self._refused(self._nodes[sink], rejected)
        if self._chain.pending:
            self._chain.insert(steps)
            return []
        self._chain.do(steps)
        outputs = self._chain.finish()
        self._settle()
        return outputs

    def _refused(self, sink: Node, rejected: Rejected) -> Steps:
        self._chain.reject(sink, rejected, None)
        yield
        yield from self._flush()

    def on_watermark(self, read: int, split: str, time: int) -> list[TaskOutput]:
        """The reader declares how far a split has come."""
        for times in self._times_of(read):
            times.clock.on_watermark(split, time)
        return self._begin(self._advance(read))

    def on_quiet(self, read: int, splits: Iterable[str], now: int) -> list[TaskOutput]:
        """These splits were polled at `now` (monotonic, microseconds) and had nothing."""
        for times in self._times_of(read):
            times.clock.on_quiet(splits, now)
        return self._begin(self._advance(read))

    def on_new_split(self, read: int, split: str) -> list[TaskOutput]:
        """A split has appeared and is this worker's."""
        for times in self._times_of(read):
            known = times.min_time(split)
            times.clock.add(split, MIN_TIME if known is None else known)
        return self._begin(self._advance(read))

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
        return self.on_read_ended(read) if last else self._begin(self._advance(read))

    def on_read_ended(self, read: int) -> list[TaskOutput]:
        """No split can have another row: the watermark goes to the end of time; barriers still pass (rule 29)."""
        return self._begin(self._read_ended(read))

    def _read_ended(self, read: int) -> Steps:
        self._chain.leave(self._nodes[read], Watermark(MAX_TIME), None)
        yield
        yield from self._advance(read, ended=True)

    def _times_of(self, read: int) -> list[SplitEventTime]:
        return [times for _, times in self._timed.get(read, ())]

    def _advance(self, read: int, *, ended: bool = False) -> Steps:
        """Send the read's watermark on from every node that generates it, where it has changed."""
        for node, times in self._timed.get(read, ()):
            before = times.clock.current
            now = times.clock.watermark(ended=ended)
            if now is not before:
                self._chain.leave(node, now, None)
                yield

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
        return self._begin(self._time())

    def _time(self) -> Steps:
        for node, operator in self._clocked:
            self._chain.call(node, None, operator.on_timer, self._now)
            yield

    def next_wakeup(self) -> int | None:
        """When `on_time` is to be called, if no event comes before."""
        wakeups = (operator.next_wakeup() for _, operator in self._clocked)
        return min((time for time in wakeups if time is not None), default=None)

    # -- channels

    def on_event(self, channel: Channel, event: Event) -> list[TaskOutput]:
        """The next event of a channel that is not blocked."""
        match event:
            case Barrier():
                return self._begin(self._align([channel], event))
            case End():
                return self._begin(self._end([channel]))
            case _:
                return self._begin(self._given(channel, event))

    def _given(self, channel: Channel, item: Batch | Watermark) -> Steps:
        node, port = channel.port
        self._chain.give(self._nodes[node], port, channel.sender, item, None)
        yield

    def on_trigger(self, barrier: Barrier) -> list[TaskOutput]:
        """The coordinator starts a checkpoint: a barrier comes in on all reads of this task at once."""
        return self._begin(self._align(self.reads(), barrier))

    def on_end(self) -> list[TaskOutput]:
        """The final checkpoint is committed: the reads end (rule 29)."""
        return self._begin(self._end(self.reads()))

    def _align(self, sources: Sequence[Channel | int], barrier: Barrier) -> Steps:
        if barrier.checkpoint < self._newest:
            return  # that checkpoint was given up (rule 25)
        if barrier.checkpoint > self._newest:  # an alignment on an older one is over: what waited in it goes on
            self._newest = barrier.checkpoint
            self._barrier = barrier
            self._waiting = set(self._open)
        self._waiting.difference_update(sources)
        if self._waiting:
            return
        yield from self._flush()
        self._barrier = None
        self._chain.output(Aligned(barrier))
        self._broadcast(barrier)

    def _flush(self) -> Steps:
        for node in self._nodes.values():  # topological: what a node lets go may rest in a later one
            if node.operator is not None:
                self._chain.call(node, None, node.operator.flush)
                yield

    def _end(self, sources: Sequence[Channel | int]) -> Steps:
        self._open.difference_update(sources)
        if not self._open:
            self._broadcast(End())
            self._chain.output(Finished())
        yield from ()

    def _broadcast(self, event: Event) -> None:
        for node in self._nodes.values():
            for port, router in (*node.outer, *node.dead_outer):
                self._chain.send(port, router, event)
