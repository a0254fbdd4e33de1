"""Reduce aggregates to calls on plain columns, between two projections."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from streamflow.kernels.aggregate import KEEPS_NULLS
from streamflow.operators.events import RESERVED
from streamflow.plan.logical.expr import (
    AggregateCall,
    Case,
    Column,
    Expr,
    Literal,
    aggregate_calls,
    children,
    replace_aggregates,
    type_of,
    with_children,
)
from streamflow.plan.logical.nodes import Aggregate, Named, Node, Project, StreamType
from streamflow.plan.logical.schema import expression_schema
from streamflow.plan.logical.windows import Final
from streamflow.plan.rewrite import Graph, rewrite


def plain_aggregates(graph: Graph) -> Graph:
    """Compute arguments before, arithmetic between aggregates after, so that operators see `kind(column)` only.

    Before: aggregate(mean = (price * 0.908).mean() + 1)
    After:  project(key, ~0 = price * 0.908) -> aggregate(~0 = mean(~0)) -> project(key, mean = ~0 + 1)

    The projection before also leaves out every column that no aggregate needs. A filter makes nulls of the values that
    it leaves out, which are then computed for the other rows alone:

    Before: aggregate(total = price.sum(filter = ok))
    After:  project(key, ~0 = when(ok).then(price)) -> aggregate(total = sum(~0))
    """

    def change(_: Node, node: Node) -> Node:
        match node:
            case Aggregate():
                return _plain(node)
            case _:
                return node

    return rewrite(graph, change)


def _plain(node: Aggregate) -> Node:
    schema = expression_schema(node.input.type)
    calls = list(dict.fromkeys(call for named in node.aggregates for call in aggregate_calls(named.expr)))
    filtered = {call: _filtered(call) for call in calls}
    arguments = _argument_columns(list(filtered.values()))
    before = _project_before(node, arguments, schema)
    simple: dict[AggregateCall, str] = {}
    direct = {named.expr: named.name for named in node.aggregates if isinstance(named.expr, AggregateCall)}
    for index, call in enumerate(calls):
        simple[call] = direct.get(call, f"~{index}")
    aggregates = tuple(
        Named(simple[call], with_children(plain, tuple(Column(arguments[part]) for part in children(plain))))
        for call, plain in filtered.items()
    )
    call_types = {simple[call]: type_of(call, schema) for call in calls}
    bounds = [f for f in node.type.schema if f.name not in {n.name for n in node.aggregates}]
    plain_schema = pa.schema([*bounds, *(pa.field(name, kind) for name, kind in call_types.items())])
    plain = replace(node, input=before, aggregates=aggregates, type=replace(node.type, schema=plain_schema))
    return _project_after(node, plain, simple)


def _filtered(call: AggregateCall) -> AggregateCall:
    """The filter moved into what it filters; it stays too where a null is a value, and must be told from none."""
    condition = call.filter
    if condition is None:
        return call

    def chosen(value: Expr) -> Expr:
        return Case(((condition, value),), Literal(None))

    argument = Literal(True) if call.argument is None and call.kind == "count" else call.argument
    return replace(
        call,
        argument=None if argument is None else chosen(argument),
        more=tuple(map(chosen, call.more)),
        filter=condition if call.kind in KEEPS_NULLS else None,
    )


def _argument_columns(calls: list[AggregateCall]) -> dict[Expr, str]:
    """A column name per distinct argument: its own when it is a column already."""
    names: dict[Expr, str] = {}
    for call in calls:
        for part in children(call):
            match part:
                case Column(name) if name not in RESERVED:
                    names[part] = name
                case expr:
                    names.setdefault(expr, f"~{len(names)}")
    return names


def _project_before(node: Aggregate, arguments: dict[Expr, str], schema: pa.Schema) -> Node:
    visible = node.input.type.schema
    kept = list(node.keys)
    if isinstance(node.window, Final) and node.window.column not in kept:
        kept.append(node.window.column)
    columns = [Named(name, Column(name)) for name in kept]
    columns += [Named(name, expr) for expr, name in arguments.items() if name not in kept]
    if not columns:  # only rows are counted: one column carries their number
        columns = [Named(visible.names[0], Column(visible.names[0]))]
    if node.on_error == "dead_letter" and (node.window is None or _takes_rows(node)):  # a letter shows the whole row
        have = {c.name for c in columns}
        columns += [Named(name, Column(name)) for name in visible.names if name not in have]
    if [c.name for c in columns] == visible.names and all(isinstance(c.expr, Column) for c in columns):
        return node.input
    fields = [pa.field(c.name, type_of(c.expr, schema)) for c in columns]
    kind = StreamType(
        schema=pa.schema(fields),
        event_time=node.input.type.event_time,
        changelog=node.input.type.changelog,
        bounds=tuple(b for b in node.input.type.bounds if b.column in kept),
        lateness=node.input.type.lateness,
    )
    return Project(
        type=kind,
        location=node.location,
        on_error=node.on_error,
        part_of="next",
        input=node.input,
        columns=tuple(columns),
    )


def _takes_rows(node: Aggregate) -> bool:
    """Whether there are rows that an aggregate may be unable to take: it is the user's own."""
    return any(call.kind == "custom" for named in node.aggregates for call in aggregate_calls(named.expr))


def _project_after(node: Aggregate, plain: Aggregate, simple: dict[AggregateCall, str]) -> Node:
    if [n.name for n in plain.aggregates] == [n.name for n in node.aggregates]:
        return plain
    replacements: dict[AggregateCall, Expr] = {call: Column(name) for call, name in simple.items()}
    computed = {named.name: replace_aggregates(named.expr, replacements) for named in node.aggregates}
    columns = tuple(Named(name, computed.get(name, Column(name))) for name in node.type.schema.names)
    return Project(
        type=node.type,
        location=node.location,
        on_error=node.on_error,
        part_of="previous" if node.on_error else None,
        input=plain,
        columns=columns,
    )
