"""What a job shows while it runs: one line on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, TextIO

from streamflow.connect.source import SizedSource
from streamflow.plan.physical import PhysicalGraph

EVERY = 200_000
"""Microseconds between two updates."""

NAME = 40
"""Characters of a split's name that fit the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A job at one moment. Times are microseconds of event time, None when none is known; `elapsed` in seconds.

    `held_by`: the read, or `read/split`, that the watermark waits for while others are ahead. `waiting`: every
    `read/split` that is too far ahead and paused. `spilled`: bytes of state written to files so far.
    """

    rows_in: int
    rows_out: int
    late: int
    skipped: int = 0
    dead: int = 0
    spilled: int = 0
    watermark: int | None
    greatest: int | None
    held_by: str | None
    waiting: Sequence[str] = ()
    elapsed: float


class Progress(Protocol):
    def is_due(self, now: int) -> bool: ...

    def show(self, snapshot: Snapshot) -> None: ...

    def finish(self, snapshot: Snapshot) -> None: ...


class Quiet:
    """Progress where nobody looks."""

    def is_due(self, now: int) -> bool:
        return False

    def show(self, snapshot: Snapshot) -> None:
        """Nobody looks."""

    def finish(self, snapshot: Snapshot) -> None:
        """Nobody looks."""


class Line:
    """One line that is written over."""

    def __init__(self, name: str, total: int | None, stream: TextIO) -> None:
        self._name = name
        self._total = total
        self._stream = stream
        self._next = 0
        self._last = (0.0, 0)

    def is_due(self, now: int) -> bool:
        if now < self._next:
            return False
        self._next = now + EVERY
        return True

    def show(self, snapshot: Snapshot) -> None:
        before, rows = self._last
        rate = (snapshot.rows_in - rows) / max(snapshot.elapsed - before, 1e-6)
        self._last = (snapshot.elapsed, snapshot.rows_in)
        self._write(line(self._name, self._total, snapshot, rate))

    def finish(self, snapshot: Snapshot) -> None:
        self._write(line(self._name, self._total, snapshot, snapshot.rows_in / max(snapshot.elapsed, 1e-6)))
        self._stream.write("\n")
        self._stream.flush()

    def _write(self, text: str) -> None:
        self._stream.write(f"\r\x1b[2K{text}")
        self._stream.flush()


def line(name: str, total: int | None, snapshot: Snapshot, rate: float) -> str:
    """The progress line.

    >>> now = Snapshot(
    ...     rows_in=50, rows_out=7, late=0, watermark=0, greatest=1_500_000, held_by="bids/3", elapsed=1.0
    ... )
    >>> line("hot", 100, now, 2.5e6)
    'hot  50% | 50 rows in, 7 out | 2.5M rows/s | watermark 1970-01-01 00:00:00, 1.5 s behind, held by bids/3 | 0 late'
    """
    done = f"  {100 * snapshot.rows_in // total}%" if total else ""
    parts = [
        f"{name}{done}",
        f"{count(snapshot.rows_in)} rows in, {count(snapshot.rows_out)} out",
        f"{count(rate)} rows/s",
    ]
    held = "" if snapshot.held_by is None else f", held by {_end_of(snapshot.held_by)}"
    held += _waiting(snapshot.waiting)
    if snapshot.watermark is not None:
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=snapshot.watermark)
        behind = 0.0 if snapshot.greatest is None else max(0, snapshot.greatest - snapshot.watermark) / 1e6
        parts.append(f"watermark {at:%Y-%m-%d %H:%M:%S}, {behind:g} s behind{held}")
    elif held:
        parts.append(f"no watermark yet{held}")
    parts.append(
        f"{count(snapshot.late)} late{not_processed(snapshot.skipped, snapshot.dead)}{spilled(snapshot.spilled)}"
    )
    return " | ".join(parts)


def _waiting(splits: Sequence[str]) -> str:
    """
    >>> _waiting(["bids/1", "bids/4", "bids/5"])
    ', bids/1 and 2 more wait'
    """
    if not splits:
        return ""
    more = f" and {len(splits) - 1} more wait" if len(splits) > 1 else " waits"
    return f", {_end_of(splits[0])}{more}"


def _end_of(name: str) -> str:
    """The end of a long name, which is where files differ."""
    return name if len(name) <= NAME else f"...{name[3 - NAME :]}"


def not_processed(skipped: int, dead: int) -> str:
    """What follows the late rows, where there is something to say.

    >>> not_processed(0, 2)
    ', 2 dead'
    """
    counted = ((skipped, "skipped"), (dead, "dead"))
    return "".join(f", {count(rows)} {what}" for rows, what in counted if rows)


def spilled(written: int) -> str:
    """What follows where state did not fit in memory.

    >>> spilled(0), spilled(12_345_678)
    ('', ', 12.3 MB spilled')
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if written >= size:
            return f", {written / size:.1f} {unit} spilled"
    return f", {written} B spilled" if written else ""


def count(number: float) -> str:
    """A number that fits a line.

    >>> [count(n) for n in (7, 1234, 45_600, 12_300_000)]
    ['7', '1,234', '45.6k', '12.3M']
    """
    if number >= 1e6:
        return f"{number / 1e6:.1f}M"
    if number >= 1e4:
        return f"{number / 1e3:.1f}k"
    return f"{number:,.0f}"


def progress_for(graph: PhysicalGraph, stream: TextIO | None = None) -> Progress:
    """A line on standard error when that is a terminal."""
    stream = sys.stderr if stream is None else stream
    if stream is None or not stream.isatty():  # without a console there is no standard error
        return Quiet()
    totals = [
        work.source.row_count() if isinstance(work.source, SizedSource) else None for work in graph.reads().values()
    ]
    known = [total for total in totals if total is not None]
    return Line(graph.name, sum(known) if len(known) == len(totals) else None, stream)
