"""A process: it is alive, stands still, or is gone; and everything that it does outside is a moment for trouble."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from streamflow.errors import Retryable
from streamflow.testing.simulation.clocks import DriftingClock, Time
from streamflow.testing.simulation.disk import Disk
from streamflow.testing.simulation.trouble import Kind, Trouble

Option: TypeAlias = "tuple[str, Callable[[], object]]"
"""Which thread of a process would do it, and what it is."""


class Killed(BaseException):
    """The process that was doing this is gone. What it does to clean up has no effect either."""


class Scene(Protocol):
    """What processes stand in."""

    rng: random.Random
    trouble: Trouble
    time: Time
    disk: Disk
    acting: Process | None
    """Who is doing something."""

    def meanwhile(self, process: Process) -> None:
        """The others go on, while this one is in the middle of what it does."""
        ...

    def lose_power(self) -> None:
        """Every process dies, and what the disk had not synced is gone."""
        ...

    def fail(self, error: Exception) -> None:
        """What a process does may go wrong; its edge does not: this is a fault of the engine."""
        ...


class Process:
    """`act` does one thing of several that it may do next.

    `frozen_until`: the true time up to which it stands still. While one of its threads is in the middle of a call, the
    others may have their turn.
    """

    def __init__(self, scene: Scene, name: str) -> None:
        self.scene = scene
        self.name = name
        self.alive = True
        self.frozen_until = 0
        self.clock = DriftingClock(scene.time, scene.rng)
        self._busy: set[str] = set()

    def options(self) -> list[Option]:
        """What it may do now."""
        raise NotImplementedError

    def wakes_at(self) -> int | None:
        """The true time at which it has something to do though nothing comes in."""
        raise NotImplementedError

    def act(self) -> bool:
        """Do one thing; False where there is nothing that it could do."""
        options = [option for option in self.options() if option[0] not in self._busy]
        if not options:
            return False
        scene = self.scene
        thread, do = options[int(scene.rng.random() * len(options))]
        before, scene.acting = scene.acting, self
        self._busy.add(thread)
        try:
            do()
        except Killed:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, it is found
            scene.fail(error)
        finally:
            self._busy.discard(thread)
            scene.acting = before
        return True

    def moment(self, what: str, *, done: bool | None = None) -> None:
        """Here the process may be killed, or stand still. `done`: the call may also fail, having done all or nothing.

        Raises Killed, and Retryable where the call fails.
        """
        self.survive()
        match self.scene.trouble.strikes(_KINDS[done], f"{self.name} at {what}"):
            case "kill":
                self.die()
            case "power":
                self.scene.lose_power()
            case "freeze":
                self.freeze()
                self.scene.meanwhile(self)
            case "slow":
                self.scene.meanwhile(self)
            case "error" | "lost answer":
                raise Retryable(f"{what}: there is no answer")
        self.survive()

    def survive(self) -> None:
        """Raises Killed where the process is gone."""
        if not self.alive:
            raise Killed(self.name)

    def freeze(self) -> None:
        rng = self.scene.rng
        self.frozen_until = self.scene.time.now + rng.choice([1_000, 100_000, 3_000_000, 30_000_000])

    def die(self) -> None:
        self.alive = False


_KINDS: dict[bool | None, Sequence[Kind]] = {
    None: ("kill", "power", "freeze", "slow"),
    False: ("kill", "power", "freeze", "slow", "error"),
    True: ("kill", "power", "freeze", "slow", "lost answer"),
}
