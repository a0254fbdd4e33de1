"""Windows and watermark strategies, as data. Times and durations are int microseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt


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
class Trigger:
    """When a window fires beside on time: with every `early` rows of a key before its end, every `late` rows after it.

    `accumulate`: each firing replaces the one before, in a changelog; else it holds the rows since.
    """

    early: int | None = None
    late: int = 1
    accumulate: bool = True


Window: TypeAlias = "Tumbling | Sliding | Cumulative | Calendar | Session | Global | Count | Assigned"


@dataclass(frozen=True, slots=True)
class BoundedOutOfOrderness:
    """The watermark trails a split's greatest event time by `bound`.

    A split quiet for `idle` does not hold others back.
    """

    bound: int
    idle: int | None = None
