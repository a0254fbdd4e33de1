"""The objects of a keyed function: one per key while rows flow, Arrow columns in snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from operator import attrgetter, is_not
from typing import Any

import numpy as np
import pyarrow as pa

from streamflow.errors import DataError, EngineError, UserError
from streamflow.kernels.arrays import Bools, Int64s
from streamflow.kernels.grouping import group
from streamflow.kernels.hashing import HASH_VERSION
from streamflow.kernels.rows import to_python
from streamflow.state.cells import (
    ALARM_TYPE,
    MOMENT,
    NEVER,
    Alarm,
    Cell,
    ClockAlarm,
    Moment,
    ValueCell,
    decode_alarms,
    encode_alarms,
)
from streamflow.state.container import Capture, Container, Snapshot
from streamflow.state.key_order import snapshot_of
from streamflow.state.keyed_kind import kind_of_objects
from streamflow.state.keyed_table import KeyedTable, require_hash_version
from streamflow.state.schedule import SCHEDULES, Schedule

KEY, ALARMS, CLOCK_ALARMS = "_key", "_alarms", "_clock_alarms"
"""Attributes of every object: its key's values as a tuple, its alarms in the order of the timers' names."""
_FEW = 4096
_STEP = 1 << 14
"""So many objects are looked at in one step."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What some objects kept at one time."""

    _objects: Sequence[Any]
    _cells: Sequence[Cell]
    _values: Sequence[Mapping[str, Any]]
    _alarms: Sequence[Sequence[tuple[int, int, int]]]
    _schedules: Sequence[list[int]]

    def restore(self) -> None:
        """The objects keep that again. Once: the values are theirs from then on."""
        for owner, values in zip(self._objects, self._values, strict=True):
            attributes = vars(owner)
            for cell in self._cells:
                if cell.name in values:
                    attributes[cell.name] = values[cell.name]
                else:
                    attributes.pop(cell.name, None)
        for owner, alarms, schedules in zip(self._objects, self._alarms, self._schedules, strict=False):
            owner._schedules = schedules
            for alarm, (at, setting, event) in zip(_alarms_of(owner), alarms, strict=True):
                alarm.at, alarm.setting, alarm.event = at, setting, event


class KeyedObjects(Container):
    """A `Container`: key -> an object like `prototype`, whose cells and timers are its state.

    Objects share what the prototype's `__init__` set. Beside their cells they have `_key`, `_moment` where a cell
    expires, and the alarms of `timers` and `clock_timers` in lists `_alarms` and `_clock_alarms`, which `schedule` and
    `clock` look after. An object that keeps nothing, because its cells are empty or have expired at the time of
    `forget`, is let go of at some time; the key gets a new one when it comes again.
    """

    def __init__(
        self,
        keys: pa.Schema,
        prototype: object,
        cells: Sequence[Cell],
        timers: Sequence[str],
        clock_timers: Sequence[str] = (),
    ) -> None:
        self.moment = Moment()
        self._keys = keys
        self._name = type(prototype).__name__
        self._shared = dict(vars(prototype))
        self._common = {**self._shared, MOMENT: self.moment} if any(cell.expires for cell in cells) else self._shared
        for cell in cells:
            if cell.name in self._shared:
                raise UserError(
                    f"{self._name}.open() sets the cell {cell.name!r} where there is no key yet",
                    remedy=f"say what it is at first: {cell.name} = sf.cell(..., default=...)",
                )
        self._cells = tuple(cells)
        self._timers = tuple(timers)
        self._clock_timers = tuple(clock_timers)
        self._all_timers = (*timers, *clock_timers)
        kind: Any = type(prototype)
        self._kind = kind_of_objects(kind, self._cells, self._all_timers)
        self.schedule = Schedule(ALARMS, 0)
        self.clock = Schedule(CLOCK_ALARMS, 1)
        self._table = KeyedTable(keys, pa.schema([]))  # its slots are the objects' places
        self._places = np.empty(_FEW, np.object_)  # the objects by slot, and room for more
        self._count = 0
        self._horizon = -NEVER
        self._live = 0

    def __len__(self) -> int:
        return self._count

    def slots(self, keys: Sequence[pa.Array], length: int) -> Int64s:
        """The slot of every row's key. Slots hold until `forget` or `snapshot` is called."""
        groups = group(keys, length)
        first = pa.array(groups.first)
        distinct = [key.take(first) for key in keys]
        found = self._find(distinct, groups.count)
        self._table.touch(found)
        slots: Int64s = found[groups.ids]
        return slots

    def at(self, slots: Int64s) -> list[Any]:
        """The objects at these slots."""
        objects: list[Any] = self._places.take(slots).tolist()
        return objects

    def save(self, objects: Sequence[Any]) -> Saved:
        """What these objects keep now, each of them once: copies, so that changes in place do not reach them."""
        values = []
        for owner in objects:
            attributes = vars(owner)
            kept = [cell for cell in self._cells if cell.name in attributes]
            values.append({cell.name: cell.copied(attributes[cell.name]) for cell in kept})
        if not self._all_timers:
            return Saved(objects, self._cells, values, (), ())
        alarms = [[(alarm.at, alarm.setting, alarm.event) for alarm in _alarms_of(owner)] for owner in objects]
        return Saved(objects, self._cells, values, alarms, [list(owner._schedules) for owner in objects])

    def reschedule(self, owner: Any) -> None:
        """To be called after an object's alarms may have been set."""
        if self._timers:
            self.schedule.add(owner)
        if self._clock_timers:
            self.clock.add(owner)

    def forget(self, time: int) -> Iterator[None]:
        """No call will be made for a time before: let go of objects that keep nothing, now and then, a step at a time.

        Nothing else is to be called until it has come to its end.
        """
        self._horizon = max(self._horizon, time)
        if len(self.schedule.went_off) + len(self.clock.went_off) > _FEW:
            yield from self._touch_called()
        if self._count > 2 * self._live + _FEW:
            yield from self._sweep()

    def capture(self, groups: int) -> Capture:
        """Converts all values, for objects change in place."""
        self._check_attributes(self._all())
        _run(self._sweep())
        return self._captured(np.arange(self._count), groups, None)

    def begin(self, *, stands: bool) -> int | None:
        """See `streamflow.state.container.Incremental`."""
        _run(self._touch_called())
        self.schedule.noting = self.clock.noting = True
        return self._table.begin(stands=stands)

    def capture_changes(self, groups: int) -> Capture:
        """Converts the values of the objects that were asked for, or went off; of those that keep nothing, the keys."""
        slots = self._table.changed()
        objects = self.at(slots)
        self._check_attributes(objects)
        keeps = self._keeping(objects)
        empty = pa.RecordBatch.from_arrays(self._table.keys(slots[~keeps]), schema=self._table.key_schema)
        return self._captured(slots[keeps], groups, pa.concat_batches([self._table.gone(), empty]))

    def _captured(self, slots: Int64s, groups: int, gone: pa.RecordBatch | None) -> Capture:
        objects = self.at(slots)
        columns = [_encoded(cell, objects) for cell in self._cells]
        columns += [encode_alarms([getattr(owner, name) for owner in objects]) for name in self._all_timers]
        schema, keys = self._schema(), range(len(self._keys))
        rows = pa.RecordBatch.from_arrays([*self._table.keys(slots), *columns], schema=schema)

        def snapshot() -> Snapshot:
            meta = {"hash_version": HASH_VERSION}
            return replace(snapshot_of([rows], schema, keys, groups), meta=meta, gone=gone)

        return Capture(len(slots) + (0 if gone is None else gone.num_rows), snapshot)

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        if self._count:
            raise EngineError("objects are restored only while there are none")
        schema = self._schema()
        for part in parts:
            require_hash_version(part)
            rows = part.slice(groups)
            if not rows.schema.equals(schema):
                raise EngineError(f"state has columns {rows.schema.to_string()}, not {schema.to_string()}")
            if rows.num_rows:
                self._restore_rows(rows)

    def _restore_rows(self, rows: pa.RecordBatch) -> None:
        n_keys = len(self._keys)
        objects = self.at(self._find(rows.columns[:n_keys], rows.num_rows))
        columns = rows.columns[n_keys:]
        for cell, column in zip(self._cells, columns, strict=False):
            cell.decode(objects, column)
        for name, column in zip(self._all_timers, columns[len(self._cells) :], strict=True):
            decode_alarms([getattr(owner, name) for owner in objects], column, self.moment)
        if self._all_timers:
            for owner in objects:
                self.reschedule(owner)

    def _schema(self) -> pa.Schema:
        keys = [field.with_name(f"key.{field.name}") for field in self._keys]
        cells = [pa.field(f"cell.{cell.name}", cell.stored) for cell in self._cells]
        return pa.schema([*keys, *cells, *(pa.field(f"timer.{name}", ALARM_TYPE) for name in self._all_timers)])

    def _find(self, keys: Sequence[pa.Array], length: int) -> Int64s:
        """The slots of distinct keys; new ones get objects."""
        slots, new = self._table.lookup_or_insert(keys, length)
        if new.any():
            rows = np.flatnonzero(new)
            fresh = slots[rows]
            rows = rows[np.argsort(fresh)]
            chosen = pa.array(rows)
            values = [to_python(key.take(chosen)) for key in keys]
            self._add(self._made(list(zip(*values, strict=True))))
        return slots

    def _made(self, keys: Sequence[tuple[Any, ...]]) -> list[Any]:
        """A new object for each key."""
        objects: list[Any] = [object.__new__(self._kind) for _ in keys]
        for owner, key in zip(objects, keys, strict=True):
            owner._key = key
        for name, value in self._common.items():
            for owner in objects:
                setattr(owner, name, value)
        if self._all_timers:
            for owner in objects:
                self._give_alarms(owner)
        return objects

    def _give_alarms(self, owner: Any) -> None:
        for attribute, names, kind in (
            (ALARMS, self._timers, Alarm),
            (CLOCK_ALARMS, self._clock_timers, ClockAlarm),
        ):
            alarms = [kind(self.moment) for _ in names]
            for name, alarm in zip(names, alarms, strict=True):
                setattr(owner, name, alarm)
            setattr(owner, attribute, alarms)
        setattr(owner, SCHEDULES, [NEVER, NEVER])

    def _add(self, objects: Sequence[Any]) -> None:
        """Give them the next slots."""
        count = self._count + len(objects)
        if count > len(self._places):
            places = np.empty(max(count, 2 * len(self._places)), np.object_)
            places[: self._count] = self._places[: self._count]
            self._places = places
        self._places[self._count : count] = np.fromiter(objects, np.object_, len(objects))
        self._count = count

    def _all(self) -> list[Any]:
        objects: list[Any] = self._places[: self._count].tolist()
        return objects

    def _sweep(self) -> Iterator[None]:
        """Let go of objects that keep nothing: slots change."""
        keeps = np.zeros(self._count, np.bool_)
        for start in range(0, self._count, _STEP):
            if start:
                yield
            piece = slice(start, min(start + _STEP, self._count))
            keeps[piece] = self._keeping(self._places[piece].tolist())
        self._live = int(np.count_nonzero(keeps))
        if self._live < self._count:
            yield from self._touch_called()
            self._table.retain([], lambda: keeps)
            self._places = self._places[: self._count][keeps]
            self._count = self._live

    def _touch_called(self) -> Iterator[None]:
        """What has changed of those whose alarms went off, while nobody asked for their slots."""
        for schedule in (self.schedule, self.clock):
            while owners := dict.fromkeys(schedule.went_off[-_STEP:]):
                del schedule.went_off[-_STEP:]
                values = zip(*(owner._key for owner in owners), strict=True)
                keys = [pa.array(list(column), type_) for column, type_ in zip(values, self._keys.types, strict=True)]
                self._table.touch(self._table.lookup_or_insert(keys, len(owners))[0])
                yield

    def _keeping(self, objects: Sequence[Any]) -> Bools:
        """Which objects keep something. Most show it by a value that is not the default; others are looked into."""
        keeps = np.zeros(len(objects), np.bool_)
        for cell in self._cells:
            if isinstance(cell, ValueCell):
                values = map(attrgetter(cell.name), objects)
                keeps |= np.fromiter(map(is_not, values, repeat(cell.default)), np.bool_, len(objects))
        for place in np.flatnonzero(~keeps).tolist():
            keeps[place] = self._keeps(objects[place])
        return keeps

    def _keeps(self, owner: Any) -> bool:
        if self._all_timers and any(alarm.at != NEVER for alarm in _alarms_of(owner)):
            return True
        values = vars(owner)
        return not all(cell.is_empty(values, self._horizon) for cell in self._cells)

    def _check_attributes(self, objects: Sequence[Any]) -> None:
        """What a function sets beside its cells would be lost with the next restore."""
        own = {MOMENT, KEY, ALARMS, CLOCK_ALARMS, SCHEDULES}
        known = {*own, *(cell.name for cell in self._cells), *self._all_timers}
        for owner in objects:
            for name, value in vars(owner).items():
                if name not in known and (name not in self._shared or self._shared[name] is not value):
                    raise DataError(
                        f"{self._name} set self.{name}, which is no cell and would not survive a crash",
                        remedy=f"declare it: {name} = sf.cell(...)",
                    )


def _alarms_of(owner: Any) -> list[Alarm]:
    return [*owner._alarms, *owner._clock_alarms]


def _run(steps: Iterator[None]) -> None:
    for _ in steps:
        pass


def _encoded(cell: Cell, objects: Sequence[Any]) -> pa.Array:
    try:
        return cell.encode(objects)
    except (ValueError, OverflowError) as error:
        for owner in objects:
            try:
                cell.encode([owner])
            except (ValueError, OverflowError) as one:
                why = str(one).removeprefix("row 0: ")
                raise DataError(
                    f"the cell {cell.name!r} of key {owner._key!r} holds what it does not declare: {why}"
                ) from one
        raise DataError(f"the cell {cell.name!r}: {error}") from error
