"""The edge between a reader and its task: polls, and tells the task what came, what is quiet and what has ended."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeAlias, cast

import pyarrow as pa

from streamflow.connect.canonical import cast_batch
from streamflow.connect.source import (
    BadRecord,
    ClockedReader,
    Ended,
    GrowingReader,
    GrowingSource,
    PausableReader,
    PollResult,
    Position,
    QuietReader,
    Reader,
    Wait,
    WatermarkedReader,
)
from streamflow.engine.naming import named
from streamflow.engine.outputs import TaskOutput
from streamflow.engine.parts import Splits
from streamflow.engine.split_state import SplitState
from streamflow.engine.task import Task
from streamflow.errors import DataError
from streamflow.operators.base import Output
from streamflow.operators.dead_letters import Rejected
from streamflow.operators.events import MIN_TIME, ORDER
from streamflow.operators.order import order_in_split
from streamflow.operators.salvage import salvage
from streamflow.plan.physical import PhysicalGraph, PhysicalNode, ReadSplits, SplitTimes

Calls: TypeAlias = "Iterator[list[TaskOutput]]"
"""Calls into a task, by what each gave. What one has left to do is done before the next."""

MAX_ROWS = 16_384
"""The most rows that a reader is asked for at once."""


def discover(graph: PhysicalGraph, node: PhysicalNode) -> list[str]:
    """A read's splits in the order in which they are to be opened: by the least event time they may hold (rule 2)."""
    assert isinstance(node.work, ReadSplits)
    timed = _times(graph, node)

    def opens_at(name: str) -> int:
        known = [work.min_time(name) for work in timed]
        return min((MIN_TIME if time is None else time for time in known), default=MIN_TIME)

    try:
        return sorted(node.work.source.splits(), key=opens_at)  # stable: unknown ones first, in the source's order
    except Exception as error:
        raise named(error, node) from error


def _times(graph: PhysicalGraph, read: PhysicalNode) -> list[SplitTimes]:
    """What gives a read's rows their event times."""
    return [node.work for node in graph.nodes if isinstance(node.work, SplitTimes) and node.work.read == read.id]


def known_splits(graph: PhysicalGraph, node: PhysicalNode, known: Mapping[str, SplitState]) -> dict[str, SplitState]:
    """The state of each split of a read: of those that are there now, and of those that a checkpoint knows."""
    found = discover(graph, node)
    return split_states([*found, *(name for name in known if name not in found)], known)


def discover_all(graph: PhysicalGraph, known: Splits) -> dict[str, dict[str, SplitState]]:
    """By the read's step, the state of each of its splits: see `known_splits`."""
    nodes = [graph.nodes[read] for read in graph.reads()]
    return {node.step: known_splits(graph, node, known.get(node.step, {})) for node in nodes}


def split_states(names: Iterable[str], known: Mapping[str, SplitState]) -> dict[str, SplitState]:
    """The state of each split: as it was known, or new. A new one gets the next number, which is then its own.

    >>> {name: state.number for name, state in split_states(["a", "b"], {"b": SplitState(number=0)}).items()}
    {'a': 1, 'b': 0}
    """
    numbers = itertools.count(1 + max((state.number for state in known.values()), default=-1))
    return {name: known[name] if name in known else SplitState(number=next(numbers)) for name in names}


class OpenRead:
    """One read on one worker, from its splits' states on. `splits` are in the order in which they open.

    `looks`: this worker looks for new splits of a source that grows, and reads them; `known`: the splits of all.
    One worker reads all that appear, so that they hold the watermark one after the other: were they dealt out, one
    worker could go past the rows of a file that another has yet to open.
    """

    def __init__(
        self,
        graph: PhysicalGraph,
        node: PhysicalNode,
        task: Task,
        splits: Mapping[str, SplitState],
        *,
        looks: bool = True,
        known: Mapping[str, SplitState] | None = None,
    ) -> None:
        assert isinstance(node.work, ReadSplits)
        self.node = node
        self._task = task
        self._schema = node.work.schema
        self._ordered = node.work.ordered
        self._aligned = any(work.strategy.align is not None for work in _times(graph, node))
        self._rows = {name: state.rows for name, state in splits.items()}
        self._graph = graph
        self._bounded = node.work.source.bounded
        source = node.work.source
        self._look_every = source.look_every if isinstance(source, GrowingSource) else None
        self._looks = looks and self._look_every is not None
        self._look_at: int | None = None
        self._known = dict(splits if known is None else known)
        self._splits = dict(splits)
        self._unfinished = {name for name, state in splits.items() if not state.ended}
        self.taken = 0
        """Rows that the task was given."""
        self.ended = False
        self.wakes_at: int | None = None
        self.fileno: int | None = None
        self._reader: Reader | None = None
        self._watermarked: WatermarkedReader | None = None  # the same reader, if it is one: slow to ask at each poll
        self._asked: QuietReader | None = None
        self._clocked: ClockedReader | None = None
        self._pausable: PausableReader | None = None
        self.paused: frozenset[str] = frozenset()
        self._unasked = 0  # microseconds for which the reader was to be polled and was not

    def start(self) -> Iterator[list[TaskOutput]]:
        """Open the reader; what the task says to splits that had ended before. See `poll` for how to take it."""
        return self._to_end(self._start())

    def _start(self) -> Calls:
        task, read = self._task, self.node.id
        self.ended = self._all_ended()
        if self.ended:  # at once: split after split it would be idle in between, and others would go on without it
            yield task.on_read_ended(read)
            return
        for name, state in self._splits.items():
            if state.ended:
                yield task.on_split_ended(read, name, last=False)
        if self._splits or self._looks:
            self._open_reader()
        if not self._splits:
            yield task.on_quiet(read, (), 0)  # no split is idle (rule 3)

    def _open_reader(self) -> None:
        assert isinstance(self.node.work, ReadSplits)
        try:
            self._reader = self.node.work.source.open({name: self._splits[name].position for name in self._opened()})
        except Exception as error:
            raise named(error, self.node) from error
        self._watermarked = self._reader if isinstance(self._reader, WatermarkedReader) else None
        self._asked = self._reader if isinstance(self._reader, QuietReader) else None
        self._clocked = self._reader if isinstance(self._reader, ClockedReader) else None
        self._pausable = self._reader if self._aligned and isinstance(self._reader, PausableReader) else None
        if self._pausable is not None:
            self._align(self._pausable)

    def _opened(self) -> list[str]:
        return [name for name in self._splits if name in self._unfinished]

    def _all_ended(self) -> bool:
        """Of an unbounded source splits may still appear, unless it had some, here or elsewhere, and all have ended."""
        if self._look_every is not None:
            return False
        return not self._unfinished and (self._bounded or bool(self._known))

    def can_poll(self, now: int) -> bool:
        """Whether there is something to ask, and the time has come that it named; never without a split."""
        return self._reader is not None and not self.ended and (self.wakes_at is None or self.wakes_at <= now)

    def poll(self, max_rows: int, now: int) -> Iterator[list[TaskOutput]]:
        """One poll at `now` (monotonic, microseconds) of a read that `can_poll`, and all that follows in this task.

        Each item is what one call into the task gave. The host carries it out before it asks for the next, and gives
        the task nothing else until there is none; others may have their turn in between.
        """
        return self._to_end(self._poll(max_rows, now))

    def _to_end(self, calls: Calls) -> Iterator[list[TaskOutput]]:
        """What each of these calls into the task gave, and piece by piece what it has left to do."""
        for outputs in calls:
            yield outputs
            while self._task.pending:
                yield self._task.resume()

    def _poll(self, max_rows: int, now: int) -> Calls:
        if self.wakes_at is not None:  # silence is counted only while somebody listens (rule 4)
            self._unasked += now - self.wakes_at
        self.wakes_at = self.fileno = None
        if self._looks:
            yield from self._look(now)
        match self._ask(max_rows, now):
            case Ended(split):
                yield self._on_ended(split)
            case Wait() as wait:
                yield from self._on_wait(wait, now)
            case parts:
                yield from self._on_parts(parts, now)
        if self._pausable is not None and not self.ended:
            self._align(self._pausable)

    def _ask(self, max_rows: int, now: int) -> PollResult:
        assert self._reader is not None
        try:
            if self._clocked is not None:
                self._clocked.on_clock(now / 1e6)
            return self._reader.poll(max_rows)
        except Exception as error:
            raise named(error, self.node) from error

    def _look(self, now: int) -> Calls:
        """Take on splits that have appeared, if it is time to look: they are of the next checkpoint (rule 28)."""
        assert self._look_every is not None
        if self._look_at is None:
            self._look_at = now + int(self._look_every * 1e6)
        if now < self._look_at:
            return
        self._look_at = now + int(self._look_every * 1e6)
        new = split_states([name for name in discover(self._graph, self.node) if name not in self._known], self._known)
        for name in new:
            yield self._task.on_new_split(self.node.id, name)
        self._known.update(new)
        self._splits.update(new)
        self._unfinished.update(new)
        self._rows.update((name, state.rows) for name, state in new.items())
        if new:
            cast("GrowingReader", self._reader).add(dict.fromkeys(new))

    def _on_wait(self, wait: Wait, now: int) -> Calls:
        self.wakes_at = now + int(wait.seconds * 1e6)
        self.fileno = wait.fileno
        if self._look_at is not None:
            self.wakes_at = min(self.wakes_at, max(self._look_at, now))
        if self._watermarked is not None:
            yield from self._on_watermarks(self._watermarked)
        yield self._on_quiet(self._unfinished if self._asked is None else self._asked.quiet(), now)
        idle_at = self._task.idle_at(self.node.id)
        if idle_at is not None:  # a long wait must not hide that a split has become idle
            self.wakes_at = min(self.wakes_at, max(idle_at + self._unasked, now))

    def _on_parts(self, parts: Sequence[tuple[str, pa.RecordBatch] | BadRecord], now: int) -> Calls:
        task, read = self._task, self.node.id
        for part in parts:
            if isinstance(part, BadRecord):
                yield task.on_bad_record(read, part)
                continue
            split, batch = part
            for rows in self._fitting(split, batch) if batch.num_rows else ():
                if isinstance(rows, Rejected):
                    yield task.on_unfit_rows(read, split, rows)
                elif isinstance(rows, pa.RecordBatch):
                    yield task.on_rows(read, split, rows)
        if self._asked is not None:
            yield self._on_quiet(self._asked.quiet(), now)
        if self._watermarked is not None:
            yield from self._on_watermarks(self._watermarked)

    def _on_quiet(self, splits: Iterable[str], now: int) -> list[TaskOutput]:
        quiet = [split for split in splits if split not in self.paused]
        return self._task.on_quiet(self.node.id, quiet, now - self._unasked)

    def _align(self, reader: PausableReader) -> None:
        """Pause the splits that are too far ahead, and let the others go on (rule 5)."""
        ahead = self._task.ahead(self.node.id)
        if ahead == self.paused:
            return
        self._task.on_paused(self.node.id, ahead - self.paused)
        self.wakes_at = None if self.paused - ahead else self.wakes_at  # those that go on may have something
        self.paused = ahead
        try:
            reader.pause(ahead)
        except Exception as error:
            raise named(error, self.node) from error

    def _fitting(self, split: str, batch: pa.RecordBatch) -> Iterable[Output]:
        """The rows in canonical columns, with their order where somebody goes by it, and those that do not fit."""
        fits = batch.schema.equals(self._schema)
        first = self._rows[split]
        self._rows[split] += batch.num_rows
        self.taken += batch.num_rows
        if self._ordered:
            batch = batch.append_column(ORDER, order_in_split(self._splits[split].number, first, batch.num_rows))
        return (batch,) if fits else salvage(batch, partial(self._cast, split))

    def _cast(self, split: str, batch: pa.RecordBatch) -> tuple[pa.RecordBatch]:
        schema = self._schema
        if self._ordered:
            schema = schema.append(batch.schema.field(batch.num_columns - 1))
        try:
            return (cast_batch(batch, schema),)
        except ValueError as error:
            what = f"{split}: a value does not fit the column's type: {error}"
            raise DataError(what, remedy="correct it, or the source's schema") from error
        except Exception as error:
            raise named(error, self.node) from error

    def _on_watermarks(self, reader: WatermarkedReader) -> Calls:
        for split in self._unfinished:
            time = reader.watermark(split)
            if time is not None:
                yield self._task.on_watermark(self.node.id, split, time)

    def _on_ended(self, split: str) -> list[TaskOutput]:
        self._unfinished.discard(split)
        self.ended = self._all_ended()
        return self._task.on_split_ended(self.node.id, split, last=self.ended)

    def drain(self) -> Iterator[list[TaskOutput]]:
        """End here, as if no split had another row. Taken as `poll` is."""
        if not self.ended:
            self.ended = True
            yield from self._task.to_end(self._task.on_read_ended(self.node.id))

    def states(self) -> dict[str, SplitState]:
        """Every split of this worker as of now: exactly the rows that the task was given."""
        positions = self.positions()
        times = self._task.split_times().get(self.node.id, {})
        return {
            name: SplitState(
                position=positions.get(name, before.position),
                times=times.get(name, before.times),
                ended=name not in self._unfinished,
                number=before.number,
                rows=self._rows[name],
            )
            for name, before in self._splits.items()
        }

    def positions(self) -> Mapping[str, Position]:
        """Where the reader stands: what `committed` is told when all rows up to there are durable."""
        return {} if self._reader is None else dict(self._reader.positions())

    def committed(self, positions: Mapping[str, Position]) -> None:
        """All rows up to these positions are durable."""
        if self._reader is not None:
            self._reader.committed(positions)

    def close(self) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.close()
