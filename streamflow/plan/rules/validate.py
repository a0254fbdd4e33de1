"""The check that runs after every rule."""

from __future__ import annotations

from streamflow.errors import EngineError, SchemaError
from streamflow.plan.logical.expr import show, type_of
from streamflow.plan.logical.nodes import (
    Aggregate,
    Dedup,
    Filter,
    Hold,
    Named,
    Node,
    Peek,
    Project,
    Union,
    WithEventTime,
    Write,
    inputs,
)
from streamflow.plan.logical.schema import expression_schema
from streamflow.plan.rewrite import Graph, topological
from streamflow.plan.rules.projection import reads

_KEEPS_COLUMNS = (Filter, WithEventTime, Peek, Union, Dedup, Hold, Write)


def validate(graph: Graph, *, after: str) -> None:
    """Raise EngineError when a node names a column that its input does not have, or says that it makes columns which
    do not follow from its input: then `after` broke the graph.
    """
    for node in topological(graph):
        for upstream in inputs(node):
            fault = _missing(node, upstream) or _mistyped(node, upstream)
            if fault is not None:
                raise EngineError(
                    f"rule {after} broke the graph: {type(node).__name__} {fault}",
                    step=node.name,
                    location=node.location,
                )


def _missing(node: Node, upstream: Node) -> str | None:
    read = reads(node, frozenset(node.type.schema.names), frozenset(upstream.type.schema.names))
    missing = read - set(expression_schema(upstream.type).names)
    return f"reads {sorted(missing)}" if missing else None


def _mistyped(node: Node, upstream: Node) -> str | None:
    have, given = node.type.schema, upstream.type.schema
    if isinstance(node, _KEEPS_COLUMNS) and not have.equals(given):
        return f"says that it gives {have}, and its input is {given}"
    for column in _computed(node):
        try:
            made = type_of(column.expr, expression_schema(upstream.type))
        except SchemaError as error:
            return f"computes {show(column.expr)}: {error.message}"
        if have.field(column.name).type != made:
            return f"says that {column.name!r} is {have.field(column.name).type}, and it is {made}"
    return None


def _computed(node: Node) -> tuple[Named, ...]:
    match node:
        case Project(columns=columns) | Aggregate(aggregates=columns):
            return columns
        case _:
            return ()
