"""The task: one worker's instance of one stage. Pure: events in, outputs out, no thread, clock, socket or file.

It merges watermarks at every node with several inputs, aligns barriers over its inputs, and lets what comes in run
through its chain of operators. Who calls it (the inline runner, a worker's loop, the simulation) does all I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import assert_never

import pyarrow as pa

from streamflow.connect.source import BadRecord
from streamflow.engine.chain import PAUSE_AFTER, Chain, Counters, Node, Way, Wrap
from streamflow.engine.delivery import Delivery
from streamflow.engine.exchange import Router
from streamflow.engine.naming import named
from streamflow.engine.outputs import Aligned, Channel, Finished, Port, TaskOutput
from streamflow.engine.split_time import SplitEventTime, SplitTime
from streamflow.engine.watermarks import Merger
from streamflow.engine.writing import kept_address
from streamflow.errors import DataError, EngineError, UserError
from streamflow.operators.base import TimedOperator
from streamflow.operators.dead_letters import Rejected, letter
from streamflow.operators.events import MAX_TIME, MIN_TIME, Barrier, Batch, End, Event, Watermark
from streamflow.operators.tolerant import tolerant
from streamflow.plan.physical import Deliver, PhysicalGraph, PhysicalNode, Place, ReadSplits, Run, SplitTimes
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
        self._ways_in: dict[tuple[Port, int], Way] = {}  # by channel
        self._ways_out: list[partial[None]] = []
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
        self._chain.resume()
        return self._done()

    def to_end(self, outputs: list[TaskOutput]) -> Iterator[list[TaskOutput]]:
        """What a call gave, and piece by piece what it has left to do."""
        yield outputs
        while self._chain.pending:
            yield self.resume()

    def _begin(self) -> None:
        if self._chain.pending:
            raise EngineError("a task was given something else before what was pending was done")

    def _done(self) -> list[TaskOutput]:
        """What has come out. When nothing is pending, a barrier that is in passes, and state may leave memory."""
        if not self._chain.pending:
            if self._barrier is not None and not self._waiting:
                self._pass_on(self._barrier)
            if self._memory is not None:
                self._memory.settle()
        return self._chain.taken()

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
                (edge,) = spec.edges
                node.columns = list(map(self._graph.nodes[edge.source].schema.get_field_index, schema.names))
                node.delivery = None if spec.on_error == "fail" else Delivery(key)
            case ReadSplits():
                pass
            case other:
                assert_never(other)
        return node

    def _connect(self) -> None:
        graph, chain = self._graph, self._chain
        places: dict[int, list[Place]] = {i: [] for i in self._nodes}
        """By node: what its merger's inputs come from."""
        ways: dict[tuple[int, bool], list[Way]] = {(i, dead): [] for i in self._nodes for dead in (False, True)}
        for spec in graph.nodes:
            for edge in spec.edges:
                if spec.stage == self.stage:
                    node, own = self._nodes[spec.id], places[spec.id]
                    if edge.source in self._nodes:
                        node.depth = max(node.depth, self._nodes[edge.source].depth + 1)
                        ways[edge.source, edge.letters].append(chain.way_to(node, edge.port, len(own)))
                        own.append((edge.source, self.worker))
                        continue
                    for sender in range(graph.workers) if edge.exchange is not None else (self.worker,):
                        channel = Channel((spec.id, edge.port), sender)
                        self._ways_in[channel.port, sender] = chain.way_to(node, edge.port, len(own))
                        self.channels.append(channel)
                        own.append((edge.source, sender))
                elif edge.source in self._nodes:
                    router = None
                    if edge.exchange is not None:
                        schema = graph.nodes[edge.source].schema
                        router = Router(edge.exchange, schema, graph.key_groups, graph.workers)
                    way_out = partial(chain.send, (spec.id, edge.port), router)
                    ways[edge.source, edge.letters].append(way_out)
                    self._ways_out.append(way_out)
        origins = graph.origins()
        for i, node in self._nodes.items():
            node.merger = Merger(max(1, len(places[i])), [origins[place] for place in places[i]])
            node.way = chain.joined(ways[i, False])
            node.letters = chain.joined(ways[i, True]) if ways[i, True] else None

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
        if self._memory is not None:
            self._memory.settle()

    def addresses(self) -> set[str]:
        """Where `restore` looks for state."""
        kept = {kept_address(node.spec) for node in self._nodes.values() if isinstance(node.spec.work, Deliver)}
        return {address for address, _ in self._containers()} | kept | {REJECTIONS}

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
        self._begin()
        self._chain.leave(self._nodes[read], batch, split)
        self._chain.then(self._advance, read)
        return self._done()

    def on_bad_record(self, read: int, record: BadRecord) -> list[TaskOutput]:
        """A record of a split that could not be decoded. Raises DataError where the read's policy is to fail."""
        self._begin()
        node = self._nodes[read]
        position = f"{record.split}:{record.position}"
        if node.spec.on_error == "fail":
            error = DataError(f"{position}: {record.error}", remedy="correct the record, or the schema it is read with")
            raise named(error, node.spec)
        self._chain.count(node, 1)
        if node.spec.on_error == "dead_letter":
            self._chain.bury(node, letter(node.spec.step, record.error, position, record.payload))
        return self._done()

    def on_unfit_rows(self, read: int, split: str, rejected: Rejected) -> list[TaskOutput]:
        """Rows of a split that do not fit the columns that its source declared. Raises where the policy is to fail."""
        self._begin()
        self._chain.reject(self._nodes[read], rejected, split)
        return self._done()

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
        later = self._chain.pending
        self._chain.then(self._chain.reject, self._nodes[sink], rejected, None)
        self._chain.then(self._flush)
        if later:
            return []
        while self._chain.pending:
            self._chain.resume()
        return self._done()

    def on_watermark(self, read: int, split: str, time: int) -> list[TaskOutput]:
        """The reader declares how far a split has come."""
        for times in self._times_of(read):
            times.clock.on_watermark(split, time)
        return self._advanced(read)

    def on_quiet(self, read: int, splits: Iterable[str], now: int) -> list[TaskOutput]:
        """These splits were polled at `now` (monotonic, microseconds) and had nothing."""
        for times in self._times_of(read):
            times.clock.on_quiet(splits, now)
        return self._advanced(read)

    def on_new_split(self, read: int, split: str) -> list[TaskOutput]:
        """A split has appeared and is this worker's."""
        for times in self._times_of(read):
            known = times.min_time(split)
            times.clock.add(split, MIN_TIME if known is None else known)
        return self._advanced(read)

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
        return self.on_read_ended(read) if last else self._advanced(read)

    def on_read_ended(self, read: int) -> list[TaskOutput]:
        """No split can have another row: the watermark goes to the end of time; barriers still pass (rule 29)."""
        self._begin()
        self._chain.leave(self._nodes[read], Watermark(MAX_TIME), None)
        self._chain.then(self._advance, read, True)
        return self._done()

    def _times_of(self, read: int) -> list[SplitEventTime]:
        return [times for _, times in self._timed.get(read, ())]

    def _advanced(self, read: int) -> list[TaskOutput]:
        self._begin()
        self._advance(read)
        return self._done()

    def _advance(self, read: int, ended: bool = False) -> None:
        """Send the read's watermark on from every node that generates it, where it has changed."""
        for node, times in self._timed.get(read, ()):
            before = times.clock.current
            now = times.clock.watermark(ended=ended)
            if now is not before:
                self._chain.leave(node, now, None)

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
        self._begin()
        self._now = max(self._now, now)
        for node, operator in self._clocked:
            self._chain.then(self._chain.call, node, None, operator.on_timer, self._now)
        return self._done()

    def next_wakeup(self) -> int | None:
        """When `on_time` is to be called, if no event comes before."""
        wakeups = (operator.next_wakeup() for _, operator in self._clocked)
        return min((time for time in wakeups if time is not None), default=None)

    # -- channels

    def on_event(self, channel: Channel, event: Event) -> list[TaskOutput]:
        """The next event of a channel that is not blocked."""
        self._begin()
        match event:
            case Barrier():
                self._align([channel], event)
            case End():
                self._end([channel])
            case _:
                self._ways_in[channel.port, channel.sender](event, None)
        return self._done()

    def on_trigger(self, barrier: Barrier) -> list[TaskOutput]:
        """The coordinator starts a checkpoint: a barrier comes in on all reads of this task at once."""
        self._begin()
        self._align(self.reads(), barrier)
        return self._done()

    def on_end(self) -> list[TaskOutput]:
        """The final checkpoint is committed: the reads end (rule 29)."""
        self._begin()
        self._end(self.reads())
        return self._done()

    def _align(self, sources: Sequence[Channel | int], barrier: Barrier) -> None:
        if barrier.checkpoint < self._newest:
            return  # that checkpoint was given up (rule 25)
        if barrier.checkpoint > self._newest:  # an alignment on an older one is over: what waited in it goes on
            self._newest = barrier.checkpoint
            self._barrier = barrier
            self._waiting = set(self._open)
        self._waiting.difference_update(sources)
        if not self._waiting:
            self._flush()

    def _pass_on(self, barrier: Barrier) -> None:
        self._barrier = None
        self._chain.output(Aligned(barrier))
        self._broadcast(barrier)

    def _flush(self) -> None:
        for node in self._nodes.values():  # topological: what a node lets go may rest in a later one
            if node.operator is not None:
                self._chain.then(self._chain.call, node, None, node.operator.flush)

    def _end(self, sources: Sequence[Channel | int]) -> None:
        self._open.difference_update(sources)
        if not self._open:
            self._broadcast(End())
            self._chain.output(Finished())

    def _broadcast(self, event: Event) -> None:
        for way in self._ways_out:
            way(event)
