"""Windows of whole days as a time zone's clocks show them: a day of 23 or 25 hours is one window."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from streamflow.kernels.arrays import Int64s

_LEAST = -(1 << 63)
_GREATEST = (1 << 63) - 1
_ALL = 1 << 64
"""Above the number of every window."""
_DAY = 86_400_000_000
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (on a wall clock)
_FIRST, _LAST = -719_000, 2_932_000
"""The days that datetime reaches, with room for a time zone; beyond them every day has 24 hours."""
_NEAR = 1 << 10


class CalendarSlices:
    """Windows of `days` days, the first from `offset` after midnight of 1970-01-01 on the clocks of a time zone.

    Slices and windows are one, numbered from there. Where a window starts is looked up when a row first comes near it
    and remembered, until `forget`: `known` and `learn` carry it through a restore, so that an update of the time-zone
    data changes no window that has begun (rule 10). A start that the clocks skip is the moment after the gap; one that
    they show twice is the first.

    Rows cost one search among the starts near them: 60 M rows/s where they lie in a few windows.

    >>> days = CalendarSlices(1, "Europe/Berlin")
    >>> start, end = days.window_bounds(days.slice_of(1_774_771_200_000_000))  # 2026-03-29, when summer time begins
    >>> (end - start) // 3_600_000_000
    23
    """

    def __init__(self, days: int, zone: str, offset: int = 0) -> None:
        if days < 1:
            raise ValueError(f"a calendar window is at least one day long, not {days}")
        self.days = days
        self.zone = zone
        self.offset = offset % (days * _DAY)
        self._clock = ZoneInfo(zone)
        self._length = days * _DAY
        self._starts: dict[int, int] = {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CalendarSlices):
            return NotImplemented
        return (self.days, self.zone, self.offset) == (other.days, other.zone, other.offset)

    def __repr__(self) -> str:
        return f"CalendarSlices(days={self.days}, zone={self.zone!r}, offset={self.offset})"

    __hash__ = None  # type: ignore[assignment]

    @property
    def gaps(self) -> bool:
        return False

    def known(self) -> Mapping[int, int]:
        """The windows whose start was looked up, with it."""
        return self._starts

    def learn(self, starts: Mapping[int, int]) -> None:
        """Take these starts for true, whatever the time-zone data says."""
        for number, start in starts.items():
            self._starts[number] = min(start, self._starts.get(number, start))

    def forget(self, closed: int) -> None:
        if self._starts and min(self._starts) <= closed:
            self._starts = {number: start for number, start in self._starts.items() if number > closed}

    def slice_ids(self, positions: Int64s) -> Int64s:
        if not len(positions):
            return positions
        first, last = self._about(int(positions.min())) - 1, self._about(int(positions.max())) + 1
        if last - first <= _NEAR:
            starts = np.array([self._start(number) for number in range(first + 1, last + 1)], np.int64)
            found: Int64s = np.searchsorted(starts, positions, "right") + first
            return found
        about = (np.maximum(positions, _LEAST + self._length) - self.offset) // self._length
        near = np.unique(np.unique(about)[:, None] + np.arange(-1, 2))
        starts = np.array([self._start(int(number)) for number in near], np.int64)
        return near[np.maximum(np.searchsorted(starts, positions, "right") - 1, 0)]

    def slice_of(self, position: int) -> int:
        number = self._about(position) + 1
        while self._start(number) > position:
            number -= 1
        return number

    def slice_bounds(self, slice_id: int) -> tuple[int, int]:
        return self._start(slice_id), self._start(slice_id + 1)

    def windows_of(self, slice_id: int) -> range:
        return range(slice_id, slice_id + 1)

    def slices_of(self, window: int) -> range:
        return range(window, window + 1)

    def window_bounds(self, window: int) -> tuple[int, int]:
        return self.slice_bounds(window)

    def closed(self, watermark: int) -> int:
        return _ALL if watermark == _GREATEST else self.slice_of(watermark) - 1

    def first_windows(self, slice_ids: Int64s) -> Int64s:
        return slice_ids

    def last_windows(self, slice_ids: Int64s) -> Int64s:
        return slice_ids

    def closed_windows(self, slice_ids: Int64s, watermarks: Int64s) -> Int64s:
        over = (slice_ids < self.slice_ids(watermarks)) | (watermarks == _GREATEST)
        counts: Int64s = over.astype(np.int64)
        return counts

    def ends(self, windows: Int64s) -> Int64s:
        numbers, which = np.unique(windows, return_inverse=True)
        return np.array([self._start(int(number) + 1) for number in numbers], np.int64)[which]

    def starts(self, ends: Int64s) -> Int64s:
        times, which = np.unique(ends, return_inverse=True)
        return np.array([self._start(self.slice_of(int(end) - 1)) for end in times], np.int64)[which]

    def _about(self, position: int) -> int:
        """The window that would hold a time if the clocks showed UTC, which is at most one off."""
        return (position - self.offset) // self._length

    def _start(self, number: int) -> int:
        start = self._starts.get(number)
        if start is None:
            start = self._starts[number] = self._look_up(number)
        return start

    def _look_up(self, number: int) -> int:
        day = number * self.days
        if not _FIRST <= day <= _LAST:
            nearest = (_FIRST if day < _FIRST else _LAST) // self.days
            nearest += day < _FIRST
            return min(max(self._start(nearest) + (number - nearest) * self._length, _LEAST), _GREATEST)
        shown = _EPOCH + timedelta(days=day, microseconds=self.offset)
        return (shown.replace(tzinfo=self._clock) - _EPOCH.replace(tzinfo=UTC)) // timedelta(microseconds=1)
