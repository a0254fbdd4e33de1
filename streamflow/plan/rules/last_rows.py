"""The last row of each key is an aggregate."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from streamflow.operators.firing import WINDOW_FIELDS
from streamflow.plan.logical.expr import AggregateCall, Call, Column
from streamflow.plan.logical.nodes import Aggregate, Dedup, Hold, Named, Node, Project
from streamflow.plan.logical.windows import Session
from streamflow.plan.rewrite import Graph, rewrite

_ROW = "~row"


def last_rows_as_aggregates(graph: Graph) -> Graph:
    """The columns of a row are one value, whose last is aggregated as that of any column; then they are apart again.

    Without a span that is a running aggregate, else one of sessions: a row that is followed by another in less than the
    span is in one session with it. A session ends the span after its last row, so that the row's own event time is that
    much before.

    Before: rows -> dedup(k, keep last)
    After:  rows -> aggregate(k, ~row = the last of struct(at, v)) -> project(k, at = ~row.at, v = ~row.v)
    """

    def change(_: Node, node: Node) -> Node:
        return _apart(node, _last(node)) if isinstance(node, Dedup) and node.keep == "last" else node

    return rewrite(graph, change)


def _last(node: Dedup) -> Node:
    """Keys and `~row`; with a span the windows' bounds too, and the rows' own event times."""
    above = node.input.type
    names = [name for name in above.schema.names if name not in node.keys] or list(node.keys)
    options = tuple((str(number), name) for number, name in enumerate(names))
    last = AggregateCall("last", Call("struct", tuple(map(Column, names)), options))
    row = pa.field(_ROW, pa.struct([above.schema.field(name) for name in names]))
    bounds = WINDOW_FIELDS if node.within is not None else ()
    schema = pa.schema([*(above.schema.field(key) for key in node.keys), *bounds, row])
    made = Aggregate(
        type=replace(node.type, schema=schema, bounds=()),
        location=node.location,
        name=node.name,
        on_error=node.on_error,
        input=node.input,
        keys=node.keys,
        window=None if node.within is None else Session(node.within),
        aggregates=(Named(_ROW, last),),
    )
    if node.within is None:
        return made
    return Hold(
        type=made.type, location=node.location, part_of="previous", input=made, by=node.within - 1, moves_rows=True
    )


def _apart(node: Dedup, last: Node) -> Project:
    columns = tuple(
        Named(name, Column(name) if name in node.keys else Call("struct.field", (Column(_ROW),), (("name", name),)))
        for name in node.type.schema.names
    )
    return Project(type=node.type, location=node.location, part_of="previous", input=last, columns=columns)
