"""The chain: the nodes of one stage on one worker, and how what one of them sends goes through those after it.

Depth first, by plain calls: all that follows from one item comes before the operator is asked for the next. Where the
chain pauses, each of the calls under way leaves what it has not done yet, the innermost first, and returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import pyarrow as pa

from streamflow.engine.delivery import Delivery
from streamflow.engine.exchange import Router
from streamflow.engine.naming import named
from streamflow.engine.outputs import Port, Send, TaskOutput, Write
from streamflow.engine.split_time import SplitEventTime
from streamflow.engine.watermarks import Merger
from streamflow.operators.base import Operator, Output
from streamflow.operators.dead_letters import Rejected, letters
from streamflow.operators.events import Batch, Event, Watermark
from streamflow.operators.salvage import salvage
from streamflow.plan.physical import PhysicalNode
from streamflow.state.rejections import Rejections

PAUSE_AFTER = 1 << 17
"""So many rows may leave nodes in one go, before the host has its turn."""
_DEEP = 64
"""So many nodes behind one another work by calls within calls. Python allows for about 250."""

Wrap: TypeAlias = "Callable[[Operator, PhysicalNode], Operator]"
"""What stands around a node's operator, to check or to measure it."""

Way: TypeAlias = "Callable[[Batch | Watermark, str | None], None]"
"""An edge out of a node: takes an item, and the split that it is of, to where it goes."""


@dataclass(slots=True)
class Counters:
    """What a node has seen, for progress."""

    rows_in: int = 0
    rows_out: int = 0


@dataclass(slots=True)
class Node:
    """A physical node at run time."""

    spec: PhysicalNode
    operator: Operator | None = None
    times: SplitEventTime | None = None
    columns: list[int] = field(default_factory=list)  # that a sink gets, by their places: names cost 1 us each to find
    delivery: Delivery | None = None  # of a sink with a policy
    merger: Merger = field(default_factory=lambda: Merger(1))
    way: Way = field(init=False)  # of what leaves it
    letters: Way | None = None  # of its dead letters
    depth: int = 1  # it and those that items may pass before it
    counters: Counters = field(default_factory=Counters)


class Chain:
    """Takes items through the nodes, up to their end or to a pause; `taken` is what has come out.

    It pauses where an operator says `Pause`, and when `pause_after` rows have left nodes since the last `taken`. Then
    it is `pending`, until `resume` has done the rest.
    """

    def __init__(self, worker: int, workers: int, pause_after: int) -> None:
        self._worker = worker
        self._workers = workers
        self._pause_after = pause_after
        self._moved = 0
        self._rest: list[Callable[[], object]] = []  # what a pause has left, in the order in which it is to be done
        self._outputs: list[TaskOutput] = []
        self.pending = False
        self.rejections = Rejections()

    # -- doing work, and leaving it for later

    def then(self, call: Callable[..., object], *args: Any) -> None:
        """Do this after all that was begun before: now, or, where the chain has paused, in the course of `resume`."""
        if self.pending:
            self._rest.append(partial(call, *args))
        else:
            call(*args)

    def resume(self) -> None:
        """Go on until nothing is left, or the next pause."""
        rest, self._rest = self._rest, []
        self.pending = False
        for call in rest:
            self.then(call)

    def taken(self) -> list[TaskOutput]:
        """What has come out since it was last asked."""
        self._moved = 0
        taken, self._outputs = self._outputs, []
        return taken

    def output(self, output: TaskOutput) -> None:
        self._outputs.append(output)

    # -- items on their way

    def leave(self, node: Node, item: Output, split: str | None) -> None:
        """`item` leaves `node`, when all that was begun before is done."""
        if self.pending:
            self.then(self.leave, node, item, split)
        elif isinstance(item, pa.RecordBatch):
            rows = item.num_rows
            node.counters.rows_out += rows
            self._moved += rows
            if self._moved >= self._pause_after:
                self.pending = True
            node.way(item, split)
        elif isinstance(item, Watermark):
            if node.letters is None:
                node.way(item, split)
            else:  # the dead letters end, or rest, when all do that may send some
                node.letters(item, None)
                self.then(node.way, item, split)
        elif isinstance(item, Rejected):
            self.reject(node, item, split)
        else:  # a Pause
            self.pending = True

    def joined(self, ways: Sequence[Way]) -> Way:
        """All of these ways, one after the other."""
        return ways[0] if len(ways) == 1 else partial(self._along, tuple(ways))

    def _along(self, ways: tuple[Way, ...], item: Batch | Watermark, split: str | None) -> None:
        for way in ways:
            self.then(way, item, split)

    def way_to(self, node: Node, port: int, index: int) -> Way:
        """The way to a port of a node of this stage, which is its merger's input `index`."""
        way: Way
        if node.operator is not None:
            way = partial(self._to_operator, node, node.operator, port, index)
        elif node.times is not None:
            way = partial(self._to_times, node, node.times)
        else:
            way = partial(self._to_sink, node, index)
        return way if node.depth % _DEEP else partial(self._pause_before, way)

    def _pause_before(self, way: Way, item: Batch | Watermark, split: str | None) -> None:
        self.pending = True
        self.then(way, item, split)

    def _to_operator(
        self, node: Node, operator: Operator, port: int, index: int, item: Batch | Watermark, split: str | None
    ) -> None:
        if isinstance(item, pa.RecordBatch):
            node.counters.rows_in += item.num_rows
            self.call(node, split, operator.on_batch, port, item)
            return
        merged = node.merger.update(index, item)
        if merged is None:
            return
        if merged.idle:  # others will go on without this input: rows held for speed would come late
            self.call(node, None, operator.flush)
            self.then(self.call, node, None, operator.on_watermark, merged)
        else:
            self.call(node, None, operator.on_watermark, merged)

    def _to_times(self, node: Node, times: SplitEventTime, item: Batch | Watermark, split: str | None) -> None:
        """Rows get their event time. A watermark ends here: the node makes its own."""
        if isinstance(item, pa.RecordBatch):
            assert split is not None
            node.counters.rows_in += item.num_rows
            if node.spec.on_error == "fail":
                self.call(node, split, times.on_rows, split, item)
            else:
                self.call(node, split, salvage, item, partial(times.on_rows, split))

    def _to_sink(self, node: Node, index: int, item: Batch | Watermark, split: str | None) -> None:
        if isinstance(item, pa.RecordBatch):
            node.counters.rows_in += item.num_rows
            self._outputs.append(Write(node.spec.id, item.select(node.columns)))
            return
        merged = node.merger.update(index, item)
        if merged is not None and node.letters is not None:
            node.letters(merged, None)

    def call(self, node: Node, split: str | None, call: Callable[..., Iterable[Output]], *args: Any) -> None:
        """What the operator gives for this leaves its node; an error of its own is given its step and line."""
        try:
            items = call(*args)
        except Exception as error:
            raise named(error, node.spec) from error
        if isinstance(items, tuple):
            for item in items:
                self.leave(node, item, split)
        else:
            self._draw(node, iter(items), split)

    def _draw(self, node: Node, items: Iterator[Output], split: str | None) -> None:
        """Ask the operator for one item after the other."""
        while not self.pending:
            try:
                item = next(items, None)
            except Exception as error:
                raise named(error, node.spec) from error
            if item is None:
                return
            self.leave(node, item, split)
        self.then(self._draw, node, items, split)

    def send(self, port: Port, router: Router | None, event: Event, split: str | None = None) -> None:
        """`event` goes to a later stage: to this worker's task, to the owners of its rows, or to all."""
        if router is None:
            self._outputs.append(Send(port, self._worker, event))
        elif isinstance(event, pa.RecordBatch):
            self._outputs += [Send(port, worker, part) for worker, part in router.split(event)]
        else:
            self._outputs += [Send(port, worker, event) for worker in range(self._workers)]

    # -- rows that cannot be processed

    def reject(self, node: Node, rejected: Rejected, split: str | None) -> None:
        if node.spec.on_error == "fail":
            raise named(rejected.errors[0], node.spec)
        self.count(node, rejected.rows.num_rows)
        if node.spec.on_error == "dead_letter":
            self.bury(node, letters(node.spec.step, rejected, split))

    def bury(self, node: Node, letters: Batch) -> None:
        """Dead letters go their way, where somebody reads them."""
        if node.letters is not None:
            node.letters(letters, None)

    def count(self, node: Node, rows: int) -> None:
        self.rejections.add(node.spec.step, rows, dead=node.spec.on_error == "dead_letter")
