"""Rows in the order of their key groups, as snapshots have them (rule 31)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Int64s
from streamflow.kernels.hashing import Hashes, hash_columns, key_groups
from streamflow.state.container import Snapshot


def key_order(hashes: Hashes, groups: int) -> tuple[Int64s, Int64s]:
    """The places of rows with these hashes by key group, and where each group begins: groups + 1 offsets.

    >>> order, offsets = key_order(np.array([3 << 62, 0, 2 << 62], np.uint64), groups=4)
    >>> order.tolist(), offsets.tolist()
    ([1, 2, 0], [0, 1, 1, 2, 3])
    """
    group = key_groups(hashes, groups)
    offsets = np.zeros(groups + 1, np.int64)
    np.cumsum(np.bincount(group, minlength=groups), out=offsets[1:])
    return np.argsort(group.astype(np.uint16 if groups <= 65_536 else np.uint32), kind="stable"), offsets


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a table that are put in order later: the hashes of their keys, and `columns` at some of their places."""

    count: int
    hashes: Callable[[], Hashes]
    columns: Callable[[Int64s], list[pa.Array]]


def ordered(pieces: Sequence[Piece], schema: pa.Schema, groups: int) -> tuple[pa.RecordBatch, Int64s]:
    """The rows of all pieces by key group, and the offsets of the groups."""
    order, offsets = key_order(np.concatenate([piece.hashes() for piece in pieces]), groups)
    if len(pieces) == 1:
        return pa.RecordBatch.from_arrays(pieces[0].columns(order), schema=schema), offsets
    parts = [piece.columns(np.arange(piece.count)) for piece in pieces]
    columns = [pa.concat_arrays(column) for column in zip(*parts, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema).take(pa.array(order)), offsets


def snapshot_of(chunks: Sequence[pa.RecordBatch], schema: pa.Schema, keys: Sequence[int], groups: int) -> Snapshot:
    """The rows of all chunks, of this schema; the columns at the places `keys` decide their groups."""
    rows = pa.concat_batches([pa.RecordBatch.from_pylist([], schema=schema), *chunks])
    order, offsets = key_order(hash_columns([rows.column(key) for key in keys], rows.num_rows), groups)
    return Snapshot(rows.take(pa.array(order)), offsets)
