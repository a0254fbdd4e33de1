"""What a source must do (rule 39).

A source names its splits and opens a reader over some of them. It never sees watermarks, keys or checkpoints: the
engine keeps the positions and says where to start. A working source fits on one screen; `docs/write-a-source.md` walks
through one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import pyarrow as pa

Position: TypeAlias = "int | str | Mapping[str, int | str]"
"""Where a split's reader stands: JSON, opaque to the engine. `None` in its place means from the beginning."""


@dataclass(frozen=True, slots=True)
class Wait:
    """All open splits were asked and have nothing; poll again after `seconds`, or as soon as `fileno` is readable."""

    seconds: float
    fileno: int | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The split has no more rows, ever. A reader reports each split's end once."""

    split: str


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that cannot be decoded, as it was found. What happens to it is up to the flow's error policy.

    `position`: where in the split it stands, in the words of people, such as a line's number.
    """

    split: str
    position: str
    payload: bytes
    error: str


PollResult: TypeAlias = "Sequence[tuple[str, pa.RecordBatch] | BadRecord] | Wait | Ended"


class Reader(Protocol):
    """An open source: owned by one worker, called from one thread."""

    def poll(self, max_rows: int) -> PollResult:
        """Rows that are at hand, one split per batch, in the split's order; never blocks on a quiet peer.

        Among them, in its place, a `BadRecord` for each record that cannot be decoded.
        """
        ...

    def positions(self) -> Mapping[str, Position]:
        """For every split it was opened with: where to go on after exactly the rows that `poll` has returned.

        Records that could not be decoded count like rows.
        """
        ...

    def committed(self, positions: Mapping[str, Position]) -> None:
        """These positions are durable: acknowledge them to the peer, where the peer wants that. May do nothing."""
        ...

    def close(self) -> None:
        """Release files and connections. Called once, also after an error."""
        ...


@runtime_checkable
class QuietReader(Reader, Protocol):
    """A capability: says which splits have nothing while others have. Only they can become idle beside busy ones."""

    def quiet(self) -> Collection[str]:
        """The splits that the last `poll` asked and that had nothing; never one that it did not ask (rule 4)."""
        ...


@runtime_checkable
class PausableReader(Reader, Protocol):
    """A capability: reads all its splits side by side, and can leave some of them alone for a while.

    What `align=` of a watermark needs: a split far ahead waits for the slowest one. A reader that opens its splits one
    after the other must not have it, for one that it has yet to open would hold the others for ever.
    """

    def pause(self, splits: Collection[str]) -> None:
        """From now on `poll` gives neither rows nor the end of exactly these splits; all others go on.

        Each call replaces the one before. Never all splits that have not ended. Positions stay, connections may.
        """
        ...


@runtime_checkable
class WatermarkedReader(Reader, Protocol):
    """A capability: the peer itself says how far a split has come, beside what the flow's watermark strategy says."""

    def watermark(self, split: str) -> int | None:
        """Every row below this event time (microseconds) has been returned; None when nothing is known."""
        ...


@runtime_checkable
class ClockedReader(Reader, Protocol):
    """A capability: gives its rows by time, as one that keeps to a rate. A reader looks at no clock of its own."""

    def on_clock(self, now: float) -> None:
        """Called before each `poll`: seconds on the engine's monotonic clock, whose zero means nothing."""
        ...


@runtime_checkable
class Source(Protocol):
    """Where rows come from. Cheap to make, holds configuration only: it connects when it is opened."""

    def schema(self) -> pa.Schema:
        """The columns that it will read, before any push-down; asked while the flow is built.

        May read a file's header.
        """
        ...

    def splits(self) -> Iterable[str]:
        """Names of the parts that are read in order each, stable across calls and processes."""
        ...

    def open(self, splits: Mapping[str, Position | None]) -> Reader:
        """A reader over these splits, each from its position (`None`: from its beginning)."""
        ...

    @property
    def bounded(self) -> bool:
        """True when every split ends and no new split can appear."""
        ...


@runtime_checkable
class ProjectableSource(Source, Protocol):
    """A capability: reads only some of its columns."""

    def project(self, columns: Sequence[str]) -> Source:
        """The same source with only these columns, in this order. Called at most once, after `schema()`."""
        ...


@runtime_checkable
class FilterableSource(Source, Protocol):
    """A capability: may skip rows that cannot pass."""

    def filter(self, predicate: pa.compute.Expression) -> Source:
        """The same source, which may leave out rows for which the predicate is false or null.

        Need not: it is a hint.
        """
        ...


@runtime_checkable
class TimedSource(Source, Protocol):
    """A capability: knows a lower bound of a column in a split before it is opened.

    So windows need not wait for splits that are still closed (rule 2).
    """

    def min_value(self, split: str, column: str) -> pa.Scalar | None:
        """A value not above any of the split's values in the column, from statistics; None when it is not known."""
        ...


class GrowingReader(Reader, Protocol):
    """The reader of a `GrowingSource`."""

    def add(self, splits: Mapping[str, Position | None]) -> None:
        """Read these splits, too, after those it has."""
        ...


@runtime_checkable
class GrowingSource(Source, Protocol):
    """A capability: new splits appear while it is read, so `splits()` is asked again and again.

    Its readers are `GrowingReader`s. When all splits that are known have ended, they answer `Wait`.
    """

    @property
    def look_every(self) -> float | None:
        """Seconds between two looks; None if no new split can appear."""
        ...


@runtime_checkable
class SizedSource(Source, Protocol):
    """A capability: knows how many rows there will be, for progress. None when it would have to read to know."""

    def row_count(self) -> int | None: ...
