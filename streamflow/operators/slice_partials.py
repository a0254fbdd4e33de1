"""The partials of slices, put together to those of windows."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

import pyarrow as pa

from streamflow.kernels.tally import CountTable, Tally
from streamflow.kernels.windows import Slices
from streamflow.operators.base import Pause
from streamflow.operators.preaggregate import Layout, Reduced
from streamflow.operators.slice_tables import SliceTables
from streamflow.state.chunk_log import ChunkLog
from streamflow.state.parts import Chunk

_FANOUT = 16
_FLAT = 64
"""Windows of more slices are merged by blocks (rule 15)."""
_CHUNKS = 64
_ROWS = 1 << 18
"""A slice is compacted when it has so many chunks, or when so many rows (and as many as it had) were added to it."""

LARGE = 1 << 17
"""More rows than that are not merged at once, but in parts by the hash of their keys."""
PART = 1 << 16
"""The rows of a part: what is done between two pauses."""


class SlicePartials:
    """A chunk log by slice, whose slices are compacted as they grow.

    What is only counted is not logged at once: it stands in a table per slice, until `settle` is called or there is no
    room. Tables are read as a further chunk.

    Windows of many slices share blocks: block i of level n is the merged slices i * 16**n to (i + 1) * 16**n, made
    when a window first needs it and dropped when a row comes to one of its slices. Blocks can be made again, so they
    are no state.
    """

    def __init__(self, layout: Layout, window: Slices) -> None:
        self.log = ChunkLog(layout.keys, layout.schema, self._merged)
        self._layout = layout
        self._window = window
        self._tables = SliceTables()
        self._added: dict[int, int] = {}
        self._blocks: dict[int, ChunkLog] = {}
        self._made: set[tuple[int, int]] = set()

    def append(self, partials: Reduced | Tally) -> Iterator[Pause]:
        """Keep these partials. It pauses where a slice is compacted that has become large."""
        if isinstance(partials, Reduced):
            for number, chunk in partials.by_slice(self._layout.schema):
                yield from self._log(number, chunk)
            return
        for number, table in partials.tables():
            yield from self._log_tables(self._tables.add(number, table))
            if self._made:
                self._forget_blocks_of(number)

    def settle(self) -> Iterator[Pause]:
        """Log what stands in tables."""
        yield from self._log_tables(self._tables.take())

    def slices(self) -> list[int]:
        """Those that hold partials, ascending."""
        return sorted({*self.log.namespaces(), *self._tables})

    def _log_tables(self, tables: list[tuple[int, CountTable]]) -> Iterator[Pause]:
        for number, table in tables:
            yield from self._log(number, self._layout.of_table(table))

    def _log(self, number: int, chunk: pa.RecordBatch) -> Iterator[Pause]:
        self.log.append(number, chunk)
        self._added[number] = self._added.get(number, 0) + chunk.num_rows
        chunks = self.log.loaded(number)
        if len(chunks) > 1 and (len(chunks) >= _CHUNKS or self._added[number] >= max(_ROWS, 2 * chunks[0].num_rows)):
            yield from self._compact(number, [Chunk(rows) for rows in chunks])
            self._added[number] = 0
        if self._made:
            self._forget_blocks_of(number)

    def _compact(self, number: int, chunks: list[Chunk]) -> Iterator[Pause]:
        merged = yield from self._merged_in_steps(chunks)
        self.log.replace(number, merged[0] if len(merged) == 1 else pa.concat_batches(merged))

    def _merged_in_steps(self, chunks: list[Chunk]) -> Generator[Pause, None, list[pa.RecordBatch]]:
        """The same partials in chunks that share no key; it pauses if they are large together."""
        if not is_large(chunks):
            return [self._merged([chunk.rows for chunk in chunks])]
        merged = []
        for group in self.log.in_steps(chunks, PART):
            if group:
                merged.append(self._merged(group))
            yield Pause()
        return merged

    def parts(self, chunks: Sequence[Chunk]) -> Iterator[list[pa.RecordBatch] | Pause]:
        """The rows of chunks of one window, too many to be merged at once, in groups that share no key."""
        if len(chunks) == 1:  # no key stands in it twice
            rows = chunks[0].rows
            for start in range(0, rows.num_rows, PART):
                yield [rows.slice(start, PART)]
                yield Pause()
            return
        for group in self.log.in_steps(chunks, PART):
            if group:
                yield group
            yield Pause()

    def of_window(self, window: int) -> Generator[Pause, None, list[Chunk]]:
        """Chunks that hold, together, the window's partials. No key stands in one of them twice.

        It pauses after each block that had to be made, and while it makes a large one.
        """
        slices = self._window.slices_of(window)
        if len(slices) <= _FLAT:
            return self._chunks(slices)
        chunks = []
        for level, index in _cover(slices):
            chunks += yield from self._block(level, index)
        return chunks

    def drop_closed(self, closed: int) -> None:
        """Forget the slices whose windows are all at or before `closed`."""
        live = None
        for number in self.slices():
            if self._window.windows_of(number).stop - 1 > closed:
                live = number
                break
            self.log.drop(number)
            self._tables.drop(number)
            self._added.pop(number, None)
        self._window.forget(closed)
        for level, index in list(self._made):
            if live is None or (index + 1) * _FANOUT**level <= live:
                self._forget_block(level, index)

    def _chunks(self, slices: Sequence[int]) -> list[Chunk]:
        logged = [chunk for number in slices for chunk in self.log.chunks(number)]
        return logged + [Chunk(self._layout.of_table(table)) for table in self._tables.of(slices)]

    def _block(self, level: int, index: int) -> Generator[Pause, None, list[Chunk]]:
        if level == 0:
            return self._chunks([index])
        if level not in self._blocks:
            self._blocks[level] = self.log.derive()
        blocks = self._blocks[level]
        if (level, index) not in self._made:
            chunks = []
            for child in range(index * _FANOUT, (index + 1) * _FANOUT):
                chunks += yield from self._block(level - 1, child)
            if len(chunks) == 1:
                blocks.append(index, chunks[0].rows)
            elif chunks:
                for merged in (yield from self._merged_in_steps(chunks)):
                    blocks.append(index, merged)
                yield Pause()
            self._made.add((level, index))
        return blocks.chunks(index)

    def _forget_blocks_of(self, number: int) -> None:
        level, index = 1, number // _FANOUT
        while level <= 16:
            self._forget_block(level, index)
            level, index = level + 1, index // _FANOUT

    def _forget_block(self, level: int, index: int) -> None:
        if (level, index) in self._made:
            self._made.remove((level, index))
            self._blocks[level].drop(index)

    def _merged(self, chunks: list[pa.RecordBatch]) -> pa.RecordBatch:
        rows = pa.concat_batches(chunks)
        return pa.RecordBatch.from_arrays(self._layout.merge(rows.columns, 0).columns, schema=self._layout.schema)


def is_large(chunks: Sequence[Chunk]) -> bool:
    """Together they are too large to be merged at once."""
    return bool(sum(chunk.rows.num_rows for chunk in chunks) > LARGE)


def _cover(slices: range) -> Iterator[tuple[int, int]]:
    """The fewest blocks (level, index) that make up a range of slices.

    >>> list(_cover(range(15, 33)))
    [(0, 15), (0, 32), (1, 1)]
    """
    level, start, stop = 0, slices.start, slices.stop
    while start < stop:
        while start < stop and start % _FANOUT:
            yield level, start
            start += 1
        while start < stop and stop % _FANOUT:
            stop -= 1
            yield level, stop
        level, start, stop = level + 1, start // _FANOUT, stop // _FANOUT
