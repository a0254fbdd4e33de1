"""Users' objects with `open()` and `close()`: opened before the first row, closed after the last, whatever happened."""

from __future__ import annotations

from functools import partial
from types import TracebackType
from typing import Self

from streamflow.engine.closing import close_all
from streamflow.engine.naming import named
from streamflow.plan.openable import method
from streamflow.plan.physical import PhysicalGraph, PhysicalNode


class OpenFunctions:
    """While it is entered, the objects of a graph's functions are open: each once in a process, in the plan's order.

    Enter it before tasks are made: a keyed function shares with its keys what `open` has set. Objects are closed in the
    reverse order, also those opened before one that failed, whose own `close` is not called. Errors name the step and
    the user's line; of several, and of one after an error of the job, the first counts.
    """

    def __init__(self, graph: PhysicalGraph) -> None:
        self._found: dict[int, tuple[object, PhysicalNode]] = {}
        for node in graph.nodes:
            for thing in node.functions:
                self._found.setdefault(id(thing), (thing, node))
        self._opened: list[tuple[object, PhysicalNode]] = []

    def __enter__(self) -> Self:
        try:
            for thing, node in self._found.values():
                _call(thing, "open", node)
                self._opened.append((thing, node))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close those that are open; a second call does nothing."""
        opened, self._opened = self._opened, []
        close_all(partial(_call, thing, "close", node) for thing, node in reversed(opened))


def _call(thing: object, name: str, node: PhysicalNode) -> None:
    call = method(thing, name)
    if call is None:
        return
    try:
        call()
    except Exception as error:
        told = named(error, node)
        if told is not error:
            told.message = f"{type(thing).__name__}.{name}() raised {told.message}"
        raise told from error
