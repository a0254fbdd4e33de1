"""Counting rows by (number, key) without numbering the rows first: what a count of integer keys needs and no more.

A table with a slot per pair is counted into: 250-400 M rows/s where it fits in the cache; two int64 arrays of the
number of rows are allocated. Tables of one number are added up slot by slot, and keys read off the slots at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamflow.kernels.arrays import Int64s
from streamflow.kernels.grouping import fits_table


@dataclass(frozen=True, slots=True)
class CountTable:
    """How often keys of a range occur: `low` + i occurs `counts[i]` times."""

    low: int
    counts: Int64s

    def add(self, other: CountTable) -> bool:
        """Count what the other has counted too, if this table has room for its keys; whether it has."""
        start = other.low - self.low
        stop = start + len(other.counts)
        if start < 0 or stop > len(self.counts):
            return False
        self.counts[start:stop] += other.counts
        return True

    def entries(self) -> tuple[Int64s, Int64s]:
        """The keys that occur, ascending, and how often each does."""
        (present,) = (self.counts > 0).nonzero()  # of booleans it is several times as fast
        counts = self.counts.take(present)
        present += self.low
        return present, counts


def total(tables: Sequence[CountTable], slots: int | None = None) -> CountTable | None:
    """A new table of what several hold together; None where it would have more than so many slots.

    >>> total([CountTable(5, np.array([1, 0])), CountTable(6, np.array([2, 3]))])
    CountTable(low=5, counts=array([1, 2, 3]))
    """
    low = min([table.low for table in tables])
    size = max([table.low + len(table.counts) for table in tables]) - low
    if slots is not None and size > slots:
        return None
    whole = CountTable(low, np.zeros(size, np.int64))
    for table in tables:
        whole.add(table)
    return whole


@dataclass(frozen=True, slots=True)
class Tally:
    """Tables of one range of keys, one after another: those of the numbers from `first` on."""

    first: int
    low: int
    counts: Int64s
    """In two dimensions: by number and key."""

    def tables(self) -> Iterator[tuple[int, CountTable]]:
        """The numbers that occur, ascending, and their tables: parts of this one."""
        last = len(self.counts) - 1
        for place, counts in enumerate(self.counts):
            if place in (0, last) or counts.any():
                yield self.first + place, CountTable(self.low, counts)

    def entries(self) -> tuple[Int64s, Int64s, Int64s]:
        """Number, key and count of the pairs that occur, ascending."""
        span, radix = self.counts.shape
        keys, counts = CountTable(0, self.counts.reshape(-1)).entries()
        if span == 1:
            numbers = np.full(len(keys), self.first)
        else:
            starts = np.arange(0, span * radix + 1, radix)
            sizes = np.diff(np.searchsorted(keys, starts))
            numbers = np.repeat(np.arange(self.first, self.first + span), sizes)
            keys -= np.repeat(starts[:-1], sizes)
        keys += self.low
        return numbers, keys, counts


def key_range(keys: npt.NDArray[Any], numbers: int) -> range | None:
    """The range of the keys, if a table with so many slots for each is worth it for the rows, at least one.

    >>> key_range(np.array([7, 5]), 1), key_range(np.array([0, 2**40]), 1)
    (range(5, 8), None)
    """
    low = int(keys.min())
    radix = int(keys.max()) - low + 1
    return range(low, low + radix) if fits_table(numbers * radix, len(keys)) else None


def tally(
    numbers: range,
    places: npt.NDArray[Any] | None,
    among: range,
    keys: npt.NDArray[Any],
    counts: Int64s | None = None,
) -> Tally:
    """Count the rows, at least one, by (number, key).

    `places`: where each row's number stands in `numbers` (None: all are the first), the first and the last of which
    occur. `keys`: signed, or unsigned and narrower than 64 bits, `among` their `key_range`. `counts`: rows stand for so
    many rows each, at least one (None: for one).

    >>> found = tally(range(7, 9), np.array([1, 0, 1]), range(-5, -3), np.array([-5, -4, -5]))
    >>> found
    Tally(first=7, low=-5, counts=array([[0, 1],
           [2, 0]]))
    >>> found.entries()
    (array([7, 8]), array([-4, -5]), array([1, 2]))
    """
    low, span, radix = among.start, numbers.stop - numbers.start, among.stop - among.start
    codes: Int64s = np.subtract(keys, low, dtype=np.int64)
    if places is not None:
        codes += places.astype(np.int64, copy=False) * radix
    if counts is None:
        table = np.bincount(codes, minlength=span * radix)
    else:
        table = np.zeros(span * radix, np.int64)
        np.add.at(table, codes, counts)
    return Tally(numbers.start, low, table.reshape(span, radix))
