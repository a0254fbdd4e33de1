"""Objects of keys through snapshots: every kind of value comes back as it was, on whichever worker."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

import streamflow as sf
from streamflow.errors import EngineError
from streamflow.state.cells import Cell
from streamflow.state.container import Snapshot
from streamflow.state.files import decode, encode
from streamflow.state.keyed_objects import KeyedObjects

GROUPS = 8
KEYS = pa.schema([("k", pa.string())])


class Point(NamedTuple):
    x: int
    y: float | None


class Everything(sf.KeyedFunction):
    flag = sf.cell(bool)
    number = sf.cell(int, default=7)
    real = sf.cell(float)
    text = sf.cell(str, default="none")
    data = sf.cell(bytes)
    day = sf.cell(date)
    at = sf.cell(datetime)
    span = sf.cell(timedelta)
    point = sf.cell(Point)
    points = sf.list_cell(Point)
    by_day = sf.map_cell(date, list[int])
    short = sf.cell(str, default="gone", ttl="10us")
    alarm = sf.timer()

    def __init__(self, limit: int) -> None:
        self.limit = limit


VALUES: dict[str, Any] = {
    "flag": False,
    "number": -(2**63),
    "real": -0.0,
    "text": "ä€𝄞",
    "data": b"\x00",
    "day": date(2026, 2, 28),
    "at": datetime(2026, 2, 28, 12, tzinfo=UTC),
    "span": timedelta(microseconds=-1),
    "point": Point(1, None),
    "points": [Point(1, 0.5), Point(2, None)],
    "by_day": {date(2026, 2, 28): [1, 2], date(2026, 1, 1): []},
    "short": "still",
}


def objects() -> KeyedObjects:
    declared = {name: made for name, made in vars(Everything).items() if name in VALUES}
    cells: list[Cell] = list(declared.values())
    return KeyedObjects(KEYS, Everything(5), cells, ["alarm"])


def of(kept: KeyedObjects, *keys: str | None) -> list[Any]:
    return kept.at(kept.slots([pa.array(keys, pa.string())], len(keys)))


def gone_off(kept: KeyedObjects, time: int) -> list[tuple[Any, ...]]:
    """The keys that are due; their alarms are cleared, as the operator does."""
    found = []
    for owner in kept.schedule.due(time):
        found.append(owner._key)
        owner.alarm.clear()
    return found


def through_a_file(snapshot: Snapshot) -> Snapshot:
    return decode(encode(snapshot))


def restored(*snapshots: Snapshot, groups: range = range(GROUPS)) -> KeyedObjects:
    made = objects()
    made.restore([through_a_file(snapshot) for snapshot in snapshots], groups)
    return made


def test_every_kind_of_value_comes_back_as_it_was() -> None:
    kept = objects()
    kept.moment.now = 100
    [a] = of(kept, "a")
    for name, value in VALUES.items():
        setattr(a, name, value)
    a.alarm.set(123)
    [again] = of(restored(kept.snapshot(GROUPS)), "a")
    assert {name: getattr(again, name) for name in VALUES} == VALUES
    assert math.copysign(1, again.real) == -1
    assert (again.alarm.at, again.limit) == (123, 5)


def test_a_cell_without_a_value_has_its_default_also_after_a_restore() -> None:
    kept = objects()
    [a] = of(kept, "a")
    a.number, a.text = 8, None
    [again] = of(restored(kept.snapshot(GROUPS)), "a")
    assert (again.number, again.text, again.real, again.points, again.by_day) == (8, None, None, [], {})
    del again.number, again.text
    assert (again.number, again.text) == (7, "none")


def test_a_time_to_live_goes_on_after_a_restore() -> None:
    kept = objects()
    kept.moment.now = 100
    [a] = of(kept, "a")
    a.short = "still"
    after = restored(kept.snapshot(GROUPS))
    [again] = of(after, "a")
    after.moment.now = 109
    assert again.short == "still"
    after.moment.now = 110
    assert again.short == "gone"


def test_keys_are_equal_as_in_sql_and_each_has_its_own_object() -> None:
    kept = KeyedObjects(pa.schema([("f", pa.float64())]), Everything(5), [], [])
    found = kept.at(kept.slots([pa.array([0.0, -0.0, math.nan, math.nan, None, None])], 6))
    assert [found.index(owner) for owner in found] == [0, 0, 2, 2, 4, 4]


def test_snapshots_of_two_workers_restore_onto_three() -> None:
    names = [str(number) for number in range(30)]
    kept = objects()
    for owner, name in zip(of(kept, *names), names, strict=True):
        owner.number = int(name)
    whole = kept.snapshot(GROUPS)
    two = [restored(whole, groups=range(5)), restored(whole, groups=range(5, 8))]
    parts = [worker.snapshot(GROUPS) for worker in two]
    three = [restored(*parts, groups=groups) for groups in (range(2), range(2, 6), range(6, 8))]
    assert sum(len(worker) for worker in three) == 30
    everyone: list[Any] = [owner for worker in three for owner in worker._all()]
    assert {owner._key[0]: owner.number for owner in everyone} == {name: int(name) for name in names}


def test_a_snapshot_does_not_show_later_changes() -> None:
    kept = objects()
    [a] = of(kept, "a")
    a.points.append(Point(1, 1.0))
    snapshot = kept.snapshot(GROUPS)
    a.points.append(Point(2, 2.0))
    assert of(restored(snapshot), "a")[0].points == [Point(1, 1.0)]


def test_an_object_that_keeps_nothing_is_not_written() -> None:
    kept = objects()
    a, b, c, _ = of(kept, "a", "b", "c", "d")
    a.number = 1
    b.alarm.set(5)
    assert (c.points, c.by_day) == ([], {})
    snapshot = kept.snapshot(GROUPS)
    assert sorted(snapshot.rows.column("key.k").to_pylist()) == ["a", "b"]
    assert of(kept, "a") == [a]


def test_alarms_are_due_once_and_at_the_time_that_they_have_then() -> None:
    kept = objects()
    a, b, c = of(kept, "a", "b", "c")
    for owner, times in ((a, [9, 5]), (b, [5, 9]), (c, [5])):
        for time in times:
            owner.alarm.set(time)
            kept.reschedule(owner)
    c.alarm.clear()
    assert gone_off(kept, 7) == [("a",)]
    assert gone_off(kept, 8) == []
    assert gone_off(kept, 9) == [("b",)]


def test_restored_alarms_are_due_and_later_ones_come_after_them() -> None:
    kept = objects()
    kept.moment.settings = 40
    [a] = of(kept, "a")
    a.alarm.set(5)
    after = restored(kept.snapshot(GROUPS))
    assert gone_off(after, 5) == [("a",)]
    assert after.moment.settings == 41


def test_state_of_another_shape_is_refused() -> None:
    other = KeyedObjects(KEYS, Everything(5), [], [])
    with pytest.raises(EngineError, match="state has columns"):
        other.restore([objects().snapshot(GROUPS)], range(GROUPS))
