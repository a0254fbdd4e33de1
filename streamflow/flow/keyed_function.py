"""Functions that keep state per key: what users derive from, and what a class of theirs says, checked early."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast, overload

import pyarrow as pa

from streamflow.errors import UserError
from streamflow.flow import records
from streamflow.flow.location import Building
from streamflow.flow.windows import Duration, Time
from streamflow.plan.logical.contract import parse_duration
from streamflow.plan.logical.expr import RowFunction
from streamflow.plan.logical.keyed import (
    Cell,
    ExpiringCell,
    ExpiringListCell,
    ExpiringMapCell,
    Keyed,
    KeyedCalls,
    ListCell,
    MapCell,
    Timer,
    ValueCell,
    check_value,
)
from streamflow.plan.logical.rows import Record

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

_DECLARED = (ValueCell, ListCell, MapCell, ExpiringCell, ExpiringListCell, ExpiringMapCell, Timer)
_ON = "on_"
_ON_ROW = "on_row"


class KeyedFunction(Keyed):
    """Base of functions that keep state per key, for `stream.key_by(...).process(function)`.

    State is what the class declares: `sf.cell`, `sf.list_cell` and `sf.map_cell` are attributes that are read, assigned
    and deleted; every key has its own, checkpoints hold them. `sf.timer` is set to a time, and `on_<its name>` runs
    then: in event time, or in processing time for `sf.timer("processing")`. Any other attribute is set in `__init__`,
    or in `open`, and is the same for all keys: a method `open()` is called once in a process, before rows, and
    `close()` at the end, also after an error.

    `on_row` takes columns by name, as row functions do. `on_<timer>` takes keys by name. Both may take `_time`: the
    event time of the row, or of the timer. What they return or yield are records of one type, or None for nothing.

    A timer that is set for a time that has passed goes off next, with the time of now. At the end of a bounded input
    every timer goes off, so that one that sets itself has to stop at some time.

    >>> from datetime import datetime, timedelta
    >>> from typing import NamedTuple
    >>> class Silent(NamedTuple):
    ...     city: str
    ...     rides: int
    >>> class Silence(sf.KeyedFunction):
    ...     rides = sf.cell(int, default=0)
    ...     silence = sf.timer()
    ...     def on_row(self, at: datetime) -> None:
    ...         self.rides += 1
    ...         self.silence.set(at + timedelta(minutes=5))
    ...     def on_silence(self, city: str) -> Silent:
    ...         return Silent(city, self.rides)
    >>> rides.key_by("city").process(Silence()).schema
    city: string
    rides: int64
    """


@overload
def cell(type_: type[T], *, default: T, ttl: Duration | None = None) -> ValueCell[T]: ...
@overload
def cell(type_: type[T], *, ttl: Duration | None = None) -> ValueCell[T | None]: ...
@overload
def cell(type_: Any, *, default: Any = None, ttl: Duration | None = None) -> ValueCell[Any]: ...
def cell(type_: Any, *, default: Any = None, ttl: Duration | None = None) -> ValueCell[Any]:
    """A value per key, of a type that a column may have; `default` where none was written.

    `ttl`: it is gone this much event time after it was last written. A key with nothing in its cells, and no timer set,
    takes no memory.

    >>> class Total(sf.KeyedFunction):
    ...     total = sf.cell(float, default=0.0, ttl="7d")
    """
    with Building("cell"):
        shape = records.shape_of(type_)
        if isinstance(default, list | dict):
            raise UserError(
                f"default={default!r} would be one object for all keys", remedy="use sf.list_cell or sf.map_cell"
            )
        try:
            check_value(default, shape)
        except (ValueError, OverflowError) as error:
            raise UserError(f"default={default!r} is not of the cell's type: {error}") from error
        if ttl is None:
            return ValueCell(shape, default)
        return cast("ValueCell[Any]", ExpiringCell(shape, default, _lifetime(ttl)))


def _lifetime(ttl: Duration) -> int:
    lifetime = parse_duration(ttl)
    if lifetime <= 0:
        raise UserError(f"ttl={ttl!r} is not above zero")
    return lifetime


def list_cell(item: type[T], *, ttl: Duration | None = None) -> ListCell[T]:
    """A list per key, empty at first; `append` and all else that lists can, or assign one.

    `ttl`: the whole list is gone this much event time after it was last changed or assigned (then as a copy).

    >>> class Last(sf.KeyedFunction):
    ...     fares = sf.list_cell(float, ttl="1h")
    """
    with Building("list_cell"):
        shape = records.shape_of(item)
        return ListCell(shape) if ttl is None else cast("ListCell[T]", ExpiringListCell(shape, _lifetime(ttl)))


def map_cell(key: type[K], value: type[V], *, ttl: Duration | None = None) -> MapCell[K, V]:
    """A dict per key, empty at first. `ttl`: as that of `list_cell`, of the whole dict.

    >>> class Seen(sf.KeyedFunction):
    ...     count_by_city = sf.map_cell(str, int)
    """
    with Building("map_cell"):
        shapes = records.shape_of(key), records.shape_of(value)
        return MapCell(*shapes) if ttl is None else cast("MapCell[K, V]", ExpiringMapCell(*shapes, _lifetime(ttl)))


def timer(time: Time = "event") -> Timer:
    """A timer per key: `.set(at)`, which moves it, `.clear()`, `.time`, None where it is not set, and `.now`.

    `at` is a datetime, an int of microseconds since 1970, or a timedelta from now. In event time `now` is that of the
    row or of the timer that went off. With "processing" it is what the clock shows: the timer goes off when the clock
    has come to its time, though no row comes, or at the end of a bounded input; what it sends has the event time of the
    row at which it was set, or the watermark where that has come further. In tests `sf.testing.advance("5m")` moves the
    clock.

    >>> class Silence(sf.KeyedFunction):
    ...     silence = sf.timer()
    ...     retry = sf.timer("processing")
    """
    with Building("timer"):
        if time not in ("event", "processing"):
            raise UserError(f"{time!r} is unknown", remedy='write sf.timer("processing"), or sf.timer() for event time')
        return Timer(clocked=time == "processing")


def keyed_calls(function: object) -> KeyedCalls:
    """What a keyed function keeps, takes and gives. Raises UserError, with the method's line, for what is amiss."""
    if not isinstance(function, KeyedFunction):
        raise UserError(
            f"process takes an object of a class derived from sf.KeyedFunction, not {function!r}",
            remedy=f"write process({function.__name__}())"
            if isinstance(function, type)
            else "class Alerts(sf.KeyedFunction)",
        )
    declared = _declared(type(function))
    cells = {name: made for name, made in declared.items() if not isinstance(made, Timer)}
    timers = [name for name, made in declared.items() if isinstance(made, Timer)]
    name = type(function).__name__
    _check_attributes(function, name, declared)
    handlers = _handlers(function, name, timers)
    row, given = records.keyed_method(handlers[_ON_ROW])
    gives = [given]
    on_timers: list[tuple[str, RowFunction]] = []
    for timer_ in timers:
        made, given = records.keyed_method(handlers[_ON + timer_])
        if made.rest or made.record is not None:
            raise UserError(
                f"{made.name} takes keys by name", location=made.location, remedy="name those that it needs"
            )
        on_timers.append((timer_, made))
        gives.append(given)
    record = _one_record(name, [handlers[_ON_ROW], *(handlers[_ON + timer_] for timer_ in timers)], gives)
    bound = [(timer_, _of_class(function, made, record)) for timer_, made in on_timers]
    state = [pa.field(name, made.holds) for name, made in cells.items()]
    state += [pa.field(name, pa.timestamp("us", "UTC")) for name in timers]
    return KeyedCalls(
        prototype=function,
        on_row=_of_class(function, row, record),
        timers=tuple((timer_, made) for timer_, made in bound if not declared[timer_].clocked),
        record=record,
        state=pa.schema(state),
        cells=tuple(cells.values()),
        clock_timers=tuple((timer_, made) for timer_, made in bound if declared[timer_].clocked),
    )


def _declared(kind: type) -> dict[str, Any]:
    """Cells and timers of a class and its bases, those of the bases first."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, _DECLARED):
                found[name] = value
            else:
                found.pop(name, None)
    return found


def _check_attributes(function: KeyedFunction, name: str, declared: Mapping[str, Cell | Timer]) -> None:
    for attribute in vars(function):
        if attribute in declared:
            raise UserError(
                f"{name} sets the cell {attribute!r} where there is no key yet",
                remedy=f"say what it is at first: {attribute} = sf.cell(..., default=...)",
            )


def _handlers(function: KeyedFunction, name: str, timers: list[str]) -> dict[str, Callable[..., Any]]:
    """The methods `on_...`: one for rows, and one for each timer."""
    found = {attribute: getattr(function, attribute) for attribute in dir(function) if attribute.startswith(_ON)}
    expected = [_ON_ROW, *(_ON + timer_ for timer_ in timers)]
    for method in expected:
        if not callable(found.get(method)):
            what = (
                "no method on_row"
                if method == _ON_ROW
                else f"a timer {method.removeprefix(_ON)!r}, and no method {method}"
            )
            raise UserError(f"{name} has {what}", remedy=f"def {method}(self, ...) -> Alert | None: ...")
    for method in found:
        if method not in expected:
            raise UserError(
                f"{name} has a method {method}, and no timer {method.removeprefix(_ON)!r}",
                remedy=f"declare it: {method.removeprefix(_ON)} = sf.timer()",
            )
    return found


def _of_class(function: KeyedFunction, made: RowFunction, record: Record) -> RowFunction:
    """Called with an object first, and of the record that all methods give."""
    inner = made.function
    unbound = getattr(inner, "__func__", None)
    if unbound is None:
        raise UserError(f"{made.name} is not a method of {type(function).__name__}", location=made.location)
    return RowFunction(unbound, made.parameters, record, made.rest, made.record, made.many, made.name, made.location)


def _one_record(name: str, methods: list[Callable[..., Any]], gives: list[Record | None]) -> Record:
    named = [(method, record) for method, record in zip(methods, gives, strict=True) if record is not None]
    if not named:
        raise UserError(
            f"{name} gives nothing: no method says what it returns",
            remedy="return a record, as in def on_row(self, price: int) -> Alert | None: ...",
        )
    first, record = named[0]
    for method, other in named[1:]:
        if other != record:
            raise UserError(
                f"{name}: {first.__name__} gives {record.make.__name__} and {method.__name__} {other.make.__name__}",
                remedy="let all give one record type, with fields that may be None",
            )
    return record
