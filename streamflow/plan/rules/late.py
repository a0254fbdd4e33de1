"""Late rows beside the results that they missed."""

from __future__ import annotations

from dataclasses import replace

from streamflow.plan.logical.nodes import Aggregate, Late, Node, Partition, Top
from streamflow.plan.rewrite import Graph, rewrite, topological


def late_beside_results(graph: Graph) -> Graph:
    """Where late rows are read, partition the rows once, before both the windows and the late rows.

    Before: rows -> aggregate -> late
    After:  rows -> partition -> aggregate
                              -> late

    Both then see rows and watermarks in the same order and judge alike: every pair of row and window is in one of them.
    """
    asked = {id(node.input) for node in topological(graph) if isinstance(node, Late)}

    def change(original: Node, node: Node) -> Node:
        match node:
            case Aggregate() | Top() if id(original) in asked:
                above = node.input
                rows = Partition(type=above.type, location=node.location, input=above, keys=node.keys)
                return replace(node, input=rows, partitioned=True)
            case Late(input=Aggregate() | Top() as windows):
                return replace(node, input=windows.input)
            case _:
                return node

    return rewrite(graph, change)
