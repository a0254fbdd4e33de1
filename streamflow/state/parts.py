"""Chunks in parts by the hash of their keys, so that many large chunks can be merged a part at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamflow.kernels.arrays import Int64s
from streamflow.kernels.hashing import hash_columns

Places: TypeAlias = "npt.NDArray[np.uint32]"

PARTS = 256
"""By the lowest bits of the hash; key groups, and so workers, are told apart by the highest."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows and, where they are sorted by part, where each part begins: `offsets` has length PARTS + 1."""

    rows: pa.RecordBatch
    offsets: Int64s | None = None

    def sorted(self, keys: Sequence[int]) -> Chunk:
        """The same rows by part, by the columns at the places `keys`."""
        if self.offsets is not None:
            return self
        order, offsets = _order(self.rows, keys)
        return Chunk(self.rows.take(pa.array(order)), offsets)


def joined(chunks: Sequence[Chunk]) -> Chunk:
    """One of several that are sorted, where no part of one comes before a part of those before it."""
    offsets = np.sum([chunk.offsets for chunk in chunks if chunk.offsets is not None], axis=0)
    return chunks[0] if len(chunks) == 1 else Chunk(pa.concat_batches([chunk.rows for chunk in chunks]), offsets)


@dataclass(frozen=True, slots=True)
class _Parted:
    """`order`: None where the rows are sorted by part."""

    rows: pa.RecordBatch
    order: Places | None
    offsets: Int64s

    @classmethod
    def of(cls, chunk: Chunk, keys: Sequence[int]) -> _Parted:
        if chunk.offsets is not None:
            return cls(chunk.rows, None, chunk.offsets)
        return cls(chunk.rows, *_order(chunk.rows, keys))

    def between(self, start: int, stop: int) -> pa.RecordBatch:
        """The rows of a range of parts; zero-copy where they are sorted."""
        begin, end = int(self.offsets[start]), int(self.offsets[stop])
        if self.order is None:
            return self.rows.slice(begin, end - begin)
        return self.rows.take(pa.array(self.order[begin:end]))


def by_parts(chunks: Sequence[Chunk], keys: Sequence[int], size: int) -> Iterator[list[pa.RecordBatch]]:
    """The rows of all chunks in groups of about `size`; rows with the same keys are in one group.

    >>> one, other = (Chunk(pa.record_batch({"k": keys})) for keys in (["a", "b"], ["b", "c", "b"]))
    >>> [[rows["k"].to_pylist() for rows in group] for group in by_parts([one, other], [0], size=2)]
    [[['a'], ['c']], [['b'], ['b'], ['b']]]
    """
    return (group for group in in_steps(chunks, keys, size) if group)


def in_steps(chunks: Sequence[Chunk], keys: Sequence[int], size: int) -> Iterator[list[pa.RecordBatch]]:
    """The groups of `by_parts`, and before them an empty one for each `size` rows that had to be put in order first."""
    parted: list[_Parted] = []
    for chunk in chunks:
        if chunk.offsets is not None:
            parted.append(_Parted.of(chunk, keys))
            continue
        for start in range(0, chunk.rows.num_rows, size):
            parted.append(_Parted.of(Chunk(chunk.rows.slice(start, size)), keys))
            yield []
    ends = np.sum([one.offsets[1:] for one in parted], axis=0)
    total = int(ends[-1])
    begins = np.unique(np.searchsorted(ends, np.arange(0, total, size), side="right")).tolist()
    for start, stop in zip(begins, [*begins[1:], PARTS], strict=True):
        group = [one.between(start, stop) for one in parted]
        yield [rows for rows in group if rows.num_rows]


def _order(rows: pa.RecordBatch, keys: Sequence[int]) -> tuple[Places, Int64s]:
    hashes = hash_columns([rows.column(key) for key in keys], rows.num_rows)
    parts = hashes.astype(np.uint8)
    offsets = np.zeros(PARTS + 1, np.int64)
    np.cumsum(np.bincount(parts, minlength=PARTS), out=offsets[1:])
    return np.argsort(parts, kind="stable").astype(np.uint32), offsets
