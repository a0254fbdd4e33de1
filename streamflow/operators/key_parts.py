"""Rows that are held, in parts that share no key, so that many can be worked on with pauses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from streamflow.operators.base import PIECE, Pause
from streamflow.operators.slice_partials import LARGE
from streamflow.state.held_rows import HeldRows
from streamflow.state.parts import Chunk, in_steps


def key_parts(held: HeldRows, keys: Sequence[int]) -> Iterator[pa.RecordBatch | Pause]:
    """All rows, which do not stay; rows with the same keys, the columns at the places `keys`, come together.

    A few come at once, also where there are none; many in parts by the hash of their keys. Meanwhile others may be
    appended.
    """
    if held.count <= LARGE:
        yield held.take()
        return
    chunks = []
    for rows in held.take_pieces(PIECE):
        chunks.append(Chunk(rows))
        yield Pause()
    for part in in_steps(chunks, keys, PIECE):
        if part:
            yield pa.concat_batches(part)
        yield Pause()
