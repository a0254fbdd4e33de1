"""Small batches gathered into large ones, which files are written in."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa


class Gathering:
    """What an `Encoder` holds back: batches, put as one table when they have so many rows or bytes.

    >>> put: list[int] = []
    >>> gathering = Gathering(pa.schema({"n": pa.int64()}), 3, 1_000_000, lambda table: put.append(table.num_rows))
    >>> for rows in (2, 2, 1):
    ...     gathering.write(pa.record_batch({"n": list(range(rows))}))
    >>> gathering.put_rest()
    >>> put
    [4, 1]
    """

    def __init__(self, schema: pa.Schema, most_rows: int, most_bytes: int, put: Callable[[pa.Table], None]) -> None:
        self._schema = schema
        self._most_rows = most_rows
        self._most_bytes = most_bytes
        self._put = put
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= self._most_rows or self._bytes >= self._most_bytes:
            self.put_rest()

    def held(self) -> int:
        return self._bytes

    def put_rest(self) -> None:
        """Put what is gathered, if there is any."""
        if self._batches:
            self._put(pa.Table.from_batches(self._batches, self._schema))
            self._batches, self._rows, self._bytes = [], 0, 0
