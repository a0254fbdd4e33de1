"""The operator: what one node of the graph computes, a batch at a time.

An operator is a plain object that a task drives: events in, events out, in order. It knows no thread, clock, file or
job, and is never handed a collector. It declares its state; the host snapshots and restores it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from streamflow.operators.dead_letters import Rejected
from streamflow.operators.events import Batch, Watermark
from streamflow.state.container import Container


@dataclass(frozen=True, slots=True)
class Pause:
    """Between two pieces of long work, where an operator can be left alone for a while.

    Until it is asked for the next item, it gets no other call. It says so about every `PIECE` rows that it works on, so
    that no call into a task takes long (the task also pauses by itself, where many rows come out).
    """


PIECE = 1 << 16
"""About so many rows are worked on between two pauses."""

Output: TypeAlias = "Batch | Watermark | Rejected | Pause"


def by_pieces(length: int, work: Callable[[slice], Iterable[Output]]) -> Iterator[Output]:
    """What `work` gives for `length` rows: it is given a piece of them at a time, with a pause between two.

    >>> list(by_pieces(PIECE + 1, lambda piece: ()))
    [Pause()]
    """
    for start in range(0, length, PIECE):
        if start:
            yield Pause()
        yield from work(slice(start, start + PIECE))


class Operator(Protocol):
    """Driven by one task, in this order: `state()` and a restore, then batches and watermarks as they come.

    The task calls `flush` before it snapshots: after it nothing may be held that `state` does not declare (rule 14).
    """

    @property
    def late(self) -> int:
        """(row, window) pairs that came after their window had fired and were left out (rule 6)."""
        ...

    def on_batch(self, port: int, batch: Batch) -> Iterable[Output]:
        """Rows of one input. Never empty; schema fixed per port when the graph is compiled."""
        ...

    def on_watermark(self, watermark: Watermark) -> Iterable[Output]:
        """The watermark over all inputs has risen, or its idleness changed.

        What it fires comes before it is forwarded.
        """
        ...

    def flush(self) -> Iterable[Output]:
        """Send what is held only for speed."""
        ...

    def state(self) -> Mapping[str, Container]:
        """The containers that are its state, by a name that is stable across versions."""
        ...


@runtime_checkable
class TimedOperator(Operator, Protocol):
    """An operator that goes by processing time too: what the clock shows, not what the rows say.

    At the end of its input, which the watermark `MAX_TIME` says, it sends what waits for processing time at once, in
    the order of time: a bounded job does not wait for the clock.
    """

    def on_timer(self, now: int) -> Iterable[Output]:
        """The time is `now`, microseconds since 1970, UTC: send what is due.

        Also called before each batch and watermark, so that the operator knows the time. `now` never goes back while a
        task runs; after a restore, on another machine, it may be earlier than it was.
        """
        ...

    def next_wakeup(self) -> int | None:
        """When `on_timer` is to be called if nothing comes before; None: never. A time that has passed: now."""
        ...
