"""Carry the order of rows from the reads to the aggregates that go by it (rule 13)."""

from __future__ import annotations

from dataclasses import replace

from streamflow.plan.logical.expr import Column
from streamflow.plan.logical.nodes import (
    Aggregate,
    Dedup,
    Explode,
    FlatMap,
    MapRows,
    Named,
    Node,
    Process,
    Project,
    Read,
    Write,
    inputs,
)
from streamflow.plan.logical.order import goes_by_order, order_parts
from streamflow.plan.rewrite import Graph, rewrite, topological, with_inputs

_DROPS = (Project, MapRows, FlatMap, Explode, Aggregate, Process, Write)
"""What takes of its input only the columns that its own type names."""


def carry_order(graph: Graph) -> Graph:
    """Rows get `_order` where a step below goes by it, and lose it where none does any more.

    Before: read -> filter -> aggregate(last = x.last())     read -> top
    After:  read(ordered) -> filter(ordered) -> aggregate    read(ordered) -> project(all but the order) -> top
    """
    wanted: set[int] = set()
    for node in reversed(topological(graph)):
        makes_it = isinstance(node, Read | Aggregate)
        if isinstance(node, Dedup) and node.keep == "first" and order_parts(node) is not None:
            wanted.add(id(node))
        if (id(node) in wanted and not makes_it) or _goes_by_order(node):
            wanted.update(id(upstream) for upstream in inputs(node))
    if not wanted:
        return graph

    def change(original: Node, node: Node) -> Node:
        if id(original) in wanted:
            return replace(node, type=replace(node.type, order=order_parts(node) or 0))
        if isinstance(node, _DROPS):
            return node
        return with_inputs(node, [_without(upstream) for upstream in inputs(node)])

    return rewrite(graph, change)


def _goes_by_order(node: Node) -> bool:
    match node:
        case Aggregate(aggregates=aggregates):
            return goes_by_order(aggregates) is not None
        case Process(input=above, ordered=ordered):
            return ordered and order_parts(above) is not None
        case _:
            return False


def _without(node: Node) -> Node:
    if not node.type.order:
        return node
    columns = tuple(Named(name, Column(name)) for name in node.type.schema.names)
    kind = replace(node.type, order=0)
    return Project(type=kind, location=node.location, name=None, input=node, columns=columns)
