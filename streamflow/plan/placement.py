"""From the optimised logical graph to the physical one: an operator per node, an exchange wherever keys demand it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import pyarrow as pa

from streamflow.connect.source import FilterableSource, ProjectableSource
from streamflow.errors import UserError
from streamflow.operators.dedup import Dedup as DedupOperator
from streamflow.operators.event_time import SetEventTime
from streamflow.operators.events import ORDER
from streamflow.operators.late_rows import PassOn
from streamflow.operators.order import OrderByKeys, OrderCopies, OrderPort, order_type
from streamflow.operators.process import ClockedProcess
from streamflow.operators.process import Process as ProcessOperator
from streamflow.operators.union import Union as UnionOperator
from streamflow.plan.compile import compile_expr, to_arrow_filter
from streamflow.plan.keyed_calls import bind
from streamflow.plan.logical.expr import show
from streamflow.plan.logical.nodes import (
    Aggregate,
    DeadLetters,
    Dedup,
    Explode,
    FlatMap,
    Late,
    Node,
    Partition,
    Process,
    Read,
    Top,
    Union,
    WithEventTime,
    Write,
    inputs,
)
from streamflow.plan.logical.policy import can_reject
from streamflow.plan.logical.schema import physical_schema
from streamflow.plan.logical.show import duration
from streamflow.plan.logical.windows import (
    BoundedOutOfOrderness,
    Calendar,
    Cumulative,
    Sliding,
    Tumbling,
)
from streamflow.plan.openable import openable
from streamflow.plan.physical import (
    DEFAULT_KEY_GROUPS,
    Deliver,
    Edge,
    PhysicalGraph,
    PhysicalNode,
    ReadSplits,
    Run,
    SplitTimes,
    Work,
)
from streamflow.plan.rewrite import Graph, topological
from streamflow.plan.row_by_row import row_by_row
from streamflow.plan.signature import signature
from streamflow.plan.split_times import marks_of, min_time_of
from streamflow.plan.windowed import Made, Parts, aggregate, late_rows, split_aggregate, split_top, top, why_whole

Sliced: TypeAlias = "Tumbling | Sliding | Cumulative | Calendar"
"""The windows that are made of slices."""


def place(
    graph: Graph,
    *,
    name: str,
    workers: int = 1,
    key_groups: int = DEFAULT_KEY_GROUPS,
    max_errors: int | None = None,
) -> PhysicalGraph:
    """The physical graph of an optimised logical one. The number of key groups is fixed for the life of a job."""
    order = _dead_letters_last(topological(graph))
    builder = _Builder(workers, {id(above): node for node in order for above in inputs(node)})
    for node in order:
        builder.place(node)
    return PhysicalGraph(
        name=name, workers=workers, key_groups=key_groups, nodes=tuple(builder.nodes), max_errors=max_errors
    )


def _dead_letters_last(order: Sequence[Node]) -> list[Node]:
    """Still topological, and the dead letters stand behind all the nodes that send rows there."""
    behind: set[int] = set()
    for node in order:
        if isinstance(node, DeadLetters) or any(id(above) in behind for above in inputs(node)):
            behind.add(id(node))
    return sorted(order, key=lambda node: id(node) in behind)


class _Builder:
    """Collects physical nodes; `_of` maps a logical node to the physical one that produces its rows.

    `readers`: by a logical node's id, one that takes its rows.
    """

    def __init__(self, workers: int, readers: Mapping[int, Node]) -> None:
        self.nodes: list[PhysicalNode] = []
        self._workers = workers
        self._readers = readers
        self._of: dict[int, int] = {}

    def place(self, node: Node) -> None:  # noqa: C901 (one case for each node)
        upstream = [self._of[id(above)] for above in inputs(node)]
        match node:
            case Read():
                made = self._read(node)
            case DeadLetters():
                made = self._dead_letters(node)
            case WithEventTime():
                made = self._event_time(node, upstream[0])
            case Aggregate():
                made = self._aggregate(node, upstream[0])
            case Top():
                made = self._top(node, upstream[0])
            case Dedup():
                made = self._dedup(node, upstream[0])
            case Process():
                made = self._process(node, upstream[0])
            case Late():
                made = self._late(node, upstream[0])
            case Partition():
                made = self._partition(node, upstream[0])
            case Union():
                schemas = [physical_schema(above.type) for above in node.inputs]
                schema = physical_schema(node.type)
                if node.type.order:
                    upstream = [self._order_port(node, port, source) for port, source in enumerate(upstream)]
                    schemas = [self.nodes[source].schema for source in upstream]
                edges = [Edge(source, port) for port, source in enumerate(upstream)]
                made = self._add(
                    node, f"union of {len(edges)}", schema, Run(partial(UnionOperator, schemas, schema)), edges
                )
            case Write():
                made = self._write(node, upstream[0])
            case _:
                made = self._row_by_row(node, upstream[0])
        self._of[id(node)] = made

    def _add(self, node: Node, label: str, schema: pa.Schema, work: Work, edges: Sequence[Edge]) -> int:
        stage = max((self.nodes[e.source].stage + (e.exchange is not None) for e in edges), default=0)
        self.nodes.append(
            PhysicalNode(
                id=len(self.nodes),
                step=self._step(node, edges),
                label=label,
                location=node.location,
                schema=schema,
                work=work,
                edges=tuple(edges),
                stage=stage,
                on_error=(node.on_error if can_reject(node) else None) or "fail",
                functions=openable(node),
                signature=signature(node),
            )
        )
        return len(self.nodes) - 1

    def _step(self, node: Node, edges: Sequence[Edge]) -> str:
        if node.name is not None:
            return node.name
        reader = node
        while reader.part_of == "next" and reader.name is None:
            reader = self._readers[id(reader)]
        if reader.name is not None:
            return reader.name
        if node.part_of == "previous":
            return self.nodes[edges[0].source].step
        return self._step_above(edges)

    def _step_above(self, edges: Sequence[Edge]) -> str:
        """A step without a name of its own is spoken of by the one it follows."""
        return f"after {self.nodes[edges[0].source].step}".replace("after after ", "after ")

    def _row_by_row(self, node: Node, upstream: int) -> int:
        schema = physical_schema(node.type)
        if not node.type.order or not isinstance(node, FlatMap | Explode):
            label, make = row_by_row(node)
            return self._add(node, label, schema, Run(make), [Edge(upstream)])
        copying = replace(node, type=replace(node.type, order=node.type.order - 1))
        label, make = row_by_row(copying)
        copies = self._add(node, label, physical_schema(copying.type), Run(make), [Edge(upstream)])
        return self._add(node, "order of copies", schema, Run(partial(OrderCopies, schema)), [Edge(copies)])

    def _order_port(self, node: Node, port: int, upstream: int) -> int:
        have = self.nodes[upstream].schema
        place = have.get_field_index(ORDER)
        schema = have.set(place, pa.field(ORDER, order_type(node.type.order)))
        return self._add(
            node, f"order of input {port + 1}", schema, Run(partial(OrderPort, port, schema)), [Edge(upstream)]
        )

    def _keyed_edge(self, source: int, keys: tuple[str, ...]) -> Edge:
        return Edge(source, exchange=keys) if self._workers > 1 else Edge(source)

    def _read(self, node: Read) -> int:
        source = node.source
        pushed = ""
        if node.predicate is not None and isinstance(source, FilterableSource):
            predicate = to_arrow_filter(node.predicate, node.source.schema())
            if predicate is not None:
                source = source.filter(predicate)
                pushed = f" where {show(node.predicate)}"
        if node.columns is not None and isinstance(source, ProjectableSource):
            source = source.project(node.columns)
        columns = f" [{', '.join(node.type.schema.names)}]"
        label = f"read {type(node.source).__module__.rpartition('.')[2]}{columns}{pushed}"
        work = ReadSplits(source, node.type.schema, ordered=node.type.order > 0)
        label += ", rows numbered" if work.ordered else ""
        return self._add(node, label, physical_schema(node.type), work, [])

    def _dead_letters(self, node: DeadLetters) -> int:
        """Behind every node that sends rows there; if the rules left none, behind a read, whose end it then shares."""
        senders = [sender.id for sender in self.nodes if sender.on_error == "dead_letter"] or [0]
        edges = [Edge(sender, port, letters=True) for port, sender in enumerate(senders)]
        schema = node.type.schema
        work = Run(partial(UnionOperator, [schema] * len(edges), schema))
        return self._add(node, "dead letters", schema, work, edges)

    def _event_time(self, node: WithEventTime, upstream: int) -> int:
        schema_in = physical_schema(node.input.type)
        schema = physical_schema(node.type)
        evaluate = compile_expr(node.event_time, schema_in)
        label = f"event time {show(node.event_time)}"
        if not node.per_split:
            if not isinstance(node.watermark, BoundedOutOfOrderness):
                raise UserError(
                    "a watermark that rows carry or a generator makes is a split's, and here no split is known",
                    step=self._step_above([Edge(upstream)]),
                    location=node.location,
                    remedy="give it to the read, or write watermark=sf.bounded_out_of_orderness(...) here",
                )
            for option, given, what in (
                ("idle", node.watermark.idle, "counts the time in which a split has nothing to read"),
                ("align", node.watermark.align, "lets a split wait for others"),
            ):
                if given is not None:
                    raise UserError(
                        f"{option}= {what}, and here no split is known",
                        step=self._step_above([Edge(upstream)]),
                        location=node.location,
                        remedy=f"give {option}= to the watermark of the read",
                    )
            make = partial(SetEventTime, evaluate, node.watermark.bound, schema)
            return self._add(node, label, schema, Run(make, times=True), [Edge(upstream)])
        read = upstream
        while self.nodes[read].edges:
            read = self.nodes[read].edges[0].source
        source = node.input.source if isinstance(node.input, Read) else None
        marks = marks_of(node.watermark, schema_in)
        work = SplitTimes(read, evaluate, node.watermark, marks, min_time_of(source, node.event_time, schema_in))
        return self._add(node, f"{label}, watermark per split", schema, work, [Edge(upstream)])

    def _partition(self, node: Partition, upstream: int) -> int:
        if self._workers == 1:
            return upstream
        schema = physical_schema(node.type)
        return self._add(node, "rows of a key together", schema, Run(PassOn), [self._keyed_edge(upstream, node.keys)])

    def _late(self, node: Late, upstream: int) -> int:
        label, make = late_rows(node)
        return self._add(node, label, physical_schema(node.type), Run(make), [Edge(upstream)])

    def _aggregate(self, node: Aggregate, upstream: int) -> int:
        parts = split_aggregate(node) if self._workers > 1 else None
        label, make = aggregate(node)
        if self._workers > 1 and parts is None and (why := why_whole(node)) is not None:
            label += f", of rows that were exchanged whole, for {why}"
        made = self._keyed(replace(node, type=replace(node.type, order=0)), (label, make), parts, upstream)
        if not node.type.order:
            return made
        ordered = physical_schema(node.type)
        make_order = partial(OrderByKeys, node.keys, ordered)
        return self._add(node, "order by keys", ordered, Run(make_order), [Edge(made)])

    def _top(self, node: Top, upstream: int) -> int:
        parts = split_top(node) if self._workers > 1 and not node.partitioned else None
        return self._keyed(node, top(node), parts, upstream)

    def _keyed(self, node: Aggregate | Top, whole: Made, parts: Parts | None, upstream: int) -> int:
        """Rows of a key together, and what is made of them."""
        label, make = whole
        if parts is not None:
            local, make_local = parts.before
            upstream = self._add(node, local, parts.between, Run(make_local), [Edge(upstream)])
            label, make = parts.behind
        edge = Edge(upstream) if node.partitioned else self._keyed_edge(upstream, node.keys)
        return self._add(node, label, physical_schema(node.type), Run(make), [edge])

    def _process(self, node: Process, upstream: int) -> int:
        schema_in, schema = physical_schema(node.input.type), physical_schema(node.type)
        function = bind(node.function, node.keys, schema_in)
        tolerant = node.on_error is not None
        kind = ClockedProcess if function.clock_timers else ProcessOperator
        make = partial(kind, node.keys, function, schema_in, ordered=node.ordered, tolerant=tolerant)
        how = "in time order" if node.ordered else "as rows arrive"
        if function.clock_timers:
            how += f", {', '.join(timer.timer for timer in function.clock_timers)} by processing time"
        label = f"process {node.function.name} by {', '.join(node.keys)}, {how}"
        return self._add(node, label, schema, Run(make), [self._keyed_edge(upstream, node.keys)])

    def _dedup(self, node: Dedup, upstream: int) -> int:
        schema = physical_schema(node.type)
        assert node.keep != "last", "the rule last_rows_as_aggregates leaves none"
        make = partial(DedupOperator, node.keys, node.keep, node.within, physical_schema(node.input.type))
        span = "" if node.within is None else f" within {duration(node.within)}"
        label = f"dedup by {', '.join(node.keys)}, keep {node.keep}{span}"
        return self._add(node, label, schema, Run(make), [self._keyed_edge(upstream, node.keys)])

    def _write(self, node: Write, upstream: int) -> int:
        schema = node.input.type.schema
        if node.input.type.changelog is not None:
            full = physical_schema(node.input.type)
            schema = pa.schema([full.field("_change"), *schema])
        work = Deliver(node.sink, schema, node.input.type.changelog)
        label = f"write {type(node.sink).__module__.rpartition('.')[2]}"
        return self._add(node, label, schema, work, [Edge(upstream)])
