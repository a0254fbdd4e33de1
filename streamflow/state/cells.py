"""Cells and timers: what a user's function keeps of each key, as attributes of one object per key.

A cell is declared on a class, and its value stands in the `__dict__` of an object of that class under the cell's name.
So reading and writing it is what Python does fastest: a cell defines no `__set__`, hence the object's own value goes
before it, and it is asked only where there is none. A cell with a time to live has to see every write and is slower.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy, deepcopy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

import numpy as np
import pyarrow as pa

from streamflow.kernels.rows import Scalar, Shape, arrow_type, from_python, to_python

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

NEVER = 2**63 - 1
"""When an alarm that is not set goes off. Reserved: no row has that time (rule 11)."""
MOMENT = "_moment"
"""The attribute of every object that holds the `Moment` which they share."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MISSING = object()


class Moment:
    """What the running call may know of time; shared by all objects of one operator. Microseconds.

    `now`: the event time of the row or timer. `floor`: no alarm goes off before. `clock`: what the clock shows.
    `settings`: how often alarms were set.
    """

    __slots__ = ("clock", "floor", "now", "settings")

    def __init__(self) -> None:
        self.now = self.floor = self.clock = -NEVER
        self.settings = 0


class Cell(Protocol):
    """A declared cell. `encode` takes objects and gives a column with null where the cell is empty."""

    name: str

    @property
    def holds(self) -> pa.DataType:
        """The type of what is in it."""
        ...

    @property
    def stored(self) -> pa.DataType:
        """The type of its column in snapshots."""
        ...

    def is_empty(self, values: Mapping[str, Any], now: int) -> bool:
        """Whether an object with these attributes keeps nothing in it, or nothing any more at `now`."""
        ...

    def copied(self, kept: Any) -> Any:
        """A copy of what an object's attribute holds for it, which no change in place reaches."""
        ...

    def encode(self, objects: Sequence[object]) -> pa.Array:
        """Raises ValueError or OverflowError for a value that is not of the declared type."""
        ...

    def decode(self, objects: Sequence[object], column: pa.Array) -> None:
        """Put a column's values, as many as objects, back into them."""
        ...


class _Named:
    name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name


class ValueCell(_Named, Generic[T]):
    """One value; `default` where none was written."""

    def __init__(self, shape: Shape, default: T) -> None:
        self.shape = shape
        self.default = default

    @property
    def holds(self) -> pa.DataType:
        return arrow_type(self.shape)

    @property
    def stored(self) -> pa.DataType:
        """A struct, so that a None that was written differs from nothing."""
        return pa.struct([("value", self.holds)])

    @overload
    def __get__(self, owner: None, kind: type) -> ValueCell[T]: ...
    @overload
    def __get__(self, owner: object, kind: type) -> T: ...
    def __get__(self, owner: object | None, kind: type | None = None) -> ValueCell[T] | T:
        return self if owner is None else self.default

    if TYPE_CHECKING:

        def __set__(self, owner: object, value: T) -> None: ...

    def is_empty(self, values: Mapping[str, Any], now: int) -> bool:
        return self.name not in values

    def copied(self, kept: Any) -> Any:
        return kept if isinstance(self.shape, Scalar) else deepcopy(kept)

    def encode(self, objects: Sequence[object]) -> pa.Array:
        values = [vars(owner).get(self.name, _MISSING) for owner in objects]
        kept = from_python([None if value is _MISSING else value for value in values], self.shape)
        return pa.StructArray.from_arrays([kept], fields=list(self.stored), mask=_mask(values))

    def decode(self, objects: Sequence[object], column: pa.Array) -> None:
        for owner, kept, value in zip(objects, _valid(column), to_python(column.field(0), self.shape), strict=True):
            if kept:
                setattr(owner, self.name, value)


class ExpiringCell(_Named, Generic[T]):
    """One value that is gone `ttl` microseconds of event time after it was written; kept as (value, then)."""

    def __init__(self, shape: Shape, default: T, ttl: int) -> None:
        self.shape = shape
        self.default = default
        self.ttl = ttl

    @property
    def holds(self) -> pa.DataType:
        return arrow_type(self.shape)

    @property
    def stored(self) -> pa.DataType:
        return pa.struct([("value", self.holds), ("written", pa.int64())])

    @overload
    def __get__(self, owner: None, kind: type) -> ExpiringCell[T]: ...
    @overload
    def __get__(self, owner: object, kind: type) -> T: ...
    def __get__(self, owner: object | None, kind: type | None = None) -> ExpiringCell[T] | T:
        if owner is None:
            return self
        values = vars(owner)
        kept = values.get(self.name)
        if kept is None or kept[1] + self.ttl <= values[MOMENT].now:
            return self.default
        value: T = kept[0]
        return value

    def __set__(self, owner: object, value: T) -> None:
        values = vars(owner)
        values[self.name] = (value, values[MOMENT].now)

    def __delete__(self, owner: object) -> None:
        vars(owner).pop(self.name, None)

    def is_empty(self, values: Mapping[str, Any], now: int) -> bool:
        kept = values.get(self.name)
        return kept is None or kept[1] + self.ttl <= now

    def copied(self, kept: Any) -> Any:
        return kept if isinstance(self.shape, Scalar) else deepcopy(kept)

    def encode(self, objects: Sequence[object]) -> pa.Array:
        values = [vars(owner).get(self.name, _MISSING) for owner in objects]
        pairs = [(None, 0) if value is _MISSING else value for value in values]
        kept = from_python([value for value, _ in pairs], self.shape)
        written = pa.array(np.array([time for _, time in pairs], np.int64))
        return pa.StructArray.from_arrays([kept, written], fields=list(self.stored), mask=_mask(values))

    def decode(self, objects: Sequence[object], column: pa.Array) -> None:
        values, written = to_python(column.field(0), self.shape), column.field(1).to_pylist()
        for owner, kept, value, time in zip(objects, _valid(column), values, written, strict=True):
            if kept:
                vars(owner)[self.name] = (value, time)


class ListCell(_Named, Generic[T]):
    """A list, empty at first, changed in place or assigned."""

    def __init__(self, item: Shape) -> None:
        self.item = item

    @property
    def holds(self) -> pa.DataType:
        return pa.list_(arrow_type(self.item))

    @property
    def stored(self) -> pa.DataType:
        return self.holds

    @overload
    def __get__(self, owner: None, kind: type) -> ListCell[T]: ...
    @overload
    def __get__(self, owner: object, kind: type) -> list[T]: ...
    def __get__(self, owner: object | None, kind: type | None = None) -> ListCell[T] | list[T]:
        if owner is None:
            return self
        made: list[T] = []
        setattr(owner, self.name, made)
        return made

    if TYPE_CHECKING:

        def __set__(self, owner: object, value: list[T]) -> None: ...

    def is_empty(self, values: Mapping[str, Any], now: int) -> bool:
        return not values.get(self.name)

    def copied(self, kept: Any) -> Any:
        return copy(kept) if isinstance(self.item, Scalar) else deepcopy(kept)

    def encode(self, objects: Sequence[object]) -> pa.Array:
        lists = [_of_kind(vars(owner).get(self.name) or [], list) for owner in objects]
        items = from_python([item for items in lists for item in items], self.item)
        return pa.ListArray.from_arrays(pa.array(_ends(lists), pa.int32()), items)

    def decode(self, objects: Sequence[object], column: pa.Array) -> None:
        items = to_python(column.flatten(), self.item)
        for owner, start, stop in _stretches(objects, column.value_lengths()):
            setattr(owner, self.name, items[start:stop])


class MapCell(_Named, Generic[K, V]):
    """A dict, empty at first, changed in place or assigned; its order stays."""

    def __init__(self, key: Shape, value: Shape) -> None:
        self.key = key
        self.value = value

    @property
    def holds(self) -> pa.DataType:
        return pa.map_(arrow_type(self.key), arrow_type(self.value))

    @property
    def stored(self) -> pa.DataType:
        return self.holds

    @overload
    def __get__(self, owner: None, kind: type) -> MapCell[K, V]: ...
    @overload
    def __get__(self, owner: object, kind: type) -> dict[K, V]: ...
    def __get__(self, owner: object | None, kind: type | None = None) -> MapCell[K, V] | dict[K, V]:
        if owner is None:
            return self
        made: dict[K, V] = {}
        setattr(owner, self.name, made)
        return made

    if TYPE_CHECKING:

        def __set__(self, owner: object, value: dict[K, V]) -> None: ...

    def is_empty(self, values: Mapping[str, Any], now: int) -> bool:
        return not values.get(self.name)

    def copied(self, kept: Any) -> Any:
        return copy(kept) if isinstance(self.value, Scalar) else deepcopy(kept)

    def encode(self, objects: Sequence[object]) -> pa.Array:
        maps = [_of_kind(vars(owner).get(self.name) or {}, dict) for owner in objects]
        if any(None in entries for entries in maps):
            raise ValueError("None is a key of the dict")
        keys = from_python([key for entries in maps for key in entries], self.key)
        values = from_python([value for entries in maps for value in entries.values()], self.value)
        return pa.MapArray.from_arrays(pa.array(_ends(maps), pa.int32()), keys, values)

    def decode(self, objects: Sequence[object], column: pa.Array) -> None:
        pairs = column.cast(pa.list_(pa.struct([column.type.key_field, column.type.item_field])))
        entries = pairs.flatten()
        keys, values = to_python(entries.field(0), self.key), to_python(entries.field(1), self.value)
        for owner, start, stop in _stretches(objects, pairs.value_lengths()):
            setattr(owner, self.name, dict(zip(keys[start:stop], values[start:stop], strict=True)))


class Timer(_Named):
    """A timer that is declared; every object has an `Alarm` under its name, a `ClockAlarm` where it is `clocked`."""

    def __init__(self, *, clocked: bool = False) -> None:
        self.clocked = clocked

    @overload
    def __get__(self, owner: None, kind: type) -> Timer: ...
    @overload
    def __get__(self, owner: object, kind: type) -> Alarm: ...
    def __get__(self, owner: object | None, kind: type | None = None) -> Timer | Alarm:
        if owner is None:
            return self
        raise AttributeError(f"the timer {self.name!r} can be set by on_row and on_... only, which run for a key")


class Alarm:
    """One key's timer. `at` is `NEVER` while it is not set; of those at one time the one set first goes first.

    `event`: the event time of the row or timer at which it was set.
    """

    __slots__ = ("_moment", "at", "event", "setting")

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self.at = NEVER
        self.setting = 0
        self.event = 0

    @property
    def now(self) -> datetime:
        """What time it is for this timer: the event time of the row, or of the timer that went off."""
        return _EPOCH + timedelta(microseconds=self._moment.now)

    @property
    def time(self) -> datetime | None:
        """When it will go off; None where it is not set, also while what it is for runs."""
        return None if self.at == NEVER else _EPOCH + timedelta(microseconds=self.at)

    def set(self, at: datetime | timedelta | int) -> None:
        """Set it, or move it: a time, naive = UTC, or microseconds since the epoch; or how long after `now`.

        With a time that has passed it goes off next, with the time of now.
        """
        now, floor = self._reference()
        if isinstance(at, datetime):
            at = ((at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND
        elif isinstance(at, timedelta):
            at = min(now + at // _MICROSECOND, NEVER - 1)
        if type(at) is not int or not -NEVER <= at < NEVER:
            raise ValueError(
                f"{at!r} is not a time: give a datetime, microseconds since 1970 as an int, or a timedelta from now"
            )
        moment = self._moment
        self.at = max(at, floor)
        self.event = moment.now
        moment.settings += 1
        self.setting = moment.settings

    def clear(self) -> None:
        """It will not go off."""
        self.at = NEVER

    def _reference(self) -> tuple[int, int]:
        """What time it is, and before which it does not go off."""
        return self._moment.now, self._moment.floor


class ClockAlarm(Alarm):
    """One key's timer by processing time."""

    __slots__ = ()

    @property
    def now(self) -> datetime:
        """What the clock shows. It stands still while a call runs."""
        return _EPOCH + timedelta(microseconds=self._moment.clock)

    def _reference(self) -> tuple[int, int]:
        return self._moment.clock, self._moment.clock


ALARM_TYPE = pa.struct([("at", pa.int64()), ("setting", pa.int64()), ("event", pa.int64())])


def encode_alarms(alarms: Sequence[Alarm]) -> pa.Array:
    """A column with null where an alarm is not set."""
    at = np.fromiter((alarm.at for alarm in alarms), np.int64, len(alarms))
    settings = np.fromiter((alarm.setting for alarm in alarms), np.int64, len(alarms))
    events = np.fromiter((alarm.event for alarm in alarms), np.int64, len(alarms))
    columns = [pa.array(at), pa.array(settings), pa.array(events)]
    return pa.StructArray.from_arrays(columns, fields=list(ALARM_TYPE), mask=pa.array(at == NEVER))


def decode_alarms(alarms: Sequence[Alarm], column: pa.Array, moment: Moment) -> None:
    """Set the alarms as they were, and `moment` so that later ones come after them."""
    parts = [column.field(place).to_pylist() for place in range(column.type.num_fields)]
    for alarm, kept, at, setting, event in zip(alarms, _valid(column), *parts, strict=True):
        if kept:
            alarm.at, alarm.setting, alarm.event = at, setting, event
            moment.settings = max(moment.settings, setting)


def _valid(column: pa.Array) -> list[bool]:
    valid: list[bool] = column.is_valid().to_pylist()
    return valid


def _mask(values: Sequence[Any]) -> pa.Array:
    return pa.array([value is _MISSING for value in values], pa.bool_())


def _of_kind(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{value!r} is a {type(value).__name__}, not a {kind.__name__}")
    return value


def _ends(parts: Sequence[Any]) -> list[int]:
    return [0, *np.cumsum([len(part) for part in parts], dtype=np.int64).tolist()]


def _stretches(objects: Sequence[object], lengths: pa.Array) -> Iterable[tuple[object, int, int]]:
    """The objects whose list is not empty, and where it starts and ends among the items of all."""
    stop = 0
    for owner, length in zip(objects, lengths.to_pylist(), strict=True):
        start, stop = stop, stop + length
        if length:
            yield owner, start, stop
