"""The keyed table: key -> slot -> columns. State of running aggregates, one table per worker and step (rule 31).

A slot is found by open addressing over whole batches: an int32 array, at most a third full and indexed by the lower
bits of the key's hash, gives a candidate slot per row; rows whose candidate has another key step to the next place, all
at once, until none is left. (The upper bits choose the key group, so within a worker they are not spread.) Slots are
dense and never move while a call uses them, so columns are plain arrays by slot; the table doubles, which costs a
constant per key.

With a store it spills (`streamflow.state.memory`): the keys that were asked for least, and counted down with each
spill, leave for files (`streamflow.state.frozen_rows`), the others are numbered anew. A key that is not found in memory
is looked for there, and comes back to a new slot.

Known int64 keys, a million of them, are found at 30 M/s in batches of 16 k (one core), strings at 4-5 M/s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamflow.errors import EngineError
from streamflow.kernels.arrays import Bools, Int64s
from streamflow.kernels.canonical import canonical_key
from streamflow.kernels.equality import equal_rows
from streamflow.kernels.hashing import HASH_VERSION, Hashes, hash_columns
from streamflow.state.changes import Changes
from streamflow.state.columns import Column, Slots, column, grown
from streamflow.state.container import Capture, Container, Snapshot
from streamflow.state.frozen_rows import BYTES_PER_ROW, FrozenRows
from streamflow.state.key_order import Piece, ordered
from streamflow.state.memory import SpillStore

_SPARSE = 3
"""Places per slot, at least: a fuller table makes more rows step twice and more."""
_MOST_SLOTS = 2**31 - 1
_SMALLEST_INDEX = 1024
_HOTTEST = 255
_SPILL_AT_LEAST = 8
"""A spill takes at least this part of the slots, since it visits all."""
_MOST_GONE = 1 << 16
"""So many more keys may be gone, since they were captured, than there are: then everything is captured again."""
_FEW = 8
"""Of less than this part of the slots the values are gathered when they are captured."""
_RESTORED = 1 << 18
"""So many rows of a snapshot come into memory at once; with a store the others wait in files until asked for."""


class KeyedTable(Container):
    """A container (`streamflow.state.container`): `keys` identify a row, `values` are what is kept of it.

    Both schemas are of canonical types; keys are not nested. A snapshot has a column `key.<name>` or `value.<name>` for
    each.

    >>> table = KeyedTable(pa.schema({"k": pa.string()}), pa.schema({"n": pa.int64()}))
    >>> slots, new = table.lookup_or_insert([pa.array(["a", "b"])], 2)
    >>> table.put("n", slots, pa.array([10, 20]))
    >>> slots, new = table.lookup_or_insert([pa.array(["c", "b"])], 2)
    >>> new.tolist(), table.get("n", slots[~new]).to_pylist(), len(table)
    ([True, False], [20], 3)
    """

    def __init__(self, keys: pa.Schema, values: pa.Schema) -> None:
        if len(keys) + len(values) == 0:
            raise ValueError("a keyed table needs a column")
        for field in keys:
            if pa.types.is_nested(field.type):
                raise ValueError(f"column {field.name!r} of type {field.type} cannot be a key")
        self._schema = _stored_schema(keys, values)
        self.key_schema = pa.schema(list(self._schema)[: len(keys)])
        self._keys: list[Column] = [column(field.type) for field in keys]
        self._values: dict[str, Column] = {field.name: column(field.type) for field in values}
        self._hash_decides = _hash_decides(keys)
        self._count = 0
        self._hashes: Hashes = np.zeros(0, np.uint64)
        self._heat: npt.NDArray[np.uint8] = np.zeros(0, np.uint8)
        """How often each slot was asked for, halved by every spill."""
        self._places = np.full(_SMALLEST_INDEX, -1, np.int32)
        self._frozen: FrozenRows | None = None
        self._changes: Changes | None = None
        """None until there is a snapshot that they could be told from."""

    def __len__(self) -> int:
        return self._count + (len(self._frozen) if self._frozen else 0)

    def lookup_or_insert(self, keys: Sequence[pa.Array], length: int) -> tuple[Slots, Bools]:
        """The slot of each of `length` distinct keys, and which of them are new.

        New keys get the next slots, in an order that depends on their hashes; put all their values before any is got.
        Slots hold until the table spills or forgets, which nothing else here does.
        """
        keys = [canonical_key(key) for key in keys]
        hashes = hash_columns(keys, length)
        slots = self._places.take((hashes & np.uint64(len(self._places) - 1)).view(np.int64)).astype(np.int64)
        if self._count:
            found = self._match(slots, hashes, keys, None)
            missing = np.flatnonzero(~found)
        else:
            missing = np.arange(length)
        if missing.size and self._frozen:
            missing = self._thaw(self._frozen, missing, slots, hashes, keys)
        before = self._count
        if missing.size:
            self._reserve(before + missing.size)
            self._probe(missing, slots, hashes, keys)
        new = slots >= before
        if self._count > before:
            self._insert_keys(slots, new, before, keys)
        if self._frozen is not None:
            heat = self._heat.take(slots)
            self._heat[slots] = heat + (heat < _HOTTEST)
        return slots, new

    def forget_new(self, slots: Slots) -> None:
        """Undo the last `lookup_or_insert`, whose new slots were these."""
        if not len(slots):
            return
        self._count -= len(slots)
        self._places[self._places >= self._count] = -1

    def put(self, name: str, slots: Slots, values: pa.Array) -> None:
        """Set a value column at distinct slots."""
        self._values[name].put(slots, values)
        self.touch(slots)

    def touch(self, slots: Slots | slice) -> None:
        """What is kept of the keys at these slots, here or by the owner of the table, has changed."""
        if self._changes is not None:
            self._changes.touch(slots)

    def get(self, name: str, slots: Slots) -> pa.Array:
        """A value column at these slots, as a new array."""
        return self._values[name].get(slots)

    def keys(self, slots: Slots) -> list[pa.Array]:
        """The key columns at these slots, as new arrays."""
        return [stored.get(slots) for stored in self._keys]

    def key(self, place: int, slots: Slots) -> pa.Array:
        """One of the key columns at these slots."""
        return self._keys[place].get(slots)

    def select(self, columns: Sequence[str], which: Callable[..., Bools]) -> Iterator[Slots]:
        """The slots of all keys that `which` is true of, some at a time; what was frozen comes into memory for it.

        `which` is called with these columns, named as in snapshots, of many keys at once. Slots of the first part may
        be none. The table may spill between two parts: the slots of one do not hold until the next, and a key that has
        been given comes again unless `which` is no longer true of it. No new keys may come meanwhile.
        """
        places = [self._schema.get_field_index(name) for name in columns]
        yield np.flatnonzero(which(*self._columns_at(np.arange(self._count), places)))
        if self._frozen:
            for hashes, rows in self._frozen.pull(places, which):
                yield self._append(hashes, rows)

    def retain(self, columns: Sequence[str], keeps: Callable[..., Bools]) -> None:
        """Forget every key but those that `keeps` is true of, called as by `select`; slots are numbered anew."""
        places = [self._schema.get_field_index(name) for name in columns]
        kept = keeps(*self._columns_at(np.arange(self._count), places))
        if not kept.all():
            self._bury(self.keys(np.flatnonzero(~kept)) if self._changes is not None else [])
            self._keep(np.flatnonzero(kept))
        if self._frozen:
            self._retain_frozen(self._frozen, places, lambda *values: ~keeps(*values))

    def _retain_frozen(self, frozen: FrozenRows, columns: Sequence[int], which: Callable[..., Bools]) -> None:
        if self._changes is None:
            frozen.forget(columns, which)
            return
        for _, rows in frozen.pull(columns, which):
            self._bury(rows[: len(self._keys)])

    def _bury(self, keys: Sequence[pa.Array]) -> None:
        """Note keys that are no more; rather none of the changes than more than there are keys."""
        if self._changes is not None and keys:
            self._changes.bury(keys)
            if self._changes.gone > len(self) + _MOST_GONE:
                self._changes = None

    @property
    def resident(self) -> int:
        """About how many bytes it keeps in memory."""
        return self._resident_slots + (self._frozen.resident if self._frozen else 0)

    @property
    def _resident_slots(self) -> int:
        columns = sum(stored.resident(self._count) for stored in self._columns)
        return self._places.nbytes + self._count * (self._hashes.itemsize + self._heat.itemsize) + columns

    def attach(self, store: SpillStore) -> None:
        self._frozen = FrozenRows(store, self._schema, len(self._keys), hash_decides=self._hash_decides)

    def spill(self, wanted: int) -> None:
        """Freeze the coldest keys, of those the oldest; nothing where most of the memory is for what is frozen."""
        frozen = self._frozen
        if frozen is None or not self._count or 4 * self._resident_slots < frozen.resident:
            return
        width = self._resident_slots // self._count
        count = -(-wanted // max(1, width - BYTES_PER_ROW))
        count = min(self._count, max(count, self._count // _SPILL_AT_LEAST))
        by_heat = np.argsort(self._heat[: self._count], kind="stable")
        self._freeze(frozen, by_heat[:count], width)
        self._keep(np.sort(by_heat[count:]))
        self._heat >>= 1

    def capture(self, groups: int) -> Capture:
        pieces = [self._piece(None)]
        if self._frozen:
            pieces += self._frozen.captured()
        return self._captured(pieces, groups, None)

    def begin(self, *, stands: bool) -> int | None:
        """See `streamflow.state.container.Incremental`."""
        if self._changes is None:
            self._changes = Changes(len(self._hashes)) if self._keys else None
            return None
        self._changes.begin(stands=stands)
        frozen = self._frozen.begin(stands=stands) if self._frozen else 0
        return len(self._changes.slots(self._count)) + self._changes.gone + frozen

    def capture_changes(self, groups: int) -> Capture:
        assert self._changes is not None
        pieces = [self._piece(self._changes.slots(self._count))]
        if self._frozen:
            pieces += self._frozen.captured_changes()
        return self._captured(pieces, groups, self.gone())

    def changed(self) -> Slots:
        """The slots that have changed, as `begin` counted them."""
        assert self._changes is not None
        return self._changes.slots(self._count)

    def gone(self) -> pa.RecordBatch:
        """The keys that are gone, as `begin` counted them; some may stand again, some more than once."""
        assert self._changes is not None
        return self._changes.keys_gone(self.key_schema)

    def _piece(self, slots: Slots | None) -> Piece:
        """These slots as they are now, None: all. Of many the columns are copied, which is faster than to gather."""
        count = self._count if slots is None else len(slots)
        hashes = self._hashes[: self._count]
        if slots is not None and count * _FEW < self._count:
            rows = self._columns_at(slots)
            return Piece(count, lambda: hashes.take(slots), lambda places: [row.take(pa.array(places)) for row in rows])
        columns = [stored.captured(self._count, constant=True) for stored in self._keys]  # these are never put again
        columns += [stored.captured(self._count, constant=False) for stored in self._values.values()]

        def at(places: Int64s) -> list[pa.Array]:
            chosen = places if slots is None else slots.take(places)
            return [stored.get(chosen) for stored in columns]

        return Piece(count, lambda: hashes if slots is None else hashes.take(slots), at)

    def _captured(self, pieces: Sequence[Piece], groups: int, gone: pa.RecordBatch | None) -> Capture:
        def snapshot() -> Snapshot:
            rows, offsets = ordered(pieces, self._schema, groups)
            return Snapshot(rows, offsets, {"hash_version": HASH_VERSION}, gone)

        return Capture(sum(piece.count for piece in pieces) + (0 if gone is None else gone.num_rows), snapshot)

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        if len(self):
            raise EngineError("a keyed table is restored only while it is empty")
        for part in parts:
            require_hash_version(part)
            rows = part.slice(groups)
            if not rows.schema.equals(self._schema):
                raise EngineError(f"state has columns {rows.schema.to_string()}, not {self._schema.to_string()}")
            fitting = rows.num_rows if self._frozen is None else max(0, _RESTORED - self._count)
            self._restore_rows(rows.slice(0, fitting))
            self._restore_frozen(rows.slice(fitting))

    def _restore_rows(self, rows: pa.RecordBatch) -> None:
        if not rows.num_rows:
            return
        n_keys = len(self._keys)
        slots, new = self.lookup_or_insert(rows.columns[:n_keys], rows.num_rows)
        if not new.all():
            raise EngineError("a key stands in more than one snapshot")
        for stored, values in zip(self._values.values(), rows.columns[n_keys:], strict=True):
            stored.put(slots, values)

    def _restore_frozen(self, rows: pa.RecordBatch) -> None:
        if self._frozen is not None and rows.num_rows:
            hashes = hash_columns(rows.columns[: len(self._keys)], rows.num_rows)
            width = rows.get_total_buffer_size() // rows.num_rows
            self._frozen.add(hashes, width, lambda places: rows.take(pa.array(places)).columns)

    @property
    def _columns(self) -> list[Column]:
        return [*self._keys, *self._values.values()]

    def _columns_at(self, slots: Slots, places: Sequence[int] | None = None) -> list[pa.Array]:
        columns = self._columns
        return [stored.get(slots) for stored in (columns if places is None else [columns[i] for i in places])]

    def _freeze(self, frozen: FrozenRows, slots: Slots, width: int) -> None:
        ages = None if self._changes is None else self._changes.ages.take(slots)
        frozen.add(self._hashes.take(slots), width, lambda places: self._columns_at(slots[places]), ages)

    def _thaw(self, frozen: FrozenRows, rows: Int64s, slots: Slots, hashes: Hashes, keys: Sequence[pa.Array]) -> Int64s:
        """Bring into memory those of these rows' keys that were frozen, setting their `slots`. Returns the others."""
        taken = pa.array(rows)
        found, values = frozen.take_out(hashes.take(rows), [key.take(taken) for key in keys])
        if not len(found):
            return rows
        here = rows.take(found)
        taken = pa.array(here)
        slots[here] = self._append(hashes.take(here), [*(key.take(taken) for key in keys), *values])
        return np.delete(rows, found)

    def _append(self, hashes: Hashes, columns: Sequence[pa.Array]) -> Slots:
        """New slots for keys that are not in memory, with all their columns."""
        before = self._count
        self._reserve(before + len(hashes))
        slots = np.arange(before, before + len(hashes))
        self._hashes[slots] = hashes
        self._count += len(hashes)
        for stored, values in zip(self._columns, columns, strict=True):
            stored.put(slots, values)
        self._place(slots.astype(np.int32))
        self.touch(slots)
        return slots

    def _keep(self, slots: Slots) -> None:
        """Forget all other slots; slot i is what `slots[i]` was."""
        for stored in self._columns:
            stored.keep(slots)
        self._hashes, self._heat = self._hashes.take(slots), self._heat.take(slots)
        if self._changes is not None:
            self._changes.keep(slots)
        self._count = len(slots)
        self._rehash(_index_size(self._count))

    def _match(self, slots: Slots, hashes: Hashes, keys: Sequence[pa.Array], rows: Slots | None) -> Bools:
        """Whether each candidate slot (negative: none) holds its row's key; row i is `rows[i]` of `keys`, None: i."""
        same: Bools = self._hashes.take(slots, mode="wrap") == hashes
        same &= slots >= 0
        if not self._hash_decides or any(k.null_count or s.has_nulls for k, s in zip(keys, self._keys, strict=True)):
            candidates = np.flatnonzero(same)
            at = slots.take(candidates)
            taken = pa.array(candidates if rows is None else rows.take(candidates))
            equal = np.ones(len(candidates), np.bool_)
            for key, stored in zip(keys, self._keys, strict=True):
                equal &= equal_rows(stored.get(at), key.take(taken))
            same[candidates[~equal]] = False
        return same

    def _probe(self, missing: Slots, slots: Slots, hashes: Hashes, keys: Sequence[pa.Array]) -> None:
        """Find or make the slots of the rows `missing`, writing them to `slots`.

        A row at an empty place claims it by writing its own number there; where several do, the last one wins, and the
        others step on, since keys are distinct. Slots made here can therefore match no row and are not compared.
        """
        mask = len(self._places) - 1
        before = self._count
        pending = missing
        place = (hashes.take(pending) & np.uint64(mask)).view(np.int64)
        while pending.size:
            candidates = self._places.take(place).astype(np.int64)
            empty = np.flatnonzero(candidates < 0)
            done = np.zeros(len(pending), np.bool_)
            if empty.size:
                claims = -2 - empty.astype(np.int32)
                self._places[place[empty]] = claims
                won = empty[self._places.take(place[empty]) == claims]
                made = np.arange(self._count, self._count + won.size)
                self._places[place[won]] = made
                slots[pending[won]] = made
                self._hashes[made] = hashes[pending[won]]
                self._count += won.size
                done[won] = True
            known = np.flatnonzero((candidates >= 0) & (candidates < before))
            if known.size:
                rows = pending[known]
                matched = known[self._match(candidates[known], hashes[rows], keys, rows)]
                slots[pending[matched]] = candidates[matched]
                done[matched] = True
            left = np.flatnonzero(~done)
            pending = pending[left]
            place = (place[left] + 1) & mask

    def _insert_keys(self, slots: Slots, new: Bools, before: int, keys: Sequence[pa.Array]) -> None:
        rows = np.flatnonzero(new)
        at = slots[rows]
        by_slot = np.empty(len(rows), np.int64)
        by_slot[at - before] = rows
        fresh = slice(before, self._count)
        taken = pa.array(by_slot)
        for key, stored in zip(keys, self._keys, strict=True):
            stored.put(fresh, key.take(taken))
        self.touch(fresh)

    def _reserve(self, slots: int) -> None:
        """Room for so many keys: columns by slot, and places enough that chains stay short."""
        if slots > _MOST_SLOTS:
            raise EngineError(f"a keyed table holds at most {_MOST_SLOTS} keys per worker: use more workers")
        if slots > len(self._hashes):
            self._hashes = grown(self._hashes, slots)
            self._heat = grown(self._heat, slots)
            for stored in self._columns:
                stored.reserve(len(self._hashes))
            if self._changes is not None:
                self._changes.reserve(len(self._hashes))
        if slots * _SPARSE > len(self._places):
            self._rehash(_index_size(slots))

    def _rehash(self, size: int) -> None:
        self._places = np.full(size, -1, np.int32)
        self._place(np.arange(self._count, dtype=np.int32))

    def _place(self, slots: npt.NDArray[np.int32]) -> None:
        """Give slots that have none a place: no key is compared, every place is claimed by one slot."""
        mask = np.uint64(len(self._places) - 1)
        place = (self._hashes.take(slots) & mask).view(np.int64)
        while slots.size:
            free = self._places.take(place) < 0
            self._places[place[free]] = slots[free]
            left = np.flatnonzero(self._places.take(place) != slots)
            slots = slots[left]
            place = (place[left] + 1) & (len(self._places) - 1)


def require_hash_version(part: Snapshot) -> None:
    """Raise EngineError for a snapshot whose key groups are those of another hash (rule 19)."""
    version = part.meta.get("hash_version")
    if version != HASH_VERSION:
        raise EngineError(f"state was written with hash version {version}, not {HASH_VERSION}")


def _hash_decides(keys: pa.Schema) -> bool:
    """The hash of one value of up to 64 bits is a permutation of it: equal hashes are equal keys, nulls apart."""
    if len(keys) == 0:
        return True
    type_ = keys.field(0).type
    plain = pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_boolean(type_)
    return len(keys) == 1 and (plain or pa.types.is_temporal(type_))


def _index_size(slots: int) -> int:
    return max(_SMALLEST_INDEX, 1 << (slots * _SPARSE - 1).bit_length())


def _stored_schema(keys: pa.Schema, values: pa.Schema) -> pa.Schema:
    """The columns of snapshots and files."""
    stored = [field.with_name(f"key.{field.name}") for field in keys]
    return pa.schema([*stored, *(field.with_name(f"value.{field.name}") for field in values)])
