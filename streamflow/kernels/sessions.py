"""Sessions: the union of intervals of one key that overlap (rule 10).

A row at t is the interval [t, t + gap), an open session is the interval it has grown to, so that one kernel both finds
the sessions of raw rows and merges them into those that are open. Intervals that only touch do not overlap: rows
exactly one gap apart are two sessions.

Most keys need no sort: where a key's last interval starts before its first one ends, all of them overlap and are one
session, found by four running extremes. The intervals of the other keys are sorted by (key, start), with the greatest
end so far, and cut where the next start is not below it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from streamflow.kernels.arrays import Int64s
from streamflow.kernels.grouping import Groups
from streamflow.kernels.ordering import argsort_pairs, signed_codes

_LAST = np.int64(2**63 - 1)


@dataclass(frozen=True, slots=True)
class Sessions:
    """Intervals numbered by session; those of one key in order of their start.

    `ids`: the session of each interval, in 0..count-1. `first`: per session the index of one of its intervals.
    `starts`, `ends`: the session's bounds, end excluded.
    """

    ids: Int64s
    count: int
    first: Int64s
    starts: Int64s
    ends: Int64s


def row_ends(times: Int64s, gap: int) -> Int64s:
    """The end of [t, t + gap) for each t, saturating at the last int64 (rule 11).

    >>> row_ends(np.array([-5, 2**63 - 2]), 10).tolist() == [5, 2**63 - 1]
    True
    """
    if gap < 1:
        raise ValueError(f"a session's gap must be at least 1 us, not {gap}")
    return np.minimum(times, _LAST - gap) + gap


def merge_intervals(keys: Groups, starts: Int64s, ends: Int64s) -> Sessions:
    """The unions of overlapping intervals [start, end) of one key; start < end.

    About 100 M rows/s where each key has one session, 15-50 M rows/s where all must be sorted.

    >>> keys = Groups(ids=np.array([0, 0, 1, 0]), count=2, first=np.array([0, 2]))
    >>> found = merge_intervals(keys, np.array([5, 0, 5, 20]), np.array([15, 10, 15, 30]))
    >>> found.ids.tolist(), found.starts.tolist(), found.ends.tolist()
    ([1, 1, 0, 2], [5, 0, 20], [15, 15, 30])
    """
    return _merge(keys, _extremes(keys, starts), _extremes(keys, ends), lambda rows: (starts[rows], ends[rows]))


def merge_rows(keys: Groups, times: Int64s, gap: int) -> Sessions:
    """`merge_intervals` of the intervals [t, t + gap), in little more than half the time.

    >>> found = merge_rows(Groups(ids=np.array([0, 0, 0]), count=1, first=np.array([0])), np.array([5, 0, 20]), 10)
    >>> found.ids.tolist(), found.starts.tolist(), found.ends.tolist()
    ([0, 0, 1], [0, 20], [15, 30])
    """
    least, greatest = _extremes(keys, times)

    def some(rows: Int64s) -> tuple[Int64s, Int64s]:
        starts = times[rows]
        return starts, row_ends(starts, gap)

    return _merge(keys, (least, greatest), (row_ends(least, gap), row_ends(greatest, gap)), some)


def _merge(
    keys: Groups,
    starts: tuple[Int64s, Int64s],
    ends: tuple[Int64s, Int64s],
    intervals: Callable[[Int64s], tuple[Int64s, Int64s]],
) -> Sessions:
    """Of each key the least and the greatest start and end; `intervals`: starts and ends of some rows."""
    (first_start, last_start), (first_end, last_end) = starts, ends
    single = last_start < first_end
    if single.all():
        return Sessions(keys.ids, keys.count, keys.first, first_start, last_end)
    rows = np.flatnonzero(~single[keys.ids])
    several = _sort_and_cut(keys.ids[rows], *intervals(rows))
    ids = (np.cumsum(single) - 1)[keys.ids]
    count = int(np.count_nonzero(single))
    ids[rows] = several.ids + count
    return Sessions(
        ids,
        count + several.count,
        np.concatenate([keys.first[single], rows[several.first]]),
        np.concatenate([first_start[single], several.starts]),
        np.concatenate([last_end[single], several.ends]),
    )


def _extremes(keys: Groups, values: Int64s) -> tuple[Int64s, Int64s]:
    """The least and the greatest value of each key."""
    least = np.full(keys.count, _LAST)
    np.minimum.at(least, keys.ids, values)
    greatest = np.full(keys.count, -_LAST - 1)
    np.maximum.at(greatest, keys.ids, values)
    return least, greatest


def _sort_and_cut(codes: Int64s, starts: Int64s, ends: Int64s) -> Sessions:
    order = argsort_pairs(codes, signed_codes(starts))
    codes, starts, ends = codes[order], starts[order], ends[order]
    same = codes[1:] == codes[:-1]
    if (same & (ends[1:] < ends[:-1])).any():
        ends = _running_maximum(codes, ends)
    begins = np.ones(len(codes), np.bool_)
    np.less_equal(ends[:-1], starts[1:], out=begins[1:])
    begins[1:] |= ~same
    ids = np.empty(len(codes), np.int64)
    ids[order] = np.cumsum(begins) - 1
    places = np.flatnonzero(begins)
    lasts = np.append(places[1:], len(codes)) - 1
    return Sessions(ids, len(places), order[places], starts[places], ends[lasts])


def _running_maximum(codes: Int64s, values: Int64s) -> Int64s:
    """Per run of equal codes (ascending) the greatest value so far: code and rank in one number, accumulated."""
    bits = (len(values) - 1).bit_length()
    by_value = argsort_pairs(None, signed_codes(values))
    packed = np.empty(len(values), np.int64)
    packed[by_value] = np.arange(len(values))
    runs = np.cumsum(np.append(False, codes[1:] != codes[:-1]))
    packed |= runs << bits
    np.maximum.accumulate(packed, out=packed)
    packed &= (1 << bits) - 1
    greatest: Int64s = values[by_value[packed]]
    return greatest
