"""What is kept of each window and key: a keyed table that forgets windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Bools, Int64s, raw_values
from streamflow.kernels.hashing import hash_columns, key_groups
from streamflow.state.columns import Slots
from streamflow.state.container import Snapshot
from streamflow.state.keyed_table import KeyedTable
from streamflow.state.memory import SpillStore

WINDOW = "~window"


class WindowTable:
    """A container (`streamflow.state.container`) of values by window number and key, which can spill.

    Slots hold until `retain` and `spill`. A key group is that of the key alone.

    >>> table = WindowTable(pa.schema({"k": pa.string()}), pa.schema({"n": pa.int64()}))
    >>> slots, new = table.lookup_or_insert(np.array([7, 8]), [pa.array(["a", "a"])])
    >>> table.put("n", slots, pa.array([1, 2]))
    >>> table.retain([], lambda windows: windows == 8)
    >>> [key.to_pylist() for key in table.keys(np.array([0]))], table.get("n", np.array([0])).to_pylist()
    ([['a']], [2])
    """

    def __init__(self, keys: pa.Schema, values: pa.Schema) -> None:
        self.key_names = tuple(keys.names)
        self._stored = {name: f"key.{name}" for name in keys.names} | {name: f"value.{name}" for name in values.names}
        self._table = KeyedTable(pa.schema([pa.field(WINDOW, pa.int64()), *keys]), values)

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

    def windows(self, slots: Slots) -> Int64s:
        """The window of each of these slots."""
        return raw_values(self._table.keys(slots)[0])

    def select(self, columns: Sequence[str], which: Callable[..., Bools]) -> Iterator[Slots]:
        """The slots that `which` is true of, some at a time, as `KeyedTable.select`.

        It is called with the numbers of windows and these columns.
        """
        return self._table.select(self._named(columns), lambda first, *rest: which(raw_values(first), *rest))

    def retain(self, columns: Sequence[str], keeps: Callable[..., Bools]) -> None:
        """Forget what `keeps` is not true of; slots are numbered anew."""
        self._table.retain(self._named(columns), lambda first, *rest: keeps(raw_values(first), *rest))

    @property
    def resident(self) -> int:
        return self._table.resident

    def attach(self, store: SpillStore) -> None:
        self._table.attach(store)

    def spill(self, wanted: int) -> None:
        self._table.spill(wanted)

    def snapshot(self, groups: int) -> Snapshot:
        whole = self._table.snapshot(1)
        rows = whole.rows
        group = key_groups(hash_columns(rows.columns[1 : 1 + len(self.key_names)], rows.num_rows), groups)
        offsets = np.zeros(groups + 1, np.int64)
        np.cumsum(np.bincount(group, minlength=groups), out=offsets[1:])
        return Snapshot(rows.take(pa.array(np.argsort(group, kind="stable"))), offsets, whole.meta)

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        self._table.restore(parts, groups)

    def _named(self, columns: Sequence[str]) -> list[str]:
        """Their names in the table's snapshots. A value's name begins with a tilde, hence is no key's."""
        return [f"key.{WINDOW}", *(self._stored[name] for name in columns)]
