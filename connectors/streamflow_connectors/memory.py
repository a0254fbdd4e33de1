"""Rows in memory: anything that speaks Arrow's PyCapsule interface in, a `pyarrow.Table` out.

>>> import pyarrow as pa
>>> source = Source(pa.table({"x": [1, 2, 3]}), splits=2)
>>> source
memory.Source(rows=3, splits=2)
>>> reader = source.open({"0": None, "1": None})
>>> [(split, batch.to_pydict()) for split, batch in [*reader.poll(10), *reader.poll(10)]]
[('0', {'x': [1]}), ('1', {'x': [2, 3]})]
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import pyarrow as pa

from streamflow.connect import (
    DataError,
    Ended,
    PollResult,
    Position,
    SchemaError,
    SinkContext,
    UserError,
    canonical_schema,
    cast_batch,
    schema_of,
    set_fields,
    visible_batch,
    visible_schema,
    with_fields,
)

Data: TypeAlias = object
"""A table, batch, reader or frame (pyarrow, polars, pandas, DuckDB), a list of batches, or what gives one."""


@dataclass(frozen=True, init=False, repr=False)
class Source:
    """Reads what is in memory, in its order.

    `data` has `__arrow_c_stream__` or `__arrow_c_array__`, is a sequence of record batches, or is a callable without
    parameters that returns such an object: it is called when the schema is asked for and when the source is opened
    (with `schema=` only then), and must return the same rows each time. Batches are passed on as they were cut; only
    one larger than what the engine asks for is sliced. `splits`: read as that many contiguous parts, in turn.
    """

    _data: _Data
    _splits: int
    _columns: tuple[str, ...] | None

    def __init__(self, data: Data, schema: pa.Schema | type | None = None, *, splits: int = 1) -> None:
        if splits < 1:
            raise UserError(f"splits={splits} is not a positive number", remedy="leave it out or give 1 or more")
        declared = None if schema is None else canonical_schema(schema_of(schema))
        set_fields(self, _data=_Data(data, declared), _splits=splits, _columns=None)

    def __repr__(self) -> str:
        columns = "" if self._columns is None else f", columns={list(self._columns)}"
        return f"memory.Source({self._data.label()}, splits={self._splits}{columns})"

    @property
    def bounded(self) -> bool:
        return True

    def schema(self) -> pa.Schema:
        schema = self._data.schema()
        if self._columns is None:
            return schema
        return pa.schema([schema.field(name) for name in self._columns])

    def project(self, columns: Sequence[str]) -> Source:
        return with_fields(self, _columns=tuple(columns))

    def splits(self) -> list[str]:
        return [str(number) for number in range(self._splits)]

    def row_count(self) -> int | None:
        return None if callable(self._data.given) else sum(batch.num_rows for batch in self._data.batches()[1])

    def open(self, splits: Mapping[str, Position | None]) -> MemoryReader:
        _, batches = self._data.batches()
        total = sum(batch.num_rows for batch in batches)
        cursors = {}
        for split, position in splits.items():
            number, offset = int(split), cast("int", position or 0)
            start, end = total * number // self._splits, total * (number + 1) // self._splits
            parts = _between(batches, start + offset, end)
            if self._columns is not None:
                parts = [batch.select(self._columns) for batch in parts]
            cursors[split] = _Cursor(parts, offset)
        return MemoryReader(cursors)


@dataclass(eq=False)
class _Data:
    """The given object and, once it was imported, its batches: a stream that can be read once is read once."""

    given: Data
    declared: pa.Schema | None
    _imported_once: tuple[pa.Schema, list[pa.RecordBatch]] | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Data) or self.declared != other.declared:
            return False
        if self.given is other.given:
            return True
        mine: Any = self.given
        theirs: Any = other.given
        tables = (pa.Table, pa.RecordBatch)
        return isinstance(mine, tables) and isinstance(theirs, type(mine)) and bool(mine.equals(theirs))

    def __hash__(self) -> int:
        return 0

    def label(self) -> str:
        if callable(self.given):
            named = self.given if hasattr(self.given, "__qualname__") else type(self.given)
            return f"{named.__module__}.{named.__qualname__}"
        if (count := getattr(self.given, "num_rows", None)) is not None:
            return f"rows={count}"
        return type(self.given).__qualname__

    def schema(self) -> pa.Schema:
        if self.declared is not None:
            return self.declared
        if callable(self.given):
            return canonical_schema(_batches_of(self.given())[0])
        return self.batches()[0]

    def batches(self) -> tuple[pa.Schema, list[pa.RecordBatch]]:
        """The schema and all rows in canonical types, the given cuts kept; what a callable returns is not kept."""
        if callable(self.given):
            return self._imported(*_batches_of(self.given()))
        if self._imported_once is None:
            self._imported_once = self._imported(*_batches_of(self.given))
        return self._imported_once

    def _imported(self, found: pa.Schema, batches: Iterable[pa.RecordBatch]) -> tuple[pa.Schema, list[pa.RecordBatch]]:
        schema = self.declared or canonical_schema(found)
        if found.names != schema.names:
            raise SchemaError(
                f"the data has the columns {found.names}, schema= declares {schema.names}",
                remedy="make the two equal, or leave schema= out",
            )
        try:
            return schema, [cast_batch(batch, schema) for batch in batches if batch.num_rows]
        except pa.ArrowException as error:
            raise DataError(f"the data does not fit its schema: {error}") from error


def _batches_of(data: Data) -> tuple[pa.Schema, Iterable[pa.RecordBatch]]:
    """The schema as it is given, and the batches, which may be a stream that can be read once."""
    if isinstance(data, Sequence) and data and all(isinstance(batch, pa.RecordBatch) for batch in data):
        batches: Sequence[pa.RecordBatch] = data
        return batches[0].schema, batches
    if hasattr(data, "__arrow_c_stream__"):
        stream: Any = data if isinstance(data, pa.RecordBatchReader) else pa.RecordBatchReader.from_stream(data)
        return stream.schema, stream
    if hasattr(data, "__arrow_c_array__"):
        batch = pa.record_batch(data)
        return batch.schema, [batch]
    raise UserError(
        f"memory.Source cannot read a {type(data).__qualname__}",
        remedy="give a pyarrow Table, a polars or pandas frame, a DuckDB relation or a list of record batches",
    )


def _between(batches: Sequence[pa.RecordBatch], start: int, end: int) -> list[pa.RecordBatch]:
    """Rows `start` to `end` (exclusive) of all batches, without copying."""
    parts, offset = [], 0
    for batch in batches:
        low, high = max(start - offset, 0), min(end - offset, batch.num_rows)
        if low < high:
            parts.append(batch if high - low == batch.num_rows else batch.slice(low, high - low))
        offset += batch.num_rows
    return parts


@dataclass(slots=True)
class _Cursor:
    """What is left of one split, and how many of its rows were delivered."""

    batches: list[pa.RecordBatch]
    position: int
    next: int = 0
    row: int = 0

    def take(self, max_rows: int) -> pa.RecordBatch | None:
        if self.next == len(self.batches):
            return None
        batch = self.batches[self.next]
        rows = batch.num_rows - self.row
        if self.row or rows > max_rows:
            rows = min(rows, max_rows)
            part = batch.slice(self.row, rows)
        else:
            part = batch
        self.row += rows
        if self.row == batch.num_rows:
            self.next, self.row = self.next + 1, 0
        self.position += rows
        return part


class MemoryReader:
    """The splits in turn, a batch each, so that the event times of all advance together."""

    def __init__(self, cursors: Mapping[str, _Cursor]) -> None:
        self._cursors = cursors
        self._turn = deque(cursors)
        self._paused: list[str] = []

    def poll(self, max_rows: int) -> PollResult:
        if not self._turn:
            return []
        split = self._turn[0]
        batch = self._cursors[split].take(max_rows)
        if batch is None:
            self._turn.popleft()
            return Ended(split)
        if len(self._turn) > 1:
            self._turn.rotate(-1)
        return [(split, batch)]

    def pause(self, splits: Collection[str]) -> None:
        unfinished = [*self._turn, *self._paused]
        self._turn = deque(split for split in unfinished if split not in splits)
        self._paused = [split for split in unfinished if split in splits]

    def positions(self) -> dict[str, Position]:
        return {split: cursor.position for split, cursor in self._cursors.items()}

    def committed(self, positions: Mapping[str, Position]) -> None:
        """Nobody waits for it."""

    def close(self) -> None:
        self._turn.clear()


@dataclass(slots=True)
class _Collected:
    schema: pa.Schema | None = None
    batches: list[pa.RecordBatch] = field(default_factory=list)


@dataclass(frozen=True)
class Sink:
    """Keeps the rows of a job in this process; `table()` gives them. A job on several workers refuses it.

    A changelog is kept as it comes, with a first column `change` ("insert", "update_before", "update_after", "delete").

    >>> import pyarrow as pa
    >>> from streamflow.connect import SinkContext
    >>> sink = Sink()
    >>> writer = sink.open(
    ...     SinkContext(job="j", step="out", worker=0, attempt=1, schema=pa.schema({"x": pa.int64()}))
    ... )
    >>> writer.write(pa.record_batch({"x": [1, 2]}))
    >>> sink.table().to_pydict()
    {'x': [1, 2]}
    """

    _collected: _Collected = field(default_factory=_Collected, init=False, repr=False, compare=False)

    @property
    def changelog(self) -> bool:
        return True

    @property
    def in_process(self) -> bool:
        return True

    def open(self, who: SinkContext) -> MemoryWriter:
        self._collected.schema = visible_schema(who.schema)
        return MemoryWriter(self._collected)

    def table(self) -> pa.Table:
        """All rows written so far, in the order in which they came. Raises UserError before the flow has run."""
        if self._collected.schema is None:
            raise UserError("this memory.Sink has received nothing yet", remedy="run the flow, then call table()")
        return pa.Table.from_batches(list(self._collected.batches), self._collected.schema)

    def clear(self) -> None:
        """Forget the rows, so that the sink can be used for another run."""
        self._collected.batches.clear()


@dataclass(frozen=True, slots=True)
class MemoryWriter:
    _collected: _Collected

    def write(self, batch: pa.RecordBatch) -> None:
        self._collected.batches.append(visible_batch(batch))

    def flush(self) -> None:
        """Rows are visible at once."""

    def close(self) -> None:
        """The rows stay."""
