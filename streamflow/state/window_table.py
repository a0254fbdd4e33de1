"""What is kept of each window and key: a keyed table that forgets windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pyarrow as pa

from streamflow.kernels.arrays import Bools, Int64s, raw_values
from streamflow.kernels.hashing import hash_columns
from streamflow.state.columns import Slots
from streamflow.state.container import Capture, Container, Snapshot
from streamflow.state.key_order import key_order
from streamflow.state.keyed_table import KeyedTable
from streamflow.state.memory import SpillStore

WINDOW = "~window"


class WindowTable(Container):
    """A container (`streamflow.state.container`) of values by window number and key, which can spill.

    Slots hold until `retain` and `spill`. A key group is that of the key alone.

    >>> import numpy as np
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
        return raw_values(self._table.key(0, slots))

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

    def capture(self, groups: int) -> Capture:
        return self._grouped(self._table.capture(1), groups)

    def begin(self, *, stands: bool) -> int | None:
        """See `streamflow.state.container.Incremental`."""
        return self._table.begin(stands=stands)

    def capture_changes(self, groups: int) -> Capture:
        return self._grouped(self._table.capture_changes(1), groups)

    def _grouped(self, captured: Capture, groups: int) -> Capture:
        def snapshot() -> Snapshot:
            whole = captured.snapshot()
            rows = whole.rows
            order, offsets = key_order(hash_columns(rows.columns[1 : 1 + len(self.key_names)], rows.num_rows), groups)
            return replace(whole, rows=rows.take(pa.array(order)), offsets=offsets)

        return Capture(captured.rows, snapshot)

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        self._table.restore(parts, groups)

    def _named(self, columns: Sequence[str]) -> list[str]:
        """Their names in the table's snapshots. A value's name begins with a tilde, hence is no key's."""
        return [f"key.{WINDOW}", *(self._stored[name] for name in columns)]
