"""Counting rows by (number, key) without numbering the rows first: what a count of integer keys needs and no more.

A table with a slot per pair is counted into, and the pairs are read off its slots. 250-400 M rows/s where the table
fits in the cache; three int64 arrays of the number of rows are allocated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamflow.kernels.arrays import Int64s
from streamflow.kernels.grouping import fits_table


@dataclass(frozen=True, slots=True)
class Tally:
    """Pairs that occur, in ascending order, and how often each does."""

    numbers: Int64s
    keys: Int64s
    counts: Int64s


def tally(
    numbers: Int64s | int, keys: npt.NDArray[Any], counts: Int64s | None = None, within: range | None = None
) -> Tally | None:
    """Count the rows, at least one, by (number, key); None where the pairs span too wide a range for a table.

    `numbers`: one for each row, or one for all. `keys`: signed, or unsigned and narrower than 64 bits. `counts`: rows
    stand for so many rows each, at least one (None: for one). `within`: where the numbers lie (None: to be found out).

    >>> tally(np.array([1, 0, 1]), np.array([-5, 7, -5]))
    Tally(numbers=array([0, 1]), keys=array([ 7, -5]), counts=array([1, 2]))
    >>> tally(4, np.array([0, 2**40])) is None
    True
    """
    low = int(keys.min())
    radix = int(keys.max()) - low + 1
    if within is None:
        low_number, high_number = (numbers, numbers) if isinstance(numbers, int) else (numbers.min(), numbers.max())
        within = range(int(low_number), int(high_number) + 1)
    first, span = within.start, within.stop - within.start  # more than `len` can say
    slots = span * radix
    if not fits_table(slots, len(keys)):
        return None
    codes: Int64s = np.subtract(keys, low, dtype=np.int64)
    if span > 1:
        offsets = numbers - first
        offsets *= radix
        codes += offsets
    if counts is None:
        table = np.bincount(codes, minlength=slots)
    else:
        table = np.zeros(slots, np.int64)
        np.add.at(table, codes, counts)
    present = np.flatnonzero(table > 0)  # of booleans it is several times as fast
    found = table[present]
    if span > 1:
        starts = np.arange(0, slots + 1, radix)
        sizes = np.diff(np.searchsorted(present, starts))
        numbers_ = np.repeat(np.arange(first, first + span), sizes)
        present -= np.repeat(starts[:-1], sizes)
    else:
        numbers_ = np.full(len(present), first)
    present += low
    return Tally(numbers_, present, found)
