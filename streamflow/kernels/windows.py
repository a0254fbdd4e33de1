"""Windows as arithmetic: from times to slices, from slices to windows, and back. All times are int64 microseconds.

A slice is the time between two neighbouring window borders (rule 15): every window is a run of whole slices, so rows
are aggregated once per slice however many windows share it. Windows and slices are numbered by ints, ascending with
time. Floor division throughout: times before 1970 are nothing special (rule 10). What leaves int64 is clamped to its
ends, and the greatest int64 is the end of all time, at which every window is over (rule 11).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from streamflow.kernels.arrays import Int64s

_LEAST = -(1 << 63)
_GREATEST = (1 << 63) - 1
_ALL = 1 << 64
"""Above the number of every window."""
_BORDERS = 3
"""Where no more borders than that lie between times, they are compared with each."""


class Slices(Protocol):
    """How rows fall into slices and windows. What takes arrays costs a few numpy passes.

    No two windows have one end.
    """

    @property
    def gaps(self) -> bool:
        """Whether there are slices that no window holds."""
        ...

    def slice_ids(self, positions: Int64s) -> Int64s:
        """The slice of each row, by its event time or the column that stands for it."""
        ...

    def slice_of(self, position: int) -> int:
        """`slice_ids` of one row."""
        ...

    def slice_bounds(self, slice_id: int) -> tuple[int, int]:
        """Start and end of a slice."""
        ...

    def windows_of(self, slice_id: int) -> range:
        """The windows that a slice is part of; empty between windows."""
        ...

    def slices_of(self, window: int) -> range:
        """The slices of a window."""
        ...

    def window_bounds(self, window: int) -> tuple[int, int]:
        """Start and end."""
        ...

    def closed(self, watermark: int) -> int:
        """The last window whose end is at or before the watermark."""
        ...

    def first_windows(self, slice_ids: Int64s) -> Int64s:
        """The first window of each slice."""
        ...

    def last_windows(self, slice_ids: Int64s) -> Int64s:
        """The last window of each slice; below the first for slices between windows."""
        ...

    def closed_windows(self, slice_ids: Int64s, watermarks: Int64s) -> Int64s:
        """How many of each slice's windows end at or before its watermark (one for each, or one for all)."""
        ...

    def ends(self, windows: Int64s) -> Int64s:
        """The windows' ends."""
        ...

    def starts(self, ends: Int64s) -> Int64s:
        """The starts of the windows that have these ends."""
        ...

    def forget(self, closed: int) -> None:
        """The windows up to this one are over: what is remembered of them is not needed any more."""
        ...


@dataclass(frozen=True, slots=True)
class SlidingSlices:
    """Windows of `size` that start every `every`, `offset` from the epoch; tumbling where `every` is `size`.

    Slide k begins at offset + k * every, as window k does. Where `every` does not divide `size`, windows also end
    inside slides, and each slide is cut in two. The offset is kept within 0..every - 1.

    >>> hops = SlidingSlices(size=10, every=4)
    >>> [int(slice) for slice in hops.slice_ids(np.array([-1, 0, 1, 2, 4]))]
    [-1, 0, 0, 1, 2]
    >>> hops.windows_of(0), hops.windows_of(1), hops.slices_of(-2), hops.window_bounds(-2)
    (range(-2, 1), range(-1, 1), range(-4, 1), (-8, 2))
    """

    size: int
    every: int
    offset: int = 0
    cut: int = field(init=False, repr=False, compare=False)
    """Where in a slide windows end; 0 if at its start."""
    per_slide: int = field(init=False, repr=False, compare=False)
    """Slices in a slide: 1, or 2 where windows end inside."""

    def __post_init__(self) -> None:
        if self.size <= 0 or self.every <= 0:
            raise ValueError(f"a window's size and slide must be positive, not {self.size} and {self.every}")
        object.__setattr__(self, "offset", self.offset % self.every)
        object.__setattr__(self, "cut", self.size % self.every)
        object.__setattr__(self, "per_slide", 2 if self.cut else 1)

    @property
    def gaps(self) -> bool:
        return self.every > self.size

    def slice_ids(self, positions: Int64s) -> Int64s:
        slide = positions // self.every
        if not self.offset and not self.cut:
            return slide
        into = positions - slide * self.every
        if self.offset:
            before = into < self.offset
            slide = slide - before
            into = into - self.offset
            into[before] += self.every
        return (slide << 1) + (into >= self.cut) if self.cut else slide

    def slice_of(self, position: int) -> int:
        slide, into = divmod(position - self.offset, self.every)
        return slide * self.per_slide + (0 < self.cut <= into)

    def slice_bounds(self, slice_id: int) -> tuple[int, int]:
        return _clamp(self._slice_start(slice_id)), _clamp(self._slice_start(slice_id + 1))

    def windows_of(self, slice_id: int) -> range:
        slide, half = divmod(slice_id, self.per_slide)
        first = slide - self.size // self.every + (0 if self.cut and not half else 1)
        return range(first, slide + 1)

    def slices_of(self, window: int) -> range:
        last = window + self.size // self.every
        return range(window * self.per_slide, last * self.per_slide + (1 if self.cut else 0))

    def window_bounds(self, window: int) -> tuple[int, int]:
        start = self.offset + window * self.every
        return _clamp(start), _clamp(start + self.size)

    def closed(self, watermark: int) -> int:
        if watermark == _GREATEST:
            return _ALL
        return (watermark - self.size - self.offset) // self.every

    def first_windows(self, slice_ids: Int64s) -> Int64s:
        whole = self.size // self.every
        if not self.cut:
            return slice_ids - (whole - 1)
        return (slice_ids >> 1) - whole + (slice_ids & 1)

    def last_windows(self, slice_ids: Int64s) -> Int64s:
        return slice_ids >> 1 if self.cut else slice_ids

    def closed_windows(self, slice_ids: Int64s, watermarks: Int64s) -> Int64s:
        slides, into = divmod(self.size + self.offset, self.every)
        closed = watermarks // self.every - slides - (watermarks % self.every < into)
        first, last = self.first_windows(slice_ids), self.last_windows(slice_ids)
        closed = np.where(watermarks == _GREATEST, last, np.minimum(closed, last))
        counts: Int64s = np.maximum(closed - first + 1, 0)
        return counts

    def ends(self, windows: Int64s) -> Int64s:
        return _progression(windows, self.every, self.offset + self.size)

    def starts(self, ends: Int64s) -> Int64s:
        return ends - self.size

    def forget(self, closed: int) -> None:
        """Nothing is remembered."""

    def _slice_start(self, slice_id: int) -> int:
        slide, half = divmod(slice_id, self.per_slide)
        return self.offset + slide * self.every + half * self.cut


@dataclass(frozen=True, slots=True)
class CumulativeSlices:
    """Windows that grow: every `size` one begins, and it is a window after each `step` until it is `size` long.

    Slices are the steps; slice k ends where window k does. `step` divides `size`; the offset is kept in 0..size - 1.

    >>> growing = CumulativeSlices(size=30, step=10)
    >>> growing.windows_of(4), growing.slices_of(5), growing.window_bounds(4), growing.window_bounds(5)
    (range(4, 6), range(3, 6), (30, 50), (30, 60))
    """

    size: int
    step: int
    offset: int = 0

    def __post_init__(self) -> None:
        if self.step <= 0 or self.size <= 0 or self.size % self.step:
            raise ValueError(f"a cumulative window's size is a multiple of its step, not {self.size} of {self.step}")
        object.__setattr__(self, "offset", self.offset % self.size)

    @property
    def gaps(self) -> bool:
        return False

    @property
    def steps(self) -> int:
        """How many windows begin together."""
        return self.size // self.step

    def slice_ids(self, positions: Int64s) -> Int64s:
        steps, into = divmod(self.offset, self.step)
        if not into:
            return positions // self.step - steps
        whole = positions // self.step
        return whole - steps - (positions - whole * self.step < into)

    def slice_of(self, position: int) -> int:
        return (position - self.offset) // self.step

    def slice_bounds(self, slice_id: int) -> tuple[int, int]:
        start = self.offset + slice_id * self.step
        return _clamp(start), _clamp(start + self.step)

    def windows_of(self, slice_id: int) -> range:
        return range(slice_id, (slice_id // self.steps + 1) * self.steps)

    def slices_of(self, window: int) -> range:
        return range(window // self.steps * self.steps, window + 1)

    def window_bounds(self, window: int) -> tuple[int, int]:
        start = self.offset + window // self.steps * self.size
        return _clamp(start), _clamp(self.offset + (window + 1) * self.step)

    def closed(self, watermark: int) -> int:
        return _ALL if watermark == _GREATEST else self.slice_of(watermark) - 1

    def first_windows(self, slice_ids: Int64s) -> Int64s:
        return slice_ids

    def last_windows(self, slice_ids: Int64s) -> Int64s:
        return slice_ids // self.steps * self.steps + (self.steps - 1)

    def closed_windows(self, slice_ids: Int64s, watermarks: Int64s) -> Int64s:
        last = self.last_windows(slice_ids)
        closed = np.where(watermarks == _GREATEST, last, np.minimum(self.slice_ids(watermarks) - 1, last))
        counts: Int64s = np.maximum(closed - slice_ids + 1, 0)
        return counts

    def ends(self, windows: Int64s) -> Int64s:
        return _progression(windows, self.step, self.offset + self.step)

    def starts(self, ends: Int64s) -> Int64s:
        into = (ends - 1) % self.size - self.offset
        into[into < 0] += self.size
        return np.maximum(ends - 1, _LEAST + into) - into

    def forget(self, closed: int) -> None:
        """Nothing is remembered."""


@dataclass(frozen=True, slots=True)
class FinalBound:
    """Rows that are results of windows, judged by those: `column` + `length` is the window's end (rule 9).

    Each distinct end is a slice and a window of its own, both numbered by it. Positions are the values of `column`.

    >>> FinalBound("window_start", 10).slice_ids(np.array([0, 10]))
    array([10, 20])
    """

    column: str
    length: int

    @property
    def gaps(self) -> bool:
        return False

    def slice_ids(self, positions: Int64s) -> Int64s:
        return np.minimum(positions, _GREATEST - self.length) + self.length

    def slice_of(self, position: int) -> int:
        return _clamp(position + self.length)

    def slice_bounds(self, slice_id: int) -> tuple[int, int]:
        return self.window_bounds(slice_id)

    def windows_of(self, slice_id: int) -> range:
        return range(slice_id, slice_id + 1)

    def slices_of(self, window: int) -> range:
        return range(window, window + 1)

    def window_bounds(self, window: int) -> tuple[int, int]:
        return _clamp(window - self.length), window

    def closed(self, watermark: int) -> int:
        return watermark

    def first_windows(self, slice_ids: Int64s) -> Int64s:
        return slice_ids

    def last_windows(self, slice_ids: Int64s) -> Int64s:
        return slice_ids

    def closed_windows(self, slice_ids: Int64s, watermarks: Int64s) -> Int64s:
        return (slice_ids <= watermarks).astype(np.int64)

    def ends(self, windows: Int64s) -> Int64s:
        return windows

    def starts(self, ends: Int64s) -> Int64s:
        return ends - self.length

    def forget(self, closed: int) -> None:
        """Nothing is remembered."""


@dataclass(frozen=True, slots=True)
class EndlessSlices:
    """One window, number 0, that holds all rows, whatever their time, and ends with time itself."""

    @property
    def gaps(self) -> bool:
        return False

    def slice_ids(self, positions: Int64s) -> Int64s:
        return np.zeros(len(positions), np.int64)

    def slice_of(self, position: int) -> int:
        return 0

    def slice_bounds(self, slice_id: int) -> tuple[int, int]:
        return _LEAST, _GREATEST

    def windows_of(self, slice_id: int) -> range:
        return range(1)

    def slices_of(self, window: int) -> range:
        return range(1)

    def window_bounds(self, window: int) -> tuple[int, int]:
        return _LEAST, _GREATEST

    def closed(self, watermark: int) -> int:
        return _ALL if watermark == _GREATEST else -1

    def first_windows(self, slice_ids: Int64s) -> Int64s:
        return slice_ids

    def last_windows(self, slice_ids: Int64s) -> Int64s:
        return slice_ids

    def closed_windows(self, slice_ids: Int64s, watermarks: Int64s) -> Int64s:
        return np.broadcast_to(watermarks == _GREATEST, slice_ids.shape).astype(np.int64)

    def ends(self, windows: Int64s) -> Int64s:
        return np.full(len(windows), _GREATEST)

    def starts(self, ends: Int64s) -> Int64s:
        return np.full(len(ends), _LEAST)

    def forget(self, closed: int) -> None:
        """Nothing is remembered."""


def slice_places(window: Slices, positions: Int64s, lowest: int, highest: int) -> npt.NDArray[Any] | None:
    """How many slices after `lowest` each position's is, as integers or bools; none is after `highest`.

    None: all are in one. To compare with a few borders is sooner done than to divide.

    >>> slice_places(SlidingSlices(size=10, every=10), np.array([3, 25, 17]), 0, 2)
    array([0, 2, 1], dtype=int8)
    """
    if highest == lowest:
        return None
    if highest - lowest > _BORDERS:
        return window.slice_ids(positions) - lowest
    borders = [window.slice_bounds(number)[0] for number in range(lowest + 1, highest + 1)]
    places = (positions >= borders[0]).view(np.int8)
    for border in borders[1:]:
        places += positions >= border
    return places


def pairs(window: Slices, slice_ids: Int64s) -> tuple[Int64s | None, Int64s]:
    """Each slice with each of its windows: where the slice stands (None: each once, as they are) and the window.

    >>> places, windows = pairs(SlidingSlices(size=10, every=5), np.array([0, 3]))
    >>> places.tolist(), windows.tolist()
    ([0, 0, 1, 1], [-1, 0, 2, 3])
    """
    first = window.first_windows(slice_ids)
    counts = window.last_windows(slice_ids) - first + 1
    if not len(counts) or counts.min() == counts.max() == 1:
        return None, first
    places = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
    return places, np.repeat(first, counts) + within


def dropped_before(watermarks: Int64s, lateness: int) -> Int64s:
    """Windows that end at or before these times are dropped: the watermark less what windows are kept for after it.

    At the end of time all are (rule 11).

    >>> dropped_before(np.array([-(2**63), 100, 2**63 - 1]), 10).tolist()
    [-9223372036854775808, 90, 9223372036854775807]
    """
    earlier: Int64s = np.maximum(watermarks, _LEAST + lateness) - lateness
    return np.where(watermarks == _GREATEST, _GREATEST, earlier)


def _progression(numbers: Int64s, step: int, start: int) -> Int64s:
    """start + number * step, at most the end of all time."""
    times: Int64s = numbers * step + start
    times[numbers > (_GREATEST - start) // step] = _GREATEST
    return times


def _clamp(time: int) -> int:
    return min(max(time, _LEAST), _GREATEST)
