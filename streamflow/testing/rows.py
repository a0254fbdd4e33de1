"""Rows given to a test in place of a source, with the watermark and the clock in the test's hand among them."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pyarrow as pa

from streamflow.connect.canonical import cast_batch
from streamflow.connect.source import Ended, PollResult, Position, Wait
from streamflow.connect.units import parse_duration
from streamflow.engine.clock import ManualClock
from streamflow.errors import SchemaError, UserError


@dataclass(frozen=True, slots=True)
class WatermarkMark:
    time: int


@dataclass(frozen=True, slots=True)
class ClockMark:
    microseconds: int


def watermark(time: datetime | int) -> WatermarkMark:
    """Among rows: from here on the split's watermark is at least `time` (a datetime, naive = UTC, or microseconds).

    >>> watermark(datetime(1970, 1, 1, 0, 0, 1))
    WatermarkMark(time=1000000)
    """
    if isinstance(time, int):
        return WatermarkMark(time)
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return WatermarkMark((aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))


def advance(duration: str | timedelta) -> ClockMark:
    """Among rows: the split has nothing to read until the clock has gone on by this much.

    There is one clock for all splits. It stands still while any of them has rows to read.

    >>> advance("5m")
    ClockMark(microseconds=300000000)
    """
    return ClockMark(parse_duration(duration))


Piece: TypeAlias = "pa.RecordBatch | WatermarkMark | ClockMark"


@dataclass(frozen=True)
class Splits:
    """Rows of several splits: each is read in order, in any interleaving with the others."""

    parts: tuple[Any, ...]


def splits(*parts: Any) -> Splits:
    """Several splits in place of one, each given as rows or a table: `splits([...], [...])`."""
    return Splits(parts)


@dataclass(frozen=True)
class RowsSource:
    """A source of rows held in memory: one list of pieces per split."""

    columns: pa.Schema
    pieces: tuple[tuple[Piece, ...], ...]
    clock: ManualClock = field(compare=False, repr=False)
    seed: int = 0
    bounded: bool = True

    def schema(self) -> pa.Schema:
        return self.columns

    def splits(self) -> Iterable[str]:
        return [f"rows-{index}" for index in range(len(self.pieces))]

    def open(self, splits: Mapping[str, Position | None]) -> RowsReader:
        return RowsReader(self, splits)


class RowsReader:
    """Positions count rows and marks. Which of the splits that have something to read comes next is up to the seed.

    Each split has a clock of its own, the sum of its marks: what follows them is there once the clock of all has come
    as far. Whenever that has moved, the reader first says that it has nothing, as one that polls all the time would.
    """

    def __init__(self, source: RowsSource, splits: Mapping[str, Position | None]) -> None:
        self._source = source
        self._rng = random.Random(source.seed)
        self._at = {name: int(position) if isinstance(position, int) else 0 for name, position in splits.items()}
        self._marks: dict[str, int] = {}
        self._due = dict.fromkeys(splits, 0)
        self._polled = source.clock.monotonic()
        self._open = list(splits)
        self._quiet: list[str] = []
        self._paused: Collection[str] = ()
        for name, position in self._at.items():
            self._replay_marks(name, position)

    def _pieces(self, split: str) -> tuple[Piece, ...]:
        return self._source.pieces[int(split.removeprefix("rows-"))]

    def _replay_marks(self, split: str, position: int) -> None:
        """A restored split still knows what was set before its position."""
        at = 0
        for piece in self._pieces(split):
            if at < position:
                match piece:
                    case WatermarkMark(time):
                        self._marks[split] = time
                    case ClockMark(microseconds):
                        self._due[split] += microseconds
            at += piece.num_rows if isinstance(piece, pa.RecordBatch) else 1

    def poll(self, max_rows: int) -> PollResult:
        now = self._source.clock.monotonic()
        self._quiet = [split for split in self._open if self._due[split] > self._polled]
        if now > self._polled:
            self._polled = now
            return Wait(0.0)
        asked = [split for split in self._open if split not in self._paused]
        ready = [split for split in asked if self._due[split] <= now]
        if not ready:
            return Wait((min(self._due[split] for split in asked) - now) / 1e6)
        split = self._rng.choice(ready)
        at = 0
        for piece in self._pieces(split):
            size = piece.num_rows if isinstance(piece, pa.RecordBatch) else 1
            if self._at[split] < at + size:
                return self._take(split, piece, self._at[split] - at, max_rows)
            at += size
        self._open.remove(split)
        return Ended(split)

    def _take(self, split: str, piece: Piece, offset: int, max_rows: int) -> PollResult:
        match piece:
            case WatermarkMark(time):
                self._at[split] += 1
                self._marks[split] = time
                return []
            case ClockMark(microseconds):
                self._at[split] += 1
                self._due[split] += microseconds
                return []
            case batch:
                rows = batch.slice(offset, max_rows)
                self._at[split] += rows.num_rows
                return [(split, rows)]

    def watermark(self, split: str) -> int | None:
        return self._marks.get(split)

    def pause(self, splits: Collection[str]) -> None:
        self._paused = splits

    def quiet(self) -> list[str]:
        return self._quiet

    def positions(self) -> Mapping[str, Position]:
        return dict(self._at)

    def committed(self, positions: Mapping[str, Position]) -> None:
        """Nobody to tell."""

    def close(self) -> None:
        self._open = []


def rows_source(name: str, given: Any, schema: pa.Schema, clock: ManualClock, seed: int) -> RowsSource:
    """The source that stands in for `name`: of rows (dicts, dataclass objects) and marks, a table, or `splits`."""
    parts = given.parts if isinstance(given, Splits) else (given,)
    return RowsSource(schema, tuple(tuple(_pieces(name, part, schema)) for part in parts), clock, seed)


def _pieces(name: str, given: Any, schema: pa.Schema) -> Iterable[Piece]:
    if hasattr(given, "__arrow_c_stream__"):
        yield from _batches(name, pa.table(given), schema)
        return
    if not isinstance(given, Sequence):
        raise UserError(
            f"rows for {name!r} are a {type(given).__name__}", remedy="give a list of dicts, or an Arrow table"
        )
    rows: list[Any] = []
    for item in [*given, None]:
        if isinstance(item, WatermarkMark | ClockMark) or item is None:
            if rows:
                yield from _table(name, [_as_dict(name, row, schema) for row in rows], schema).to_batches()
                rows = []
            if item is not None:
                yield item
        else:
            rows.append(item)


def _table(name: str, rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    try:
        return pa.Table.from_pylist(rows, schema=schema)
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise _does_not_fit(name, schema, error) from error


def _does_not_fit(name: str, schema: pa.Schema, error: Exception) -> SchemaError:
    columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
    return SchemaError(f"a row for {name!r} does not fit: {error}", remedy=f"its columns are {columns}")


def _as_dict(name: str, row: Any, schema: pa.Schema) -> dict[str, Any]:
    if dataclasses.is_dataclass(type(row)):
        fields = dataclasses.asdict(row)
    elif hasattr(row, "_asdict"):
        fields = row._asdict()
    elif isinstance(row, Mapping):
        fields = dict(row)
    else:
        raise UserError(
            f"a row for {name!r} is a {type(row).__name__}", remedy="give dicts, dataclass objects or named tuples"
        )
    unknown = set(fields) - set(schema.names)
    if unknown:
        raise SchemaError(
            f"rows for {name!r} have {sorted(unknown)}, which the source does not", remedy=f"it has {schema.names}"
        )
    return fields


def _batches(name: str, table: pa.Table, schema: pa.Schema) -> Iterable[pa.RecordBatch]:
    missing = set(schema.names) - set(table.column_names)
    if missing:
        raise SchemaError(f"the table for {name!r} lacks {sorted(missing)}", remedy=f"give the columns {schema.names}")
    for batch in table.select(schema.names).to_batches():
        if batch.num_rows:
            yield _cast(name, batch, schema)


def _cast(name: str, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    try:
        return cast_batch(batch, schema)
    except pa.ArrowException as error:
        raise _does_not_fit(name, schema, error) from error
