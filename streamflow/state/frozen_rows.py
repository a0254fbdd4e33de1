"""Rows of a keyed table that have left memory: files sorted by hash, and what it takes to find a row in them.

A row is in memory or in one file, never in two: what is read back is dead in its file from then on. So files need no
order among them, no row hides another, and joining some of them is right at any time. In memory remain, for each row,
a flag and a byte of a filter that tells of nearly all files that a key is not in them; a key that a filter lets pass
is searched for in the file's hashes, and only the columns' values at its place are read.

Files are at most `_FILE_ROWS` long. As soon as more than `_FEW` are half of that or less, because little was spilled or
most of their rows are dead, the smallest are joined: a row is copied a few times, and garbage is at most as long as
what lives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Bools, Int64s, raw_values
from streamflow.kernels.equality import equal_rows
from streamflow.kernels.hashing import Hashes
from streamflow.state.changes import ONCE, Ages, age
from streamflow.state.key_order import Piece
from streamflow.state.memory import SpillStore
from streamflow.state.sieve import Sieve

BYTES_PER_ROW = 2
"""What a frozen row takes in memory."""
_FILE_ROWS = 1 << 18
_FILE_BYTES = 1 << 28
_FEW = 8
_HASH = "~hash"
_GROUP_BITS = np.uint64(16)


@dataclass(slots=True)
class _File:
    """Rows sorted by `hashes`, which are mapped like all columns. `dead`: those that are not here any more.

    `ages`: None where none of the rows has changed since it was captured.
    """

    number: int
    rows: pa.RecordBatch
    hashes: Hashes
    sieve: Sieve
    dead: Bools
    live: int
    ages: Ages | None


class FrozenRows:
    """Rows of `schema` with the hashes of their keys; the first `n_keys` columns are the key, canonical.

    `hash_decides`: keys without nulls are equal where their hashes are.
    """

    def __init__(self, store: SpillStore, schema: pa.Schema, n_keys: int, *, hash_decides: bool) -> None:
        self._store = store
        self._schema = pa.schema([pa.field(_HASH, pa.uint64()), *schema])
        self._n_keys = n_keys
        self._hash_decides = hash_decides
        self._files: list[_File] = []
        self._file_rows = _FILE_ROWS

    def __len__(self) -> int:
        return sum(file.live for file in self._files)

    @property
    def resident(self) -> int:
        return sum(len(file.dead) * (BYTES_PER_ROW + (file.ages is not None)) for file in self._files)

    def add(
        self,
        hashes: Hashes,
        row_bytes: int,
        columns: Callable[[Int64s], Sequence[pa.Array]],
        ages: Ages | None = None,
    ) -> None:
        """Write rows whose keys are not here: `columns` gives those at some of their places, so wide about.

        `ages`: see `streamflow.state.changes`; None where nothing has to be known of them.
        """
        spread = _spread(hashes)
        order = np.argsort(spread)
        self._file_rows = max(1, min(_FILE_ROWS, _FILE_BYTES // max(1, row_bytes)))
        for start in range(0, len(order), self._file_rows):
            places = order[start : start + self._file_rows]
            self._write([pa.array(spread[places]), *columns(places)], None if ages is None else ages[places])
            while len(small := [file for file in self._files if file.live <= self._file_rows // 2]) > _FEW:
                self._join(small)

    def take_out(self, hashes: Hashes, keys: Sequence[pa.Array]) -> tuple[Int64s, list[pa.Array]]:
        """Which of these distinct keys were here, and the other columns of their rows. They no longer are."""
        spread = _spread(hashes)
        asked = np.argsort(spread)
        spread = spread[asked]
        rows: list[Int64s] = []
        found: list[list[pa.Array]] = []
        for file in reversed(self._files):
            which, places = self._find(file, spread, asked, keys)
            if len(which):
                rows.append(asked[which])
                found.append(_taken(file, places, range(1 + self._n_keys, len(self._schema))))
                self._bury(file, places)
                asked, spread = np.delete(asked, which), np.delete(spread, which)
        self._drop_dead()
        if not rows:
            return np.zeros(0, np.int64), []
        return np.concatenate(rows), [pa.concat_arrays(parts) for parts in zip(*found, strict=True)]

    def begin(self, *, stands: bool) -> int:
        """How many rows have changed (`streamflow.state.changes`)."""
        changed = 0
        for file in self._files:
            if file.ages is not None:
                age(file.ages, stands=stands)
                here = int(np.count_nonzero((file.ages > 0) & ~file.dead))
                changed += here
                if not here:
                    file.ages = None
        return changed

    def captured(self) -> list[Piece]:
        """The rows here, file by file."""
        return [_piece(file, ~file.dead) for file in self._files]

    def captured_changes(self) -> list[Piece]:
        """The rows here that had changed when `begin` was called."""
        return [_piece(file, (file.ages == ONCE) & ~file.dead) for file in self._files if file.ages is not None]

    def forget(self, columns: Sequence[int], which: Callable[..., Bools]) -> None:
        """Drop the rows that `which` is true of, which is called with these columns of many rows at once."""
        for file in self._files:
            self._bury(file, self._chosen(file, columns, which))
        self._drop_dead()

    def pull(self, columns: Sequence[int], which: Callable[..., Bools]) -> Iterator[tuple[Hashes, list[pa.Array]]]:
        """As `forget`, but gives the hashes and columns of the rows, file by file.

        Rows may be added and taken out meanwhile; those that were added are looked at, too.
        """
        seen: set[int] = set()
        while (file := next((one for one in self._files if one.number not in seen), None)) is not None:
            seen.add(file.number)
            places = self._chosen(file, columns, which)
            if len(places):
                rows = _taken(file, places, range(1, len(self._schema)))
                self._bury(file, places)
                self._drop_dead()
                yield _gathered(file.hashes[places]), rows

    def _chosen(self, file: _File, columns: Sequence[int], which: Callable[..., Bools]) -> Int64s:
        living = np.flatnonzero(~file.dead)
        return living[which(*_taken(file, living, [1 + column for column in columns]))]

    def _find(self, file: _File, spread: Hashes, asked: Int64s, keys: Sequence[pa.Array]) -> tuple[Int64s, Int64s]:
        """Which of the hashes, sorted, have a key in the file, and its place there. Hash i is of row `asked[i]`."""
        which = file.sieve.passing(spread)
        places = np.searchsorted(file.hashes, spread[which])
        found = [(which[:0], places[:0])]
        while len(which):
            same = file.hashes.take(places, mode="clip") == spread[which]
            same &= places < len(file.hashes)
            which, places = which[same], places[same]
            equal = ~file.dead[places] & self._equal(file, places, asked[which], keys)
            found.append((which[equal], places[equal]))
            which, places = which[~equal], places[~equal] + 1  # another key with this hash, or one that is dead
        which, places = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return which, places

    def _equal(self, file: _File, places: Int64s, rows: Int64s, keys: Sequence[pa.Array]) -> Bools:
        stored = file.rows.columns[1 : 1 + self._n_keys]
        if self._hash_decides and not any(k.null_count or s.null_count for k, s in zip(keys, stored, strict=True)):
            return np.ones(len(places), np.bool_)
        here, there = pa.array(places), pa.array(rows)
        same = [equal_rows(s.take(here), k.take(there)) for k, s in zip(keys, stored, strict=True)]
        return np.logical_and.reduce(same, initial=True) if same else np.ones(len(places), np.bool_)

    def _write(self, columns: Sequence[pa.Array], ages: Ages | None) -> None:
        number = self._store.put(pa.RecordBatch.from_arrays(list(columns), schema=self._schema))
        rows = self._store.get(number)
        hashes = raw_values(rows.column(0))
        dead = np.zeros(len(hashes), np.bool_)
        kept = ages if ages is not None and ages.any() else None
        self._files.append(_File(number, rows, hashes, Sieve(hashes), dead, len(hashes), kept))

    def _join(self, small: list[_File]) -> None:
        """Write the smallest of these files, as many as make one, to a new one."""
        chosen: list[_File] = []
        for file in sorted(small, key=lambda one: one.live)[: _FEW // 2]:
            if sum(one.live for one in [*chosen, file]) <= self._file_rows:
                chosen.append(file)
        living = [np.flatnonzero(~file.dead) for file in chosen]
        parts = [_taken(file, places, range(len(self._schema))) for file, places in zip(chosen, living, strict=True)]
        columns = [pa.concat_arrays(part) for part in zip(*parts, strict=True)]
        order = np.argsort(raw_values(columns[0]), kind="stable")  # merges what is sorted in parts
        ages = None
        if any(file.ages is not None for file in chosen):
            ages = np.concatenate([_ages(file)[places] for file, places in zip(chosen, living, strict=True)])[order]
        self._write([column.take(pa.array(order)) for column in columns], ages)
        for file in chosen:
            file.live = 0
        self._drop_dead()

    def _bury(self, file: _File, places: Int64s) -> None:
        file.dead[places] = True
        file.live -= len(places)

    def _drop_dead(self) -> None:
        if not all(file.live for file in self._files):
            for file in self._files:
                if not file.live:
                    self._store.free(file.number)
            self._files = [file for file in self._files if file.live]


def _taken(file: _File, places: Int64s, columns: Sequence[int]) -> list[pa.Array]:
    taken = pa.array(places)
    return [file.rows.column(column).take(taken) for column in columns]


def _ages(file: _File) -> Ages:
    return np.zeros(len(file.dead), np.uint8) if file.ages is None else file.ages


def _piece(file: _File, chosen: Bools) -> Piece:
    """The rows that are `chosen`: not looked at before it is asked for them."""
    rows, columns = file.rows, range(1, file.rows.num_columns)

    def at(places: Int64s) -> list[pa.Array]:
        taken = pa.array(np.flatnonzero(chosen)[places])
        return [rows.column(column).take(taken) for column in columns]

    return Piece(int(np.count_nonzero(chosen)), lambda: _gathered(file.hashes[chosen]), at)


def _spread(hashes: Hashes) -> Hashes:
    """The same hashes, turned so that the bits that choose the key group, few of a worker's, are the lowest."""
    turned: Hashes = hashes << _GROUP_BITS | hashes >> (np.uint64(64) - _GROUP_BITS)
    return turned


def _gathered(spread: Hashes) -> Hashes:
    """What `_spread` was given."""
    turned: Hashes = spread >> _GROUP_BITS | spread << (np.uint64(64) - _GROUP_BITS)
    return turned
