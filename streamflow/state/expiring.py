"""Cells with a time to live: gone that much event time after they were last written.

They see every write, and are slower.
A value is kept as (value, when it was written). A list and a dict are kept as such, of a kind that notes when it was
changed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import wraps
from typing import Any, ClassVar, Generic, TypeVar, overload

import numpy as np
import pyarrow as pa

from streamflow.kernels.rows import Items, Scalar, Shape, arrow_type, from_python, to_python
from streamflow.state.cells import (
    MISSING,
    MOMENT,
    Moment,
    Named,
    column_of_lists,
    column_of_maps,
    maps_of_column,
    missing,
    valid,
)

T = TypeVar("T")


class ExpiringCell(Named, Generic[T]):
    """One value that is gone `ttl` microseconds of event time after it was written; kept as (value, then)."""

    expires = True

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
        values = [vars(owner).get(self.name, MISSING) for owner in objects]
        pairs = [(None, 0) if value is MISSING else value for value in values]
        kept = from_python([value for value, _ in pairs], self.shape)
        written = pa.array(np.array([time for _, time in pairs], np.int64))
        return pa.StructArray.from_arrays([kept, written], fields=list(self.stored), mask=missing(values))

    def decode(self, objects: Sequence[object], column: pa.Array) -> None:
        values, written = to_python(column.field(0), self.shape), column.field(1).to_pylist()
        for owner, kept, value, time in zip(objects, valid(column), values, written, strict=True):
            if kept:
                vars(owner)[self.name] = (value, time)


class NotingList(list[Any]):
    """A list that notes when it was changed, in event time."""

    __slots__ = ("moment", "written")
    moment: Moment
    written: int


class NotingDict(dict[Any, Any]):
    """A dict that notes when it was changed, in event time."""

    __slots__ = ("moment", "written")
    moment: Moment
    written: int


def _noting(change: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(change)
    def changed(self: NotingList | NotingDict, *args: Any, **kwargs: Any) -> Any:
        self.written = self.moment.now
        return change(self, *args, **kwargs)

    return changed


for _kind, _changes in (
    (NotingList, "__setitem__ __delitem__ __iadd__ __imul__ append clear extend insert pop remove reverse sort"),
    (NotingDict, "__setitem__ __delitem__ __ior__ clear pop popitem setdefault update"),
):
    for _name in _changes.split():
        setattr(_kind, _name, _noting(getattr(_kind, _name)))


class _ExpiringContainer(Named):
    """A list or dict as a whole: empty again `ttl` microseconds of event time after it was last changed or assigned."""

    expires = True
    plain: ClassVar[type]
    noting: ClassVar[type[NotingList | NotingDict]]

    def __init__(self, ttl: int) -> None:
        self.ttl = ttl

    @property
    def holds(self) -> pa.DataType:
        raise NotImplementedError

    def _column(self, values: Sequence[Any]) -> pa.Array:
        raise NotImplementedError

    def _values(self, column: pa.Array) -> Iterable[Any]:
        raise NotImplementedError

    @property
    def stored(self) -> pa.DataType:
        return pa.struct([("value", self.holds), ("written", pa.int64())])

    def __get__(self, owner: object | None, kind: type | None = None) -> Any:
        if owner is None:
            return self
        values = vars(owner)
        kept: Any = values.get(self.name)
        if kept is None or kept.written + self.ttl <= values[MOMENT].now:
            kept = self._keep(values, (), values[MOMENT].now)
        return kept

    def __set__(self, owner: object, value: list[Any] | dict[Any, Any]) -> None:
        """A copy is kept, so that nobody changes it unseen; what it is of already, as after `+=`, stays."""
        values = vars(owner)
        if not isinstance(value, self.plain):
            raise TypeError(f"{value!r} is a {type(value).__name__}, not a {self.plain.__name__}")
        if isinstance(value, self.noting) and value is values.get(self.name):
            value.written = values[MOMENT].now
        else:
            self._keep(values, value, values[MOMENT].now)

    def __delete__(self, owner: object) -> None:
        vars(owner).pop(self.name, None)

    def _keep(self, values: dict[str, Any], content: Iterable[Any], written: int) -> NotingList | NotingDict:
        kept = self.noting(content)
        kept.moment, kept.written = values[MOMENT], written
        values[self.name] = kept
        return kept

    def is_empty(self, values: Mapping[str, Any], now: int) -> bool:
        kept = values.get(self.name)
        return not kept or kept.written + self.ttl <= now

    def copied(self, kept: Any) -> Any:
        made = self.noting(deepcopy(self.plain(kept)))
        made.moment, made.written = kept.moment, kept.written
        return made

    def encode(self, objects: Sequence[object]) -> pa.Array:
        values: list[Any] = [vars(owner).get(self.name) or MISSING for owner in objects]
        kept = self._column([self.plain() if value is MISSING else value for value in values])
        written = [0 if value is MISSING else value.written for value in values]
        parts = [kept, pa.array(written, pa.int64())]
        return pa.StructArray.from_arrays(parts, fields=list(self.stored), mask=missing(values))

    def decode(self, objects: Sequence[object], column: pa.Array) -> None:
        values, written = self._values(column.field(0)), column.field(1).to_pylist()
        for owner, kept, value, time in zip(objects, valid(column), values, written, strict=True):
            if kept:
                self._keep(vars(owner), value, time)


class ExpiringListCell(_ExpiringContainer):
    """A list with a time to live."""

    plain, noting = list, NotingList

    def __init__(self, item: Shape, ttl: int) -> None:
        super().__init__(ttl)
        self.item = item

    @property
    def holds(self) -> pa.DataType:
        return pa.list_(arrow_type(self.item))

    def _column(self, values: Sequence[Any]) -> pa.Array:
        return column_of_lists(values, self.item)

    def _values(self, column: pa.Array) -> Iterable[Any]:
        return to_python(column, Items(self.item))


class ExpiringMapCell(_ExpiringContainer):
    """A dict with a time to live."""

    plain, noting = dict, NotingDict

    def __init__(self, key: Shape, value: Shape, ttl: int) -> None:
        super().__init__(ttl)
        self.key = key
        self.value = value

    @property
    def holds(self) -> pa.DataType:
        return pa.map_(arrow_type(self.key), arrow_type(self.value))

    def _column(self, values: Sequence[Any]) -> pa.Array:
        return column_of_maps(values, self.key, self.value)

    def _values(self, column: pa.Array) -> Iterable[Any]:
        return maps_of_column(column, self.key, self.value)
