"""The chunk log: immutable Arrow chunks per namespace, appended on the hot path and read when a window fires."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Int64s, raw_values
from streamflow.kernels.grouping import runs
from streamflow.state.changes import NumberedChanges
from streamflow.state.container import Capture, Container, Snapshot
from streamflow.state.key_order import snapshot_of
from streamflow.state.memory import RowSizes, SpillStore
from streamflow.state.parts import Chunk, by_parts, in_steps, joined

NAMESPACE, CHUNK = "~namespace", "~chunk"
"""Of snapshots: which namespace a row is in, and which of the chunks of its worker and attempt."""
_SORTED = 1 << 14
"""Chunks of fewer rows spill as they are: they are sorted by part when they are read, if it needs be."""
_FILE = 1 << 23
"""Bytes that are worth a file; a spill of more is cut, so that little of it is copied at once."""
PART_ROWS = 1 << 16
"""Rows that are merged at once, where a namespace has more: that takes some ten times their size."""
_SPILLS = 8
"""Namespaces that spilled so often are merged in their files, if they have also grown to three times their size."""
_MERGED = 0.5
"""The part of the rows that may stay, for that to be worth it."""

_Numbered: TypeAlias = "tuple[int, int, pa.RecordBatch]"
Merge: TypeAlias = "Callable[[list[pa.RecordBatch]], pa.RecordBatch]"


@dataclass(frozen=True, slots=True)
class _Piece:
    """Spilled rows of one namespace: `rows` of the file `file`; and where their parts begin, if they are sorted.

    `number`: of the chunk that they are.
    """

    number: int
    file: int
    rows: range
    offsets: Int64s | None


@dataclass(slots=True)
class _Namespace:
    """`numbers`: of the chunks that are loaded; `bytes`: of these. `spills`: since the files were last merged, or found
    not to be worth it; `merged`: the rows in them then.
    """

    loaded: list[pa.RecordBatch] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    spilled: list[_Piece] = field(default_factory=list)
    bytes: int = 0
    spills: int = 0
    merged: int = 0


class ChunkLog(Container):
    """A `Spillable` container of record batches of one schema under int namespaces, such as slices or window ends.

    Appending costs a dict look-up. Chunks are never changed, so what was read stays as it was. Key groups show only in
    snapshots: the rows' groups are those of their `keys` columns; without keys all rows are in one group (rule 31).

    The greatest namespaces spill first: they are needed last. Large ones spill sorted by the hash of their keys, so
    that `by_parts` of many chunks, however large they are together, reads only slices of them. `merge` makes one chunk
    of several, also of a single one that was restored: then no key stands in a chunk twice, if none does when it is
    appended.

    Chunks are numbered, so that what has changed since a capture are the chunks with later numbers, and the numbers of
    those that are gone.

    >>> log = ChunkLog(("word",), pa.schema({"word": pa.string()}))
    >>> log.append(7, pa.record_batch({"word": ["a", "b"]}))
    >>> other = ChunkLog(("word",), pa.schema({"word": pa.string()}))
    >>> other.restore([log.snapshot(groups=4)], range(0, 4))
    >>> list(other.namespaces()), sum(chunk.num_rows for chunk in other.read(7))
    ([7], 2)
    """

    def __init__(self, keys: Sequence[str], schema: pa.Schema, merge: Merge | None = None) -> None:
        if not {NAMESPACE, CHUNK}.isdisjoint(schema.names):
            raise ValueError(f"the columns {NAMESPACE} and {CHUNK} are the chunk log's own")
        self._keys = [schema.get_field_index(key) for key in keys]
        self._schema = schema
        self._merge: Merge = pa.concat_batches if merge is None else merge
        self._merges = merge is not None
        self._namespaces: dict[int, _Namespace] = {}
        self._derived: list[ChunkLog] = []
        self._store: SpillStore | None = None
        self._files: Counter[int] = Counter()  # by file: the pieces that are in use
        self._bytes = 0
        self._sizes = RowSizes(schema)
        self._numbers = 0
        self._numbered = NumberedChanges()

    def derive(self) -> ChunkLog:
        """A log of chunks that can be made of this one's: it shares the memory, but is no part of snapshots."""
        derived = ChunkLog([self._schema.names[key] for key in self._keys], self._schema, self._merge)
        if self._store is not None:
            derived.attach(self._store)
        self._derived.append(derived)
        return derived

    def append(self, namespace: int, chunk: pa.RecordBatch) -> None:
        """Add rows, at least one; the order of chunks within a namespace means nothing."""
        found = self._namespaces.get(namespace)
        if found is None:
            found = self._namespaces[namespace] = _Namespace()
        self._load(found, chunk)

    def loaded(self, namespace: int) -> list[pa.RecordBatch]:
        """The chunks of a namespace that are in memory. Not to be changed."""
        found = self._namespaces.get(namespace)
        return [] if found is None else found.loaded

    def chunks(self, namespace: int) -> list[Chunk]:
        """The chunks of a namespace, those in files mapped; none where nothing was appended."""
        found = self._namespaces.get(namespace)
        if found is None:
            return []
        chunks = [Chunk(rows) for rows in found.loaded]
        return chunks + [self._mapped(piece) for piece in found.spilled] if found.spilled else chunks

    def read(self, namespace: int) -> list[pa.RecordBatch]:
        """The rows of `chunks`."""
        return [chunk.rows for chunk in self.chunks(namespace)]

    def by_parts(self, chunks: Sequence[Chunk]) -> Iterator[list[pa.RecordBatch]]:
        """The rows of chunks in groups that are not too large; rows with the same keys are in one group."""
        return by_parts(chunks, self._keys, PART_ROWS)

    def in_steps(self, chunks: Sequence[Chunk], size: int) -> Iterator[list[pa.RecordBatch]]:
        """The same in groups of about `size` rows, and an empty one for each `size` rows of preparation."""
        return in_steps(chunks, self._keys, size)

    def replace(self, namespace: int, chunk: pa.RecordBatch) -> None:
        """Put one chunk in the place of all those in memory: what a compaction made of them."""
        found = self._namespaces[namespace]
        self._unload(found)
        self._load(found, chunk)

    def drop(self, namespace: int) -> None:
        """Forget a namespace; nothing happens where there is none."""
        found = self._namespaces.pop(namespace, None)
        if found is not None:
            self._unload(found)
            self._free(found.spilled)

    def namespaces(self) -> list[int]:
        """The namespaces that hold chunks, ascending."""
        return sorted(self._namespaces)

    # -- memory

    @property
    def resident(self) -> int:
        return self._bytes + sum(log.resident for log in self._derived) if self._derived else self._bytes

    def attach(self, store: SpillStore) -> None:
        self._store = store

    def spill(self, wanted: int) -> None:
        before = self.resident
        for log in self._derived:
            log.spill(wanted)
            wanted -= before - self.resident
            before = self.resident
            if wanted <= 0:
                return
        chosen: list[tuple[_Namespace, Chunk]] = []
        size = 0
        for number in sorted((n for n, found in self._namespaces.items() if found.loaded), reverse=True):
            if wanted <= 0:
                break
            found = self._namespaces[number]
            found.spills += 1
            wanted -= found.bytes
            for chunk in self._unloaded(found):
                chosen.append((found, chunk))
                size += chunk.rows.nbytes
                if size >= _FILE:
                    self._write(chosen)
                    chosen, size = [], 0
        if chosen:
            self._write(chosen)

    def _unloaded(self, found: _Namespace) -> Iterator[Chunk]:
        """What was loaded, merged as far as it is worth a file. Large ones part by part, since merging takes memory."""
        chunks = found.loaded
        self._unload(found)
        rows = sum(chunk.num_rows for chunk in chunks)
        if rows < _SORTED:
            yield Chunk(chunks[0] if len(chunks) == 1 else self._merge(chunks))
        elif rows <= PART_ROWS or not self._merges:
            for together in _cut(chunks, _FILE):
                yield Chunk(together[0] if len(together) == 1 else self._merge(together)).sorted(self._keys)
        else:
            yield from self._merged_by_parts([Chunk(rows) for rows in chunks])

    def _merged_by_parts(self, chunks: Sequence[Chunk]) -> Iterator[Chunk]:
        """The rows of all chunks, each key once, in chunks that are worth a file and sorted."""
        together: list[Chunk] = []
        size = 0
        for group in self.by_parts(chunks):
            together.append(Chunk(self._merge(group)).sorted(self._keys))
            size += together[-1].rows.nbytes
            if size >= _FILE:
                yield joined(together)
                together, size = [], 0
        if together:
            yield joined(together)

    def _write(self, chosen: Sequence[tuple[_Namespace, Chunk]]) -> None:
        """All in one file."""
        assert self._store is not None
        rows = [chunk.rows for _, chunk in chosen]
        file = self._store.put(rows[0] if len(rows) == 1 else pa.concat_batches(rows))
        start = 0
        for found, chunk in chosen:
            stop = start + chunk.rows.num_rows
            found.spilled.append(_Piece(self._next(), file, range(start, stop), chunk.offsets))
            start = stop
        self._files[file] = len(chosen)
        for found, _ in chosen:
            if self._merges and found.spills >= _SPILLS:
                self._merge_files(found)

    def _merge_files(self, found: _Namespace) -> None:
        """Make one of all pieces, part by part, if the namespace has grown and its rows become much fewer by it."""
        total = sum(len(piece.rows) for piece in found.spilled)
        if total < 3 * found.merged:
            return
        found.spills, found.merged = 0, total
        chunks = [self._mapped(piece) for piece in found.spilled]
        if not self._is_worth_merging(chunks):
            return
        pieces, found.spilled = found.spilled, []
        for chunk in self._merged_by_parts(chunks):
            self._write([(found, chunk)])
        found.merged = sum(len(piece.rows) for piece in found.spilled)
        self._free(pieces)

    def _is_worth_merging(self, chunks: Sequence[Chunk]) -> bool:
        """By what becomes of the first parts."""
        group = next(self.by_parts(chunks))
        rows = sum(rows.num_rows for rows in group)
        return bool(self._merge(group).num_rows <= _MERGED * rows)

    def _mapped(self, piece: _Piece) -> Chunk:
        assert self._store is not None
        return Chunk(self._store.get(piece.file).slice(piece.rows.start, len(piece.rows)), piece.offsets)

    def _free(self, pieces: Iterable[_Piece]) -> None:
        for piece in pieces:
            assert self._store is not None
            self._numbered.bury(piece.number, len(piece.rows))
            self._files[piece.file] -= 1
            if not self._files[piece.file]:
                del self._files[piece.file]
                self._store.free(piece.file)

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    def _load(self, found: _Namespace, chunk: pa.RecordBatch) -> None:
        found.loaded.append(chunk)
        found.numbers.append(self._next())
        if self._store is not None:
            size = self._sizes.of(chunk)
            found.bytes += size
            self._bytes += size

    def _unload(self, found: _Namespace) -> None:
        self._bytes -= found.bytes
        for number, chunk in zip(found.numbers, found.loaded, strict=True):
            self._numbered.bury(number, chunk.num_rows)
        found.loaded, found.numbers, found.bytes = [], [], 0

    # -- snapshots

    def begin(self, *, stands: bool) -> int | None:
        """See `streamflow.state.container.Incremental`."""
        known = self._numbered.begin(self._numbers, stands=stands)
        return _rows_of(self._since(self._numbered.since)) + self._numbered.size_gone if known else None

    def capture(self, groups: int) -> Capture:
        chunks = self._since(0)
        return Capture(_rows_of(chunks), lambda: self._in_order(chunks, groups))

    def capture_changes(self, groups: int) -> Capture:
        chunks = self._since(self._numbered.since)
        gone = pa.RecordBatch.from_arrays([pa.array(self._numbered.gone(), pa.int64())], names=[CHUNK])
        weight = _rows_of(chunks) + self._numbered.size_gone
        return Capture(weight, lambda: replace(self._in_order(chunks, groups), gone=gone))

    def _since(self, last: int) -> list[_Numbered]:
        """Namespace, number and rows of the chunks with later numbers."""
        found: list[_Numbered] = []
        for namespace, of in sorted(self._namespaces.items()):
            loaded = zip(of.numbers, of.loaded, strict=True)
            found += [(namespace, number, rows) for number, rows in loaded if number > last]
            found += [(namespace, one.number, self._mapped(one).rows) for one in of.spilled if one.number > last]
        return found

    def _in_order(self, chunks: Sequence[_Numbered], groups: int) -> Snapshot:
        schema = self._schema.append(pa.field(NAMESPACE, pa.int64())).append(pa.field(CHUNK, pa.int64()))
        stored = []
        for namespace, number, rows in chunks:
            columns = [pa.array(np.full(rows.num_rows, value, np.int64)) for value in (namespace, number)]
            stored.append(pa.RecordBatch.from_arrays([*rows.columns, *columns], schema=schema))
        return snapshot_of(stored, schema, self._keys, groups)

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        for part in parts:
            self._take_over(part.slice(groups))

    def _take_over(self, rows: pa.RecordBatch) -> None:
        """Append rows of many namespaces, one chunk for each."""
        if rows.num_rows == 0:
            return
        namespaces = raw_values(rows.column(NAMESPACE))
        order = np.argsort(namespaces, kind="stable")
        ordered = namespaces[order]
        chunks = rows.select(self._schema.names).take(pa.array(order))
        for start, stop in runs(ordered):
            chunk = chunks.slice(start, stop - start)
            self.append(int(ordered[start]), self._merge([chunk]) if self._merges else chunk)


def _rows_of(chunks: Sequence[_Numbered]) -> int:
    return sum(rows.num_rows for _, _, rows in chunks)


def _cut(chunks: Sequence[pa.RecordBatch], size: int) -> Iterator[list[pa.RecordBatch]]:
    """The rows of all chunks in groups of about `size` bytes."""
    group: list[pa.RecordBatch] = []
    left = size
    for chunk in chunks:
        step = max(1, size * chunk.num_rows // max(1, chunk.nbytes))
        for start in range(0, chunk.num_rows, step):
            rows = chunk.slice(start, step)
            if group and rows.nbytes > left:
                yield group
                group, left = [], size
            group.append(rows)
            left -= rows.nbytes
    if group:
        yield group
