"""State of steps that hold rows until the watermark passes: the rows, and the watermark they are judged by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamflow.kernels.grouping import raw_values
from streamflow.kernels.hashing import hash_columns, key_groups
from streamflow.state.container import Snapshot

_NEVER = -(2**63)


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
            return _empty(self.schema)
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


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)


class KeyGroupWatermarks:
    """The watermark that rows are judged by, and how many were late, per key group (rules 6 and 27).

    While rows flow there is one watermark. After a restore from workers whose watermarks differed, a row is judged by
    the greater of this operator's and its key group's own, until the operator's has caught up with all. A worker writes
    only the groups that it owns: those of its `restore`, or all if it never had one.
    """

    def __init__(self) -> None:
        self.time = _NEVER
        self.late = 0
        self._owned: range | None = None
        self._restored: npt.NDArray[np.int64] | None = None

    def rise(self, time: int) -> None:
        self.time = max(self.time, time)
        if self._restored is not None and self.time >= int(self._restored.max()):
            self._restored = None

    @property
    def settled(self) -> bool:
        """One watermark judges all rows."""
        return self._restored is None

    def of(self, keys: Sequence[pa.Array], length: int) -> int | npt.NDArray[np.int64]:
        """The watermark by which rows with these keys are judged: one for all, or one per row."""
        if self._restored is None:
            return self.time
        return np.maximum(self._restored[key_groups(hash_columns(keys, length), len(self._restored))], self.time)

    def snapshot(self, groups: int) -> Snapshot:
        owned = self._owned if self._owned is not None else range(groups)
        times = np.full(groups, self.time)
        if self._restored is not None:
            np.maximum(times, self._restored, out=times)
        late = np.zeros(len(owned), np.int64)
        late[:1] = self.late
        rows = pa.record_batch({"watermark": pa.array(times[owned.start : owned.stop]), "late": pa.array(late)})
        offsets = np.clip(np.arange(groups + 1) - owned.start, 0, len(owned))
        return Snapshot(rows, offsets)

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        self._owned = groups
        if not parts:
            return
        restored = np.full(len(parts[0].offsets) - 1, _NEVER)
        for part in parts:
            rows = part.slice(groups)
            held = np.arange(len(part.offsets) - 1)[np.diff(part.offsets) > 0]
            held = held[(held >= groups.start) & (held < groups.stop)]
            np.maximum.at(restored, held, raw_values(rows.column("watermark")))
            self.late += int(raw_values(rows.column("late")).sum())
        self._restored = restored
