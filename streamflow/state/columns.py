"""Columns addressed by slot: what a keyed table keeps of each key.

Two layouts behind one interface. Values of a fixed width stand in a numpy array that grows by doubling. Strings,
binaries and lists stand in immutable Arrow chunks; a slot holds the row where its value lies, an overwritten row is
garbage until the column is compacted.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.kernels.arrays import view

Slots: TypeAlias = "npt.NDArray[np.int64]"
_SMALLEST = 1024
_LARGEST_CHUNK = 1 << 30
"""Bytes; a chunk's 32-bit offsets must be able to address it."""
_LONGEST_CHUNK = 1 << 19
"""Rows; to join more takes long."""
_PART = 1 << 16
"""So many slots are copied at once."""


class Column(Protocol):
    """Values of one Arrow type by slot. A slot must be put before it is got."""

    def reserve(self, slots: int) -> None:
        """Make room for slots 0 <= s < `slots`; what is there stays."""
        ...

    def put(self, slots: Slots | slice, values: pa.Array) -> None:
        """Set distinct slots that are within the reserve."""
        ...

    def get(self, slots: Slots) -> pa.Array:
        """The values at `slots`, in their order, as a new array."""
        ...

    def captured(self, slots: int, *, constant: bool) -> Column:
        """What the first `slots` slots are now; later changes do not show in it. `constant`: they are not put again."""
        ...

    def keep(self, slots: Slots) -> None:
        """Slot i becomes what `slots[i]` is, the others are forgotten, also their memory; there is no more reserve."""
        ...

    def resident(self, slots: int) -> int:
        """About how many bytes its values and the first `slots` slots take; what was only reserved takes none."""
        ...

    @property
    def has_nulls(self) -> bool:
        """False only if no null was ever put."""
        ...


def column(type_: pa.DataType) -> Column:
    """An empty column for values of a canonical type."""
    if pa.types.is_boolean(type_):
        return FixedColumn(type_, np.dtype(np.uint8))
    try:
        width = type_.bit_width // 8
    except ValueError:
        return ChunkedColumn(type_)
    if pa.types.is_nested(type_) or width == 0:
        return ChunkedColumn(type_)
    return FixedColumn(type_, np.dtype(f"u{width}" if width <= 8 else f"V{width}"))


def grown(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """A longer copy, zero beyond, at least doubled so that growth costs a constant per element.

    The system gives a large array no memory for what is still zero.
    """
    longer = np.zeros(max(size, 2 * len(array), _SMALLEST), array.dtype)
    longer[: len(array)] = array
    return longer


class FixedColumn:
    """Values as bits of a fixed width, and a flag each once there was a null."""

    def __init__(self, type_: pa.DataType, dtype: np.dtype[Any]) -> None:
        self._type = type_
        self._values = np.zeros(0, dtype)
        self._null: npt.NDArray[np.bool_] | None = None

    @property
    def has_nulls(self) -> bool:
        return self._null is not None

    def reserve(self, slots: int) -> None:
        if slots > len(self._values):
            self._values = grown(self._values, slots)
            if self._null is not None:
                self._null = grown(self._null, slots)

    def put(self, slots: Slots | slice, values: pa.Array) -> None:
        self._values[slots] = self._bits(values)
        if values.null_count:
            if self._null is None:
                self._null = np.zeros(len(self._values), np.bool_)
            self._null[slots] = values.is_null().to_numpy(zero_copy_only=False)
        elif self._null is not None:
            self._null[slots] = False

    def get(self, slots: Slots) -> pa.Array:
        values = self._values.take(slots)
        null = None if self._null is None else self._null.take(slots)
        if pa.types.is_boolean(self._type):
            return pa.array(values.view(np.bool_), mask=null)
        bitmap = None if null is None else pa.py_buffer(np.packbits(~null, bitorder="little"))
        return pa.Array.from_buffers(self._type, len(values), [bitmap, pa.py_buffer(values)])

    def captured(self, slots: int, *, constant: bool) -> FixedColumn:
        taken = FixedColumn(self._type, self._values.dtype)
        taken._values = self._values[:slots] if constant else self._values[:slots].copy()
        if self._null is not None:
            taken._null = self._null[:slots] if constant else self._null[:slots].copy()
        return taken

    def keep(self, slots: Slots) -> None:
        self._values = self._values.take(slots)
        if self._null is not None:
            self._null = self._null.take(slots)

    def resident(self, slots: int) -> int:
        return slots * (self._values.itemsize + self.has_nulls)

    def _bits(self, values: pa.Array) -> npt.NDArray[Any]:
        if pa.types.is_boolean(self._type):
            values = pc.cast(values, pa.uint8())
        return view(values, self._values.dtype)


class ChunkedColumn:
    """Values in Arrow chunks; row r is the r-th over all chunks, so that joining neighbours moves no row.

    Chunks are joined until each is long, or more than twice as long as the next: there are few, a value is copied a few
    times.
    """

    def __init__(self, type_: pa.DataType) -> None:
        self._type = type_
        self._row = np.zeros(0, np.int64)  # from 1 on; 0 for a slot that was not put
        self._chunks: list[pa.Array] = []
        self._sizes: list[int] = []
        self._starts = np.zeros(1, np.int64)
        self._used = 0
        self.has_nulls = False

    def reserve(self, slots: int) -> None:
        if slots > len(self._row):
            self._row = grown(self._row, slots)

    def put(self, slots: Slots | slice, values: pa.Array) -> None:
        if len(values) == 0:
            return
        self.has_nulls = self.has_nulls or values.null_count > 0
        rows = int(self._starts[-1])
        fresh = len(values) - int(np.count_nonzero(self._row[slots]))
        self._row[slots] = np.arange(rows + 1, rows + 1 + len(values))
        self._used += fresh
        self._append(values)
        if rows + len(values) > 2 * self._used + 65_536:
            self._compact()

    def get(self, slots: Slots) -> pa.Array:
        rows = self._row.take(slots) - 1
        if len(self._chunks) == 1:
            return self._chunks[0].take(pa.array(rows))
        if len(rows) == 0:
            return pa.array([], self._type)
        which = np.searchsorted(self._starts, rows, side="right") - 1
        rows -= self._starts.take(which)
        order = np.argsort(which.astype(np.uint16), kind="stable")
        rows = rows.take(order)
        parts = []
        start = 0
        for chunk, count in zip(self._chunks, np.bincount(which, minlength=len(self._chunks)).tolist(), strict=True):
            if count:
                parts.append(chunk.take(pa.array(rows[start : start + count])))
                start += count
        if len(parts) == 1:
            return parts[0]
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return pa.concat_arrays(parts).take(pa.array(back))

    def captured(self, slots: int, *, constant: bool) -> ChunkedColumn:
        taken = ChunkedColumn(self._type)
        taken._row = self._row[:slots].copy()
        taken._chunks, taken._starts = list(self._chunks), self._starts
        taken.has_nulls = self.has_nulls
        return taken

    def keep(self, slots: Slots) -> None:
        parts = [self.get(slots[start : start + _PART]) for start in range(0, len(slots), _PART)]
        self._chunks, self._sizes = [], []
        self._starts = np.zeros(1, np.int64)
        for part in parts:
            self._append(part)
        self._row = np.arange(1, len(slots) + 1)
        self._used = len(slots)

    def resident(self, slots: int) -> int:
        return slots * self._row.itemsize + sum(self._sizes)

    def _append(self, values: pa.Array) -> None:
        chunks, sizes = self._chunks, self._sizes
        chunks.append(values)
        sizes.append(values.nbytes)
        while len(chunks) > 1 and len(chunks[-2]) <= 2 * len(chunks[-1]):
            if sizes[-2] + sizes[-1] > _LARGEST_CHUNK or len(chunks[-2]) + len(chunks[-1]) > _LONGEST_CHUNK:
                break
            last, size = chunks.pop(), sizes.pop()
            chunks[-1] = pa.concat_arrays([chunks[-1], last])
            sizes[-1] += size
        self._starts = np.zeros(len(chunks) + 1, np.int64)
        np.cumsum([len(chunk) for chunk in chunks], out=self._starts[1:])

    def _compact(self) -> None:
        """Drop the rows that no slot names, keeping the others in their order."""
        row = self._row
        used = np.flatnonzero(row)
        order = used[np.argsort(row[used])]
        self.keep(order)
        row[order] = self._row
        self._row = row
