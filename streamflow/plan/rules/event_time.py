"""Generate event time per split wherever the split is still known (rule 2)."""

from __future__ import annotations

from dataclasses import replace

from streamflow.plan.logical.nodes import (
    Explode,
    Filter,
    FlatMap,
    MapBatches,
    MapRows,
    Node,
    Peek,
    Project,
    Read,
    WithEventTime,
)
from streamflow.plan.logical.windows import BoundedOutOfOrderness
from streamflow.plan.rewrite import Graph, rewrite, upstream_chain

_KEEPS_SPLITS = (Read, Filter, Project, MapRows, FlatMap, Explode, MapBatches, Peek, WithEventTime)


def time_per_split(graph: Graph) -> Graph:
    """Read(event_time) becomes Read + WithEventTime; every WithEventTime reached from one read row by row is per split.

    Before: read(event_time="ts") -> window
    After:  read -> with_event_time(per split) -> window

    Before: read -> map -> with_event_time -> window
    After:  read -> map -> with_event_time(per split) -> window

    A second file of a folder would be late otherwise: the first one would have carried the watermark to its end.
    """

    def change(_: Node, node: Node) -> Node:
        match node:
            case Read(event_time=expr) if expr is not None:
                bare = replace(
                    node,
                    event_time=None,
                    watermark=None,
                    type=replace(node.type, event_time=False),
                )
                return WithEventTime(
                    type=node.type,
                    location=node.location,
                    name=node.name,
                    input=bare,
                    event_time=expr,
                    watermark=node.watermark or BoundedOutOfOrderness(bound=0),
                    per_split=True,
                    on_error=node.on_error,
                )
            case WithEventTime() if _split_is_known(node.input):
                return replace(node, per_split=True)
            case _:
                return node

    return rewrite(graph, change)


def _split_is_known(node: Node) -> bool:
    chain = list(upstream_chain(node))
    return all(isinstance(step, _KEEPS_SPLITS) for step in chain) and isinstance(chain[-1], Read)
