"""Which workers live and get on, by what is heard of them (rule 36)."""

from __future__ import annotations

from streamflow.engine.control import Report
from streamflow.errors import Retryable


class Liveness:
    """The workers that have joined. Times in microseconds, monotonic.

    One of which nothing was heard for `lease` counts as lost; one whose `turns` stay the same for `hang` hangs. Who
    watches must `look` several times in a lease. If it did not, it was away itself, stopped or starved: what the
    workers said meanwhile is still to be heard, so that all of them begin anew.

    >>> seen = Liveness(lease=10, hang=100, now=0)
    >>> seen.joined(1, 2)
    >>> seen.wakes_at()
    2
    >>> for now in (2, 4, 6, 8, 10, 12): seen.look(now)
    Traceback (most recent call last):
    ...
    streamflow.errors.Retryable: worker 1 has not been heard of for 10 us
    """

    def __init__(self, *, lease: int, hang: int, now: int) -> None:
        self._lease = lease
        self._hang = hang
        self._looked = now
        self._heard: dict[int, int] = {}
        self._turns: dict[int, tuple[int, int]] = {}
        """By worker: how many turns, and since when so many."""

    def joined(self, worker: int, now: int) -> None:
        """From now on it is watched."""
        self._heard[worker] = now

    def heard(self, worker: int, now: int) -> None:
        """A sign of life."""
        if worker in self._heard:
            self._heard[worker] = now

    def reported(self, worker: int, report: Report, now: int) -> None:
        """How far it is."""
        turns, since = self._turns.get(worker, (-1, now))
        if report.turns != turns:
            self._turns[worker] = (report.turns, now)
        elif now - since >= self._hang:
            where = "" if report.where is None else f", in {report.where}"
            raise Retryable(
                f"worker {worker} has got no further for {_shown(now - since)}{where}",
                remedy="a function that waits for the outside needs a timeout",
            )

    def look(self, now: int) -> None:
        """Raises Retryable where a worker is lost."""
        away, self._looked = now - self._looked, now
        if away > self._lease // 2:
            self._heard = dict.fromkeys(self._heard, now)
            self._turns = {worker: (turns, since + away) for worker, (turns, since) in self._turns.items()}
        for worker, heard in self._heard.items():
            if now - heard >= self._lease:
                raise Retryable(f"worker {worker} has not been heard of for {_shown(now - heard)}")

    def gone(self, worker: int) -> None:
        """It has ended, as it should."""
        self._heard.pop(worker, None)

    def wakes_at(self) -> int:
        """When to `look` again."""
        return self._looked + self._lease // 5


def _shown(microseconds: int) -> str:
    return f"{microseconds} us" if microseconds < 1_000_000 else f"{microseconds / 1e6:.0f} s"
