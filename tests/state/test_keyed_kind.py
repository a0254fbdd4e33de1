"""The class of a keyed function's objects: fast where it may be, and the user's in all that shows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypedDict

import pytest

import streamflow as sf
from streamflow.state.cells import ValueCell
from streamflow.state.keyed_kind import Keyed, kind_of_objects


class Count(TypedDict):
    count: int


class Counter(sf.KeyedFunction):
    count = sf.cell(int, default=3)
    items = sf.list_cell(int)

    def on_row(self) -> Count:
        self.count += 1
        return {"count": self.count}


class Doubled(Counter):
    def on_row(self) -> Count:
        super().on_row()
        return super().on_row()


def kind_of(function: Any) -> Any:
    cells: list[Any] = [value for base in function.__mro__ for value in vars(base).values() if hasattr(value, "holds")]
    return kind_of_objects(function, tuple(cells), ())


def is_fast(function: type[Any]) -> bool:
    kind = kind_of(function)
    return kind.__delattr__ is object.__delattr__ and not isinstance(vars(kind).get("count"), ValueCell)


def test_a_cell_is_a_plain_attribute_behind_its_default() -> None:
    kind = kind_of(Counter)
    one, other = object.__new__(kind), object.__new__(kind)
    assert (one.on_row(), one.on_row(), other.count) == ({"count": 4}, {"count": 5}, 3)
    assert vars(one) == {"count": 5}
    assert vars(other) == {}
    one.items.append(1)
    assert (one.items, other.items) == ([1], [])
    assert is_fast(Counter)


def test_objects_are_of_the_users_class_and_its_bases() -> None:
    one = object.__new__(kind_of(Doubled))
    assert isinstance(one, Doubled)
    assert type(one).__qualname__ == "Doubled"
    assert type(one).__module__ == __name__
    assert one.on_row() == {"count": 5}


def test_the_class_itself_keeps_its_cells() -> None:
    kind_of(Counter)
    assert isinstance(vars(Counter)["count"], ValueCell)
    assert kind_of(Counter) is kind_of(Counter)


def empty(owner: Counter) -> None:
    del owner.count


def indirectly(owner: Counter) -> None:
    empty(owner)


class InMethod(Counter):
    def on_row(self) -> Count:
        del self.count
        del self.count
        return {"count": self.count}


class ByName(Counter):
    def on_row(self) -> Count:
        for name in ("count", "count"):
            delattr(self, name)
        return {"count": self.count}


class InFunction(Counter):
    def on_row(self) -> Count:
        indirectly(self)
        indirectly(self)
        return {"count": self.count}


class InProperty(Counter):
    @property
    def emptied(self) -> InProperty:
        del self.count
        return self

    def on_row(self) -> Count:
        return {"count": self.emptied.emptied.count}


class InLambda(Counter):
    def on_row(self) -> Count:
        clear: Callable[[], None] = lambda: self.__delattr__("count")  # noqa: E731
        clear()
        clear()
        return {"count": self.count}


def twice(method: Callable[[Any], Count]) -> Callable[[Any], Count]:
    @functools.wraps(method)
    def called(owner: Any) -> Count:
        method(owner)
        return method(owner)

    return called


class Decorated(Counter):
    @twice
    def on_row(self) -> Count:
        del self.count
        return {"count": self.count}


class Static(Counter):
    @staticmethod
    def clear(owner: Counter) -> None:
        del owner.count

    def on_row(self) -> Count:
        self.clear(self)
        self.clear(self)
        return {"count": self.count}


class Derived(InMethod):
    pass


DELETING = (InMethod, ByName, InFunction, InProperty, InLambda, Decorated, Static, Derived)


@pytest.mark.parametrize("function", DELETING)
def test_a_cell_is_emptied_whether_it_holds_something_or_not(function: type[Any]) -> None:
    one = object.__new__(kind_of(function))
    one.count = 9
    assert one.on_row() == {"count": 3}
    assert vars(one) == {}
    assert kind_of(function).__delattr__ is Keyed.__delattr__


class Registered(Counter):
    known: list[type] = []  # noqa: RUF012

    def __init_subclass__(cls) -> None:
        Registered.known.append(cls)


class Own(Counter):
    def __delattr__(self, name: str) -> None:
        raise RuntimeError("nothing is deleted")


def test_no_hook_of_the_user_is_called_and_none_is_lost() -> None:
    assert kind_of(Registered) is Registered
    assert Registered.known == []
    with pytest.raises(RuntimeError, match="nothing is deleted"):
        del object.__new__(kind_of(Own)).count
