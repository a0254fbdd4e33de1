"""What keyed steps mean, a row at a time in plain Python. An oracle for tests.

Rows are dicts; `time` names the column that holds their event time, as an int (microseconds). There are all rows of an
input that ends, none of them late: results must not depend on how they arrive, nor on workers and restores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import pyarrow as pa

from streamflow.errors import UserError
from streamflow.flow.keyed_function import KeyedFunction, keyed_calls
from streamflow.plan.logical.expr import Parameter, RowFunction
from streamflow.plan.logical.keyed import Cell, ExpiringListCell, ExpiringMapCell, KeyedCalls, ListCell, MapCell
from streamflow.plan.logical.rows import Scalar
from streamflow.state.expiring import NotingDict, NotingList

Columns: TypeAlias = Mapping[str, Any]
Timed: TypeAlias = "tuple[int, Any]"
"""A record, after its event time."""

_TIME = "_time"
_END = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAN = math.nan


def process(function: KeyedFunction, rows: Iterable[Columns], keys: Sequence[str], *, time: str) -> list[Timed]:
    """What `key_by(*keys).process(function)` gives in time order, key by key; without timers by processing time.

    Of one time rows come as they stand in `rows`: first those of the first split.

    >>> from typing import NamedTuple
    >>> class Count(NamedTuple):
    ...     word: str
    ...     n: int
    >>> import streamflow as sf
    >>> class Counts(sf.KeyedFunction):
    ...     n = sf.cell(int, default=0, ttl="10s")
    ...     def on_row(self, word: str) -> Count:
    ...         self.n += 1
    ...         return Count(word, self.n)
    >>> rows = [{"word": "a", "t": 9_999_999}, {"word": "a", "t": 0}, {"word": "a", "t": 19_999_999}]
    >>> process(Counts(), rows, ["word"], time="t")
    [(0, Count(word='a', n=1)), (9999999, Count(word='a', n=2)), (19999999, Count(word='a', n=1))]
    """
    calls = keyed_calls(function)
    if calls.clock_timers:
        raise UserError(f"when the timer {calls.clock_timers[0][0]!r} goes off depends on the clock, not on rows")
    results: list[Timed] = []
    for key, of_key in _by_key(rows, keys).items():
        ordered = sorted(of_key, key=lambda row: row[time])
        results += _Key(function, calls, dict(zip(keys, key, strict=True))).run(ordered, time)
    return results


def dedup(
    rows: Iterable[Columns],
    keys: Sequence[str],
    *,
    time: str,
    keep: Literal["any", "first", "last"] = "first",
    within: Any = None,
) -> list[Columns]:
    """The rows that `key_by(*keys).dedup(keep=keep, within=within)` keeps; "any": of rows that arrive in this order.

    Of one time the first (or last) is that of `rows`, as they stand in one split. What "last" keeps without `within` is
    what its changelog comes to. `time` may also be a column of datetimes, and `within` a timedelta.

    >>> rows = [{"k": "a", "t": 5}, {"k": "a", "t": 3}, {"k": "a", "t": 8}]
    >>> dedup(rows, ["k"], time="t"), dedup(rows, ["k"], time="t", within=5)
    ([{'k': 'a', 't': 3}], [{'k': 'a', 't': 3}, {'k': 'a', 't': 8}])
    """
    kept: list[Columns] = []
    for of_key in _by_key(rows, keys).values():
        if keep != "any":
            of_key.sort(key=lambda row: row[time])
        if keep == "last":
            gaps = [within is not None and b[time] - a[time] >= within for a, b in pairwise(of_key)]
            kept += [row for row, ends in zip(of_key, [*gaps, True], strict=True) if ends]
            continue
        last: Any = None
        for row in of_key:
            if last is None or (within is not None and row[time] - last >= within):
                last = row[time]
                kept.append(row)
    return kept


def running(
    rows: Iterable[Columns], keys: Sequence[str], /, **aggregates: Callable[[list[Columns]], Any]
) -> list[dict[str, Any]]:
    """What the changelog of a running `key_by(*keys).agg(...)` comes to: see `sf.testing.final`.

    >>> running([{"k": "a", "x": 1}, {"k": "a", "x": 2}], ["k"], total=lambda rows: sum(row["x"] for row in rows))
    [{'k': 'a', 'total': 3}]
    """
    return [
        dict(zip(keys, key, strict=True)) | {name: of(of_key) for name, of in aggregates.items()}
        for key, of_key in _by_key(rows, keys).items()
    ]


def _by_key(rows: Iterable[Columns], keys: Sequence[str]) -> dict[tuple[Any, ...], list[Columns]]:
    """Keys as SQL groups them: null is one, NaN is one, -0.0 is 0.0."""
    found: dict[tuple[Any, ...], list[Columns]] = {}
    for row in rows:
        found.setdefault(tuple(_canonical(row[key]) for key in keys), []).append(row)
    return found


def _canonical(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return _NAN if math.isnan(value) else value + 0.0


@dataclass
class _State:
    """What a key keeps. `now`: the event time of the row or timer; `alarms`: time and order of setting."""

    now: int = -_END
    cells: dict[str, Any] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)
    alarms: dict[str, tuple[int, int]] = field(default_factory=dict)
    settings: int = 0


class _Key:
    """One key: its rows in order, and its timers between them."""

    def __init__(self, function: KeyedFunction, calls: KeyedCalls, key: dict[str, Any]) -> None:
        self._calls = calls
        self._key = key
        self._state = _State()
        self._object = _object_like(function, calls, self._state)

    def run(self, rows: Iterable[Columns], time: str) -> Iterator[Timed]:
        for row in rows:
            now = row[time]
            yield from self._fire_until(now)
            yield from self._call(self._calls.on_row, now, {**row, **self._key})
        yield from self._fire_until(_END)

    def _fire_until(self, time: int) -> Iterator[Timed]:
        """The earliest first, of one time the one set first; what they set goes off as well."""
        alarms = self._state.alarms
        while alarms:
            name, (at, _) = min(alarms.items(), key=lambda alarm: alarm[1])
            if at > time:
                return
            del alarms[name]
            yield from self._call(dict(self._calls.timers)[name], at, self._key)

    def _call(self, function: RowFunction, now: int, values: Columns) -> Iterator[Timed]:
        self._state.now = now
        named = {parameter.name: _value(parameter, now, values) for parameter in function.parameters}
        rest = {name: value for name, value in values.items() if name not in named} if function.rest else {}
        arguments = named.values() if function.record is None else [function.record.make(**named)]
        result = function.function(self._object, *arguments, **rest)
        results = (result or ()) if function.many else () if result is None else (result,)
        yield from ((now, record) for record in results)


def _value(parameter: Parameter, now: int, values: Columns) -> Any:
    if parameter.name != _TIME:
        return values[parameter.name]
    return now if parameter.shape == Scalar(pa.int64()) else _EPOCH + timedelta(microseconds=now)


def _object_like(function: KeyedFunction, calls: KeyedCalls, state: _State) -> object:
    """An object of the same class and with the same attributes, whose cells and timers are kept in `state`."""
    kind = type(function)
    members: dict[str, Any] = {cell.name: _NaiveCell(cell, state) for cell in calls.cells}
    members |= {name: _NaiveTimer(name, state) for name, _ in calls.timers}
    members["__delattr__"] = lambda _, name: state.cells.pop(name, None)
    made: object = object.__new__(type(kind.__name__, (kind,), members))
    vars(made).update(vars(function))
    return made


class _NaiveCell:
    """A cell of one key."""

    def __init__(self, cell: Cell, state: _State) -> None:
        self.name = cell.name
        self.state = state
        self.ttl = getattr(cell, "ttl", None)
        self.default = getattr(cell, "default", None)
        self.container: type[NotingList | NotingDict] | None = None
        if isinstance(cell, ListCell | ExpiringListCell):
            self.container = NotingList
        elif isinstance(cell, MapCell | ExpiringMapCell):
            self.container = NotingDict

    def __get__(self, owner: object, kind: type | None = None) -> Any:
        state = self.state
        kept = state.cells.get(self.name)
        written = getattr(kept, "written", state.written.get(self.name))
        if self.name in state.cells and (self.ttl is None or written is None or state.now < written + self.ttl):
            return kept
        if self.container is None:
            return self.default
        self.__set__(owner, self.container())
        return state.cells[self.name]

    def __set__(self, owner: object, value: Any) -> None:
        state = self.state
        if self.container is not None:
            value = self.container(value)
            value.moment, value.written = state, state.now
        state.cells[self.name], state.written[self.name] = value, state.now


@dataclass
class _NaiveTimer:
    """A timer of one key."""

    name: str
    state: _State

    @property
    def time(self) -> datetime | None:
        at, _ = self.state.alarms.get(self.name, (None, 0))
        return None if at is None else _EPOCH + timedelta(microseconds=at)

    def set(self, at: datetime | int) -> None:
        """A time that has passed means now."""
        if isinstance(at, datetime):
            at = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)
        self.state.settings += 1
        self.state.alarms[self.name] = (max(at, self.state.now), self.state.settings)

    def clear(self) -> None:
        self.state.alarms.pop(self.name, None)
