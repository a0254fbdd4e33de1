"""How many rows to ask a reader for, so that a barrier is never far behind them."""

from __future__ import annotations

SPAN = 50_000
"""Microseconds that what comes of one poll should take, until the next poll is possible."""
FIRST = 1024
LEAST = 64


class Pace:
    """Fast jobs come to large batches within a few polls, and one with a slow function to small ones (rule 34).

    >>> pace = Pace(most=16_384)
    >>> pace.rows
    1024
    >>> pace.took(1024, 1_000)
    >>> pace.rows
    2048
    >>> pace.took(2048, 100_000)
    >>> pace.rows
    1024
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.rows = min(FIRST, most)

    def took(self, rows: int, microseconds: int) -> None:
        """From a poll that gave so many rows to when the next one was possible this time passed."""
        if microseconds > SPAN:
            self.rows = max(min(LEAST, self._most), min(self.rows, rows * SPAN // microseconds))
        elif 2 * rows > self.rows and 2 * microseconds < SPAN:
            self.rows = min(2 * self.rows, self._most)
