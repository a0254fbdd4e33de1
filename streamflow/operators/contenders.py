"""Which rows may still be among the first n of their window, where each window has one top and not one per key.

What is known of a window are the n best values so far of the column that decides first. Nearly all rows are worse, and
to find that out costs one comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Bools, Int64s
from streamflow.kernels.ordering import Codes, earliest, fixed_codes, no_later, top_rows
from streamflow.operators.events import RESERVED, TIME

Span: TypeAlias = "tuple[int | None, int | None]"
"""From this time, before that one; None: no bound on this side."""
ALL_TIME: Span = (None, None)
_NONE = np.zeros(0, np.int64)
_FEW = 8
"""So few rows are copied one by one sooner than `take` is called."""


class Ranking:
    """The total order of rows of a schema: `by`, then the other visible columns ascending, then the event time."""

    def __init__(self, by: Sequence[tuple[str, bool]], keys: Sequence[str], schema: pa.Schema) -> None:
        named = {*keys, *(column for column, _ in by)}
        rest = [name for name in schema.names if name not in named and name not in RESERVED]
        chain = [*by, *((name, False) for name in rest)]
        if all(column != TIME for column, _ in by):
            chain.append((TIME, False))
        self._places = [schema.get_field_index(column) for column, _ in chain]
        self._descending = [descending for _, descending in chain]
        self.has_codes = fixed_codes(pa.array([], schema.field(chain[0][0]).type), False) is not None

    def first_codes(self, rows: pa.RecordBatch, places: Int64s | None = None) -> Codes:
        """See `streamflow.kernels.ordering.fixed_codes`, of the column that decides first, where it `has_codes`."""
        codes = fixed_codes(rows.column(self._places[0]), self._descending[0], places)
        assert codes is not None
        return codes

    def no_later(self, rows: pa.RecordBatch, code: np.uint64) -> Bools:
        """See `streamflow.kernels.ordering.no_later`, of the column that decides first."""
        return no_later(rows.column(self._places[0]), self._descending[0], code)

    def earliest(self, rows: pa.RecordBatch) -> np.uint64:
        """See `streamflow.kernels.ordering.earliest`, of the column that decides first."""
        return earliest(rows.column(self._places[0]), self._descending[0])

    def top(self, rows: pa.RecordBatch, n: int, groups: Int64s | None = None) -> Int64s:
        """See `streamflow.kernels.ordering.top_rows`."""
        return top_rows([rows.column(place) for place in self._places], self._descending, n, groups)


class Contenders:
    """The best `n` values so far of each window, by its end. No state: what it forgets only leaves out fewer rows."""

    def __init__(self, ranking: Ranking, n: int) -> None:
        self._ranking = ranking
        self._n = n
        self._best: dict[int, Codes] = {}

    def find(self, rows: pa.RecordBatch, end: int, times: Int64s | None = None, span: Span = ALL_TIME) -> Int64s:
        """The rows that are not worse, by the first column, than n others of the window that ends there.

        Where there is a `span`, only rows with `times` in it are of this window.
        """
        known = self._best.get(end)
        if self._n == 1 and (times is None or span == ALL_TIME):
            places = self._find_best(rows, end, known)
        else:
            places = self._find_best_n(rows, end, known, times, span)
        if len(places) > 4 * self._n + 64:
            places = places[self._ranking.top(take_rows(rows, places), self._n)]
        return places

    def _find_best(self, rows: pa.RecordBatch, end: int, known: Codes | None) -> Int64s:
        """Where n is 1 and all rows are of the window: the least code decides, and mostly there is a lower one."""
        best = self._ranking.earliest(rows)
        if known is not None and len(known) and best > known[0]:
            return _NONE
        self._best[end] = np.array([best])
        (places,) = self._ranking.no_later(rows, best).nonzero()
        return places

    def _find_best_n(
        self, rows: pa.RecordBatch, end: int, known: Codes | None, times: Int64s | None, span: Span
    ) -> Int64s:
        inside: Int64s | None
        if known is not None and len(known) == self._n:
            (inside,) = self._ranking.no_later(rows, known.max()).nonzero()
            if times is not None and len(inside) and (nested := within(times[inside], span)) is not None:
                inside = inside[nested]
            if not len(inside):
                return inside
            codes = self._ranking.first_codes(rows, inside)
        else:
            inside = None if times is None else within(times, span)
            codes = self._ranking.first_codes(rows, inside)
        best = self._best[end] = _lowest(codes if known is None else np.concatenate([known, codes]), self._n)
        places = np.arange(len(codes)) if len(best) < self._n else (codes <= best.max()).nonzero()[0]
        return only(inside, places)

    def forget(self, time: int) -> None:
        """Windows that end at or before `time` are over."""
        self._best = {end: codes for end, codes in self._best.items() if end > time}


def within(times: Int64s, span: Span) -> Int64s | None:
    """Where the times in a span stand; None where it has no bounds.

    >>> within(np.array([7, 3, 5]), (5, None)).tolist()
    [0, 2]
    """
    start, end = span
    if start is None:
        return None if end is None else np.flatnonzero(times < end)
    if end is None:
        return np.flatnonzero(times >= start)
    return np.flatnonzero((times >= start) & (times < end))


def only(places: Int64s | None, kept: Int64s) -> Int64s:
    """Of these places (None: all), those that stand at `kept`."""
    return kept if places is None else places[kept]


def take_rows(rows: pa.RecordBatch, places: Int64s | None) -> pa.RecordBatch:
    """A copy of the rows at these places; None: the rows themselves."""
    if places is None:
        return rows
    if 0 < len(places) <= _FEW:
        return pa.concat_batches([rows.slice(place, 1) for place in places.tolist()])
    return rows.take(pa.array(places))


def _lowest(codes: Codes, n: int) -> Codes:
    """The n lowest codes, in no order; fewer where there are no more."""
    if n == 1 and len(codes):
        lowest: Codes = codes.min(keepdims=True)
        return lowest
    return codes if len(codes) <= n else np.partition(codes, n - 1)[:n]
