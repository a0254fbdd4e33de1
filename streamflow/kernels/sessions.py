"""Sessions: the union of intervals of one key that overlap (rule 10).

A row at t is the interval [t, t + gap), an open session is the interval it has grown to, so that one kernel both finds
the sessions of raw rows and merges them into those that are open. Intervals that only touch do not overlap: rows
exactly one gap apart are two sessions.

The method is the usual one for unions of intervals: sort by (key, start), keep the greatest end so far, and cut where
the next start is not below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from streamflow.kernels.ordering import argsort_pairs, signed_codes

Int64s: TypeAlias = "npt.NDArray[np.int64]"

_LAST = np.int64(2**63 - 1)


@dataclass(frozen=True, slots=True)
class Sessions:
    """Intervals numbered by session, sessions in order of (key code, start).

    `ids`: the session of each interval. `first`: per session the index of an interval with its start. `starts`, `ends`:
    the session's bounds, end excluded.
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


def merge_intervals(codes: Int64s, starts: Int64s, ends: Int64s) -> Sessions:
    """The unions of overlapping intervals [start, end) of equal code; start < end.

    `codes`: a number per key; small, dense ones (`streamflow.kernels.grouping.group`) are fastest: about 50 M rows/s at
    64 k rows. Allocates some ten arrays of the number of rows.

    >>> found = merge_intervals(np.array([0, 0, 1, 0]), np.array([5, 0, 5, 20]), np.array([15, 10, 15, 30]))
    >>> found.ids.tolist(), found.starts.tolist(), found.ends.tolist()
    ([0, 0, 2, 1], [0, 20, 5], [15, 30, 15])
    """
    length = len(codes)
    if length == 0:
        nothing = np.zeros(0, np.int64)
        return Sessions(nothing, 0, nothing, nothing, nothing)
    order = argsort_pairs(codes, signed_codes(starts))
    codes, starts, ends = codes[order], starts[order], ends[order]
    same = codes[1:] == codes[:-1]
    if (same & (ends[1:] < ends[:-1])).any():
        ends = _running_maximum(codes, ends)
    begins = np.ones(length, np.bool_)
    np.less_equal(ends[:-1], starts[1:], out=begins[1:])
    begins[1:] |= ~same
    ids = np.empty(length, np.int64)
    ids[order] = np.cumsum(begins) - 1
    places = np.flatnonzero(begins)
    lasts = np.append(places[1:], length) - 1
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
