"""Names of the steps that keep state: the addresses of their state in checkpoints (rule 33).

A name that the user gave stands. Without one it is derived: the name of the nearest stateful step (or read) upstream,
a dot, and what the step is: `bids.sliding`, `bids.sliding.top`. Several inputs are joined by `+`. Steps without state
do not show in it, so that adding a filter moves no state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from streamflow.errors import Location, UserError
from streamflow.plan.logical.nodes import (
    Aggregate,
    DeadLetters,
    Dedup,
    Late,
    Node,
    Process,
    Read,
    Top,
    Union,
    WithEventTime,
    Write,
    inputs,
)
from streamflow.plan.logical.windows import Calendar, Final, ProcessingTime, Window


def named(writes: tuple[Write, ...]) -> tuple[Write, ...]:
    """The same graph, in which every step that keeps state has a name; nodes that were shared still are.

    Raises UserError, with both lines, when two steps have the same name.
    """
    done: dict[int, Node] = {}
    paths: dict[int, str] = {}
    for node in walk(writes):
        parents = inputs(node)
        above = "+".join(dict.fromkeys(paths[id(parent)] for parent in parents))
        kind = _kind(node)
        name = node.name if node.name is not None or kind is None else f"{above}.{kind}"
        done[id(node)] = rebuilt(node, tuple(done[id(parent)] for parent in parents), name)
        paths[id(node)] = (
            name if name is not None and (kind is not None or isinstance(node, Read | DeadLetters)) else above
        )
    graph = tuple(node for write in writes if isinstance(node := done[id(write)], Write))
    _check_unique(graph)
    return graph


def walk(writes: tuple[Write, ...]) -> Iterator[Node]:
    """Every node once, each after those whose rows it takes."""
    seen: set[int] = set()
    stack: list[tuple[Node, bool]] = [(write, False) for write in reversed(writes)]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((parent, False) for parent in reversed(inputs(node)))


def _kind(node: Node) -> str | None:
    """What a stateful step is called in derived names; None for the others."""
    match node:
        case Aggregate(window=window) | Top(window=window):
            what = "agg" if isinstance(node, Aggregate) else "top"
            shape = _shape(window)
            if shape is None:
                return what
            return shape if what == "agg" else f"{shape}-top"
        case Dedup():
            return "dedup"
        case Process():
            return "process"
        case Late():
            return "late"
        case WithEventTime():
            return "event-time"
        case _:
            return None


def _shape(window: Window | Final | None) -> str | None:
    match window:
        case None | Final():
            return None
        case Calendar():
            return "tumbling"
        case ProcessingTime(inner):
            return _shape(inner)
        case own:
            return type(own).__name__.lower()


def rebuilt(node: Node, parents: tuple[Node, ...], name: str | None) -> Node:
    """The node over these inputs, with this name; the node itself when both are its own."""
    if name == node.name and all(new is old for new, old in zip(parents, inputs(node), strict=True)):
        return node
    match node:
        case Read() | DeadLetters():
            return replace(node, name=name)
        case Union():
            return replace(node, name=name, inputs=parents)
        case _:
            return replace(node, name=name, input=parents[0])


def _check_unique(writes: tuple[Write, ...]) -> None:
    first: dict[str, Node] = {}
    for node in walk(writes):
        if node.name is None:
            continue
        other = first.setdefault(node.name, node)
        if other is not node:
            raise duplicate(node.name, other.location, node.location)


def duplicate(name: str, first: Location | None, second: Location | None) -> UserError:
    """Two steps with one name."""
    return UserError(
        f"two steps are called {name!r}; the first is at {first or 'an unknown place'}",
        step=name,
        location=second,
        remedy='give one of them another name: .step("...") directly after the method that makes it',
    )
