"""What windows mean, a row at a time in plain Python. An oracle for tests.

DuckDB knows the batch answer, but not which rows are late, nor when a window fires. This says both, for rows and
watermarks in the order in which one worker sees them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

Bounds: TypeAlias = "tuple[int, int]"
"""Start and end of a window."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its key, its event time, and what stands for it in results."""

    key: Hashable
    time: int
    value: int


@dataclass(frozen=True, slots=True)
class Watermark:
    """The watermark rises to `time`."""

    time: int


@dataclass(frozen=True, slots=True)
class Clock:
    """Processing time goes on to `time`."""

    time: int


@dataclass(frozen=True, slots=True)
class Pane:
    """A window fires for a key, with these values."""

    key: Hashable
    bounds: Bounds
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LateRow:
    """A row came too late for this window."""

    row: Row
    bounds: Bounds


@dataclass(slots=True)
class _Window:
    """Of one key: all values, how many of them were sent, and when the others are, by the clock."""

    values: list[int] = field(default_factory=list)
    sent: int = 0
    due: int | None = None


@dataclass
class Windows:
    """The windows of a step. `windows_of`: the bounds of the windows that hold a time.

    `lateness`, `early`, `late`, `accumulate`: see `.window(..., allowed_lateness=)` and `sf.trigger`; `early_after`,
    `late_after`: durations in place of a number of rows.

    >>> def minutes(time: int) -> list[Bounds]:
    ...     return [(time // 60 * 60, time // 60 * 60 + 60)]
    >>> counted = Windows(minutes)
    >>> counted.run([Row("a", 10, 1), Row("a", 70, 2), Watermark(60), Row("a", 59, 3), Watermark(120)])
    >>> [(pane.bounds, pane.values) for pane in counted.panes], [late.row.value for late in counted.late_rows]
    ([((0, 60), (1,)), ((60, 120), (2,))], [3])
    """

    windows_of: Callable[[int], list[Bounds]]
    lateness: int = 0
    early: int | None = None
    late: int | None = 1
    accumulate: bool = True
    panes: list[Pane] = field(default_factory=list)
    late_rows: list[LateRow] = field(default_factory=list)
    early_after: int | None = None
    late_after: int | None = None

    def __post_init__(self) -> None:
        self._watermark: int | None = None
        self._clock = 0
        self._open: dict[tuple[Hashable, Bounds], _Window] = defaultdict(_Window)

    def run(self, events: Iterable[Row | Watermark | Clock]) -> None:
        """Take these in. What fires is added to `panes`, what is late to `late_rows`."""
        for event in events:
            match event:
                case Row():
                    for bounds in self.windows_of(event.time):
                        self._on_row(event, bounds)
                case Watermark(time):
                    self._on_watermark(time)
                case Clock(time):
                    self._on_clock(time)

    def _on_row(self, row: Row, bounds: Bounds) -> None:
        if self._has_passed(bounds[1] + self.lateness):
            self.late_rows.append(LateRow(row, bounds))
            return
        window = self._open[row.key, bounds]
        over = self._has_passed(bounds[1])
        limit, after = (self.late, self.late_after) if over else (self.early, self.early_after)
        if after is not None and window.sent == len(window.values):
            window.due = self._clock + after
        window.values.append(row.value)
        if limit is not None and len(window.values) - window.sent >= limit:
            self._fire(row.key, bounds)

    def _on_watermark(self, time: int) -> None:
        before, self._watermark = self._watermark, time
        for key, bounds in sorted(self._open, key=lambda item: item[1][1]):
            on_time = bounds[1] <= time and (before is None or before < bounds[1])
            dropped = bounds[1] + self.lateness <= time
            if on_time or dropped:
                self._fire(key, bounds)
            if dropped:
                del self._open[key, bounds]

    def _on_clock(self, time: int) -> None:
        self._clock = time
        due = [(window.due, pane) for pane, window in self._open.items() if window.due is not None]
        for at, pane in sorted(due, key=lambda item: item[0]):
            if at <= time:
                self._fire(*pane)

    def _fire(self, key: Hashable, bounds: Bounds) -> None:
        """Nothing is sent twice: without new values there is no pane."""
        window = self._open[key, bounds]
        window.due = None
        if window.sent < len(window.values):
            values = window.values if self.accumulate else window.values[window.sent :]
            self.panes.append(Pane(key, bounds, tuple(values)))
            window.sent = len(window.values)

    def _has_passed(self, time: int) -> bool:
        return self._watermark is not None and time <= self._watermark


@dataclass(slots=True)
class _Session:
    """Of one key. `standing`: the bounds of the results that were sent of it, or of parts of it, and stand.

    `since`: when, by the clock, the first of what is unsent came.
    """

    bounds: Bounds
    sent: list[int]
    unsent: list[int]
    standing: list[Bounds]
    since: int


@dataclass
class Sessions:
    """The sessions of a step: of rows less than `gap` apart. Otherwise as `Windows`.

    Accumulating, `results` are those that stand: a session that fires takes the place of what was sent of its parts,
    and does so before it is too late for one of these. Discarding, they are in `panes`. What is due by the clock is so
    by what the session is then: one that has ended and that a row extends waits as one that has not.

    >>> visits = Sessions(gap=10, lateness=20)
    >>> visits.run([Row("a", 0, 1), Row("a", 15, 2), Watermark(25)])
    >>> list(visits.results)
    [('a', (0, 10)), ('a', (15, 25))]
    >>> visits.run([Row("a", 8, 3)])
    >>> visits.results
    {('a', (0, 25)): (1, 2, 3)}
    """

    gap: int
    lateness: int = 0
    early: int | None = None
    late: int | None = 1
    accumulate: bool = True
    results: dict[tuple[Hashable, Bounds], tuple[int, ...]] = field(default_factory=dict)
    panes: list[Pane] = field(default_factory=list)
    late_rows: list[LateRow] = field(default_factory=list)
    early_after: int | None = None
    late_after: int | None = None

    def __post_init__(self) -> None:
        self._watermark: int | None = None
        self._clock = 0
        self._open: dict[Hashable, list[_Session]] = defaultdict(list)

    def run(self, events: Iterable[Row | Watermark | Clock]) -> None:
        """Take these in."""
        for event in events:
            match event:
                case Row():
                    self._on_row(event)
                case Watermark(time):
                    self._on_watermark(time)
                case Clock(time):
                    self._on_clock(time)

    def _on_row(self, row: Row) -> None:
        start, end = row.time, row.time + self.gap
        if self._has_passed(end + self.lateness):
            self.late_rows.append(LateRow(row, (start, end)))
            return
        touched = [other for other in self._open[row.key] if other.bounds[0] < end and start < other.bounds[1]]
        self._open[row.key] = [other for other in self._open[row.key] if other not in touched]
        start = min([start, *(other.bounds[0] for other in touched)])
        end = max([end, *(other.bounds[1] for other in touched)])
        sent = [value for other in touched for value in other.sent]
        unsent = [*(value for other in touched for value in other.unsent), row.value]
        standing = [bounds for other in touched for bounds in other.standing]
        since = min((other.since for other in touched if other.unsent), default=self._clock)
        session = _Session((start, end), sent, unsent, standing, since)
        self._open[row.key].append(session)
        limit = self.late if self._has_passed(end) else self.early
        if limit is not None and len(unsent) >= limit:
            self._fire(row.key, session)

    def _on_watermark(self, time: int) -> None:
        for key, sessions in self._open.items():
            for session in sessions:
                end = session.bounds[1]
                on_time = end <= time and not self._has_passed(end)
                last_chance = any(bounds[1] + self.lateness <= time for bounds in session.standing)
                if on_time or last_chance or end + self.lateness <= time:
                    self._fire(key, session)
            self._open[key] = [session for session in sessions if session.bounds[1] + self.lateness > time]
        self._watermark = time

    def _on_clock(self, time: int) -> None:
        self._clock = time
        for key, sessions in self._open.items():
            for session in sessions:
                after = self.late_after if self._has_passed(session.bounds[1]) else self.early_after
                if after is not None and session.unsent and session.since + after <= time:
                    self._fire(key, session)

    def _fire(self, key: Hashable, session: _Session) -> None:
        """Nothing is sent twice: without new values, and under the same bounds, nothing is new."""
        if self.accumulate:
            for bounds in session.standing:
                del self.results[key, bounds]
            self.results[key, session.bounds] = (*session.sent, *session.unsent)
            session.standing = [session.bounds]
        elif session.unsent:
            self.panes.append(Pane(key, session.bounds, tuple(session.unsent)))
        session.sent, session.unsent = [*session.sent, *session.unsent], []

    def _has_passed(self, time: int) -> bool:
        return self._watermark is not None and time <= self._watermark
