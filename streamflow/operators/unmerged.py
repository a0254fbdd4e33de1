"""Raw rows that have not been merged into the open sessions yet, and which of them have some keys."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamflow.kernels.arrays import Int64s, raw_values
from streamflow.kernels.hashing import hash_columns
from streamflow.operators.events import MAX_TIME

_MARKS = 1 << 16
_LONG = 1 << 13
"""Chunks of more rows are not joined with others."""


class Unmerged:
    """Rows whose first `keys` columns are the keys and whose last one is the event time, in the order of arrival.

    `count`: how many. `end`: the least end of the sessions that they would be alone, MAX_TIME without rows.
    """

    def __init__(self, keys: int) -> None:
        self._keys = keys
        self._forget()

    def _forget(self) -> None:
        self.count = 0
        self.end = MAX_TIME
        self._chunks: list[pa.RecordBatch] = []
        self._marks: list[npt.NDArray[np.uint16]] = []
        """Of the first chunks: the lowest bits of the hash of each row's keys."""

    def add(self, rows: pa.RecordBatch, ends: Int64s) -> None:
        """At least one row; `ends`: of each of them alone."""
        self.count += rows.num_rows
        self.end = min(self.end, int(ends.min()))
        self._chunks.append(rows)

    def take(self, size: int) -> list[pa.RecordBatch]:
        """All rows, in batches of about `size`; none stays."""
        pieces: list[list[pa.RecordBatch]] = []
        rows = size
        for chunk in self._chunks:
            if rows >= size:
                pieces.append([])
                rows = 0
            pieces[-1].append(chunk)
            rows += chunk.num_rows
        self._forget()
        return [_joined(piece) for piece in pieces]

    def like(self, keys: Sequence[pa.Array], length: int) -> tuple[list[pa.Array], Int64s]:
        """Keys and times of the rows that have one of these keys, and of few others. They all stay."""
        self._mark()
        wanted = np.zeros(_MARKS, np.bool_)
        wanted[self._marks_of(keys, length)] = True
        found = []
        for chunk, marks in zip(self._chunks, self._marks, strict=True):
            places = np.flatnonzero(wanted.take(marks))
            if len(places):
                found.append(chunk.take(pa.array(places)))
        rows = _joined(found) if found else self._chunks[0].slice(0, 0)
        return rows.columns[: self._keys], raw_values(rows.column(-1))

    def _mark(self) -> None:
        """Each chunk gets its marks once; it is joined with short ones before it."""
        fresh = self._chunks[len(self._marks) :]
        if not fresh:
            return
        rows = _joined(fresh)
        del self._chunks[len(self._marks) :]
        marks = self._marks_of(rows.columns[: self._keys], rows.num_rows)
        while self._chunks and self._chunks[-1].num_rows <= min(2 * rows.num_rows, _LONG):
            rows = pa.concat_batches([self._chunks.pop(), rows])
            marks = np.concatenate([self._marks.pop(), marks])
        self._chunks.append(rows)
        self._marks.append(marks)

    def _marks_of(self, keys: Sequence[pa.Array], length: int) -> npt.NDArray[np.uint16]:
        return hash_columns(keys, length).astype(np.uint16)


def _joined(chunks: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    return chunks[0] if len(chunks) == 1 else pa.concat_batches(chunks)
