"""The check that runs after every rule."""

from __future__ import annotations

from collections.abc import Iterable

from streamflow.errors import EngineError
from streamflow.plan.logical.expr import Expr, aggregate_calls, columns_of
from streamflow.plan.logical.nodes import (
    Aggregate,
    Explode,
    Filter,
    FlatMap,
    MapRows,
    Node,
    Project,
    Top,
    WithEventTime,
    inputs,
)
from streamflow.plan.logical.schema import expression_schema
from streamflow.plan.rewrite import Graph, topological


def validate(graph: Graph, *, after: str) -> None:
    """Raise EngineError when a node names a column that its input does not have: then `after` broke the graph."""
    for node in topological(graph):
        upstream = inputs(node)
        if len(upstream) != 1:
            continue
        missing = _read(node) - set(expression_schema(upstream[0].type).names)
        if missing:
            raise EngineError(
                f"rule {after} broke the graph: {type(node).__name__} reads {sorted(missing)}",
                step=node.name,
                location=node.location,
            )


def _read(node: Node) -> frozenset[str]:
    match node:
        case Filter():
            return columns_of(node.predicate)
        case Project():
            return _union(c.expr for c in node.columns)
        case WithEventTime():
            return columns_of(node.event_time)
        case MapRows() | FlatMap():
            return columns_of(node.function)
        case Explode():
            return frozenset({node.column})
        case Aggregate():
            calls = (call for named in node.aggregates for call in aggregate_calls(named.expr))
            return frozenset(node.keys) | _union(c.argument for c in calls if c.argument is not None)
        case Top():
            return frozenset(node.keys) | frozenset(key.column for key in node.by)
        case _:
            return frozenset()


def _union(exprs: Iterable[Expr]) -> frozenset[str]:
    return frozenset().union(*(columns_of(e) for e in exprs))
