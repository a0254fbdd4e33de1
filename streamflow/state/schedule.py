"""When alarms go off: the objects of a keyed function by their next alarm."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

from streamflow.state.cells import NEVER

SCHEDULES = "_schedules"
"""The attribute of every object with timers: for when each schedule has it next."""


class Schedule:
    """The objects by the next of some of their alarms, those under the attribute `alarms`.

    `place`: where the objects' list `_schedules` says for when this schedule has them.
    """

    def __init__(self, alarms: str, place: int) -> None:
        self._alarms = alarms
        self._place = place
        self._due: list[tuple[int, int, Any]] = []  # a heap: time, number, object; may name what has changed since
        self._numbers = 0
        self.went_off: list[Any] = []
        """The objects that `due` gave, some more than once, where somebody is `noting` them."""
        self.noting = False

    def add(self, owner: Any) -> None:
        """To be called after an object's alarms may have been set: `due` will find it."""
        earliest = min(alarm.at for alarm in getattr(owner, self._alarms))
        if earliest < owner._schedules[self._place]:
            owner._schedules[self._place] = earliest
            self._numbers += 1
            heapq.heappush(self._due, (earliest, self._numbers, owner))

    def due(self, time: int) -> Iterator[Any]:
        """The objects with an alarm at or before `time`, each once; their alarms are to be seen to, and cleared."""
        while self._due and self._due[0][0] <= time:
            at, _, owner = heapq.heappop(self._due)
            if at != owner._schedules[self._place]:
                continue  # it was scheduled for an earlier time since, and has been here
            owner._schedules[self._place] = NEVER
            if any(alarm.at <= time for alarm in getattr(owner, self._alarms)):
                if self.noting:
                    self.went_off.append(owner)
                yield owner
            self.add(owner)

    def next(self) -> int | None:
        """No alarm goes off before; None where none is set."""
        return self._due[0][0] if self._due else None
