"""Windows and watermark strategies, as data. Times and durations are int microseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


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


Window: TypeAlias = "Tumbling | Sliding | Cumulative | Calendar | Session"


@dataclass(frozen=True, slots=True)
class BoundedOutOfOrderness:
    """The watermark trails a split's greatest event time by `bound`.

    A split quiet for `idle` does not hold others back.
    """

    bound: int
    idle: int | None = None
