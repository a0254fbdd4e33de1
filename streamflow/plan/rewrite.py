"""Walking and rebuilding the logical graph. A node that several streams read stays one node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

from streamflow.plan.logical.nodes import DeadLetters, Node, Read, Union, Write, inputs

Graph: TypeAlias = "tuple[Write, ...]"
"""A flow's sinks; everything else hangs from them."""


def topological(graph: Sequence[Node]) -> list[Node]:
    """Every node once, inputs before the nodes that read them. Nodes are told apart by identity."""
    seen: set[int] = set()
    ordered: list[Node] = []

    def visit(node: Node) -> None:
        if id(node) in seen:
            return
        seen.add(id(node))
        for upstream in inputs(node):
            visit(upstream)
        ordered.append(node)

    for root in graph:
        visit(root)
    return ordered


def consumers(graph: Graph) -> Counter[int]:
    """How many nodes read each node, by `id(node)`."""
    return Counter(id(upstream) for node in topological(graph) for upstream in inputs(node))


def with_inputs(node: Node, new: Sequence[Node]) -> Node:
    """The same node over other inputs; the node itself when they are the same objects."""
    if all(a is b for a, b in zip(inputs(node), new, strict=True)):
        return node
    match node:
        case Read() | DeadLetters():
            return node
        case Union():
            return replace(node, inputs=tuple(new))
        case _:
            return replace(node, input=new[0])


def rewrite(graph: Graph, change: Callable[[Node, Node], Node]) -> Graph:
    """Rebuild bottom-up: `change(original, rebuilt)` sees each node once, with its inputs already rebuilt."""
    done: dict[int, Node] = {}
    for node in topological(graph):
        rebuilt = with_inputs(node, [done[id(upstream)] for upstream in inputs(node)])
        done[id(node)] = change(node, rebuilt)
    return tuple(_as_write(done[id(root)]) for root in graph)


def _as_write(node: Node) -> Write:
    assert isinstance(node, Write)
    return node


def upstream_chain(node: Node) -> Iterator[Node]:
    """The node, its input, its input's input ... down to the first node with several inputs or none."""
    while True:
        yield node
        above = inputs(node)
        if len(above) != 1:
            return
        node = above[0]
