"""Tops of windows that fire more than once, or have no end in event time, are aggregates."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from streamflow.kernels.aggregates.first_rows import FirstRows
from streamflow.operators.events import TIME, TIME_TYPE
from streamflow.operators.members import LIST, RANK
from streamflow.plan.logical.expr import AggregateCall, Column
from streamflow.plan.logical.nodes import Aggregate, Late, Members, Named, Node, Top
from streamflow.plan.logical.windows import Count, Global
from streamflow.plan.rewrite import Graph, rewrite


def tops_as_aggregates(graph: Graph) -> Graph:
    """The rows of such a top are a list, which is aggregated as any value is, and the list's members its results.

    Before: rows -> top(3, in windows that refine)
    After:  rows -> aggregate(~rows = the first three, in windows that refine) -> members(~rows)
    """

    def change(_: Node, node: Node) -> Node:
        match node:
            case Top() if node.lateness or node.trigger is not None or isinstance(node.window, Global | Count):
                return _members(node)
            case Late(input=Members(input=windows)):
                return replace(node, input=windows)
            case _:
                return node

    return rewrite(graph, change)


def _members(node: Top) -> Members:
    above = node.input.type.schema
    fields = [field for field in above if field.name not in node.keys]
    if not fields or any(key.column == TIME for key in node.by):
        fields.append(pa.field(TIME, TIME_TYPE) if node.input.type.event_time else above.field(0))
    names = [field.name for field in fields]
    decides = [(names.index(key.column), key.descending) for key in node.by if key.column in names]
    decides += [(place, False) for place in range(len(names)) if all(place != other for other, _ in decides)]
    first = FirstRows(tuple(names), tuple(field.type for field in fields), tuple(decides), node.n)
    argument, *more = map(Column, names)
    rows = Named(LIST, AggregateCall("custom", argument, tuple(more), custom=first))
    beside = [field for field in node.type.schema if field.name not in (*names, RANK) or field.name in node.keys]
    kind = replace(node.type, schema=pa.schema([*beside, pa.field(LIST, first.result)]), bounds=())
    lists = Aggregate(
        type=kind,
        location=node.location,
        name=node.name,
        on_error=node.on_error,
        input=node.input,
        keys=node.keys,
        window=node.window,
        aggregates=(rows,),
        lateness=node.lateness,
        trigger=node.trigger,
    )
    return Members(type=node.type, location=node.location, part_of="previous", input=lists)
