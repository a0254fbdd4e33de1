"""Cells with a time to live: what counts as a write, when it is over, and that snapshots keep it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamflow import list_cell, map_cell
from streamflow.state.cells import MOMENT, Moment

Change = Callable[[Any], object]


class Kept:
    items = list_cell(int, ttl="10us")
    counts = map_cell(str, int, ttl="10us")

    def __init__(self) -> None:
        self.moment = Moment()
        self.moment.now = 0
        vars(self)[MOMENT] = self.moment


def _add(items: list[int]) -> object:
    items += [4]
    return items


def _multiply(items: list[int]) -> object:
    items *= 1
    return items


def _unite(counts: dict[str, int]) -> object:
    counts |= {"b": 2}
    return counts


LIST_CHANGES: list[Change] = [
    lambda items: items.append(4),
    lambda items: items.extend([]),
    lambda items: items.insert(0, 4),
    lambda items: items.remove(1),
    lambda items: items.pop(),
    lambda items: items.reverse(),
    lambda items: items.sort(key=lambda item: -item),
    lambda items: items.__setitem__(0, 1),
    lambda items: items.__delitem__(slice(0, 1)),
    _add,
    _multiply,
]
DICT_CHANGES: list[Change] = [
    lambda counts: counts.__setitem__("a", 1),
    lambda counts: counts.__delitem__("a"),
    lambda counts: counts.update(a=1),
    lambda counts: counts.setdefault("b", 2),
    lambda counts: counts.pop("a"),
    lambda counts: counts.popitem(),
    _unite,
]


@pytest.mark.parametrize("change", LIST_CHANGES)
def test_a_change_of_a_list_in_place_starts_its_time_again(change: Change) -> None:
    kept = Kept()
    kept.items = [1, 2, 3]
    kept.moment.now = 5
    change(kept.items)
    left = list(kept.items)
    kept.moment.now = 14
    assert kept.items == left
    kept.moment.now = 15
    assert kept.items == []


@pytest.mark.parametrize("change", DICT_CHANGES)
def test_a_change_of_a_dict_in_place_starts_its_time_again(change: Change) -> None:
    kept = Kept()
    kept.counts = {"a": 1, "z": 26}
    kept.moment.now = 5
    change(kept.counts)
    left = dict(kept.counts)
    kept.moment.now = 14
    assert kept.counts == left
    kept.moment.now = 15
    assert kept.counts == {}


def test_reading_is_no_write() -> None:
    kept = Kept()
    kept.items = [1]
    kept.moment.now = 9
    assert (len(kept.items), kept.items[0], list(kept.items)) == (1, 1, [1])
    kept.moment.now = 10
    assert kept.items == []


def test_what_is_assigned_is_copied() -> None:
    kept, given = Kept(), [1]
    kept.items = given
    given.append(2)
    assert kept.items == [1]
    kept.items += [3]
    assert kept.items == [1, 3]


def test_what_is_no_list_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="'ab' is a str, not a list"):
        Kept().items = "ab"  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("name", "value", "empty"), [("items", [1, 2], []), ("items", [], []), ("counts", {"a": 1}, {}), ("counts", {}, {})]
)
def test_a_snapshot_keeps_the_content_and_when_it_was_written(name: str, value: Any, empty: Any) -> None:
    cell: Any = vars(Kept)[name]
    kept, untouched, restored, also = Kept(), Kept(), Kept(), Kept()
    kept.moment.now = 7
    setattr(kept, name, value)
    column = cell.encode([untouched, kept])
    assert column.type == cell.stored
    cell.decode([also, restored], column)
    restored.moment.now = 16
    assert getattr(restored, name) == value
    assert getattr(also, name) == empty
    restored.moment.now = 17
    assert getattr(restored, name) == empty


@pytest.mark.parametrize(("name", "value", "more"), [("items", [1], [1, 2]), ("counts", {"a": 1}, {"a": 2})])
def test_a_copy_has_its_own_content_and_the_time_of_writing(name: str, value: Any, more: Any) -> None:
    cell: Any = vars(Kept)[name]
    kept = Kept()
    setattr(kept, name, value)
    saved = cell.copied(vars(kept)[name])
    kept.moment.now = 5
    setattr(kept, name, more)
    vars(kept)[name] = saved
    kept.moment.now = 9
    assert getattr(kept, name) == value
    kept.moment.now = 10
    assert not getattr(kept, name)
