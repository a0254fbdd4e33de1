"""Read only the columns that somebody needs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TypeAlias, TypeVar

import pyarrow as pa

from streamflow.connect.source import ProjectableSource
from streamflow.plan.logical.expr import Column, Expr, aggregate_calls, children, columns_of, takes_all_columns
from streamflow.plan.logical.nodes import (
    Aggregate,
    Assign,
    Changes,
    DeadLetters,
    Dedup,
    Explode,
    Filter,
    FlatMap,
    Hold,
    Late,
    LogicalNode,
    MapBatches,
    MapRows,
    Members,
    Named,
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
from streamflow.plan.logical.windows import Final, FromColumn
from streamflow.plan.rewrite import Graph, rewrite, topological

Names: TypeAlias = frozenset[str]
_BOUNDS = {"window_start", "window_end"}
N = TypeVar("N", bound=LogicalNode)


def push_projection(graph: Graph) -> Graph:
    """Note on every read the columns that the plan needs, and drop computed columns that nobody reads.

    Before: read(a, b, c, d) -> project(a, x = b + 1, y = c) -> write(a, x)
    After:  read(a, b)       -> project(a, x = b + 1)        -> write(a, x)

    Whole rows are needed by writes, by dedups, by tops (ties go by all columns), by functions that take rows or
    batches, and by steps that may have to send a row to the dead letters.
    """
    needed = _needed_columns(graph)

    def change(original: Node, node: Node) -> Node:
        wanted = needed[id(original)]
        match node:
            case Read():
                return _narrow_read(node, wanted)
            case Project():
                return _narrow_project(node, wanted)
            case (
                Filter() | WithEventTime() | Peek() | Changes() | Explode() | Dedup() | Partition() | Assign() | Hold()
            ):
                return _narrow_through(node)
            case Union():
                return _narrow_union(node, reads(original, wanted, frozenset(original.type.schema.names)))
            case _:
                return node

    return rewrite(graph, change)


def _needed_columns(graph: Graph) -> dict[int, Names]:
    """For every node the visible columns that the nodes behind it read, by `id(node)`."""
    needed: defaultdict[int, Names] = defaultdict(frozenset)
    for node in reversed(topological(graph)):
        wanted = needed[id(node)]
        for upstream in inputs(node):
            visible = frozenset(upstream.type.schema.names)
            needed[id(upstream)] |= reads(node, wanted, visible) & visible
    return needed


def reads(node: Node, wanted: Names, visible: Names) -> Names:
    """What `node` needs of an input with these visible columns, when `wanted` of its own are needed.

    Besides visible columns that may be hidden ones, and, in a graph that is broken, columns that are not there.
    """
    if node.on_error == "dead_letter" and can_reject(node):
        return visible | _reads(node, wanted, visible)
    return _reads(node, wanted, visible)


def _reads(node: Node, wanted: Names, visible: Names) -> Names:
    match node:
        case Filter():
            return wanted | _columns(node.predicate, visible)
        case Project():
            chosen = [c for c in node.columns if c.name in wanted] or list(node.columns[:1])
            return frozenset().union(*(_columns(c.expr, visible) for c in chosen))
        case WithEventTime():
            marks = node.watermark
            carried = _columns(marks.expr, visible) if isinstance(marks, FromColumn) else frozenset()
            return wanted | _columns(node.event_time, visible) | carried
        case MapRows() | FlatMap():
            return _columns(node.function, visible)
        case Explode() | Assign() | Partition() | Hold():
            return (wanted & visible) | _of_its_own(node)
        case Process():
            return _columns(node.function.on_row, visible) | frozenset(node.keys)
        case Aggregate():
            parts = (part for named in node.aggregates for c in aggregate_calls(named.expr) for part in children(c))
            read = frozenset().union(*(_columns(part, visible) for part in parts))
            return read | frozenset(node.keys) | _bound_column(node.window)
        case Union():
            return wanted or frozenset(node.type.schema.names[:1])
        case Top():
            return visible | frozenset(node.keys) | {key.column for key in node.by} | _bound_column(node.window)
        case Changes() | Peek() | MapBatches() | Late() | Write() | Dedup() | Members():
            return visible
        case Read() | DeadLetters():
            return frozenset()


def _columns(expr: Expr, visible: Names) -> Names:
    return columns_of(expr) | (visible if takes_all_columns(expr) else frozenset())


def _of_its_own(node: Explode | Assign | Partition | Hold) -> Names:
    match node:
        case Explode():
            return frozenset({node.column})
        case Partition():
            return frozenset(node.keys)
        case Assign() | Hold():
            return frozenset()


def _bound_column(window: object) -> Names:
    return frozenset({window.column}) if isinstance(window, Final) else frozenset()


def _narrow_read(node: Read, wanted: Names) -> Read:
    names = [name for name in node.type.schema.names if name in wanted] or node.type.schema.names[:1]
    if names == node.type.schema.names or not isinstance(node.source, ProjectableSource):
        return node
    return _retyped(replace(node, columns=tuple(names)), names)


def _narrow_project(node: Project, wanted: Names) -> Node:
    """Without the columns that nobody reads; the input itself when nothing else is left of it."""
    chosen = tuple(c for c in node.columns if c.name in wanted) or node.columns[:1]
    if [(c.name, c.expr) for c in chosen] == [(name, Column(name)) for name in node.input.type.schema.names]:
        return node.input
    return _retyped(replace(node, columns=chosen), [c.name for c in chosen])


def _narrow_union(node: Union, wanted: Names) -> Union:
    """Only the columns that are wanted, of the node and of each input: some inputs cannot narrow themselves."""
    names = [name for name in node.type.schema.names if name in wanted]
    columns = tuple(Named(name, Column(name)) for name in names)
    narrow = [
        above
        if above.type.schema.names == names
        else _retyped(Project(type=above.type, location=node.location, input=above, columns=columns), names)
        for above in node.inputs
    ]
    return _retyped(replace(node, inputs=tuple(narrow)), names)


def _narrow_through(node: Node) -> Node:
    """A node that passes columns on: its type follows its input's."""
    (upstream,) = inputs(node)
    have = set(upstream.type.schema.names) | (_BOUNDS if isinstance(node, Assign) else set())
    new = [f.name for f in node.type.schema if f.name in have or isinstance(node, Changes)]
    return _retyped(node, new)


def _retyped(node: N, names: list[str]) -> N:
    """The node with only these visible columns in its type; hidden ones are not touched."""
    if names == node.type.schema.names:
        return node
    schema = pa.schema([node.type.schema.field(name) for name in names])
    bounds = tuple(b for b in node.type.bounds if b.column in names)
    return replace(node, type=replace(node.type, schema=schema, bounds=bounds))
