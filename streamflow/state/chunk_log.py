"""The chunk log: immutable Arrow chunks per namespace, appended on the hot path and read when a window fires."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import raw_values
from streamflow.kernels.grouping import runs
from streamflow.kernels.hashing import hash_columns, key_groups
from streamflow.state.container import Snapshot

NAMESPACE = "~namespace"


class ChunkLog:
    """A `Container` of record batches of one schema under int namespaces, such as slices or window ends.

    Appending costs a dict look-up. Chunks are never changed, so what was read stays as it was. Key groups show only in
    snapshots: the rows' groups are those of their `keys` columns; without keys all rows are in one group (rule 31).

    >>> log = ChunkLog(("word",), pa.schema({"word": pa.string()}))
    >>> log.append(7, pa.record_batch({"word": ["a", "b"]}))
    >>> other = ChunkLog(("word",), pa.schema({"word": pa.string()}))
    >>> other.restore([log.snapshot(groups=4)], range(0, 4))
    >>> list(other.namespaces()), sum(chunk.num_rows for chunk in other.read(7))
    ([7], 2)
    """

    def __init__(self, keys: Sequence[str], schema: pa.Schema) -> None:
        if NAMESPACE in schema.names:
            raise ValueError(f"the column {NAMESPACE} is the chunk log's own")
        self._keys = [schema.get_field_index(key) for key in keys]
        self._schema = schema
        self._chunks: dict[int, list[pa.RecordBatch]] = {}

    def append(self, namespace: int, chunk: pa.RecordBatch) -> None:
        """Add rows; the order of chunks within a namespace means nothing."""
        chunks = self._chunks.get(namespace)
        if chunks is None:
            self._chunks[namespace] = [chunk]
        else:
            chunks.append(chunk)

    def read(self, namespace: int) -> list[pa.RecordBatch]:
        """The chunks of a namespace; none where nothing was appended. Not to be changed."""
        return self._chunks.get(namespace, [])

    def replace(self, namespace: int, chunk: pa.RecordBatch) -> None:
        """Put one chunk in the place of all: what a compaction made of them."""
        self._chunks[namespace] = [chunk]

    def drop(self, namespace: int) -> None:
        """Forget a namespace; nothing happens where there is none."""
        self._chunks.pop(namespace, None)

    def namespaces(self) -> list[int]:
        """The namespaces that hold chunks, ascending."""
        return sorted(self._chunks)

    def snapshot(self, groups: int) -> Snapshot:
        chunks = [(namespace, chunk) for namespace, list_ in sorted(self._chunks.items()) for chunk in list_]
        stored = self._schema.append(pa.field(NAMESPACE, pa.int64()))
        if not chunks:
            return Snapshot(pa.RecordBatch.from_pylist([], schema=stored), np.zeros(groups + 1, np.int64))
        rows = pa.concat_batches([chunk for _, chunk in chunks])
        sizes = np.array([chunk.num_rows for _, chunk in chunks])
        namespaces = np.repeat(np.array([namespace for namespace, _ in chunks], np.int64), sizes)
        rows = pa.RecordBatch.from_arrays([*rows.columns, pa.array(namespaces)], schema=stored)
        group_of = key_groups(hash_columns([rows.column(key) for key in self._keys], rows.num_rows), groups)
        offsets = np.zeros(groups + 1, np.int64)
        np.cumsum(np.bincount(group_of, minlength=groups), out=offsets[1:])
        return Snapshot(rows.take(pa.array(np.argsort(group_of, kind="stable"))), offsets)

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        for part in parts:
            self._take_over(part.slice(groups))

    def _take_over(self, rows: pa.RecordBatch) -> None:
        """Append rows of many namespaces, one chunk for each."""
        if rows.num_rows == 0:
            return
        namespaces = raw_values(rows.column(rows.num_columns - 1))
        order = np.argsort(namespaces, kind="stable")
        ordered = namespaces[order]
        chunks = rows.select(self._schema.names).take(pa.array(order))
        for start, stop in runs(ordered):
            self.append(int(ordered[start]), chunks.slice(start, stop - start))
