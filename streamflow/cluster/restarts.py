"""How often a job is started again after failures, and how long it waits before."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarts:
    """`most`: restarts in a row without a checkpoint in between. The first comes after `first` microseconds, each next
    one after `factor` times as many, at most after `longest`.
    """

    most: int = 5
    first: int = 200_000
    factor: int = 2
    longest: int = 10_000_000

    def __post_init__(self) -> None:
        if self.most < 0 or self.first < 0 or self.factor < 1 or self.longest < self.first:
            raise UserError(f"{self} cannot be", remedy="most and first are not negative, factor is 1 or more")


class Budget:
    """What is left of the restarts.

    >>> budget = Budget(Restarts(most=3, first=10, factor=2, longest=30))
    >>> budget.spend(), budget.spend(), budget.spend(), budget.spend()
    (10, 20, 30, None)
    >>> budget.refill()
    >>> budget.spend()
    10
    """

    def __init__(self, restarts: Restarts) -> None:
        self._restarts = restarts
        self._next = restarts.first
        self.spent = 0

    def spend(self) -> int | None:
        """After a failure: how long to wait before the job is started again; None: not any more."""
        if self.spent == self._restarts.most:
            return None
        delay = self._next
        self._next = min(delay * self._restarts.factor, self._restarts.longest)
        self.spent += 1
        return delay

    def refill(self) -> None:
        """A checkpoint is complete: the job has come further."""
        self.spent = 0
        self._next = self._restarts.first
