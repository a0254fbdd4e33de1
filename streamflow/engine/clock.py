"""The only place where time is asked for. Everybody else takes it as an argument."""

from __future__ import annotations

import select
import time
from collections.abc import Sequence


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> int:
        """Microseconds that never go back; their zero means nothing."""
        return time.monotonic_ns() // 1000

    def now(self) -> int:
        """The wall clock, in microseconds since 1970, UTC. It may be set back."""
        return time.time_ns() // 1000

    def wait(self, filenos: Sequence[int], seconds: float) -> list[int]:
        """Until one of the descriptors can be read, at most so long; those that can."""
        return select.select(filenos, (), (), seconds)[0]


class ManualClock:
    """A clock in the test's hand: it moves only when told.

    >>> clock = ManualClock()
    >>> clock.advance(5)
    >>> clock.monotonic(), clock.now()
    (5, 5)
    """

    def __init__(self, start: int = 0) -> None:
        self._now = start

    def monotonic(self) -> int:
        return self._now

    def now(self) -> int:
        """The wall clock: it starts in 1970."""
        return self._now

    def advance(self, microseconds: int) -> None:
        self._now += microseconds
