"""What a flow has made so far: the one thing behind its streams that changes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from streamflow.errors import Location, UserError
from streamflow.plan.logical.names import duplicate
from streamflow.plan.logical.nodes import Write

_NAME = re.compile(r"[\w-][\w .-]*")


@dataclass(frozen=True, slots=True)
class _End:
    """A stream that nothing has taken up yet."""

    operation: str
    location: Location | None


class Ledger:
    """Ends that nothing reads, names that are taken, sinks; in the order in which they were made."""

    def __init__(self, flow: str) -> None:
        self.flow = flow
        self.writes: list[Write] = []
        self._ends: dict[int, _End] = {}
        self._last = 0
        self._names: dict[str, Location | None] = {}

    def open(self, operation: str, location: Location | None) -> int:
        """Enter a new end; gives its number."""
        self._last += 1
        self._ends[self._last] = _End(operation, location)
        return self._last

    def take(self, end: int) -> None:
        """Something reads it."""
        self._ends.pop(end, None)

    def is_open(self, end: int) -> bool:
        return end in self._ends

    def name(self, name: object, location: Location | None) -> None:
        """Give a step this name. Raises UserError, with both lines, when another one has it."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UserError(
                f"{name!r} cannot be a step's name",
                remedy="use letters, digits, _, -, dots and spaces, as in step('counts')",
            )
        if name in self._names:
            raise duplicate(name, self._names[name], location)
        self._names[name] = location

    def check_complete(self) -> None:
        """Raises UserError for a stream that no sink reads, and when there is no sink."""
        for end in self._ends.values():
            raise UserError(
                f"no sink reads this stream of the flow {self.flow!r}",
                step=end.operation,
                location=end.location,
                remedy='write it: .write("out", sink); or remove it',
            )
        if not self.writes:
            raise UserError(f"the flow {self.flow!r} has no sink", remedy='end a stream with .write("out", sink)')
