"""The bids that all queries read, cut into batches, and the same with keys that are harder to group."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from streamflow_connectors import nexmark

Keys: TypeAlias = Literal["compact", "scattered", "text"]
COLUMNS = ("auction", "bidder", "price", "date_time")
KEYS = ("auction", "bidder")
DISORDER = "1s"
"""A bid is up to so much earlier than its turn; the queries' watermarks wait as long, so that none is late."""
_ODD = np.uint64(0x9E3779B97F4A7C15)


@functools.lru_cache(maxsize=1)
def bids(rows: int) -> pa.Table:
    """About `rows` bids, 9,200 a second of event time, as one chunk."""
    source = nexmark.Source("bids", events=rows * 50 // 46, disorder=DISORDER).project(COLUMNS)
    reader = source.open({"0": None})
    batches = []
    while isinstance(polled := reader.poll(1 << 18), Sequence):
        batches += [part[1] for part in polled if isinstance(part, tuple)]
    return pa.Table.from_batches(batches).combine_chunks()


def with_keys(table: pa.Table, keys: Keys) -> pa.Table:
    """The same bids, ids spread over all 64 bits, or as text ("user-1234567")."""
    if keys == "compact":
        return table
    for name in KEYS:
        ids = table[name].combine_chunks()
        if keys == "scattered":
            changed = pa.array((ids.to_numpy().view(np.uint64) * _ODD).view(np.int64))
        else:
            changed = pc.binary_join_element_wise("user", ids.cast(pa.string()), "-")
        table = table.set_column(table.schema.get_field_index(name), name, changed)
    return table.combine_chunks()


def cut(table: pa.Table, rows: int) -> list[pa.RecordBatch]:
    """Batches of at most `rows` rows, without a copy."""
    batches: list[pa.RecordBatch] = table.to_batches(max_chunksize=rows)
    return batches
