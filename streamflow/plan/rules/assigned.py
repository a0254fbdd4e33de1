"""Windows of the user's own: the window becomes columns of the rows, and part of the key."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from streamflow.operators.events import TIME_TYPE
from streamflow.operators.firing import WINDOW_END, WINDOW_START
from streamflow.plan.logical.nodes import Aggregate, Assign, Late, Node, StreamType, Top
from streamflow.plan.logical.windows import Assigned, Final
from streamflow.plan.rewrite import Graph, rewrite


def assigned_windows(graph: Graph) -> Graph:
    """Put rows into windows first, then go by these as by those of fired windows (rule 9).

    Before: rows -> aggregate(keys, in windows of Shifts)
    After:  rows -> assign(Shifts) -> aggregate(keys, window_start, window_end, once window_end is final)
    """

    def change(_: Node, node: Node) -> Node:
        match node:
            case Aggregate(window=Assigned()) | Top(window=Assigned()):
                return replace(node, input=_assign(node), keys=_keys(node), window=Final(WINDOW_END, 0))
            case Late(window=Assigned()):
                return replace(node, keys=_keys(node), window=Final(WINDOW_END, 0))
            case _:
                return node

    return rewrite(graph, change)


def _keys(node: Aggregate | Top | Late) -> tuple[str, ...]:
    return (*node.keys, WINDOW_START, WINDOW_END)


def _assign(node: Aggregate | Top) -> Assign:
    """Keys, bounds, other columns: the order of what a top gives."""
    assert isinstance(node.window, Assigned)
    above = node.input.type
    bounds = [pa.field(name, TIME_TYPE) for name in (WINDOW_START, WINDOW_END)]
    rest = [field for field in above.schema if field.name not in node.keys]
    schema = pa.schema([*(above.schema.field(key) for key in node.keys), *bounds, *rest])
    kind = StreamType(schema, event_time=True, lateness=above.lateness)
    return Assign(
        type=kind,
        location=node.location,
        on_error=node.on_error,
        part_of="next",
        input=node.input,
        assigner=node.window.assigner,
    )
