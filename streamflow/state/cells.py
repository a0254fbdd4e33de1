"""Cells and timers: what a user's function keeps of each key, as attributes of one object per key.

A cell is declared on a class, and its value stands in the `__dict__` of an object of that class under the cell's name.
So reading and writing it is what Python does fastest: a cell defines no `__set__`, hence the object's own value goes
before it, and it is asked only where there is none. Cells with a time to live are in `expiring`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy, deepcopy
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

import numpy as np
import pyarrow as pa

from streamflow.kernels.rows import Items, Scalar, Shape, arrow_type, from_python, to_python

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

NEVER = 2**63 - 1
"""When an alarm that is not set goes off. Reserved: no row has that time (rule 11)."""
MOMENT = "_moment"
"""The attribute of every object that holds the `Moment` which they share."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
MISSING = object()
"""Stands for no value, where None is one."""


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
    expires: bool

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


class Named:
    """Knows the attribute that it is declared as."""

    name = ""
    expires = False

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name


class ValueCell(Named, Generic[T]):
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
        values = [vars(owner).get(self.name, MISSING) for owner in objects]
        kept = from_python([None if value is MISSING else value for value in values], self.shape)
        return pa.StructArray.from_arrays([kept], fields=list(self.stored), mask=missing(values))

    def decode(self, objects: Sequence[object], column: pa.Array) -> None:
        for owner, kept, value in zip(objects, valid(column), to_python(column.field(0), self.shape), strict=True):
            if kept:
                setattr(owner, self.name, value)


class ListCell(Named, Generic[T]):
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
        return column_of_lists([vars(owner).get(self.name) or [] for owner in objects], self.item)

    def decode(self, objects: Sequence[object], column: pa.Array) -> None:
        for owner, items in zip(objects, to_python(column, Items(self.item)), strict=True):
            if items:
                setattr(owner, self.name, items)


class MapCell(Named, Generic[K, V]):
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
        return column_of_maps([vars(owner).get(self.name) or {} for owner in objects], self.key, self.value)

    def decode(self, objects: Sequence[object], column: pa.Array) -> None:
        for owner, entries in zip(objects, maps_of_column(column, self.key, self.value), strict=True):
            if entries:
                setattr(owner, self.name, entries)


class Timer(Named):
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
    for alarm, kept, at, setting, event in zip(alarms, valid(column), *parts, strict=True):
        if kept:
            alarm.at, alarm.setting, alarm.event = at, setting, event
            moment.settings = max(moment.settings, setting)


def column_of_lists(lists: Sequence[Any], item: Shape) -> pa.Array:
    """ValueError for one that is no list, or holds what is not of the shape."""
    for one in lists:
        _check_kind(one, list)
    items = from_python([value for one in lists for value in one], item)
    return pa.ListArray.from_arrays(pa.array(_ends(lists), pa.int32()), items)


def column_of_maps(maps: Sequence[Any], key: Shape, value: Shape) -> pa.Array:
    """ValueError for one that is no dict, or holds what is not of the shapes."""
    for one in maps:
        _check_kind(one, dict)
        if None in one:
            raise ValueError("None is a key of the dict")
    keys = from_python([name for one in maps for name in one], key)
    values = from_python([kept for one in maps for kept in one.values()], value)
    return pa.MapArray.from_arrays(pa.array(_ends(maps), pa.int32()), keys, values)


def maps_of_column(column: pa.Array, key: Shape, value: Shape) -> Iterator[dict[Any, Any]]:
    """What `column_of_maps` made a column of; an empty dict for null."""
    pairs = column.cast(pa.list_(pa.struct([column.type.key_field, column.type.item_field])))
    entries = pairs.flatten()
    keys, values = to_python(entries.field(0), key), to_python(entries.field(1), value)
    for start, stop in pairwise(_ends_of(pairs)):
        yield dict(zip(keys[start:stop], values[start:stop], strict=True))


def valid(column: pa.Array) -> list[bool]:
    """Which entries are not null."""
    found: list[bool] = column.is_valid().to_pylist()
    return found


def missing(values: Sequence[Any]) -> pa.Array:
    """Which values are `MISSING`."""
    return pa.array([value is MISSING for value in values], pa.bool_())


def _check_kind(value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        raise ValueError(f"{value!r} is a {type(value).__name__}, not a {kind.__name__}")


def _ends(parts: Sequence[Any]) -> list[int]:
    return [0, *np.cumsum([len(part) for part in parts], dtype=np.int64).tolist()]


def _ends_of(lists: pa.Array) -> list[int]:
    return [0, *np.cumsum(lists.value_lengths().fill_null(0).to_numpy(), dtype=np.int64).tolist()]
