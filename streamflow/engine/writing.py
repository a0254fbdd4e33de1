"""The sinks of one worker: open writers, what they are handed, and what they have prepared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar, cast

import numpy as np
import pyarrow as pa

from streamflow.connect.sink import (
    Committable,
    KeepingWriter,
    SinkContext,
    TransactionalSink,
    TransactionalWriter,
    Writer,
)
from streamflow.engine.closing import close_all
from streamflow.engine.delivery import Delivery
from streamflow.engine.naming import named
from streamflow.operators.dead_letters import Rejected
from streamflow.operators.events import Barrier
from streamflow.plan.physical import Deliver, PhysicalGraph, PhysicalNode
from streamflow.state.container import Snapshot

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(slots=True)
class _OpenSink:
    """`prepared`: with the checkpoint that each is of, what is not known to be committed."""

    node: PhysicalNode
    work: Deliver
    writer: Writer
    rows: int = 0
    prepared: list[tuple[int, Committable]] = field(default_factory=list)

    def put(self, batch: pa.RecordBatch) -> None:
        self.writer.write(batch)
        self.rows += batch.num_rows


class Sinks:
    """Every sink of a graph, open on one worker. An error names the sink's step and the user's line."""

    def __init__(
        self, graph: PhysicalGraph, worker: int, *, job: str, attempt: int, seconds: Callable[[], float]
    ) -> None:
        self._open: dict[int, _OpenSink] = {}
        for node_id, work in graph.sinks().items():
            node = graph.nodes[node_id]
            who = SinkContext(
                job=job,
                step=node.step,
                worker=worker,
                attempt=attempt,
                schema=work.schema,
                key=work.key,
                clock=seconds,
            )
            try:
                self._open[node_id] = _OpenSink(node, work, work.sink.open(who))
            except Exception as error:
                self.close()
                raise named(error, node) from error

    @property
    def rows(self) -> int:
        """How many were handed over."""
        return sum(sink.rows for sink in self._open.values())

    def write(self, node: int, batch: pa.RecordBatch, delivery: Delivery | None) -> Rejected | None:
        """Hand over a batch; what the sink refuses comes back, where the step's policy is not to fail."""
        sink = self._open[node]
        if delivery is None:
            at_sink(sink.node, sink.put, batch)
            return None
        return at_sink(sink.node, delivery.hand_over, batch, sink.put)

    def prepare(self, stage: int, barrier: Barrier) -> None:
        """Phase one, for the sinks of a stage that has aligned."""
        for sink in self._open.values():
            if sink.node.stage != stage:
                continue
            if isinstance(sink.work.sink, TransactionalSink):
                writer = cast("TransactionalWriter", sink.writer)  # by the sink's contract
                found = at_sink(sink.node, writer.prepare, barrier.checkpoint, final=barrier.final)
                sink.prepared += [(barrier.checkpoint, one) for one in found]
            else:
                at_sink(sink.node, sink.writer.flush)

    def kept(self, stage: int, groups: int) -> dict[str, Snapshot]:
        """What the writers of a stage hold over the checkpoint that was just prepared, as state."""
        found = {
            kept_address(sink.node): kept_rows(sink.writer, sink.work, groups)
            for sink in self._open.values()
            if sink.node.stage == stage
        }
        return {address: rows for address, rows in found.items() if rows is not None}

    def take_over(self, state: Mapping[str, Sequence[Snapshot]], groups: range) -> None:
        """Write what writers of an earlier attempt had kept: these key groups' share of it."""
        for sink in self._open.values():
            for part in state.get(kept_address(sink.node), ()):
                rows = part.slice(groups)
                if rows.num_rows:
                    at_sink(sink.node, sink.writer.write, rows.select(sink.work.schema.names).cast(sink.work.schema))

    def prepared(self, checkpoint: int) -> Mapping[str, Sequence[Committable]]:
        """By step, all that was prepared up to a checkpoint and is not known to be committed (rule 26)."""
        found = {
            sink.node.step: [one for number, one in sink.prepared if number <= checkpoint]
            for sink in self._open.values()
        }
        return {step: parts for step, parts in found.items() if parts}

    def committed(self, checkpoint: int) -> None:
        """What was prepared up to this checkpoint is committed."""
        for sink in self._open.values():
            sink.prepared = [one for one in sink.prepared if one[0] > checkpoint]

    def close(self) -> None:
        """Let go of everything; what was not committed is not published. Of several errors the first counts."""
        opened, self._open = self._open, {}
        close_all(sink.writer.close for sink in opened.values())


def kept_address(node: PhysicalNode) -> str:
    """Where the rows stand in a checkpoint that a sink's writer holds over it."""
    return f"{node.step}/kept"


def kept_rows(writer: Writer, work: Deliver, groups: int) -> Snapshot | None:
    """What a writer holds over the checkpoint that was just prepared: about as many rows in each key group, for any
    worker may go on with them.
    """
    batches = writer.kept() if isinstance(writer, KeepingWriter) else ()
    if not batches:
        return None
    [rows] = pa.Table.from_batches(batches, work.schema).combine_chunks().to_batches()
    return Snapshot(rows, np.arange(groups + 1) * rows.num_rows // groups)


def at_sink(node: PhysicalNode, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """A call to the outside, whose errors name the sink's step and line."""
    try:
        return call(*args, **kwargs)
    except Exception as error:
        raise named(error, node) from error
