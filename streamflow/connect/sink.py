"""What a sink must do (rules 40-43).

`Sink` and its `Writer` of three methods are the whole mandatory surface. `TransactionalSink` is a second, small
protocol: a sink that has it publishes nothing before a checkpoint is complete, and everything exactly once after that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import pyarrow as pa

from streamflow.errors import DataError

Committable: TypeAlias = "Mapping[str, int | str]"
"""What `commit` needs to publish one prepared piece: JSON, kept in the checkpoint's manifest."""


def stopped_clock() -> float:
    """The clock of a context that was given none: no time passes."""
    return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkContext:
    """Who opens the sink: the names that make its transactions its own."""

    job: str
    """The job's uuid."""
    step: str
    worker: int
    attempt: int
    schema: pa.Schema
    """The columns of every batch that will be written (changelogs start with `_change`, int8)."""
    key: tuple[str, ...] | None = None
    """The changelog's key; None for append-only rows."""
    clock: Callable[[], float] = stopped_clock
    """Seconds on the engine's monotonic clock: what rolling by time goes by, for a sink reads no clock of its own."""


class RowsRefused(DataError):
    """The peer will never take these rows of a batch, of which nothing was written. `rows`: their numbers."""

    def __init__(self, message: str, rows: Collection[int], *, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.rows = frozenset(rows)


class Writer(Protocol):
    """An open sink: owned by one worker, called from one thread."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Take one batch of the announced schema.

        Raises DataError, having taken nothing of it, when the peer will never take such rows; `RowsRefused` where it is
        known which they are. The step's error policy decides what happens to them; the others are written again, in
        halves until the bad ones are found. Where the new row of an update is refused, the old one comes as a delete.
        """
        ...

    def flush(self) -> None:
        """Everything written so far has reached the peer when this returns (for a transactional writer: is staged)."""
        ...

    def close(self) -> None:
        """Release files and connections. Called once, also after an error; publishes nothing."""
        ...


@runtime_checkable
class Sink(Protocol):
    """Where rows go. Cheap to make, holds configuration only."""

    def open(self, who: SinkContext) -> Writer:
        """A writer for one worker. Raises Fatal when the target cannot be written."""
        ...

    @property
    def changelog(self) -> bool:
        """True when it takes changelog rows; a sink that does not refuses such a stream when the graph is compiled."""
        ...


@runtime_checkable
class ProcessSink(Sink, Protocol):
    """A capability: keeps its rows in the memory of the process that writes them.

    A job on several workers, which are processes of their own, refuses it: nobody would see the rows.
    """

    @property
    def in_process(self) -> bool: ...


class TransactionalWriter(Writer, Protocol):
    def prepare(self, checkpoint: int, *, final: bool) -> Sequence[Committable]:
        """Make what is ready publishable and return its handles; `final` leaves nothing unfinished behind."""
        ...


@runtime_checkable
class KeepingWriter(TransactionalWriter, Protocol):
    """A writer that may hold rows over a checkpoint, because what they belong to is not finished (rule 40)."""

    def kept(self) -> Sequence[pa.RecordBatch]:
        """The rows that it took and that nothing prepared so far covers, in the columns in which they came.

        Asked right after `prepare`. They are stored with the checkpoint; whoever goes on from it writes them first.
        """
        ...


class Committer(Protocol):
    """Publishes prepared pieces, from any process."""

    def commit(self, committables: Sequence[Committable]) -> None:
        """Publish these; again is harmless."""
        ...

    def discard_unknown(self, keep: Collection[str], before_attempt: int) -> None:
        """Remove this job's staged pieces of attempts below `before_attempt`, except those whose id is in `keep`."""
        ...


@runtime_checkable
class TransactionalSink(Sink, Protocol):
    def open(self, who: SinkContext) -> TransactionalWriter: ...

    def committer(self, job: str) -> Committer: ...
