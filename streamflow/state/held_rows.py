"""State of steps that hold rows until the watermark passes, in no order and under no namespace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from streamflow.state.container import Capture, Container, Snapshot
from streamflow.state.key_order import snapshot_of
from streamflow.state.memory import RowSizes, SpillStore


class HeldRows(Container):
    """A `Spillable` container of rows of one schema, appended in chunks and taken all at once.

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
        self._bytes = 0
        self._sizes = RowSizes(schema)
        self._files: list[int] = []
        self._store: SpillStore | None = None

    def append(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows:
            self._chunks.append(batch)
            self.count += batch.num_rows
            if self._store is not None:
                self._bytes += self._sizes.of(batch)

    def take(self) -> pa.RecordBatch:
        """All rows as one batch; nothing is held afterwards."""
        chunks = self._all()
        self._forget()
        if not chunks:
            return empty_batch(self.schema)
        return chunks[0] if len(chunks) == 1 else pa.concat_batches(chunks)

    def take_pieces(self, size: int) -> Iterator[pa.RecordBatch]:
        """All rows in batches of at most `size`; from the first one on, what is appended is not among them."""
        chunks = self._all()
        self._forget()
        piece: list[pa.RecordBatch] = []
        rows = 0
        for chunk in chunks:
            start = 0
            while start < chunk.num_rows:
                piece.append(chunk.slice(start, size - rows))
                rows += piece[-1].num_rows
                start += piece[-1].num_rows
                if rows == size:
                    yield piece[0] if len(piece) == 1 else pa.concat_batches(piece)
                    piece, rows = [], 0
        if piece:
            yield piece[0] if len(piece) == 1 else pa.concat_batches(piece)

    @property
    def resident(self) -> int:
        return self._bytes

    def attach(self, store: SpillStore) -> None:
        self._store = store

    def spill(self, wanted: int) -> None:
        """All go: none is needed before the others."""
        assert self._store is not None
        if self._chunks:
            self._files.append(self._store.put(pa.concat_batches(self._chunks)))
            self._chunks, self._bytes = [], 0

    def _all(self) -> list[pa.RecordBatch]:
        store = self._store
        return self._chunks if store is None else [*self._chunks, *map(store.get, self._files)]

    def _forget(self) -> None:
        for file in self._files:
            assert self._store is not None
            self._store.free(file)
        self._chunks, self._files, self._bytes, self.count = [], [], 0, 0

    def capture(self, groups: int) -> Capture:
        chunks = list(self._all())
        return Capture(self.count, lambda: snapshot_of(chunks, self.schema, self._keys, groups))

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        for part in parts:
            self.append(part.slice(groups))


def empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    """No rows of a schema."""
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
