"""Counts by integer key of the slices that are being filled, as tables: to add to one takes microseconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streamflow.kernels.tally import CountTable, total

WIDEST = 1 << 16
"""A slice's table has at most so many slots."""
_SLOTS = 1 << 20
"""All tables together have at most so many."""
_NEAR = 4
"""Tables are added up where the sum has at most so many times their slots."""


class SliceTables:
    """One table per slice. They are there for speed only, and no state: `take` them before a snapshot.

    >>> import numpy as np
    >>> tables = SliceTables()
    >>> tables.add(7, CountTable(100, np.array([1, 2])))
    []
    >>> tables.add(8, CountTable(101, np.array([5])))
    []
    >>> tables.of(range(5, 9))
    [CountTable(low=100, counts=array([1, 7]))]
    """

    def __init__(self) -> None:
        self._tables: dict[int, CountTable] = {}
        self._slots = 0

    def __iter__(self) -> Iterator[int]:
        """The slices that have one."""
        return iter(self._tables)

    def add(self, number: int, table: CountTable) -> list[tuple[int, CountTable]]:
        """Add to a slice's table. What there is no room for any more is given back, with its slice."""
        known = self._tables.get(number)
        if known is not None and known.add(table):
            return []
        left: list[tuple[int, CountTable]] = []
        grown = None if known is None else total([known, table], WIDEST)
        if grown is None:
            if known is not None:
                left.append((number, known))
            grown = total([table], WIDEST)  # a copy: it may be a part of a larger one, which would be kept in memory
        self.drop(number)
        if grown is None:
            return [*left, (number, table)]
        if self._slots + len(grown.counts) > _SLOTS:
            left += self.take()
        self._tables[number] = grown
        self._slots += len(grown.counts)
        return left

    def of(self, slices: Iterable[int]) -> list[CountTable]:
        """What these slices hold: one table, if their keys lie near each other."""
        tables = [table for number in slices if (table := self._tables.get(number)) is not None]
        if len(tables) < 2:
            return tables
        whole = total(tables, _NEAR * sum([len(table.counts) for table in tables]))
        return tables if whole is None else [whole]

    def drop(self, number: int) -> None:
        """Forget a slice; nothing happens where it has no table."""
        table = self._tables.pop(number, None)
        if table is not None:
            self._slots -= len(table.counts)

    def take(self) -> list[tuple[int, CountTable]]:
        """All tables, which are forgotten here."""
        taken = list(self._tables.items())
        self._tables.clear()
        self._slots = 0
        return taken
