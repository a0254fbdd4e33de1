"""Rows from a generator function, rows to a function of a batch: for what has no connector yet.

>>> def numbers():
...     for n in range(3):
...         yield {"n": n}
>>> source = Source(numbers, pa.schema({"n": pa.int64()}))
>>> source
python.Source(streamflow_connectors.python.numbers, columns=['n'])
>>> [(split, batch)] = source.open({"0": None}).poll(10)
>>> batch.to_pydict()
{'n': [0, 1, 2]}

A generator cannot be asked for rows again, so a job that has to go on from a checkpoint stops with an error, unless it
says `replayable=True`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import pyarrow as pa

from streamflow.connect import (
    BadRecord,
    DataError,
    Ended,
    Fatal,
    PollResult,
    Position,
    SinkContext,
    UserError,
    Wait,
    canonical_schema,
    cast_if_it_fits,
    parse_duration,
    schema_of,
    set_fields,
    visible_batch,
)

Function: TypeAlias = "Callable[[], Iterable[Any]]"

_SPLIT = "0"
_CHUNK = 1024
"""Rows that are asked for before they are passed on: a generator may be slow."""


@dataclass(frozen=True, init=False, repr=False)
class Source:
    """Reads what a generator yields, as one split.

    `function()` returns a generator, or anything else to iterate over; it is called when rows are first asked for. It
    yields rows (dicts, or dataclass or NamedTuple objects; a field that is missing is null), whole `pa.RecordBatch`es
    or `pa.Table`s with the columns of `schema`, or None: nothing now, ask again after `poll_every`. It runs between the
    engine's other work: while it waits for something everything waits, so it should yield None instead. `bounded=False`
    says that it never ends, so that the job publishes as it goes. A row that does not fit the schema, or is none, is an
    error that says how many rows came up to it; with a policy it is rejected, and the others go on.

    Not replayable: after a crash nobody can go back in a generator, so a restored job stops with a Fatal error rather
    than lose rows or have them twice. `replayable=True` is your promise that each call yields the same rows in the same
    order: then the generator is called again, and the rows that the checkpoint covers are skipped.
    """

    _function: Function
    _schema: pa.Schema
    _bounded: bool
    _replayable: bool
    _poll_every: float

    def __init__(
        self,
        function: Function,
        schema: pa.Schema | type,
        *,
        bounded: bool = True,
        replayable: bool = False,
        poll_every: str = "100ms",
    ) -> None:
        if not callable(function):
            raise UserError(
                f"python.Source takes a function that gives rows, not a {type(function).__qualname__}",
                remedy="give the generator function itself, without calling it; for rows at hand use memory.Source",
            )
        seconds = parse_duration(poll_every) / 1e6
        if seconds <= 0:
            raise UserError(f"poll_every={poll_every!r} is no time to wait", remedy='give a duration, as in "100ms"')
        columns = canonical_schema(schema_of(schema))
        set_fields(
            self,
            _function=function,
            _schema=columns,
            _bounded=bounded,
            _replayable=replayable,
            _poll_every=seconds,
        )

    def __repr__(self) -> str:
        return f"python.Source({_label(self._function)}, columns={self._schema.names})"

    @property
    def bounded(self) -> bool:
        return self._bounded

    def schema(self) -> pa.Schema:
        return self._schema

    def splits(self) -> list[str]:
        return [_SPLIT]

    def open(self, splits: Mapping[str, Position | None]) -> GeneratorReader:
        done = cast("int", splits.get(_SPLIT) or 0)
        if done and not self._replayable:
            raise Fatal(
                f"{_label(self._function)} cannot go on after its row {done}: a generator starts from its beginning",
                remedy="start the job anew; if each call yields the same rows, say python.Source(..., replayable=True)",
            )
        return GeneratorReader(self._function, self._schema, self._poll_every, done, is_open=_SPLIT in splits)


def _label(function: Callable[..., object]) -> str:
    """The function's name, the same in every process."""
    if isinstance(function, functools.partial):
        given = [repr(value) for value in function.args]
        given += [f"{name}={value!r}" for name, value in function.keywords.items()]
        return f"{_label(function.func)}({', '.join(given)})"
    named = function if hasattr(function, "__qualname__") else type(function)
    return ".".join(part for part in (named.__module__, named.__qualname__) if part)


class GeneratorReader:
    """Gathers rows into batches; a position is the number of rows that were passed on."""

    def __init__(self, function: Function, schema: pa.Schema, poll_every: float, skip: int, *, is_open: bool) -> None:
        self._function = function
        self._schema = schema
        self._wait = Wait(poll_every)
        self._skip = skip
        self._position = self._seen = skip
        """How many rows were passed on, and how many are in `_pieces`, too."""
        self._is_open = is_open
        self._given: Iterable[Any] = ()
        self._yielded: Iterator[Any] | None = None
        self._pieces: deque[pa.RecordBatch | BadRecord] = deque()
        """What was gathered and not passed on yet."""

    def poll(self, max_rows: int) -> PollResult:
        if not self._is_open:
            return []
        if not self._pieces and not self._gather(min(max_rows, _CHUNK)):
            self._is_open = False
            return Ended(_SPLIT)
        if not self._pieces:
            return self._wait
        piece = self._pieces.popleft()
        if isinstance(piece, BadRecord):
            self._position += 1
            return [piece]
        if piece.num_rows > max_rows:
            self._pieces.appendleft(piece.slice(max_rows))
            piece = piece.slice(0, max_rows)
        self._position += piece.num_rows
        return [(_SPLIT, piece)]

    def _gather(self, max_rows: int) -> bool:
        """Ask for the next rows, past those to be skipped; False at the end, nothing when there are none now."""
        if self._yielded is None:
            self._given = self._function()
            if not isinstance(self._given, Iterable):
                raise UserError(
                    f"{_label(self._function)} gave {self._given!r}, from which no rows can be taken",
                    remedy="let the function yield its rows, or return an iterable of them",
                )
            self._yielded = iter(self._given)
        rows: list[Any] = []
        for item in self._yielded:
            if isinstance(item, pa.RecordBatch | pa.Table):
                self._take(rows)  # what comes as a whole follows the rows that were gathered before it
                rows = []
                for batch in self._of_columns(item):
                    self._pass_on(batch)
            elif item is not None:
                rows.append(item)
            if item is None or len(rows) >= max_rows:
                self._take(rows)
                rows = []
            if item is None or self._pieces:
                return True
        self._take(rows)
        return bool(self._pieces)

    def _take(self, rows: list[Any]) -> None:
        """Rows as they were yielded, at once if they all fit, else by halves."""
        if not rows:
            return
        try:
            batch = self._of_rows(rows)
        except DataError as error:
            if len(rows) > 1:
                self._take(rows[: len(rows) // 2])
                self._take(rows[len(rows) // 2 :])
            elif self._skip:
                self._skip -= 1
            else:
                self._seen += 1
                self._pieces.append(BadRecord(_SPLIT, str(self._seen), repr(rows[0]).encode(), error.message))
        else:
            self._pass_on(batch)

    def _pass_on(self, batch: pa.RecordBatch) -> None:
        skipped = min(self._skip, batch.num_rows)
        self._skip -= skipped
        if skipped < batch.num_rows:
            self._seen += batch.num_rows - skipped
            self._pieces.append(batch.slice(skipped))

    def _of_rows(self, rows: list[Any]) -> pa.RecordBatch:
        records = [row if isinstance(row, dict) else _fields(row) for row in rows]
        try:
            return pa.RecordBatch.from_pylist(records, schema=self._schema)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{_label(self._function)} yielded a row that does not fit the schema: {error}") from error

    def _of_columns(self, item: pa.RecordBatch | pa.Table) -> Iterator[pa.RecordBatch]:
        """The batches in the schema's types; one that has values that do not fit is left to the engine as it is."""
        for batch in item.to_batches() if isinstance(item, pa.Table) else [item]:
            try:
                chosen = batch.select(self._schema.names)
            except KeyError as error:
                raise DataError(
                    f"a batch of {_label(self._function)} does not fit the schema: {error}",
                    remedy="yield batches with the columns of the schema",
                ) from error
            try:
                yield cast_if_it_fits(chosen, self._schema)
            except pa.ArrowException:
                yield chosen

    def positions(self) -> dict[str, Position]:
        return {_SPLIT: self._position}

    def committed(self, positions: Mapping[str, Position]) -> None:
        """Nobody waits for it."""

    def close(self) -> None:
        """Lets a generator run its `finally`."""
        self._is_open = False
        if (close := getattr(self._given, "close", None)) is not None:
            close()


def _fields(row: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    if isinstance(row, tuple) and (as_dict := getattr(row, "_asdict", None)) is not None:
        fields: dict[str, Any] = as_dict()
        return fields
    raise DataError(
        f"a generator yielded a {type(row).__qualname__}, which is no row",
        remedy="yield dicts, dataclass or NamedTuple objects, pa.RecordBatches, or None for nothing now",
    )


@dataclass(frozen=True, init=False, repr=False)
class Sink:
    """Calls `function(batch)` with each `pa.RecordBatch` as it comes.

    Where batches begin and end means nothing. The function may be an object with `open()`, called once before all rows,
    and `close()`, called at the end, also after an error. It sees rows at once and cannot take them back: after a crash
    it sees those since the last checkpoint again. A changelog comes with a first column `change`.

    >>> seen = []
    >>> Sink(seen.append)
    python.Sink(list.append)
    """

    _function: Callable[[pa.RecordBatch], object]

    def __init__(self, function: Callable[[pa.RecordBatch], object]) -> None:
        if not callable(function):
            raise UserError(
                f"python.Sink takes a function of a batch, not a {type(function).__qualname__}",
                remedy="give a function, or an object with __call__",
            )
        set_fields(self, _function=function)

    def __repr__(self) -> str:
        return f"python.Sink({_label(self._function)})"

    @property
    def changelog(self) -> bool:
        return True

    def open(self, who: SinkContext) -> FunctionWriter:
        if (start := getattr(self._function, "open", None)) is not None:
            start()
        return FunctionWriter(self._function)


@dataclass(frozen=True, slots=True)
class FunctionWriter:
    _function: Callable[[pa.RecordBatch], object]

    def write(self, batch: pa.RecordBatch) -> None:
        self._function(visible_batch(batch))

    def flush(self) -> None:
        """The function has seen all rows."""

    def close(self) -> None:
        if (close := getattr(self._function, "close", None)) is not None:
            close()
