"""What is kept of each window and key: a keyed table that forgets windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Bools, Int64s, raw_values
from streamflow.kernels.hashing import hash_columns, key_groups
from streamflow.state.columns import Slots
from streamflow.state.container import Snapshot
from streamflow.state.keyed_table import KeyedTable

WINDOW = "~window"


class WindowTable:
    """A `Container` of values by window number and key. Slots stay until `keep`; a key group is that of the key alone.

    >>> table = WindowTable(pa.schema({"k": pa.string()}), pa.schema({"n": pa.int64()}))
    >>> slots, new = table.lookup_or_insert(np.array([7, 8]), [pa.array(["a", "a"])])
    >>> table.put("n", slots, pa.array([1, 2]))
    >>> table.keep(table.windows() == 8)
    >>> [key.to_pylist() for key in table.keys(np.array([0]))], table.get("n", np.array([0])).to_pylist()
    ([['a']], [2])
    """

    def __init__(self, keys: pa.Schema, values: pa.Schema) -> None:
        self._key_fields = keys
        self._value_fields = values
        self._table = self._empty()

    def _empty(self) -> KeyedTable:
        return KeyedTable(pa.schema([pa.field(WINDOW, pa.int64()), *self._key_fields]), self._value_fields)

    def __len__(self) -> int:
        return len(self._table)

    def lookup_or_insert(self, windows: Int64s, keys: Sequence[pa.Array]) -> tuple[Slots, Bools]:
        """The slot of each distinct pair, and which of them are new: put all their values before any is got."""
        return self._table.lookup_or_insert([pa.array(windows), *keys], len(windows))

    def put(self, name: str, slots: Slots, values: pa.Array) -> None:
        self._table.put(name, slots, values)

    def get(self, name: str, slots: Slots) -> pa.Array:
        return self._table.get(name, slots)

    def keys(self, slots: Slots) -> list[pa.Array]:
        return self._table.keys(slots)[1:]

    def windows(self, slots: Slots | None = None) -> Int64s:
        """The window of each of these slots, or of all."""
        return raw_values(self._table.keys(np.arange(len(self)) if slots is None else slots)[0])

    def keep(self, kept: Bools) -> None:
        """Forget all other slots; the slots are numbered anew."""
        if kept.all():
            return
        rows = self._rows(np.flatnonzero(kept))
        self._table = self._empty()
        self._append(rows)

    def snapshot(self, groups: int) -> Snapshot:
        rows = self._rows(np.arange(len(self)))
        keys = rows.columns[1 : 1 + len(self._key_fields)]
        group = key_groups(hash_columns(keys, rows.num_rows), groups)
        offsets = np.zeros(groups + 1, np.int64)
        np.cumsum(np.bincount(group, minlength=groups), out=offsets[1:])
        return Snapshot(rows.take(pa.array(np.argsort(group, kind="stable"))), offsets)

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        for part in parts:
            self._append(part.slice(groups))

    def _rows(self, slots: Slots) -> pa.RecordBatch:
        columns = [*self._table.keys(slots), *(self.get(field.name, slots) for field in self._value_fields)]
        fields = [pa.field(WINDOW, pa.int64()), *(f.with_name(f"key.{f.name}") for f in self._key_fields)]
        fields += [field.with_name(f"value.{field.name}") for field in self._value_fields]
        return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))

    def _append(self, rows: pa.RecordBatch) -> None:
        if not rows.num_rows:
            return
        stop = 1 + len(self._key_fields)
        slots, _ = self._table.lookup_or_insert(rows.columns[:stop], rows.num_rows)
        for field, values in zip(self._value_fields, rows.columns[stop:], strict=True):
            self._table.put(field.name, slots, values)
