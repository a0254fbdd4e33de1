"""Sessions that fire by processing time, against the interpreter in `streamflow.testing.naive`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.kernels.aggregate import AggregateSpec
from streamflow.kernels.hashing import groups_of_worker, hash_columns, key_groups
from streamflow.operators.base import TimedOperator
from streamflow.operators.clocked_session import ClockedSessions
from streamflow.operators.events import CHANGE, CHANGE_NAMES, MAX_TIME, TIME_TYPE, Watermark
from streamflow.operators.refining_session import RefiningSessions
from streamflow.state.memory import Spillable, SpillBuffers
from streamflow.testing import final, naive

GROUPS = 8
SCHEMA = pa.schema({"k": pa.string(), "v": pa.int64(), "_time": TIME_TYPE})
AGGREGATES = (AggregateSpec("count", None, None, "rows"), AggregateSpec("sum", "v", pa.int64(), "total"))
EARLY: dict[str, Any] = {"lateness": 0, "early": None, "late": 1, "accumulate": False, "delays": (10, None)}
LATE: dict[str, Any] = {"lateness": 50, "early": None, "late": 1, "accumulate": False, "delays": (None, 7)}


def step(**firing: Any) -> ClockedSessions:
    return ClockedSessions(("k",), 20, AGGREGATES, SCHEMA, **firing)


def batch(*rows: tuple[str | None, int, int]) -> pa.RecordBatch:
    arrays = [pa.array([row[i] for row in rows], type_) for i, type_ in enumerate(SCHEMA.types)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def shown(outputs: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Key, bounds, sum and, in a changelog, the kind of change."""
    found: list[tuple[Any, ...]] = []
    for output in outputs:
        if isinstance(output, pa.RecordBatch):
            bounds = (output[name].cast(pa.int64()).to_pylist() for name in ("window_start", "window_end"))
            columns = [output["k"].to_pylist(), *bounds, output["total"].to_pylist()]
            if CHANGE in output.schema.names:
                columns.append([CHANGE_NAMES[kind] for kind in output[CHANGE].to_pylist()])
            found += zip(*columns, strict=True)
    return found


def test_a_pane_is_sent_so_long_after_its_first_row_to_the_microsecond() -> None:
    early = step(**EARLY)
    shown(early.on_timer(1_000))
    assert shown(early.on_batch(0, batch(("a", 1, 5)))) == []
    assert shown(early.on_timer(1_009)) == []
    assert shown(early.on_batch(0, batch(("a", 2, 15), ("b", 3, 5)))) == []  # the second row does not put it off
    assert early.next_wakeup() == 1_010
    assert shown(early.on_timer(1_010)) == [("a", 5, 35, 3)]
    assert early.next_wakeup() == 1_019
    assert shown(early.on_batch(0, batch(("a", 4, 6)))) == []  # at that very microsecond: of the next pane
    assert shown(early.on_timer(1_019)) == [("b", 5, 25, 3)]
    assert shown(early.on_timer(1_020)) == [("a", 5, 35, 4)]
    assert early.next_wakeup() is None
    assert shown(early.on_watermark(Watermark(35))) == []  # nothing has come since


def test_what_was_sent_on_time_is_not_due_any_more() -> None:
    early = step(**EARLY)
    shown(early.on_timer(1_000))
    shown(early.on_batch(0, batch(("a", 1, 5))))
    assert shown(early.on_watermark(Watermark(25))) == [("a", 5, 25, 1)]
    assert shown(early.on_timer(1_010)) == []
    assert early.next_wakeup() is None


def test_sessions_that_become_one_wait_no_longer_than_the_first_row_of_either() -> None:
    early = step(**EARLY)
    shown(early.on_timer(0))
    shown(early.on_batch(0, batch(("a", 1, 0))))
    shown(early.on_timer(4))
    shown(early.on_batch(0, batch(("a", 2, 30))))
    shown(early.on_timer(6))
    shown(early.on_batch(0, batch(("a", 4, 15))))
    assert shown(early.on_timer(9)) == []
    assert shown(early.on_timer(10)) == [("a", 0, 50, 7)]
    assert early.next_wakeup() is None


def test_late_rows_have_a_time_of_their_own_and_take_back_what_they_merge() -> None:
    late = step(**(LATE | {"accumulate": True}))
    shown(late.on_timer(0))
    shown(late.on_batch(0, batch(("a", 1, 0), ("a", 2, 30))))
    assert late.next_wakeup() is None
    assert len(shown(late.on_watermark(Watermark(50)))) == 2
    shown(late.on_batch(0, batch(("a", 4, 15))))
    assert shown(late.on_timer(6)) == []
    assert shown(late.on_timer(7)) == [
        ("a", 0, 20, 1, "delete"),
        ("a", 30, 50, 2, "delete"),
        ("a", 0, 50, 7, "insert"),
    ]


def test_a_session_that_goes_on_after_its_end_waits_as_one_that_has_not_ended() -> None:
    late = step(**LATE)
    shown(late.on_timer(0))
    shown(late.on_batch(0, batch(("a", 1, 0))))
    shown(late.on_watermark(Watermark(20)))
    shown(late.on_batch(0, batch(("a", 2, 1))))
    assert shown(late.on_batch(0, batch(("a", 4, 19)))) == []
    assert shown(late.on_timer(1_000)) == []
    assert shown(late.on_watermark(Watermark(39))) == [("a", 0, 39, 6)]


def test_only_triggers_by_processing_time_go_by_the_clock() -> None:
    options: dict[str, Any] = {"lateness": 0, "early": 1, "late": 1, "accumulate": True}
    assert isinstance(step(**EARLY), TimedOperator)
    assert not isinstance(RefiningSessions(("k",), 20, AGGREGATES, SCHEMA, **options), TimedOperator)


class Workers:
    """Copies of the operator, each with the rows of its key groups; with a store all state is in files in between."""

    def __init__(self, count: int, gap: int, store: SpillBuffers | None, firing: dict[str, Any]) -> None:
        self.made = (gap, store, firing)
        self.own = [ClockedSessions(("k",), gap, AGGREGATES, SCHEMA, **firing) for _ in range(count)]
        self.results: list[pa.RecordBatch] = []
        if store is not None:
            for table in self._tables():
                table.attach(store)

    def _tables(self) -> list[Spillable]:
        containers = [container for operator in self.own for container in operator.state().values()]
        return [container for container in containers if isinstance(container, Spillable)]

    def take(self, outputs: Iterable[Any]) -> None:
        for output in outputs:
            if isinstance(output, pa.RecordBatch):
                self.results.append(output)
            self.spill()
        self.spill()

    def spill(self) -> None:
        if self.made[1] is not None:
            for table in self._tables():
                table.spill(1 << 40)

    def send(self, rows: Sequence[tuple[str | None, int, int]]) -> None:
        whole = batch(*((key, value, time) for key, time, value in rows))
        groups = key_groups(hash_columns([whole["k"]], len(rows)), GROUPS)
        for worker, operator in enumerate(self.own):
            mine = groups_of_worker(worker, GROUPS, len(self.own))
            part = whole.filter(pa.array([group in mine for group in groups.tolist()]))
            if part.num_rows:
                self.take(operator.on_batch(0, part))

    def clock(self, now: int) -> None:
        for operator in self.own:
            self.take(operator.on_timer(now))

    def advance(self, time: int) -> None:
        for operator in self.own:
            self.take(operator.on_watermark(Watermark(time)))

    def restored(self, count: int) -> Workers:
        for operator in self.own:
            self.take(operator.flush())
        others = Workers(count, *self.made)
        for name in self.own[0].state():
            parts = [operator.state()[name].snapshot(GROUPS) for operator in self.own]
            for worker, other in enumerate(others.own):
                other.state()[name].restore(parts, groups_of_worker(worker, GROUPS, count))
        others.results = self.results
        return others


FIRING: dict[str, Any] = {
    "gap": st.sampled_from([1, 5, 12]),
    "lateness": st.sampled_from([0, 7, 25]),
    "early": st.none() | st.tuples(st.just("rows"), st.integers(1, 4)) | st.tuples(st.just("time"), st.integers(1, 12)),
    "late": st.tuples(st.just("rows"), st.integers(1, 3)) | st.tuples(st.just("time"), st.integers(1, 12)),
    "accumulate": st.booleans(),
}
ROW = st.tuples(st.sampled_from(["a", "b", None]), st.integers(-30, 60), st.integers(0, 5))


def script(rows: int) -> st.SearchStrategy[Any]:
    """Batches of rows, after each some time, maybe a watermark, and maybe a move of all state to so many workers."""
    moves = st.none() | st.sampled_from([1, 2, 3])
    one = st.tuples(
        st.lists(ROW, min_size=1, max_size=rows), st.integers(0, 15), st.none() | st.integers(-30, 60), moves
    )
    return st.lists(one, max_size=14)


def play(
    steps: Any, gap: int, lateness: int, early: Any, late: Any, accumulate: bool, store: SpillBuffers | None, each: bool
) -> tuple[Workers, naive.Sessions]:
    """Both through the script; with `each`, what stands is compared after every event."""
    rows = [given[1] if given is not None and given[0] == "rows" else None for given in (early, late)]
    delays = [given[1] if given is not None and given[0] == "time" else None for given in (early, late)]
    firing = {"lateness": lateness, "early": rows[0], "late": rows[1] or 1, "accumulate": accumulate}
    workers = Workers(1, gap, store, {**firing, "delays": tuple(delays)})
    expected = naive.Sessions(gap, lateness, rows[0], rows[1], accumulate, early_after=delays[0], late_after=delays[1])

    def compare() -> None:
        if each and accumulate:
            assert found(workers) == standing(expected)

    now, watermark = 0, -100
    for given_rows, elapsed, rise, restored in steps:
        workers.clock(now)
        workers.send(given_rows)
        expected.run([naive.Clock(now), *(naive.Row(*row) for row in given_rows)])
        compare()
        now += elapsed
        workers.clock(now)
        expected.run([naive.Clock(now)])
        compare()
        if rise is not None and rise > watermark:
            watermark = rise
            workers.advance(rise)
            expected.run([naive.Watermark(rise)])
            compare()
        if restored is not None:
            workers = workers.restored(restored)
    workers.advance(MAX_TIME)
    expected.run([naive.Watermark(MAX_TIME)])
    assert sum(operator.late for operator in workers.own) == len(expected.late_rows)
    return workers, expected


def answer(key: Any, bounds: naive.Bounds, values: Sequence[int]) -> tuple[Any, ...]:
    return (key, *bounds, len(values), sum(values))


def standing(expected: naive.Sessions) -> Counter[tuple[Any, ...]]:
    return Counter(answer(key, bounds, values) for (key, bounds), values in expected.results.items())


def found(workers: Workers) -> Counter[tuple[Any, ...]]:
    """What stands, or where panes discard, all of them."""
    table = pa.Table.from_batches(workers.results, workers.own[0].output_schema)
    table = final(table) if CHANGE in table.column_names else table
    columns = [table[name] for name in ("k", "window_start", "window_end", "rows", "total")]
    plain = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in columns]
    return Counter(zip(*(column.to_pylist() for column in plain), strict=True))


@settings(max_examples=100, deadline=None)
@given(steps=script(1), in_files=st.booleans(), **FIRING)
def test_row_by_row_each_firing_is_that_of_the_interpreter(steps: Any, in_files: bool, **firing: Any) -> None:
    workers, expected = play(steps, **firing, store=SpillBuffers() if in_files else None, each=True)
    if not firing["accumulate"]:
        assert found(workers) == Counter(answer(pane.key, pane.bounds, pane.values) for pane in expected.panes)


@settings(max_examples=60, deadline=None)
@given(steps=script(7), **FIRING)
def test_what_stands_at_the_end_does_not_depend_on_cuts(steps: Any, **firing: Any) -> None:
    """Panes that are discarded hold together what was not late."""
    workers, expected = play(steps, **firing, store=None, each=False)
    if firing["accumulate"]:
        assert found(workers) == standing(expected)
    else:
        sent = found(workers)
        assert sum(pane[3] * times for pane, times in sent.items()) == sum(len(pane.values) for pane in expected.panes)
        assert sum(pane[4] * times for pane, times in sent.items()) == sum(sum(pane.values) for pane in expected.panes)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_panes_that_were_due_while_the_job_was_down_are_sent_at_the_first_word_of_the_clock(workers: int) -> None:
    old = Workers(1, 20, None, EARLY)
    old.clock(0)
    old.send([("a", 5, 1), ("b", 5, 1)])
    old.clock(5)
    old.send([("c", 5, 1), ("d", 5, 1)])
    new = old.restored(workers)
    new.clock(12)
    early = found(new)
    new.clock(15)
    assert early == Counter([("a", 5, 25, 1, 1), ("b", 5, 25, 1, 1)])
    assert found(new) - early == Counter([("c", 5, 25, 1, 1), ("d", 5, 25, 1, 1)])
