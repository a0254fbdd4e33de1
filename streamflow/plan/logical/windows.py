"""Windows and watermark strategies, as data. Times and durations are int microseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from streamflow.plan.logical.expr import Expr


@dataclass(frozen=True, slots=True)
class Tumbling:
    size: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Sliding:
    """Windows of `size` that start every `every`; `every` need not divide `size` (rule 10)."""

    size: int
    every: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Calendar:
    """Windows of whole days on the clocks of a time zone, the first from `offset` after midnight of 1970-01-01."""

    days: int
    zone: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Cumulative:
    """Every `size` a window begins that grows by `step`; each of its lengths is a window. `step` divides `size`."""

    size: int
    step: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Session:
    """The union of [t, t + gap) that overlap; rows exactly one gap apart are two sessions (rule 10)."""

    gap: int


@dataclass(frozen=True, slots=True)
class Final:
    """Not a window of its own: the rows are results of fired windows and `column` holds their bound (rule 9).

    `length` is 0 when the column is the window's end, and the window's size when it is its start.
    """

    column: str
    length: int


@dataclass(frozen=True, slots=True)
class Global:
    """One window of all rows, which ends with the stream."""


@dataclass(frozen=True, slots=True)
class Count:
    """Windows of so many rows of a key, in the order of event time (rule 12)."""

    rows: int


class Assigner(Protocol):
    """Windows of the user's own. A frozen dataclass, so that equal flows are equal."""

    def assign(self, times: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], ...]:
        """The windows of rows, by their event times in microseconds.

        `(starts, ends)`: one for each row; or `(rows, starts, ends)`: any number for each, `rows` saying whose. A
        window [start, end) holds the time of its row, and depends on nothing but that. Called by every worker.
        """
        ...


@dataclass(frozen=True, slots=True)
class Assigned:
    """The windows that an assigner puts rows into."""

    assigner: Assigner


@dataclass(frozen=True, slots=True)
class ProcessingTime:
    """Windows of the time at which rows come, by the clock of the worker that has their key."""

    window: Tumbling | Sliding | Cumulative | Calendar | Session


@dataclass(frozen=True, slots=True)
class After:
    """So much processing time after the first row that came since a window last fired."""

    duration: int


@dataclass(frozen=True, slots=True)
class Trigger:
    """When a window fires beside on time: with every `early` rows of a key before its end, every `late` rows after it,
    or some time after the first of them.

    `accumulate`: each firing replaces the one before, in a changelog; else it holds the rows since.
    """

    early: int | After | None = None
    late: int | After = 1
    accumulate: bool = True


Window: TypeAlias = "Tumbling | Sliding | Cumulative | Calendar | Session | Global | Count | Assigned | ProcessingTime"


@dataclass(frozen=True, slots=True)
class BoundedOutOfOrderness:
    """The watermark trails a split's greatest event time by `bound`.

    A split quiet for `idle` does not hold others back; one more than `align` ahead of the watermark waits.
    """

    bound: int
    idle: int | None = None
    align: int | None = None


@dataclass(frozen=True, slots=True)
class FromColumn:
    """The rows carry the watermark: behind a row no row of its split is below `expr` of it."""

    expr: Expr
    idle: int | None = None
    align: int | None = None


class WatermarkGenerator(Protocol):
    """A watermark of the user's own, for each split by itself.

    A frozen dataclass, so that equal flows are equal. It keeps nothing: what it is to remember of a split is `state`.
    """

    def on_batch(self, times: npt.NDArray[np.int64], state: Any) -> tuple[int | None, Any]:
        """The watermark behind these rows of a split, and what to remember of the split.

        `times`: their event times in microseconds, in the split's order, at least one. `state`: what the call before
        gave for this split, None in the first; JSON (numbers, texts, lists, dicts with texts as keys), for it is part
        of the split's position and comes back after a restart. The watermark is in microseconds, None where there is
        nothing to say; it never goes back, so that a lower one than before says nothing either. Where batches are cut
        means nothing.
        """
        ...


@dataclass(frozen=True, slots=True)
class Generated:
    """The watermark that a generator makes of a split's event times."""

    generator: WatermarkGenerator
    idle: int | None = None
    align: int | None = None


WatermarkStrategy: TypeAlias = "BoundedOutOfOrderness | FromColumn | Generated"
