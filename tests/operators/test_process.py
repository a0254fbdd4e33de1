"""Keyed functions in the operator's terms: watermarks in the test's hand, boundary microseconds, restores, errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import permutations
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow import KeyedFunction, cell, list_cell, map_cell, timer
from streamflow.errors import DataError
from streamflow.flow.keyed_function import keyed_calls
from streamflow.kernels.hashing import groups_of_worker, hash_columns, key_groups
from streamflow.operators.base import Output
from streamflow.operators.events import MAX_TIME, TIME_TYPE, Watermark
from streamflow.operators.process import Process
from streamflow.plan.keyed_calls import bind

GROUPS = 8
SCHEMA = pa.schema([("k", pa.string()), ("x", pa.int64()), ("_time", TIME_TYPE)])
Row = tuple[str, int, int]


class Told(NamedTuple):
    k: str
    what: str
    value: int


def batch(*rows: Row) -> pa.RecordBatch:
    columns = [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(SCHEMA)]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def process(function: KeyedFunction, *, ordered: bool = True, schema: pa.Schema = SCHEMA) -> Process:
    return Process(("k",), bind(keyed_calls(function), ("k",), schema), schema, ordered=ordered)


def told(outputs: Sequence[Output] | Iterator[Output]) -> list[tuple[Any, ...]]:
    """Key, what, value and event time of each result, in their order."""
    found: list[tuple[Any, ...]] = []
    for output in outputs:
        if isinstance(output, pa.RecordBatch):
            columns = [c.cast(pa.int64()) if c.type == TIME_TYPE else c for c in output.columns]
            found += zip(*(column.to_pylist() for column in columns), strict=True)
    return found


class Log(KeyedFunction):
    """Tells of every row, and of a timer that row x sets x microseconds after it."""

    alarm = timer()

    def on_row(self, k: str, x: int, _time: int) -> Told:
        if x:
            self.alarm.set(_time + x)
        return Told(k, "row", x)

    def on_alarm(self, k: str, _time: int) -> Told:
        return Told(k, "alarm", _time)


def test_a_row_waits_until_the_watermark_is_above_it() -> None:
    log = process(Log())
    assert told(log.on_batch(0, batch(("a", 0, 10)))) == []
    assert told(log.on_watermark(Watermark(10))) == []
    assert told(log.on_watermark(Watermark(11))) == [("a", "row", 0, 10)]


def test_a_row_at_the_watermark_is_on_time_and_one_below_is_late() -> None:
    log = process(Log())
    list(log.on_watermark(Watermark(10)))
    list(log.on_batch(0, batch(("a", 0, 9), ("a", 0, 10))))
    assert told(log.on_watermark(Watermark(MAX_TIME))) == [("a", "row", 0, 10)]
    assert log.late == 1


def test_a_timer_goes_off_before_the_first_row_at_its_time_and_after_those_below() -> None:
    log = process(Log())
    list(log.on_batch(0, batch(("a", 0, 15), ("a", 5, 10), ("a", 0, 14))))
    assert told(log.on_watermark(Watermark(MAX_TIME))) == [
        ("a", "row", 5, 10),
        ("a", "row", 0, 14),
        ("a", "alarm", 15, 15),
        ("a", "row", 0, 15),
    ]


def test_rows_of_several_batches_come_in_the_order_of_time() -> None:
    calls: list[int] = []

    class Called(KeyedFunction):
        def on_row(self, k: str, _time: int) -> Told:
            calls.append(_time)
            return Told(k, "row", 0)

    called = process(Called())
    for times in ((10, 14), (16, 12)):
        list(called.on_batch(0, batch(*(("a", 0, time) for time in times))))
    list(called.on_watermark(Watermark(20)))
    assert calls == [10, 12, 14, 16]


class Chain(KeyedFunction):
    """Each timer sets the next one."""

    first, second = timer(), timer()

    def on_row(self, k: str, _time: int) -> Told:
        self.first.set(_time + 1)
        return Told(k, "row", 0)

    def on_first(self, k: str, _time: int) -> Told:
        self.second.set(_time + 1)
        return Told(k, "first", 0)

    def on_second(self, k: str, _time: int) -> Told:
        return Told(k, "second", 0)


def test_a_timer_that_a_timer_sets_goes_off_before_the_next_row() -> None:
    chain = process(Chain())
    list(chain.on_batch(0, batch(("a", 0, 10), ("a", 0, 12), ("a", 0, 20))))
    found = [(what, time) for _, what, _, time in told(chain.on_watermark(Watermark(21)))]
    assert found == [
        *[("row", 10), ("first", 11), ("second", 12)],
        *[("row", 12), ("first", 13), ("second", 14)],
        *[("row", 20), ("first", 21)],
    ]


def test_a_timer_goes_off_when_the_watermark_reaches_it() -> None:
    log = process(Log())
    list(log.on_batch(0, batch(("a", 5, 10))))
    assert told(log.on_watermark(Watermark(14))) == [("a", "row", 5, 10)]
    assert told(log.on_watermark(Watermark(15))) == [("a", "alarm", 15, 15)]
    assert told(log.on_watermark(Watermark(16))) == []


def test_what_a_timer_gives_has_its_time_however_far_the_watermark_has_gone() -> None:
    log = process(Log())
    list(log.on_batch(0, batch(("a", 5, 10))))
    made = [row for row in log.on_watermark(Watermark(20)) if isinstance(row, pa.RecordBatch)]
    assert [time for rows in made for time in rows.column("_time").view(pa.int64()).to_pylist()] == [10, 15]


def test_setting_a_timer_moves_it() -> None:
    log = process(Log())
    list(log.on_batch(0, batch(("a", 5, 10), ("a", 5, 12), ("b", 2, 10))))
    assert [what for what in told(log.on_watermark(Watermark(MAX_TIME))) if what[1] == "alarm"] == [
        ("b", "alarm", 12, 12),
        ("a", "alarm", 17, 17),
    ]


def test_a_timer_in_the_past_goes_off_next_with_the_time_of_now() -> None:
    log = process(Log())
    list(log.on_batch(0, batch(("a", -3, 10), ("a", 0, 10))))
    assert told(log.on_watermark(Watermark(MAX_TIME))) == [
        ("a", "row", -3, 10),
        ("a", "alarm", 10, 10),
        ("a", "row", 0, 10),
    ]


def test_results_come_by_event_time_whatever_their_keys() -> None:
    log = process(Log())
    list(log.on_batch(0, batch(("a", 0, 13), ("b", 0, 12), ("a", 0, 11), ("c", 0, 10))))
    assert [time for *_, time in told(log.on_watermark(Watermark(MAX_TIME)))] == [10, 11, 12, 13]


class Meeting(KeyedFunction):
    """Two timers at one time: the one that was set first goes first; what one sets for the same time goes after."""

    first = timer()
    second = timer()

    def on_row(self, k: str, x: int, _time: int) -> None:
        for alarm in (self.second, self.first) if x else (self.first, self.second):
            alarm.set(_time + 5)

    def on_first(self, k: str, _time: int) -> Told:
        return Told(k, "first", _time)

    def on_second(self, k: str, _time: datetime) -> Told:
        assert self.second.time is None
        if _time.microsecond < 20:
            self.second.set(20)
        return Told(k, "second", _time.microsecond)


def test_timers_at_one_time_go_off_in_the_order_in_which_they_were_set() -> None:
    meeting = process(Meeting())
    list(meeting.on_batch(0, batch(("a", 0, 10), ("b", 1, 10))))
    found = told(meeting.on_watermark(Watermark(MAX_TIME)))
    assert [what for k, what, _, _ in found if k == "a"] == ["first", "second", "second"]
    assert [what for k, what, _, _ in found if k == "b"] == ["second", "first", "second"]


def test_a_timer_can_be_read_moved_and_cleared() -> None:
    class Once(KeyedFunction):
        alarm = timer()

        def on_row(self, k: str, x: int) -> Told:
            if x == 1:
                self.alarm.set(datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC))
            if x == 2:
                self.alarm.set(datetime(1970, 1, 1, 0, 0, 8))  # noqa: DTZ001
            if x == 3:
                self.alarm.clear()
            return Told(k, "at", -1 if self.alarm.time is None else int(self.alarm.time.timestamp()))

        def on_alarm(self) -> None:
            raise AssertionError

    once = process(Once())
    list(once.on_batch(0, batch(("a", 0, 1), ("a", 1, 2), ("a", 2, 3), ("a", 3, 4))))
    assert [value for _, _, value, _ in told(once.on_watermark(Watermark(MAX_TIME)))] == [-1, 7, 8, -1]


class Expiring(KeyedFunction):
    value = cell(int, default=0, ttl="10us")

    def on_row(self, k: str, x: int) -> Told:
        before = self.value
        if x:
            self.value = x
        return Told(k, "before", before)


def test_a_cell_is_gone_when_its_time_to_live_has_passed_since_it_was_written() -> None:
    expiring = process(Expiring())
    list(
        expiring.on_batch(0, batch(("a", 1, 10), ("a", 0, 19), ("a", 0, 20), ("b", 1, 10), ("b", 2, 19), ("b", 0, 28)))
    )
    found = told(expiring.on_watermark(Watermark(MAX_TIME)))
    assert [value for k, _, value, _ in found if k == "a"] == [0, 1, 0]
    assert [value for k, _, value, _ in found if k == "b"] == [0, 1, 2]


@pytest.mark.parametrize("near", [0, 1000])
def test_few_keys_and_many_have_their_rows_in_one_order(near: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamflow.operators.process.NEAR", near)
    log = process(Cells())
    list(log.on_batch(0, batch(("a", 2, 3), ("b", 1, 2), ("a", 1, 3), ("b", 5, 1), ("a", 4, 2))))
    assert [(k, value, at) for k, _, value, at in told(log.on_watermark(Watermark(MAX_TIME)))] == [
        ("b", 5, 1),
        ("b", 1, 2),
        ("a", 4, 2),
        ("a", 1, 3),
        ("a", 2, 3),
    ]


class Cells(KeyedFunction):
    total = cell(float, default=0.5)
    note = cell(str)
    last = list_cell(int)
    seen = map_cell(int, float)

    def on_row(self, k: str, x: int) -> Told:
        if x == 7:
            del self.total, self.note, self.last, self.seen, self.total
        self.total += x
        self.note = None if x == 3 else f"{self.note}{x}"
        self.last.append(x)
        self.seen[x] = self.seen.get(x, 0.0) + 1
        return Told(k, f"{self.total} {self.note} {self.last} {self.seen}", x)


def test_cells_are_read_assigned_and_deleted_for_each_key() -> None:
    cells = process(Cells())
    list(cells.on_batch(0, batch(("a", 1, 1), ("b", 3, 2), ("a", 1, 3), ("a", 7, 4))))
    assert [what for _, what, _, _ in told(cells.on_watermark(Watermark(MAX_TIME)))] == [
        "1.5 None1 [1] {1: 1.0}",
        "3.5 None [3] {3: 1.0}",
        "2.5 None11 [1, 1] {1: 2.0}",
        "7.5 None7 [7] {7: 1.0}",
    ]


class Workers:
    """Each owns a range of key groups. A restore goes onto another number of them."""

    def __init__(self, function: KeyedFunction, ordered: bool) -> None:
        self.function, self.ordered = function, ordered
        self.all: list[Process] = []
        self.restore(1)

    def restore(self, count: int) -> None:
        parts = [{name: kept.snapshot(GROUPS) for name, kept in worker.state().items()} for worker in self.all]
        self.all = [process(self.function, ordered=self.ordered) for _ in range(count)]
        for number, worker in enumerate(self.all):
            for name, kept in worker.state().items():
                kept.restore([part[name] for part in parts], groups_of_worker(number, GROUPS, count))

    def rows(self, *rows: Row) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        for row in rows:
            group = int(key_groups(hash_columns([pa.array([row[0]])], 1), GROUPS)[0])
            owner = next(n for n in range(len(self.all)) if group in groups_of_worker(n, GROUPS, len(self.all)))
            found += told(self.all[owner].on_batch(0, batch(row)))
        return found

    def watermark(self, time: int) -> list[tuple[Any, ...]]:
        return [what for worker in self.all for what in told(worker.on_watermark(Watermark(time)))]


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from("abc"), st.integers(-2, 8), st.integers(0, 12)), max_size=12),
    counts=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    function=st.sampled_from([Log, Meeting, Expiring, Cells]),
    ordered=st.booleans(),
)
def test_restoring_after_every_row_onto_other_workers_changes_nothing(
    rows: list[Row], counts: list[int], function: type[KeyedFunction], ordered: bool
) -> None:
    calm, restored = Workers(function(), ordered), Workers(function(), ordered)
    expected, found = [], []
    for number, row in enumerate(rows):
        passed = max(time for *_, time in rows[: number + 1]) - 4
        expected += calm.rows(row) + calm.watermark(passed)
        found += restored.rows(row) + restored.watermark(passed)
        restored.restore(counts[number % len(counts)])
        restored.watermark(passed)
    expected += calm.watermark(MAX_TIME)
    found += restored.watermark(MAX_TIME)
    assert sorted(found) == sorted(expected)
    assert sum(worker.late for worker in restored.all) == sum(worker.late for worker in calm.all)


def test_after_a_restore_a_row_is_judged_by_the_watermark_of_before() -> None:
    workers = Workers(Log(), ordered=True)
    workers.watermark(10)
    workers.restore(3)
    workers.rows(("a", 0, 9), ("b", 0, 10))
    assert workers.watermark(MAX_TIME) == [("b", "row", 0, 10)]
    assert sum(worker.late for worker in workers.all) == 1


def test_keys_that_keep_nothing_take_no_memory() -> None:
    expiring = process(Expiring())
    for start in range(0, 50_000, 5_000):
        list(expiring.on_batch(0, batch(*((str(k), 1, k) for k in range(start, start + 5_000)))))
        list(expiring.on_watermark(Watermark(start + 5_000)))
    assert len(expiring._objects) < 10_000
    assert expiring.state()["cells"].snapshot(GROUPS).rows.num_rows == 9  # written 10 us ago is too old


def test_rows_as_they_arrive_give_results_at_once_late_ones_too() -> None:
    log = process(Log(), ordered=False)
    assert told(log.on_batch(0, batch(("a", 5, 10), ("a", 0, 3)))) == [("a", "row", 5, 10), ("a", "row", 0, 3)]
    assert told(log.on_watermark(Watermark(15))) == [("a", "alarm", 15, 15)]
    assert told(log.on_batch(0, batch(("a", 0, 12)))) == [("a", "row", 0, 15)]
    assert told(log.on_batch(0, batch(("a", 1, 12), ("a", 0, 20)))) == [
        ("a", "row", 1, 15),
        ("a", "alarm", 15, 15),
        ("a", "row", 0, 20),
    ]


def test_rows_of_one_time_come_by_what_the_function_takes_however_they_arrive() -> None:
    class Zeros(KeyedFunction):
        def on_row(self, k: str, x: float, y: int | None) -> Told:
            return Told(k, f"{x} {y}", 0)

    schema = pa.schema([("k", pa.string()), ("x", pa.float64()), ("y", pa.int64()), ("_time", TIME_TYPE)])
    rows = [(0.0, 2), (-0.0, 2), (0.0, 1), (-1.5, 9), (0.0, None)]
    for arrival in permutations(rows):
        zeros = process(Zeros(), schema=schema)
        columns = [pa.array(["a"] * 5), pa.array([x for x, _ in arrival]), pa.array([y for _, y in arrival])]
        times = pa.array([10] * 5).view(TIME_TYPE)
        list(zeros.on_batch(0, pa.RecordBatch.from_arrays([*columns, times], schema=schema)))
        found = [what for _, what, _, _ in told(zeros.on_watermark(Watermark(MAX_TIME)))]
        assert found == ["-1.5 9", "-0.0 2", "0.0 1", "0.0 2", "0.0 None"]


def test_keys_that_keep_nothing_are_forgotten_without_event_time_too() -> None:
    class Pair(KeyedFunction):
        open = cell(bool, default=False)

        def on_row(self, k: str) -> Told | None:
            if self.open:
                del self.open
            else:
                self.open = True
            return None

    schema = pa.schema([("k", pa.string())])
    pair = process(Pair(), ordered=False, schema=schema)
    for start in range(0, 50_000, 5_000):
        keys = [str(k) for k in range(start, start + 5_000)]
        list(pair.on_batch(0, pa.record_batch({"k": keys + keys})))
    assert len(pair._objects) < 15_000


def test_rows_without_event_time_are_taken_as_they_arrive() -> None:
    class Count(KeyedFunction):
        rows = cell(int, default=0)

        def on_row(self, k: str) -> Told:
            self.rows += 1
            return Told(k, "rows", self.rows)

    schema = pa.schema([("k", pa.string())])
    count = process(Count(), ordered=False, schema=schema)
    assert told(count.on_batch(0, pa.record_batch({"k": ["a", "b", "a"]}))) == [
        ("a", "rows", 1),
        ("b", "rows", 1),
        ("a", "rows", 2),
    ]


def test_a_generator_runs_to_its_end_before_the_next_row() -> None:
    class Twice(KeyedFunction):
        rows = cell(int, default=0)

        def on_row(self, k: str, **row: object) -> Iterator[Told]:
            self.rows += 1
            yield Told(k, repr(row), self.rows)
            self.rows += 1
            yield Told(k, repr(row), self.rows)

    twice = process(Twice())
    list(twice.on_batch(0, batch(("a", 1, 1), ("a", 2, 2))))
    assert told(twice.on_watermark(Watermark(MAX_TIME))) == [
        ("a", "{'x': 1}", 1, 1),
        ("a", "{'x': 1}", 2, 1),
        ("a", "{'x': 2}", 3, 2),
        ("a", "{'x': 2}", 4, 2),
    ]


class Wrong(KeyedFunction):
    total = cell(int, default=0)
    alarm = timer()

    def on_row(self, k: str, x: int, _time: int) -> Told | None:
        if x == 1:
            raise ValueError("one")
        if x == 2:
            self.alarm.set(_time)
        if x == 3:
            self.alarm.set("tomorrow")  # type: ignore[arg-type]
        if x == 4:
            self.total = "four"  # type: ignore[assignment]
        if x == 5:
            self.count = 1
        return Told(k, 5, 0) if x == 6 else None  # type: ignore[arg-type]

    def on_alarm(self, k: str) -> None:
        raise KeyError(k)


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (1, r"on_row raised ValueError: one; key k='a'; row: x=1, _time=.*1970.*\n.*stands at .*test_process.py"),
        (2, r"on_alarm raised KeyError: 'a'; key k='a', timer at 1970-01-01 00:00:00.000010"),
        (3, r"on_row raised ValueError: 'tomorrow' is not a time"),
        (6, r"Wrong gave what it does not declare: field 'what': row 0: 5 is a int, not a string"),
    ],
)
def test_an_error_names_the_method_the_key_and_the_row(x: int, text: str) -> None:
    wrong = process(Wrong())
    list(wrong.on_batch(0, batch(("a", 0, 9), ("a", x, 10))))
    with pytest.raises(DataError, match=text):
        list(wrong.on_watermark(Watermark(MAX_TIME)))


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (4, r"the cell 'total' of key \('a',\) holds what it does not declare: 'four' is a str, not a int64"),
        (5, r"Wrong set self.count, which is no cell"),
    ],
)
def test_a_snapshot_refuses_what_it_could_not_restore(x: int, text: str) -> None:
    wrong = process(Wrong())
    list(wrong.on_batch(0, batch(("a", x, 10))))
    list(wrong.on_watermark(Watermark(11)))
    with pytest.raises(DataError, match=text):
        wrong.state()["cells"].snapshot(GROUPS)


def test_a_timer_that_always_sets_itself_is_an_error_at_the_end_of_the_input() -> None:
    class Tick(KeyedFunction):
        tick = timer()

        def on_row(self, k: str, _time: int) -> None:
            self.tick.set(_time + 1)

        def on_tick(self, k: str, _time: int) -> Told:
            self.tick.set(_time + 1)
            return Told(k, "tick", _time)

    tick = process(Tick())
    list(tick.on_batch(0, batch(("a", 0, 0))))
    assert len(told(tick.on_watermark(Watermark(1000)))) == 1000
    with pytest.raises(DataError, match="on_tick sets its timer again and again"):
        list(tick.on_watermark(Watermark(MAX_TIME)))
