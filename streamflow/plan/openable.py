"""The users' objects in a node that are to be opened before rows and closed after them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from streamflow.plan.logical.expr import AggregateCall, Expr, RowFunction, walk
from streamflow.plan.logical.nodes import (
    Aggregate,
    Filter,
    FlatMap,
    MapBatches,
    MapRows,
    Node,
    Process,
    Project,
    Read,
    WithEventTime,
)

Method: TypeAlias = "Callable[[], object] | None"


def openable(node: Node) -> tuple[object, ...]:
    """Its functions, keyed function and aggregates that have a method `open` or `close`, in order."""
    return tuple(thing for thing in map(_beneath, _objects(node)) if method(thing, "open") or method(thing, "close"))


def method(thing: object, name: str) -> Method:
    """The method of an object; of a class, whose methods have no object yet, there is none."""
    found: Any = None if isinstance(thing, type) else getattr(thing, name, None)
    return found if callable(found) else None


def _objects(node: Node) -> Iterator[object]:
    for expr in _exprs(node):
        for term in walk(expr):
            match term:
                case RowFunction(function=function):
                    yield function
                case AggregateCall(custom=custom) if custom is not None:
                    yield custom
                case _:
                    pass
    match node:
        case MapBatches(function=function):
            yield function
        case Process(function=calls):
            yield calls.prototype
        case _:
            pass


def _exprs(node: Node) -> tuple[Expr, ...]:
    match node:
        case Filter(predicate=predicate):
            return (predicate,)
        case Project(columns=columns):
            return tuple(column.expr for column in columns)
        case Aggregate(aggregates=aggregates):
            return tuple(column.expr for column in aggregates)
        case MapRows(function=function) | FlatMap(function=function):
            return (function,)
        case WithEventTime(event_time=time):
            return (time,)
        case Read(event_time=time) if time is not None:
            return (time,)
        case _:
            return ()


def _beneath(thing: object) -> object:
    """The object beneath a partial."""
    while isinstance(thing, functools.partial):
        thing = thing.func
    return thing
