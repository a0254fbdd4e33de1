"""A user's keyed function over rows and timers: the escape hatch, a row at a time.

In time order rows are held until the watermark passes them. Then they are sorted at once, their columns converted to
Python once, and the function called per row: where it has neither timers nor cells with a time to live, by one `map`
over the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, repeat
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from streamflow.errors import DataError
from streamflow.kernels.arrays import Int64s, raw_values
from streamflow.kernels.canonical import canonical_key
from streamflow.kernels.ordering import argsort_pairs, order, packed_argsort, signed_codes
from streamflow.kernels.rows import Record, arrow_type, columns_of_records
from streamflow.operators.base import Output, Pause
from streamflow.operators.dead_letters import Rejected
from streamflow.operators.events import MAX_TIME, MIN_TIME, ORDER, TIME, Batch, Watermark
from streamflow.operators.firing import times_of
from streamflow.operators.salvage import salvage
from streamflow.state.cells import NEVER, Alarm, Cell
from streamflow.state.container import Container
from streamflow.state.keyed_objects import KeyedObjects
from streamflow.state.progress import Progress
from streamflow.state.rows_by_time import RowsByTime

PIECE, TIMED_PIECE = 16_384, 8_192
"""So many rows are given to the function, without or with timers, before what it made of them is sent and the host
has its turn.
"""
_OWNERS = 2_048
"""Of so many keys timers go off before that."""
NEAR = 1_500
"""Of more objects the processor finds those sooner that are called in the order in which they lie in memory."""
FIRINGS = 100_000
"""A key's timers may go off so many times without a row, at one time or at the end of all time."""
_SLOT, _AT = "~slot", "~at"
"""What goes with rows of which some may be rejected: their keys' slots, and the times of their results."""
_SHORT = 80

Arguments: TypeAlias = "Callable[[pa.RecordBatch], list[Iterable[Any]]]"


@dataclass(frozen=True, slots=True)
class RowHandler:
    """`on_row`. `call(object, *arguments)` gives a record or None, or an iterable of records (`many`).

    `columns`: those of the input that it takes; `arguments`: what it takes of a batch of these, one iterable each.
    """

    name: str
    call: Callable[..., Any]
    many: bool
    columns: tuple[str, ...]
    arguments: Arguments
    where: str | None = None


@dataclass(frozen=True, slots=True)
class TimerHandler:
    """`on_<timer>`. `call(object, *arguments)` as in `RowHandler`; `arguments(key, time)` are what it takes."""

    timer: str
    name: str
    call: Callable[..., Any]
    many: bool
    arguments: Callable[[tuple[Any, ...], int], Iterable[Any]]
    where: str | None = None


@dataclass(frozen=True, slots=True)
class BoundFunction:
    """A keyed function and what it takes of an input: see `streamflow.plan.keyed_calls`.

    `clock_timers`: those that go by processing time. `timed`: it has timers or cells that expire, so that it must know
    the time of every row.
    """

    prototype: object
    cells: tuple[Cell, ...]
    on_row: RowHandler
    timers: tuple[TimerHandler, ...]
    record: Record
    timed: bool
    clock_timers: tuple[TimerHandler, ...] = ()


@dataclass(slots=True)
class _Made:
    """Records that the function gave, and the event time of each; timers that could not be run."""

    records: list[Any] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def add(self, result: Any, many: bool, time: int) -> None:
        if many:
            before = len(self.records)
            if result is not None:
                self.records.extend(result)
            self.times.extend(repeat(time, len(self.records) - before))
        elif result is not None:
            self.records.append(result)
            self.times.append(time)


class Process:
    """Takes rows of `schema`; sends the function's records as `output_schema`, with the time of their row or timer.

    `ordered` (rule 12): each key's rows come by event time, of one time by `_order`, or without one by the columns that
    the function takes, and a timer at T goes off before the first row at T or later; of several timers the earlier one,
    of one time the one set first. A row below the watermark is late, counted and left out. Results lie at or above W,
    which is forwarded.

    Else rows come as they arrive, and timers when W has reached them; a result has the time of its row, or W where that
    is greater. Then `schema` may be without event time, if the function is not `timed`.

    State: the objects of the keys; the rows held; the watermark per key group. Raises DataError, with key and row,
    where the function raises or gives what it does not declare.

    `tolerant`: such rows are rejected instead, whole, with all columns of `schema`. A key's cells and timers are then
    what they were before the row, and what the method had yielded for it is dropped. A timer whose method raises is
    rejected as a row of the key and, named `on_<timer>`, the time: the cells are what they were before, the timer
    stays cleared. Copies of the cells are what that costs.
    """

    def __init__(
        self,
        keys: tuple[str, ...],
        function: BoundFunction,
        schema: pa.Schema,
        *,
        ordered: bool,
        tolerant: bool = False,
    ) -> None:
        self._function = function
        self._row = function.on_row
        self._tolerant = tolerant
        self._has_time = TIME in schema.names
        also = schema.names if tolerant else self._row.columns
        taken = dict.fromkeys([*keys, *(name for name in also if name != TIME)])
        by_order = ordered and ORDER in schema.names
        if by_order:
            taken[ORDER] = None
        if self._has_time:
            taken[TIME] = None
        self._taken = [schema.get_field_index(name) for name in taken]
        held = pa.schema([schema.field(place) for place in self._taken])
        self._key_places = [held.get_field_index(key) for key in keys]
        ties = [ORDER] if by_order else [name for name in self._row.columns if name not in (TIME, *keys)]
        self._tie_places = [held.get_field_index(name) for name in ties]
        self._key_names = keys
        self._key_types = key_types = pa.schema([schema.field(key) for key in keys])
        timers = [[timer.timer for timer in own] for own in (function.timers, function.clock_timers)]
        self._objects = KeyedObjects(key_types, function.prototype, function.cells, *timers)
        self._held = RowsByTime(held, self._key_places) if ordered else None
        self._piece = TIMED_PIECE if function.timed else PIECE
        self._progress = Progress()
        hidden = [schema.field(TIME)] if self._has_time else []
        fields = [pa.field(name, arrow_type(shape)) for name, shape in function.record.fields]
        self.output_schema = pa.schema([*fields, *hidden])

    @property
    def late(self) -> int:
        return self._progress.late

    def on_batch(self, port: int, batch: Batch) -> Iterator[Output]:
        rows = self._canonical(batch.select(self._taken))
        if self._held is None:
            yield from self._run_as_they_come(rows)
        else:
            self._held.append(self._on_time(rows))

    def on_watermark(self, watermark: Watermark) -> Iterator[Output]:
        self._progress.advance(watermark.time)
        passed = self._progress.watermark
        if self._held is not None:
            for rows in self._held.take_before(passed):
                yield from self._run_in_order(rows)
        yield from self._go_off(passed)
        yield from self._forget(passed)
        yield watermark

    def flush(self) -> Iterable[Output]:
        return ()

    def state(self) -> Mapping[str, Container]:
        kept: dict[str, Container] = {"cells": self._objects}
        if self._held is not None:
            kept["rows"] = self._held
        if self._has_time:
            kept["progress"] = self._progress
        return kept

    # -- rows

    def _on_time(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        times = raw_values(rows.column(-1))
        if self._progress.settled and int(times.min()) >= self._progress.watermark:
            return rows
        kept = np.flatnonzero(times >= self._progress.of_rows(self._keys_of(rows), len(times)))
        self._progress.late += len(times) - len(kept)
        return rows if len(kept) == len(times) else rows.take(pa.array(kept))

    def _canonical(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Equal keys as equal values: what the function sees of a key must not depend on which row was first."""
        for place in self._key_places:
            key = rows.column(place)
            canonical = canonical_key(key)
            if canonical is not key:
                rows = rows.set_column(place, rows.schema.field(place), canonical)
        return rows

    def _keys_of(self, rows: pa.RecordBatch) -> list[pa.Array]:
        return [rows.column(place) for place in self._key_places]

    def _run_in_order(self, rows: pa.RecordBatch) -> Iterator[Output]:
        """Each key's rows by time, of one time by what the function takes. Of many keys, a key after the other."""
        slots = yield from self._slots(rows)
        times = raw_values(rows.column(-1))
        by_key = len(self._objects) > NEAR
        if by_key or not bool((times[1:] > times[:-1]).all()):
            chosen = self._in_order(rows, slots, times, by_key)
            rows, slots, times = rows.take(pa.array(chosen)), slots[chosen], times[chosen]
        for start in range(0, rows.num_rows, self._piece):
            piece = slice(start, start + self._piece)
            if start:
                yield Pause()
            yield from self._run(rows.slice(start, self._piece), slots[piece], times[piece], None)

    def _slots(self, rows: pa.RecordBatch) -> Generator[Output, None, Int64s]:
        """The slot of every row's key. New keys get objects, which takes long where they are many."""
        if rows.num_rows <= self._piece:
            return self._objects.slots(self._keys_of(rows), rows.num_rows)
        found = []
        for start in range(0, rows.num_rows, self._piece):
            piece = rows.slice(start, self._piece)
            found.append(self._objects.slots(self._keys_of(piece), piece.num_rows))
            yield Pause()
        return np.concatenate(found)

    def _in_order(self, rows: pa.RecordBatch, slots: Int64s, times: Int64s, by_key: bool) -> Int64s:
        major, minor = (slots, times) if by_key else (times, slots)
        chosen = argsort_pairs(major, signed_codes(minor))
        if not (self._tie_places and _has_ties(slots[chosen], times[chosen])):
            return chosen
        ties = [part for place in self._tie_places for part in _total(rows.column(place))]
        columns = [pa.array(major), pa.array(minor), *ties]
        return order(columns, [False] * len(columns))

    def _run_as_they_come(self, rows: pa.RecordBatch) -> Iterator[Output]:
        passed = self._progress.watermark
        for start in range(0, rows.num_rows, self._piece):
            if start:
                yield Pause()
            piece = rows.slice(start, self._piece)
            slots = self._objects.slots(self._keys_of(piece), piece.num_rows)
            times = np.maximum(raw_values(piece.column(-1)), passed) if self._has_time else np.zeros(len(slots), int)
            yield from self._run(piece, slots, times, passed)
        yield from self._forget(passed)

    def _run(self, rows: pa.RecordBatch, slots: Int64s, times: Int64s, passed: int | None) -> Iterable[Output]:
        """Call the function for the rows. `passed`: the watermark that timers are judged by; None: the row's time."""
        if not self._tolerant:
            return self._called(rows, slots, times, passed)
        columns = [*rows.columns, pa.array(slots), pa.array(times)]
        return salvage(
            pa.RecordBatch.from_arrays(columns, names=[*rows.schema.names, _SLOT, _AT]),
            lambda part: self._called_or_undone(
                part.select(rows.schema.names),
                raw_values(part.column(_SLOT)),
                raw_values(part.column(_AT)),
                passed,
            ),
        )

    def _called_or_undone(
        self, rows: pa.RecordBatch, slots: Int64s, times: Int64s, passed: int | None
    ) -> Iterable[Output]:
        """As `_called`; where it raises, the keys' cells and timers are what they were."""
        saved = self._objects.save(self._objects.at(np.unique(slots)))
        try:
            return tuple(self._called(rows, slots, times, passed))
        except DataError:
            saved.restore()
            raise

    def _called(self, rows: pa.RecordBatch, slots: Int64s, times: Int64s, passed: int | None) -> Iterator[Output]:
        objects = self._objects.at(slots)
        try:
            arguments = self._row.arguments(rows)
        except ValueError as error:
            raise DataError(f"the arguments of {self._row.name}: {error}") from error
        if self._function.timed:
            made = self._call_with_time(objects, arguments, times.tolist(), passed, rows)
            yield from self._batches(made, sort=passed is None)
        else:
            yield from self._batch(*self._call_all(objects, arguments, times, rows), sort=passed is None)

    def _call_all(
        self, objects: list[Any], arguments: list[Iterable[Any]], times: Int64s, rows: pa.RecordBatch
    ) -> tuple[list[Any], Int64s]:
        """Records and their times, without a loop in Python: nothing happens between two calls."""
        results: list[Any] = []
        calls = map(self._row.call, objects, *arguments)
        try:
            # Filled as the function is called, so that after an error its length is the row.
            results.extend(map(_listed, calls) if self._row.many else calls)
        except Exception as error:
            raise self._failed_on_row(error, objects[len(results)], rows, len(results)) from error
        if self._row.many:
            counts = np.fromiter(map(len, results), np.int64, len(results))
            return list(chain.from_iterable(results)), np.repeat(times, counts)
        if all(results):
            return results, times
        given = [place for place, result in enumerate(results) if result is not None]
        return [results[place] for place in given], times[given]

    def _call_with_time(
        self,
        objects: list[Any],
        arguments: list[Iterable[Any]],
        times: list[int],
        passed: int | None,
        rows: pa.RecordBatch,
    ) -> _Made:
        made = _Made()
        moment, call, many = self._objects.moment, self._row.call, self._row.many
        timers = bool(self._function.timers)
        columns = zip(*arguments, strict=True) if arguments else repeat((), len(objects))
        for place, (owner, time, values) in enumerate(zip(objects, times, columns, strict=True)):
            if timers and passed is None:
                self._fire_due(owner, time, made)
            moment.now = time
            moment.floor = time if passed is None else passed
            try:
                made.add(call(owner, *values), many, time)
            except Exception as error:
                raise self._failed_on_row(error, owner, rows, place) from error
            if timers and passed is not None:
                self._fire_due(owner, passed, made)
        if timers or self._function.clock_timers:
            for owner in dict.fromkeys(objects):
                self._objects.reschedule(owner)
        return made

    def _forget(self, passed: int) -> Iterator[Pause]:
        for _ in self._objects.forget(passed):
            yield Pause()

    # -- timers

    def _go_off(self, passed: int) -> Iterator[Output]:
        """The alarms that the watermark has reached, of keys that had no later row."""
        made = _Made()
        for number, owner in enumerate(self._objects.schedule.due(passed), 1):
            self._fire(owner, passed, made)
            self._objects.reschedule(owner)
            if number % _OWNERS == 0 or len(made.records) >= PIECE:
                yield from self._batches(made, sort=True)
                yield Pause()
                made = _Made()
        yield from self._batches(made, sort=True)

    def _fire_due(self, owner: Any, until: int, made: _Made) -> None:
        for alarm in owner._alarms:
            if alarm.at <= until:
                self._fire(owner, until, made)
                return

    def _fire(self, owner: Any, until: int, made: _Made) -> None:
        """A key's alarms up to `until`, and those that they set, by (time, order of setting)."""
        for alarm, handler, firings in _going_off(owner._alarms, self._function.timers, until):
            self._go(handler, owner, alarm, alarm.at, firings, made)

    def _go(self, handler: TimerHandler, owner: Any, alarm: Alarm, event: int, firings: int, made: _Made) -> None:
        """One alarm of a key goes off, and what it gives has the time `event`."""
        time, alarm.at = alarm.at, NEVER
        if not self._tolerant:
            self._call_timer(handler, owner, time, event, firings, made)
            return
        saved = self._objects.save([owner])
        attempt = _Made()
        try:
            self._call_timer(handler, owner, time, event, firings, attempt)
            self._columns(attempt.records)
        except DataError as error:
            saved.restore()
            made.rejected.append(self._rejected_timer(handler, owner, time, error))
        else:
            made.records += attempt.records
            made.times += attempt.times

    def _call_timer(self, handler: TimerHandler, owner: Any, time: int, event: int, firings: int, made: _Made) -> None:
        if firings > FIRINGS:
            raise DataError(
                f"{handler.name} sets its timer again and again: it ran {firings} times for key "
                f"{self._key_text(owner)} without a row",
                remedy="let it stop: at the end of the input a timer that always sets itself would never end",
            )
        moment = self._objects.moment
        moment.now = moment.floor = event
        try:
            made.add(handler.call(owner, *handler.arguments(owner._key, time)), handler.many, event)
        except Exception as error:
            raise DataError(
                f"{handler.name} raised {type(error).__name__}: {error}; key {self._key_text(owner)}, "
                f"timer at {times_of(np.array([time]))[0]}",
                remedy=handler.where,
            ) from error

    def _rejected_timer(self, handler: TimerHandler, owner: Any, time: int, error: DataError) -> Rejected:
        keys = [pa.array([value], type_) for value, type_ in zip(owner._key, self._key_types.types, strict=True)]
        names = [*self._key_types.names, f"on_{handler.timer}"]
        return Rejected(pa.RecordBatch.from_arrays([*keys, times_of(np.array([time]))], names=names), (error,))

    # -- results and errors

    def _batches(self, made: _Made, *, sort: bool) -> Iterator[Output]:
        """What was made, as a batch if it is anything, by event time if asked for."""
        yield from made.rejected
        yield from self._batch(made.records, np.array(made.times, np.int64), sort=sort)

    def _batch(self, records: list[Any], times: Int64s, *, sort: bool) -> Iterator[pa.RecordBatch]:
        if not records:
            return
        columns = self._columns(records)
        if not self._has_time:
            yield pa.RecordBatch.from_arrays(columns, schema=self.output_schema)
            return
        batch = pa.RecordBatch.from_arrays([*columns, times_of(times)], schema=self.output_schema)
        if sort and bool((times[1:] < times[:-1]).any()):
            batch = batch.take(pa.array(packed_argsort(times)[0]))
        yield batch

    def _columns(self, records: list[Any]) -> list[pa.Array]:
        try:
            return columns_of_records(records, self._function.record)
        except (ValueError, OverflowError) as error:
            name = type(self._function.prototype).__name__
            raise DataError(f"{name} gave what it does not declare: {error}", remedy=self._row.where) from error

    def _failed_on_row(self, error: Exception, owner: Any, rows: pa.RecordBatch, row: int) -> DataError:
        values = [(name, rows.column(name)[row].as_py()) for name in self._row.columns if name not in self._key_names]
        shown = ", ".join(f"{name}={_shortened(value)}" for name, value in values)
        return DataError(
            f"{self._row.name} raised {type(error).__name__}: {error}; key {self._key_text(owner)}; row: {shown}",
            remedy=self._row.where,
        )

    def _key_text(self, owner: Any) -> str:
        pairs = zip(self._key_names, owner._key, strict=True)
        return ", ".join(f"{name}={_shortened(value)}" for name, value in pairs)


class ClockedProcess(Process):
    """A function with timers by processing time, which go off when the clock reaches their time, and at the end.

    At the end each key's timers go off in the order of time, those by event time first; the clock then shows the time
    of the timer. A result has the event time of the row at which the timer was set, or W where that is greater.
    """

    _clock = MIN_TIME

    def on_watermark(self, watermark: Watermark) -> Iterator[Output]:
        if watermark.time != MAX_TIME:
            yield from super().on_watermark(watermark)
            return
        reached = self._progress.reached
        outputs = super().on_watermark(watermark)
        yield from (output for output in outputs if not isinstance(output, Watermark))
        for rounds in count():
            if self._objects.clock.next() is None:
                break
            yield from self._go_off_by_clock(MAX_TIME, reached, rounds)
            yield from self._go_off(MAX_TIME)
        yield watermark

    def on_timer(self, now: int) -> Iterator[Output]:
        self._clock = self._objects.moment.clock = now
        due = self._objects.clock.next()
        if due is not None and due <= now:
            yield from self._go_off_by_clock(now, self._progress.reached)
            yield from self._go_off(self._progress.watermark)
        yield from ()

    def next_wakeup(self) -> int | None:
        return self._objects.clock.next()

    def _go_off_by_clock(self, until: int, reached: int, rounds: int = 0) -> Iterator[Output]:
        """The alarms up to `until`. `rounds`: how often timers of both kinds have set each other, at the end."""
        made = _Made()
        for number, owner in enumerate(self._objects.clock.due(until), 1):
            for alarm, handler, firings in _going_off(owner._clock_alarms, self._function.clock_timers, until, rounds):
                self._objects.moment.clock = max(self._clock, alarm.at)
                self._go(handler, owner, alarm, max(alarm.event, reached), firings, made)
            self._objects.reschedule(owner)
            if number % _OWNERS == 0 or len(made.records) >= PIECE:
                yield from self._batches(made, sort=True)
                yield Pause()
                made = _Made()
        yield from self._batches(made, sort=True)


def _going_off(
    alarms: Sequence[Alarm], handlers: Sequence[TimerHandler], until: int, before: int = 0
) -> Iterator[tuple[Alarm, TimerHandler, int]]:
    """The alarms up to `until`, and those set meanwhile, by (time, order of setting), each of which is to be cleared.

    Beside each is how many there were at one time, or at the end of all time: there `before` of them already.
    """
    last, firings = MIN_TIME, before
    while True:
        place = 0 if len(alarms) == 1 else min(range(len(alarms)), key=lambda i: (alarms[i].at, alarms[i].setting))
        time = alarms[place].at
        if time > until or time == NEVER:
            return
        firings = firings + 1 if time == last or until == MAX_TIME else 0
        last = time
        yield alarms[place], handlers[place], firings


def _total(column: pa.Array) -> Iterator[pa.Array]:
    """What rows are ordered by, so that only rows that look alike are equal: -0.0 and 0.0 are equal, and do not."""
    yield column
    if pa.types.is_floating(column.type):
        yield column.view({16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[column.type.bit_width])


def _has_ties(slots: Int64s, times: Int64s) -> bool:
    return bool(((slots[1:] == slots[:-1]) & (times[1:] == times[:-1])).any())


def _listed(result: Iterable[Any] | None) -> Sequence[Any]:
    """A generator runs to its end before the next row's call, as it may change cells."""
    return () if result is None else list(result)


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 3]}..."
