"""The partials of slices, put together to those of windows."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from streamflow.kernels.windows import Slices
from streamflow.operators.preaggregate import Layout, Reduced
from streamflow.state.chunk_log import ChunkLog

_FANOUT = 16
_FLAT = 64
"""Windows of more slices are merged by blocks (rule 15)."""
_CHUNKS = 64
_ROWS = 1 << 18
"""A slice is compacted when it has so many chunks, or when so many rows (and as many as it had) were added to it."""


class SlicePartials:
    """A chunk log by slice, whose slices are compacted as they grow.

    Windows of many slices share blocks: block i of level n is the merged slices i * 16**n to (i + 1) * 16**n, made
    when a window first needs it and dropped when a row comes to one of its slices. Blocks can be made again, so they
    are no state.
    """

    def __init__(self, layout: Layout, window: Slices) -> None:
        self.log = ChunkLog(layout.keys, layout.schema)
        self._layout = layout
        self._window = window
        self._added: dict[int, int] = {}
        self._blocks: dict[tuple[int, int], list[pa.RecordBatch]] = {}

    def append(self, reduced: Reduced) -> None:
        for number, chunk in reduced.by_slice(self._layout.schema):
            self.log.append(number, chunk)
            self._added[number] = self._added.get(number, 0) + chunk.num_rows
            chunks = self.log.read(number)
            if len(chunks) > 1 and (
                len(chunks) >= _CHUNKS or self._added[number] >= max(_ROWS, 2 * chunks[0].num_rows)
            ):
                self.log.replace(number, self._merged(chunks))
                self._added[number] = 0
            if self._blocks:
                self._forget_blocks_of(number)

    def of_window(self, window: int) -> list[pa.RecordBatch]:
        """Chunks that hold, together, the window's partials. Where it is a single one, every key stands in it once."""
        slices = self._window.slices_of(window)
        if len(slices) <= _FLAT:
            return [chunk for number in slices for chunk in self._chunks_of(number)]
        return [chunk for level, index in _cover(slices) for chunk in self._block(level, index)]

    def drop_closed(self, closed: int) -> None:
        """Forget the slices whose windows are all at or before `closed`."""
        live = None
        for number in self.log.namespaces():
            if self._window.windows_of(number).stop - 1 > closed:
                live = number
                break
            self.log.drop(number)
            self._added.pop(number, None)
        self._window.forget(closed)
        if self._blocks:
            self._blocks = {
                (level, index): chunks
                for (level, index), chunks in self._blocks.items()
                if live is not None and (index + 1) * _FANOUT**level > live
            }

    def _chunks_of(self, number: int) -> list[pa.RecordBatch]:
        """A slice's chunks. A restore makes one of many, in which a key may stand often: merged when first needed."""
        chunks = self.log.read(number)
        if chunks and number not in self._added:
            chunks = [self._merged(chunks)]
            self.log.replace(number, chunks[0])
            self._added[number] = 0
        return chunks

    def _block(self, level: int, index: int) -> list[pa.RecordBatch]:
        if level == 0:
            return self._chunks_of(index)
        block = self._blocks.get((level, index))
        if block is None:
            below = range(index * _FANOUT, (index + 1) * _FANOUT)
            block = [chunk for child in below for chunk in self._block(level - 1, child)]
            if len(block) > 1:
                block = [self._merged(block)]
            self._blocks[level, index] = block
        return block

    def _forget_blocks_of(self, number: int) -> None:
        level, index = 1, number // _FANOUT
        while level <= 16:
            self._blocks.pop((level, index), None)
            level, index = level + 1, index // _FANOUT

    def _merged(self, chunks: list[pa.RecordBatch]) -> pa.RecordBatch:
        rows = pa.concat_batches(chunks)
        return pa.RecordBatch.from_arrays(self._layout.merge(rows.columns, 0).columns, schema=self._layout.schema)


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
