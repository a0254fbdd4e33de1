"""Time: one that is true, which nobody sees, and what the clock of each process makes of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Time:
    """The true time, in microseconds. The simulation moves it."""

    now: int = 0


class DriftingClock:
    """The clock of one process, beside `streamflow.engine.clock.SystemClock`: it starts anywhere and goes a bit wrong.

    `jump`: the wall clock is set forward or back; the monotonic one only goes forward.
    """

    def __init__(self, time: Time, rng: random.Random) -> None:
        self._time = time
        self._rate = rng.randint(990, 1010)
        self._zero = rng.randrange(10**9) - time.now
        self._wall = rng.randrange(-(10**7), 10**7)

    def monotonic(self) -> int:
        return self._zero + self._time.now * self._rate // 1000

    def now(self) -> int:
        return self._time.now + self._wall

    def wait(self, filenos: Sequence[int], seconds: float) -> list[int]:
        """Nothing waits in a simulation: the time is moved when nobody can do anything."""
        return []

    def until(self, monotonic: int) -> int:
        """True microseconds until the monotonic clock shows this; 0 where it has."""
        return max(0, -((self.monotonic() - monotonic) * 1000 // self._rate))

    def jump(self, rng: random.Random) -> None:
        self._wall += rng.randrange(-(10**8), 10**8)
        self._zero += rng.randrange(10**6)
