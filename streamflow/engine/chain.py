"""The chain: the nodes of one stage on one worker, and how what one of them sends goes through those after it.

Depth first: all that follows from one item comes before the operator is asked for the next. The way there is a stack of
iterators and not of calls, so that the chain can stop between two items and go on later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
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
from streamflow.plan.physical import Deliver, PhysicalNode
from streamflow.state.rejections import Rejections

PAUSE_AFTER = 1 << 17
"""So many rows may leave nodes in one go, before the host has its turn."""

Wrap: TypeAlias = "Callable[[Operator, PhysicalNode], Operator]"
"""What stands around a node's operator, to check or to measure it."""


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
    columns: list[str] = field(default_factory=list)  # of a sink
    delivery: Delivery | None = None  # of a sink with a policy
    merger: Merger = field(default_factory=lambda: Merger(1))
    inputs: dict[tuple[int, int], int] = field(default_factory=dict)  # (port, sender or -1) -> the merger's index
    inner: list[tuple[Node, int]] = field(default_factory=list)  # (node, port) in this task
    outer: list[tuple[Port, Router | None]] = field(default_factory=list)  # edges to later stages
    dead_inner: list[tuple[Node, int]] = field(default_factory=list)  # as `inner`, of its dead letters
    dead_outer: list[tuple[Port, Router | None]] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)


Steps: TypeAlias = "Iterator[None]"
"""Work in several steps: each puts something on the chain, and the next comes when that has gone all the way."""


class Chain:
    """`do` takes work on; `run` does it, up to its end or to a pause, and returns the outputs.

    It pauses where an operator says `Pause`, and when `pause_after` rows have left nodes since it began to run.
    """

    def __init__(self, worker: int, workers: int, pause_after: int) -> None:
        self._worker = worker
        self._workers = workers
        self._pause_after = pause_after
        self._moved = 0
        self._paused = False
        self._stack: list[tuple[Node | None, Iterator[Any], str | None]] = []
        """From the outermost on: a node with the items it sends and the split they are of; or, without one, steps."""
        self._outputs: list[TaskOutput] = []
        self.rejections = Rejections()

    # -- doing work

    @property
    def pending(self) -> bool:
        return bool(self._stack)

    def do(self, steps: Steps) -> None:
        """The first of these steps come before all that is already to be done."""
        self._stack.append((None, steps, None))

    def insert(self, steps: Steps) -> None:
        """These come when the step under way, and all that follows from it, has been done."""
        self._stack.insert(1, (None, steps, None))

    def run(self) -> list[TaskOutput]:
        """Go on until nothing is left, or the next pause."""
        stack = self._stack
        self._moved, self._paused = 0, False
        while stack and not self._paused:
            top = len(stack) - 1
            node, items, split = stack[top]
            try:
                item = next(items)
            except StopIteration:
                del stack[top]  # the last of its steps may have put something above it
                continue
            except Exception as error:
                if node is None:
                    raise
                raise named(error, node.spec) from error
            if node is not None:
                self.leave(node, item, split)
        return self._taken()

    def finish(self) -> list[TaskOutput]:
        """Go on until nothing is left."""
        outputs = self.run()
        while self._stack:
            outputs += self.run()
        return outputs

    def _taken(self) -> list[TaskOutput]:
        taken, self._outputs = self._outputs, []
        return taken

    def output(self, output: TaskOutput) -> None:
        self._outputs.append(output)

    # -- items on their way

    def leave(self, node: Node, item: Output, split: str | None) -> None:
        """`item` leaves `node`."""
        if isinstance(item, pa.RecordBatch):
            rows = item.num_rows
            node.counters.rows_out += rows
            self._moved += rows
            if self._moved >= self._pause_after:
                self._paused = True
        elif isinstance(item, Watermark):
            if node.dead_inner or node.dead_outer:  # the dead letters end, or rest, when all do that may send some
                self.do(self._letters_then(node, item, split))
                return
        elif isinstance(item, Rejected):
            self.reject(node, item, split)
            return
        else:  # a Pause
            self._paused = True
            return
        self._spread(node.inner, node.outer, item, split)

    def _spread(
        self,
        inner: list[tuple[Node, int]],
        outer: list[tuple[Port, Router | None]],
        item: Batch | Watermark,
        split: str | None,
    ) -> None:
        if len(inner) == 1 and not outer:
            child, port = inner[0]
            self.give(child, port, -1, item, split)
        elif inner:
            self.do(self._to_each(inner, outer, item, split))
        else:
            self._to_others(outer, item)

    def _to_each(
        self,
        inner: list[tuple[Node, int]],
        outer: list[tuple[Port, Router | None]],
        item: Batch | Watermark,
        split: str | None,
    ) -> Steps:
        for child, port in inner:
            self.give(child, port, -1, item, split)
            yield
        self._to_others(outer, item)

    def _to_others(self, outer: list[tuple[Port, Router | None]], item: Batch | Watermark) -> None:
        for target, router in outer:
            self.send(target, router, item)

    def _letters_then(self, node: Node, item: Watermark, split: str | None) -> Steps:
        self.bury(node, item)
        yield
        self._spread(node.inner, node.outer, item, split)

    def give(self, node: Node, port: int, sender: int, item: Batch | Watermark, split: str | None) -> None:
        """`item` reaches `node`."""
        if isinstance(item, Watermark):
            merged = node.merger.update(node.inputs[port, sender], item)
            if merged is not None and isinstance(node.spec.work, Deliver):
                self.bury(node, merged)
            elif merged is not None and node.operator is not None:
                if merged.idle:  # others will go on without this input: rows held for speed would come late
                    self.do(self._flush_then(node, node.operator, merged))
                else:
                    self.call(node, None, node.operator.on_watermark, merged)
            return
        node.counters.rows_in += item.num_rows
        if node.operator is not None:
            self.call(node, split, node.operator.on_batch, port, item)
        elif node.times is not None:
            assert split is not None
            self._stamp(node, node.times, split, item)
        else:
            self._outputs.append(Write(node.spec.id, item.select(node.columns)))

    def _flush_then(self, node: Node, operator: Operator, watermark: Watermark) -> Steps:
        self.call(node, None, operator.flush)
        yield
        self.call(node, None, operator.on_watermark, watermark)

    def call(self, node: Node, split: str | None, call: Callable[..., Iterable[Output]], *args: Any) -> None:
        """What the operator gives for this is next; an error of its own is given its step and line."""
        try:
            items = call(*args)
        except Exception as error:
            raise named(error, node.spec) from error
        if items:
            self._stack.append((node, iter(items), split))

    def _stamp(self, node: Node, times: SplitEventTime, split: str, batch: Batch) -> None:
        if node.spec.on_error == "fail":
            try:
                stamped = times.on_rows(split, batch)
            except Exception as error:
                raise named(error, node.spec) from error
            self.leave(node, stamped, split)
        else:
            self.call(node, split, salvage, batch, lambda rows: (times.on_rows(split, rows),))

    def send(self, port: Port, router: Router | None, event: Event) -> None:
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

    def count(self, node: Node, rows: int) -> None:
        self.rejections.add(node.spec.step, rows, dead=node.spec.on_error == "dead_letter")

    def bury(self, node: Node, item: Batch | Watermark) -> None:
        """`item` goes the way of the node's dead letters."""
        self._spread(node.dead_inner, node.dead_outer, item, None)
