"""From the optimised logical graph to the physical one: an operator per node, an exchange wherever keys demand it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, TypeAlias

import pyarrow as pa

from streamflow.connect.source import FilterableSource, ProjectableSource, Source, TimedSource
from streamflow.errors import EngineError, UserError
from streamflow.kernels.aggregate import ORDERED, AggregateSpec
from streamflow.kernels.calendar import CalendarSlices
from streamflow.kernels.windows import CumulativeSlices, EndlessSlices, FinalBound, Slices, SlidingSlices
from streamflow.operators.assign_windows import AssignWindows
from streamflow.operators.base import Operator
from streamflow.operators.changes import ShowChanges
from streamflow.operators.count_aggregate import CountAggregate
from streamflow.operators.dedup import Dedup as DedupOperator
from streamflow.operators.event_time import SetEventTime
from streamflow.operators.events import ORDER, TIME
from streamflow.operators.late_rows import LateRows, PassOn
from streamflow.operators.marks import ColumnMarks, GeneratorMarks, Marks
from streamflow.operators.order import OrderByKeys, OrderCopies, OrderPort, order_type
from streamflow.operators.process import Process as ProcessOperator
from streamflow.operators.refining_aggregate import RefiningAggregate
from streamflow.operators.running_aggregate import RunningAggregate
from streamflow.operators.session import SessionAggregate
from streamflow.operators.stateless import (
    ApplyBatches,
    Compute,
    ExplodeList,
    FlatMapRecords,
    MapRecords,
    PeekRows,
    Where,
)
from streamflow.operators.top import SessionTop, Stage, WindowTop
from streamflow.operators.union import Union as UnionOperator
from streamflow.operators.window_aggregate import WindowAggregate, WindowPartial
from streamflow.plan.compile import compile_expr, compile_predicate, compile_records, to_arrow_filter
from streamflow.plan.keyed_calls import bind
from streamflow.plan.logical.expr import AggregateCall, Call, Column, Expr, show
from streamflow.plan.logical.nodes import (
    Aggregate,
    Assign,
    Changes,
    DeadLetters,
    Dedup,
    Explode,
    Filter,
    FlatMap,
    Late,
    MapBatches,
    MapRows,
    Node,
    Partition,
    Peek,
    Process,
    Project,
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
    Assigned,
    BoundedOutOfOrderness,
    Calendar,
    Count,
    Cumulative,
    Final,
    FromColumn,
    Generated,
    Global,
    Session,
    Sliding,
    Trigger,
    Tumbling,
    WatermarkStrategy,
    Window,
)
from streamflow.plan.outline import trigger_text
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
            )
        )
        return len(self.nodes) - 1

    def _step(self, node: Node, edges: Sequence[Edge]) -> str:
        if node.name is not None:
            return node.name
        if node.part_of == "next" and (name := self._readers[id(node)].name) is not None:
            return name
        if node.part_of == "previous":
            return self.nodes[edges[0].source].step
        return self._step_above(edges)

    def _step_above(self, edges: Sequence[Edge]) -> str:
        """A step without a name of its own is spoken of by the one it follows."""
        return f"after {self.nodes[edges[0].source].step}".replace("after after ", "after ")

    def _row_by_row(self, node: Node, upstream: int) -> int:
        schema = physical_schema(node.type)
        if not node.type.order or not isinstance(node, FlatMap | Explode):
            label, make = _row_by_row(node)
            return self._add(node, label, schema, Run(make), [Edge(upstream)])
        copying = replace(node, type=replace(node.type, order=node.type.order - 1))
        label, make = _row_by_row(copying)
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
            if node.watermark.idle is not None:
                raise UserError(
                    "idle= counts the time in which a split has nothing to read, and here no split is known",
                    step=self._step_above([Edge(upstream)]),
                    location=node.location,
                    remedy="give idle= to the watermark of the read",
                )
            make = partial(SetEventTime, evaluate, node.watermark.bound, schema)
            return self._add(node, label, schema, Run(make, times=True), [Edge(upstream)])
        read = upstream
        while self.nodes[read].edges:
            read = self.nodes[read].edges[0].source
        source = node.input.source if isinstance(node.input, Read) else None
        marks = _marks(node.watermark, schema_in)
        work = SplitTimes(read, evaluate, node.watermark, marks, _min_time(source, node.event_time, schema_in))
        return self._add(node, f"{label}, watermark per split", schema, work, [Edge(upstream)])

    def _partition(self, node: Partition, upstream: int) -> int:
        if self._workers == 1:
            return upstream
        schema = physical_schema(node.type)
        return self._add(node, "rows of a key together", schema, Run(PassOn), [self._keyed_edge(upstream, node.keys)])

    def _late(self, node: Late, upstream: int) -> int:
        schema_in = physical_schema(node.input.type)
        make = partial(_late_rows, node.keys, node.window, node.lateness, schema_in)
        label = f"rows late for {_any_window_text(node.window)}{_lateness(node.lateness)}"
        return self._add(node, label, physical_schema(node.type), Run(make), [Edge(upstream)])

    def _aggregate(self, node: Aggregate, upstream: int) -> int:
        schema_in, schema = physical_schema(node.input.type), physical_schema(replace(node.type, order=0))
        specs = tuple(_spec(named.name, named.expr, schema_in) for named in node.aggregates)
        what = ", ".join(f"{named.name}={show(named.expr)}" for named in node.aggregates)
        by = f" by {', '.join(node.keys)}" if node.keys else ""
        keys = node.keys
        match node.window:
            case None:
                make: Callable[[], Operator] = partial(RunningAggregate, keys, specs, schema_in)
                label = f"running aggregate {what}{by}"
            case Session(gap):
                make = partial(SessionAggregate, keys, gap, specs, schema_in)
                label = f"session aggregate {what}{by}, gap {duration(gap)}"
            case Final(column, length):
                bound = FinalBound(column, length)
                make = partial(WindowAggregate, keys, bound, specs, schema_in)
                label = f"aggregate of fired windows {what}{by}"
            case Count(rows):
                make = partial(CountAggregate, keys, rows, specs, schema_in)
                label = f"aggregate {what}{by} in windows of {rows} rows"
            case Assigned():
                raise EngineError("the rule assigned_windows leaves none", step=node.name, location=node.location)
            case window if node.lateness or node.trigger is not None or isinstance(window, Global):
                trigger = node.trigger or Trigger(accumulate=not isinstance(window, Global))
                make = partial(_refining_aggregate, keys, window, node.lateness, trigger, specs, schema_in)
                label = f"aggregate {what}{by} in {_any_window_text(window)}{_lateness(node.lateness)}"
                label += trigger_text(trigger, node.lateness)
            case window:
                assert not isinstance(window, Global), "it is in the case above"
                label = f"aggregate {what}{by} in {_window_text(window)}"
                if self._workers > 1 and not node.partitioned:
                    make_local = partial(_window_partial, keys, window, specs, schema_in)
                    local = make_local().output_schema
                    upstream = self._add(node, f"partial {label}", local, Run(make_local), [Edge(upstream)])
                    make = partial(_window_aggregate, keys, window, specs, local, "partials")
                    label = f"final {label}"
                else:
                    make = partial(_window_aggregate, keys, window, specs, schema_in, "rows")
        made = self._add(node, label, schema, Run(make), [self._edge(node, upstream)])
        if not node.type.order:
            return made
        ordered = physical_schema(node.type)
        return self._add(node, "order by keys", ordered, Run(partial(OrderByKeys, keys, ordered)), [Edge(made)])

    def _edge(self, node: Aggregate | Top, upstream: int) -> Edge:
        return Edge(upstream) if node.partitioned else self._keyed_edge(upstream, node.keys)

    def _top(self, node: Top, upstream: int) -> int:
        schema_in, schema = physical_schema(node.input.type), physical_schema(node.type)
        by = tuple((key.column, key.descending) for key in node.by)
        keys = node.keys
        text = ", ".join(f"{column} {'desc' if down else 'asc'}" for column, down in by)
        label = f"top {node.n} by {text}" + (f" for each {', '.join(keys)}" if keys else "")
        if isinstance(node.window, Session):
            make = partial(SessionTop, keys, node.window.gap, node.n, by, schema_in)
            label += f" in sessions, gap {duration(node.window.gap)}"
            return self._add(node, label, schema, Run(make), [self._edge(node, upstream)])
        assert not isinstance(node.window, Global | Count | Assigned), "refused when the flow is built"
        if not isinstance(node.window, Final):
            label += f" in {_window_text(node.window)}"
        top = partial(_window_top, keys, node.window, node.n, by)
        if self._workers == 1 or node.partitioned:
            return self._add(node, label, schema, Run(partial(top, schema_in, "whole")), [Edge(upstream)])
        make_local = partial(top, schema_in, "local")
        local_schema = make_local().output_schema
        local = self._add(node, f"local {label}", local_schema, Run(make_local), [Edge(upstream)])
        final = Run(partial(top, local_schema, "final"))
        return self._add(node, f"final {label}", schema, final, [Edge(local, exchange=keys)])

    def _process(self, node: Process, upstream: int) -> int:
        schema_in, schema = physical_schema(node.input.type), physical_schema(node.type)
        function = bind(node.function, node.keys, schema_in)
        make = partial(ProcessOperator, node.keys, function, schema_in, ordered=node.ordered)
        how = "in time order" if node.ordered else "as rows arrive"
        label = f"process {node.function.name} by {', '.join(node.keys)}, {how}"
        return self._add(node, label, schema, Run(make), [self._keyed_edge(upstream, node.keys)])

    def _dedup(self, node: Dedup, upstream: int) -> int:
        schema = physical_schema(node.type)
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


def _row_by_row(node: Node) -> tuple[str, Callable[[], Operator]]:
    """Label and operator of the nodes that keep no state."""
    schema_in, schema = physical_schema(inputs(node)[0].type), physical_schema(node.type)
    match node:
        case Filter():
            return f"filter {show(node.predicate)}", partial(Where, compile_predicate(node.predicate, schema_in))
        case Project():
            columns = [
                (c.name, schema_in.get_field_index(c.expr.name))
                if isinstance(c.expr, Column)
                else (c.name, compile_expr(c.expr, schema_in))
                for c in node.columns
            ]
            changed = ", ".join(
                c.name if c.expr == Column(c.name) else f"{c.name}={show(c.expr)}" for c in node.columns
            )
            return f"project {changed}", partial(Compute, columns, schema)
        case MapRows():
            return f"map {show(node.function)}", partial(MapRecords, compile_records(node.function, schema_in), schema)
        case FlatMap():
            return (
                f"flat_map {show(node.function)}",
                partial(FlatMapRecords, compile_records(node.function, schema_in), schema),
            )
        case Assign():
            name = type(node.assigner).__name__
            return f"rows with their windows of {name}", partial(AssignWindows, node.assigner, schema_in, schema)
        case Explode():
            return f"explode {node.column}", partial(ExplodeList, node.column, schema)
        case MapBatches():
            label = f"map_batches {getattr(node.function, '__qualname__', node.function)}"
            return label, partial(ApplyBatches, node.function, schema, node.max_rows, node.form)
        case Peek():
            return f"peek {node.rows}", partial(PeekRows, node.name or "peek", node.rows)
        case Changes():
            return "changes", partial(ShowChanges, schema_in)
        case _:
            raise TypeError(f"{type(node).__name__} is not a row-by-row node")


def _spec(name: str, expr: Expr, schema: pa.Schema) -> AggregateSpec:
    assert isinstance(expr, AggregateCall), "the rule plain_aggregates leaves only calls"
    argument = None if expr.argument is None else _column(expr.argument)
    places = ((name, schema.field(name).type) for name in (TIME, ORDER)) if expr.kind in ORDERED else ()
    return AggregateSpec(
        expr.kind,
        argument,
        None if argument is None else schema.field(argument).type,
        name,
        more=(*((_column(part), schema.field(_column(part)).type) for part in expr.more), *places),
        filter=None if expr.filter is None else _column(expr.filter),
        options=expr.options,
        custom=expr.custom,
    )


def _column(expr: Expr) -> str:
    assert isinstance(expr, Column), f"the rule plain_aggregates leaves only columns, not {show(expr)}"
    return expr.name


# Operators of windows are made with slices of their own, which may remember what they looked up.


def _window_partial(
    keys: tuple[str, ...], window: Sliced, specs: tuple[AggregateSpec, ...], schema: pa.Schema
) -> WindowPartial:
    return WindowPartial(keys, _slices(window), specs, schema)


def _window_aggregate(
    keys: tuple[str, ...],
    window: Sliced,
    specs: tuple[AggregateSpec, ...],
    schema: pa.Schema,
    fed: Literal["rows", "partials"],
) -> WindowAggregate:
    return WindowAggregate(keys, _slices(window), specs, schema, fed)


def _refining_aggregate(
    keys: tuple[str, ...],
    window: Sliced | Global,
    lateness: int,
    trigger: Trigger,
    specs: tuple[AggregateSpec, ...],
    schema: pa.Schema,
) -> RefiningAggregate:
    slices = EndlessSlices() if isinstance(window, Global) else _slices(window)
    return RefiningAggregate(
        keys,
        slices,
        specs,
        schema,
        lateness=lateness,
        early=trigger.early,
        late=trigger.late,
        accumulate=trigger.accumulate,
    )


def _late_rows(keys: tuple[str, ...], window: Window, lateness: int, schema: pa.Schema) -> LateRows:
    assert not isinstance(window, Global | Count | Assigned), "no row is late for it"
    return LateRows(keys, window.gap if isinstance(window, Session) else _slices(window), lateness, schema)


def _window_top(
    keys: tuple[str, ...],
    window: Sliced | Final,
    n: int,
    by: tuple[tuple[str, bool], ...],
    schema: pa.Schema,
    stage: Stage,
) -> WindowTop:
    slices = FinalBound(window.column, window.length) if isinstance(window, Final) else _slices(window)
    return WindowTop(keys, slices, n, by, schema, stage)


def _slices(window: Sliced) -> Slices:
    match window:
        case Cumulative(size, step, offset):
            return CumulativeSlices(size, step, offset)
        case Calendar(days, zone, offset):
            return CalendarSlices(days, zone, offset)
        case Tumbling(size, offset):
            return SlidingSlices(size, size, offset)
        case Sliding(size, every, offset):
            return SlidingSlices(size, every, offset)


def _any_window_text(window: Window) -> str:
    match window:
        case Session(gap):
            return f"sessions, gap {duration(gap)}"
        case Assigned(assigner):
            return f"windows of {type(assigner).__name__}"
        case Count(rows):
            return f"windows of {rows} rows"
        case Global():
            return "one window of all rows"
        case sliced:
            return _window_text(sliced)


def _lateness(lateness: int) -> str:
    return f", allowed lateness {duration(lateness)}" if lateness else ""


def _window_text(window: Sliced) -> str:
    match window:
        case Cumulative(size, step):
            return f"windows that grow by {duration(step)} up to {duration(size)} (shared slices)"
        case Calendar(days, zone):
            return f"tumbling {days}d in {zone}"
        case Tumbling(size):
            return f"tumbling {duration(size)}"
        case Sliding(size, every):
            return f"sliding {duration(size)} every {duration(every)} (shared slices)"


def _marks(strategy: WatermarkStrategy, schema: pa.Schema) -> Marks | None:
    match strategy:
        case FromColumn(expr):
            return ColumnMarks(compile_expr(expr, schema))
        case Generated(generator):
            return GeneratorMarks(generator)
        case BoundedOutOfOrderness():
            return None


def _min_time(source: Source | None, expr: Expr, schema: pa.Schema) -> Callable[[str], int | None]:
    """How to know a split's least event time before it is opened: only where the time is a column, or its epoch."""
    match expr:
        case Column(name) | Call("from_epoch", (Column(name),)) if isinstance(source, TimedSource):
            convert = compile_expr(expr, schema)
            timed, field = source, schema.field(name)

            def min_time(split: str) -> int | None:
                least = timed.min_value(split, name)
                if least is None or not least.is_valid or pa.types.is_string(least.type):
                    return None  # the least text, "10", need not be the least number, 9
                row = {f.name: pa.nulls(1, f.type) for f in schema} | {name: pa.repeat(least.cast(field.type), 1)}
                value = convert(pa.RecordBatch.from_pydict(row, schema=schema))[0]
                return value.value if value.is_valid else None

            return min_time
        case _:
            return lambda split: None
