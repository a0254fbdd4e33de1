"""The first rows of a real source, kept to be played again in any order that a seed decides."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from streamflow.connect.canonical import cast_batch
from streamflow.connect.source import BadRecord, ClockedReader, Ended, Source, Wait
from streamflow.testing.rows import Splits

_PATIENCE = 1000
"""Polls in a row that give nothing, before the recording ends."""


def record(source: Source, schema: pa.Schema, rows: int) -> Splits:
    """Up to `rows` rows of all splits together, each split's in its order. Records that do not decode are left out.

    The splits are read in turn as their reader gives them. One that keeps to a rate is told that time passes at once.

    >>> from streamflow_connectors import memory
    >>> source = memory.Source(pa.table({"n": [1, 2, 3]}))
    >>> record(source, source.schema(), 2).parts[0].to_pydict()
    {'n': [1, 2]}
    """
    names = list(source.splits())
    found: dict[str, list[pa.RecordBatch]] = {name: [] for name in names}
    reader: Any = source.open(dict.fromkeys(names))
    left, quiet, open_, now = rows, 0, set(names), 0.0
    try:
        while left > 0 and open_ and quiet < _PATIENCE:
            if isinstance(reader, ClockedReader):
                reader.on_clock(now)
            match reader.poll(min(left, max(1, rows // max(1, len(names))))):
                case Wait(seconds):
                    quiet += 1
                    now += max(seconds, 0.001)
                case Ended(name):
                    open_.discard(name)
                case parts:
                    quiet = 0
                    for part in parts:
                        if not isinstance(part, BadRecord):
                            batch = cast_batch(part[1], schema).slice(0, left)
                            found[part[0]].append(batch)
                            left -= batch.num_rows
    finally:
        reader.close()
    return Splits(tuple(pa.Table.from_batches(found[name], schema=schema) for name in names))
