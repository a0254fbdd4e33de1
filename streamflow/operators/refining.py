"""What operators of windows that fire more than once have in common: when they look at what they hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from streamflow.kernels.aggregate import AggregateSpec
from streamflow.kernels.arrays import Int64s
from streamflow.operators.base import Output
from streamflow.operators.events import MAX_TIME, MIN_TIME, Watermark
from streamflow.operators.preaggregate import COALESCED, Coalescer
from streamflow.state.progress import Progress

NEVER = 1 << 62
"""More rows than there are."""


class Refining(ABC):
    """By event time: rows are held until there are enough, or until something may be sent of them.

    `lateness`: how long after its end a window is dropped. `early`, `late`: with how many rows a window fires before
    its end (None: not at all) and after it.
    """

    of_rows: tuple[AggregateSpec, ...]
    _clocked = False

    def __init__(self, *, lateness: int, early: int | None, late: int) -> None:
        self.lateness = lateness
        self._at_once = early is not None or self._clocked
        self._limits = np.array([NEVER if early is None else early, late])
        """The rows with which a window fires that is not over (0), and one that is (1)."""
        self._held = Coalescer()
        self._progress = Progress()
        self._due: int | None = None
        """The earliest time at which a window fires or is dropped; None: to be found out."""

    @property
    def late(self) -> int:
        return self._progress.late

    @property
    def due(self) -> int:
        """No watermark below has a window fire; `MIN_TIME` where it is not known."""
        return MIN_TIME if self._due is None else self._due

    def on_watermark(self, watermark: Watermark) -> Iterator[Output]:
        if watermark.time > self._progress.watermark:
            if self._due is None or watermark.time >= self._due:
                yield from self.flush()
                yield from self._pass(watermark.time)
            self._progress.advance(watermark.time)
        yield watermark

    def flush(self) -> Iterator[Output]:
        if self._held.rows:
            yield from self._absorb(self._held.drain())

    def _hold(self, columns: list[pa.Array], first: int) -> Iterable[Output]:
        """Take rows in, of whose windows the first ends at `first`."""
        if self._due is not None:
            self._due = min(self._due, first)
        self._held.add(columns)
        late = first <= self._progress.watermark or not self._progress.settled
        return self.flush() if late or self._at_once or self._held.rows >= COALESCED else ()

    @abstractmethod
    def _absorb(self, columns: list[pa.Array]) -> Iterator[Output]:
        """Bring rows that were held into their windows, and fire those that have so many rows by now."""

    @abstractmethod
    def _pass(self, time: int) -> Iterator[Output]:
        """The watermark rises to `time`: send what is left of the windows that end or are dropped by then. Say in
        `_due` when that is to be done next.
        """


class Clocked(Refining):
    """By processing time too: a window fires for a key some time after the first row that came since it last fired.

    `delays`: microseconds of processing time before the end of the window, and after it; None: as many rows as `early`
    and `late` say. A row that comes at the very microsecond is of the next pane.
    """

    _clocked = True

    def __init__(self, *args: Any, delays: tuple[int | None, int | None], late: int, **kwargs: Any) -> None:
        """`args`, `kwargs`: those of the operator that does not go by the clock."""
        super().__init__(*args, late=late if delays[1] is None else NEVER, **kwargs)
        self._delays = np.array([MAX_TIME if delay is None else delay for delay in delays])
        self._now = MIN_TIME
        self._next_pane = MIN_TIME
        """No pane is due before; `MIN_TIME` until what a restore brought has been seen."""

    def on_timer(self, now: int) -> Iterator[Output]:
        self._now = now
        if self._next_pane <= now:
            yield from self._send_due(now)

    def next_wakeup(self) -> int | None:
        return None if self._next_pane == MAX_TIME else self._next_pane

    def _panes_due(self, since: Int64s, over: Int64s) -> Int64s:
        """When panes are due that began at `since` (`MAX_TIME`: that hold nothing), of windows that are over (1) or
        not (0).
        """
        delays = self._delays[over]
        dues: Int64s = np.minimum(delays, MAX_TIME - np.maximum(since, 0)) + since
        dues[(delays == MAX_TIME) | (since == MAX_TIME)] = MAX_TIME
        self._next_pane = min(self._next_pane, int(dues.min(initial=MAX_TIME)))
        return dues

    @abstractmethod
    def _send_due(self, now: int) -> Iterator[Output]:
        """Send the panes that are due by `now`, and say in `_next_pane` when the next one is."""
