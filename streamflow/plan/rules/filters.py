"""Tell reads which rows nobody wants."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

from streamflow.connect.source import FilterableSource
from streamflow.operators.events import RESERVED
from streamflow.plan.logical.expr import Call, Expr, columns_of, row_functions, substitute
from streamflow.plan.logical.nodes import Filter, Node, Project, Read, WithEventTime
from streamflow.plan.logical.policy import can_reject
from streamflow.plan.logical.windows import BoundedOutOfOrderness
from streamflow.plan.rewrite import Graph, consumers, rewrite, topological


def push_filters(graph: Graph) -> Graph:
    """Note on a read the filters above it, in terms of its columns. The filters stay: a source takes it as a hint.

    Before: read -> project(cents = price * 100) -> filter(cents > 5)
    After:  read(where price * 100 > 5) -> project(cents = price * 100) -> filter(cents > 5)

    Only filters that every row of the read meets on its one way down count, none with a row function in it, and no
    step on the way may have to skip or report rows that it cannot process, for the source would leave them out. Rows
    that are left out do not move the watermark, so that an unbounded source is told nothing: its windows would fire
    late.
    """
    readers = consumers(graph)
    wanted: dict[int, Expr] = {}
    for node in topological(graph):  # a filter further down comes later and includes those above it
        if isinstance(node, Filter):
            found = _descend(node, readers)
            if found is not None:
                read, predicate = found
                wanted[id(read)] = predicate

    def change(original: Node, node: Node) -> Node:
        match node:
            case Read() if id(original) in wanted:
                return replace(node, predicate=wanted[id(original)])
            case _:
                return node

    return rewrite(graph, change)


def _descend(start: Filter, readers: dict[int, int]) -> tuple[Read, Expr] | None:
    """The read below and the conjunction of the filters on the way, or None when something else lies between."""
    if start.on_error is not None:
        return None
    predicates: list[Expr] = [start.predicate]
    node: Node = start.input
    while readers[id(node)] == 1:
        match node:
            case _ if node.on_error is not None and can_reject(node):
                return None
            case Filter():
                predicates.append(node.predicate)
                node = node.input
            case Project():
                mapping = {column.name: column.expr for column in node.columns}
                predicates = [substitute(p, mapping) for p in predicates]
                node = node.input
            case WithEventTime(watermark=BoundedOutOfOrderness()):  # other ones go by all rows
                predicates = [p for p in predicates if not columns_of(p) & RESERVED]
                node = node.input
            case Read() if isinstance(node.source, FilterableSource) and node.source.bounded:
                usable = [p for p in predicates if not row_functions(p)]
                return (node, reduce(lambda a, b: Call("and", (a, b)), usable)) if usable else None
            case _:
                return None
    return None
