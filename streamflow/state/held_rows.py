"""State of steps that hold rows until the watermark passes, in no order and under no namespace."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamflow.kernels.hashing import hash_columns, key_groups
from streamflow.state.container import Snapshot


class HeldRows:
    """Rows of one schema, appended in chunks and taken all at once.

    `keys`: positions of the columns that decide a row's key group.

    >>> held = HeldRows(pa.schema([("k", pa.string())]), keys=[0])
    >>> held.append(pa.record_batch({"k": ["a"]}))
    >>> held.append(pa.record_batch({"k": ["b"]}))
    >>> held.count, held.take().column("k").to_pylist(), held.count
    (2, ['a', 'b'], 0)
    """

    def __init__(self, schema: pa.Schema, keys: Sequence[int]) -> None:
        self.schema = schema
        self.count = 0
        self._keys = tuple(keys)
        self._chunks: list[pa.RecordBatch] = []

    def append(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows:
            self._chunks.append(batch)
            self.count += batch.num_rows

    def take(self) -> pa.RecordBatch:
        """All rows as one batch; nothing is held afterwards."""
        chunks, self._chunks, self.count = self._chunks, [], 0
        if not chunks:
            return empty_batch(self.schema)
        return chunks[0] if len(chunks) == 1 else pa.concat_batches(chunks)

    def snapshot(self, groups: int) -> Snapshot:
        rows = self.take()
        self.append(rows)
        of_row = key_groups(hash_columns([rows.column(key) for key in self._keys], rows.num_rows), groups)
        order = np.argsort(of_row, kind="stable")
        offsets = np.searchsorted(of_row[order], np.arange(groups + 1))
        return Snapshot(rows.take(pa.array(order)), offsets)

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        for part in parts:
            self.append(part.slice(groups))


def empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    """No rows of a schema."""
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
