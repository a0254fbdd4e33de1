"""What a step does with a row that it cannot process: its error policy.

`fail` stops the job, `skip` counts the row and goes on, `dead_letter` also sends it to the flow's dead letters. A
step's own policy stands; the others have the flow's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, TypeAlias

from streamflow.errors import UserError
from streamflow.plan.logical.names import rebuilt, walk
from streamflow.plan.logical.nodes import (
    Aggregate,
    Assign,
    DeadLetters,
    Filter,
    FlatMap,
    MapBatches,
    MapRows,
    Node,
    Process,
    Project,
    Read,
    Top,
    WithEventTime,
    Write,
    inputs,
)
from streamflow.plan.logical.terms import Column
from streamflow.plan.logical.windows import Assigned

OnError: TypeAlias = 'Literal["fail", "skip", "dead_letter"]'
POLICIES: tuple[OnError, ...] = ("fail", "skip", "dead_letter")


def with_policies(writes: tuple[Write, ...], default: OnError) -> tuple[Write, ...]:
    """The same graph, in which every step's `on_error` is what it does; None stands for `fail`.

    A projection that was made for the step after it has that step's policy, of several the first in `POLICIES`. Steps
    behind the dead letters never send rows there: what they cannot process stops the job unless they say `skip`.

    Raises UserError: a step behind the dead letters says `dead_letter`; nobody reads
    the dead letters although a step sends rows there, or they are read and no step does.
    """
    order = list(walk(writes))
    policies = _policies(order, default)
    _check_read(order, policies)
    done: dict[int, Node] = {}
    for node in order:
        made = rebuilt(node, tuple(done[id(above)] for above in inputs(node)), node.name)
        policy = None if policies[id(node)] == "fail" else policies[id(node)]
        done[id(node)] = made if made.on_error == policy else replace(made, on_error=policy)
    return tuple(node for write in writes if isinstance(node := done[id(write)], Write))


def can_reject(node: Node) -> bool:
    """Whether there are rows, or results of windows, that the node may be unable to process, one by one."""
    match node:
        case (
            Read()
            | Aggregate()
            | Process()
            | Assign()
            | MapRows()
            | FlatMap()
            | MapBatches()
            | WithEventTime()
            | Write()
        ):
            return True
        case Top():
            return isinstance(node.window, Assigned)
        case Filter():
            return not isinstance(node.predicate, Column)
        case Project():
            return not all(isinstance(column.expr, Column) for column in node.columns)
        case _:
            return False


def _policies(order: list[Node], default: OnError) -> dict[int, OnError]:
    """What each node does, by its id."""
    behind: set[int] = set()
    found: dict[int, OnError] = {}
    for node in order:
        if isinstance(node, DeadLetters) or any(id(above) in behind for above in inputs(node)):
            behind.add(id(node))
        found[id(node)] = node.on_error or default
        if id(node) in behind and found[id(node)] == "dead_letter":
            if node.on_error is not None:
                raise UserError(
                    "a step behind the dead letters cannot send rows there",
                    step=node.name,
                    location=node.location,
                    remedy='give it on_error="skip", or leave on_error= out',
                )
            found[id(node)] = "fail"
    for helper, readers in _helped(order):
        found[id(helper)] = POLICIES[min(POLICIES.index(found[id(reader)]) for reader in readers)]
    return found


def _helped(order: list[Node]) -> Iterator[tuple[Node, list[Node]]]:
    """Nodes that are part of the next step, the last first, and those steps."""
    readers: dict[int, list[Node]] = {}
    for node in order:
        for above in inputs(node):
            readers.setdefault(id(above), []).append(node)
    return ((node, readers[id(node)]) for node in reversed(order) if node.part_of == "next")


def _check_read(order: list[Node], policies: dict[int, OnError]) -> None:
    dead = next((node for node in order if isinstance(node, DeadLetters)), None)
    sender = next((node for node in order if policies[id(node)] == "dead_letter" and can_reject(node)), None)
    if dead is None and sender is not None:
        raise UserError(
            "nobody reads the dead letters, and this step sends rows there",
            step=sender.name,
            location=sender.location,
            remedy='write them: flow.dead_letters().write("dead", sink); or say on_error="skip"',
        )
    if dead is not None and sender is None:
        raise UserError(
            "no step sends rows to the dead letters",
            step=dead.name,
            location=dead.location,
            remedy='say which do: sf.Flow(..., on_error="dead_letter") for all, or on_error= of a read, write or step',
        )
