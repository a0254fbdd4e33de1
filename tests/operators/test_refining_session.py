"""Sessions that fire more than once, against the interpreter in `streamflow.testing.naive`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.kernels.aggregate import AggregateSpec
from streamflow.kernels.hashing import groups_of_worker, hash_columns, key_groups
from streamflow.operators.base import Operator
from streamflow.operators.dead_letters import Rejected
from streamflow.operators.events import CHANGE, CHANGE_NAMES, MAX_TIME, TIME_TYPE, Watermark
from streamflow.operators.late_rows import LateRows
from streamflow.operators.refining_session import RefiningSessions
from streamflow.state.memory import Spillable, SpillBuffers
from streamflow.testing import final, naive

GROUPS = 16
LATE = ("k", "v", "window_start", "window_end")
SCHEMA = pa.schema({"k": pa.string(), "v": pa.int64(), "_time": TIME_TYPE})
AGGREGATES = (
    AggregateSpec("count", None, None, "rows"),
    AggregateSpec("sum", "v", pa.int64(), "total"),
    AggregateSpec("n_unique", "v", pa.int64(), "kinds"),
)


def batch(rows: Sequence[naive.Row]) -> pa.RecordBatch:
    columns = [[row.key for row in rows], [row.value for row in rows], [row.time for row in rows]]
    arrays = [pa.array(column, type_) for column, type_ in zip(columns, SCHEMA.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


class Workers:
    """Copies of the operator and of the one for late rows, each with the rows of its key groups."""

    def __init__(
        self, keys: tuple[str, ...], gap: int, count: int, store: SpillBuffers | None = None, **firing: Any
    ) -> None:
        self.count = count
        self._store = store
        self.sessions = [RefiningSessions(keys, gap, AGGREGATES, SCHEMA, **firing) for _ in range(count)]
        self.late = [LateRows(keys, gap, firing["lateness"], SCHEMA, LATE) for _ in range(count)]
        self.results: list[pa.RecordBatch] = []
        self.late_rows: list[pa.RecordBatch] = []
        self._keys = keys
        if store is not None:
            for table in self._tables():
                table.attach(store)

    def _tables(self) -> list[Spillable]:
        own = [container for sessions in self.sessions for container in sessions.state().values()]
        return [container for container in own if isinstance(container, Spillable)]

    def take(self, outputs: Iterable[Any]) -> list[pa.RecordBatch]:
        """What is sent; with a store all state goes to files whenever the operator can be interrupted."""
        sent = []
        for output in outputs:
            sent += batches([output])
            self.spill()
        self.spill()
        return sent

    def spill(self) -> None:
        if self._store is not None:
            for table in self._tables():
                table.spill(1 << 40)

    def send(self, rows: Sequence[naive.Row]) -> None:
        whole = batch(rows)
        groups = key_groups(hash_columns([whole[key] for key in self._keys], len(rows)), GROUPS)
        for worker in range(self.count):
            own = groups_of_worker(worker, GROUPS, self.count)
            part = whole.filter(pa.array([group in own for group in groups.tolist()]))
            if part.num_rows:
                self.results += self.take(self.sessions[worker].on_batch(0, part))
                self.late_rows += batches(self.late[worker].on_batch(0, part))
        if self._store is not None:
            self.flush()

    def advance(self, time: int) -> None:
        for sessions, late in zip(self.sessions, self.late, strict=True):
            self.results += self.take(sessions.on_watermark(Watermark(time)))
            self.late_rows += batches(late.on_watermark(Watermark(time)))

    def flush(self) -> None:
        for sessions in self.sessions:
            self.results += self.take(sessions.flush())

    def restored(self, others: Workers) -> Workers:
        """Move all state to other workers, as after a crash: they have seen no watermark."""
        self.flush()
        both: list[tuple[Sequence[Operator], Sequence[Operator]]]
        both = [(self.sessions, others.sessions), (self.late, others.late)]
        for mine, theirs in both:
            parts: dict[str, list[Any]] = {}
            for operator in mine:
                for name, container in operator.state().items():
                    parts.setdefault(name, []).append(container.snapshot(GROUPS))
            for worker, other in enumerate(theirs):
                for name, container in other.state().items():
                    container.restore(parts[name], groups_of_worker(worker, GROUPS, others.count))
        others.results, others.late_rows = self.results, self.late_rows
        return others

    def table(self) -> pa.Table:
        return pa.Table.from_batches(self.results, self.sessions[0].output_schema)


def batches(outputs: Iterable[Any]) -> list[pa.RecordBatch]:
    return [output for output in outputs if isinstance(output, pa.RecordBatch)]


def answer(key: Any, bounds: naive.Bounds, values: Sequence[int], keyed: bool) -> tuple[Any, ...]:
    return (*((key,) if keyed else ()), *bounds, len(values), sum(values), len(set(values)))


def found(table: pa.Table) -> Counter[tuple[Any, ...]]:
    columns = [column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in table.columns]
    visible = [c.to_pylist() for c, n in zip(columns, table.column_names, strict=True) if n not in ("_time", CHANGE)]
    return Counter(zip(*visible, strict=True))


times = st.integers(-30, 60)
one = st.tuples(st.sampled_from(["a", "b", None]), times, st.integers(0, 5))


def script(rows: int) -> st.SearchStrategy[Any]:
    """Batches of rows, after each maybe a watermark, and maybe a move of all state to so many workers."""
    moves = st.none() | st.sampled_from([1, 2, 3])
    return st.lists(st.tuples(st.lists(one, min_size=1, max_size=rows), st.none() | times, moves), max_size=14)


FIRING: dict[str, Any] = {
    "keyed": st.booleans(),
    "gap": st.sampled_from([1, 5, 12]),
    "lateness": st.sampled_from([0, 1, 7, 25]),
    "early": st.none() | st.integers(1, 4),
    "late": st.integers(1, 3),
}


def play(
    keyed: bool, gap: int, steps: Any, each_step: bool, store: SpillBuffers | None = None, **firing: Any
) -> tuple[Workers, naive.Sessions]:
    """Both through the script; with `each_step`, what stands is compared after every event."""
    keys = ("k",) if keyed else ()
    expected = naive.Sessions(gap, **firing)
    workers = Workers(keys, gap, 1, store, **firing)
    watermark = -100

    def compare() -> None:
        if each_step and firing["accumulate"]:
            workers.flush()
            standing = [answer(key, bounds, values, keyed) for (key, bounds), values in expected.results.items()]
            assert found(final(workers.table())) == Counter(standing)

    for given_rows, rise, restored in steps:
        workers.send([naive.Row(key, time, value) for key, time, value in given_rows])
        expected.run([naive.Row(key if keyed else None, time, value) for key, time, value in given_rows])
        compare()
        if rise is not None and rise > watermark:
            watermark = rise
            workers.advance(rise)
            expected.run([naive.Watermark(rise)])
            compare()
        if restored is not None:
            workers = workers.restored(Workers(keys, gap, restored, store, **firing))
    workers.advance(MAX_TIME)
    expected.run([naive.Watermark(MAX_TIME)])
    late = pa.Table.from_batches(workers.late_rows, workers.late[0].output_schema)
    values, starts, ends = (late[name].cast(pa.int64()).to_pylist() for name in ("v", "window_start", "window_end"))
    wanted = Counter((row.row.value, *row.bounds) for row in expected.late_rows)
    assert Counter(zip(values, starts, ends, strict=True)) == wanted
    assert sum(operator.late for operator in workers.sessions) == len(expected.late_rows)
    return workers, expected


@settings(max_examples=80, deadline=None)
@given(steps=script(1), accumulate=st.booleans(), **FIRING)
def test_row_by_row_each_firing_is_that_of_the_interpreter(steps: Any, keyed: bool, gap: int, **firing: Any) -> None:
    workers, expected = play(keyed, gap, steps, each_step=True, **firing)
    if not firing["accumulate"]:
        panes = [answer(pane.key, pane.bounds, pane.values, keyed) for pane in expected.panes]
        assert found(workers.table()) == Counter(panes)


@settings(max_examples=40, deadline=None)
@given(steps=script(1), accumulate=st.booleans(), **FIRING)
def test_sessions_in_files_fire_like_those_in_memory(steps: Any, keyed: bool, gap: int, **firing: Any) -> None:
    """All state is in files whenever something comes, and between any two results."""
    workers, expected = play(keyed, gap, steps, each_step=True, store=SpillBuffers(), **firing)
    if not firing["accumulate"]:
        panes = [answer(pane.key, pane.bounds, pane.values, keyed) for pane in expected.panes]
        assert found(workers.table()) == Counter(panes)


@settings(max_examples=80, deadline=None)
@given(steps=script(7), accumulate=st.booleans(), **FIRING)
def test_what_stands_at_the_end_does_not_depend_on_cuts(steps: Any, keyed: bool, gap: int, **firing: Any) -> None:
    """Panes that are discarded hold together what was not late, each under bounds that hold it."""
    workers, expected = play(keyed, gap, steps, each_step=False, **firing)
    table = workers.table()
    if firing["accumulate"]:
        standing = [answer(key, bounds, values, keyed) for (key, bounds), values in expected.results.items()]
        assert found(final(table)) == Counter(standing)
    else:
        assert sum(table["rows"].to_pylist()) == sum(len(pane.values) for pane in expected.panes)
        assert sum(table["total"].to_pylist()) == sum(sum(pane.values) for pane in expected.panes)


@settings(max_examples=60, deadline=None)
@given(steps=script(7), **FIRING)
def test_no_change_lies_further_below_the_watermark_than_the_lateness(
    steps: Any, keyed: bool, gap: int, **firing: Any
) -> None:
    """Also not what is taken back of a session that has grown ever since (rule 7)."""
    keys = ("k",) if keyed else ()
    operator = RefiningSessions(keys, gap, AGGREGATES, SCHEMA, accumulate=True, **firing)
    watermark = -(2**62)
    for given_rows, rise, _ in steps:
        sent = batches(operator.on_batch(0, batch([naive.Row(*row) for row in given_rows])))
        if rise is not None and rise > watermark:
            outputs = operator.on_watermark(Watermark(rise))
            sent += batches(outputs)
        least = min((int(b["_time"].cast(pa.int64()).to_numpy().min()) for b in sent), default=2**62)
        assert least >= watermark - firing["lateness"]
        watermark = max(watermark, rise if rise is not None else watermark)


def changes(steps: Iterable[Sequence[naive.Row] | int], **firing: Any) -> list[list[tuple[Any, ...]]]:
    """Of each step the changes: what, from, to, rows."""
    chosen: dict[str, Any] = {"lateness": 20, "early": None, "late": 1, "accumulate": True} | firing
    operator = RefiningSessions((), 10, AGGREGATES, SCHEMA, **chosen)
    found_changes = []
    for step in steps:
        sent = operator.on_watermark(Watermark(step)) if isinstance(step, int) else operator.on_batch(0, batch(step))
        rows: list[tuple[Any, ...]] = []
        for output in batches(sent):
            starts, ends = (output[name].cast(pa.int64()).to_pylist() for name in ("window_start", "window_end"))
            names = np.array(CHANGE_NAMES)[output[CHANGE].to_numpy()].tolist() if CHANGE in output.schema.names else []
            rows += zip(names or [""] * len(starts), starts, ends, output["rows"].to_pylist(), strict=True)
        found_changes.append(rows)
    return found_changes


def at(*at_times: int) -> list[naive.Row]:
    return [naive.Row("a", time, time) for time in at_times]


def test_two_sessions_that_were_sent_become_one() -> None:
    assert changes([at(0, 15), 25, at(8)]) == [
        [],
        [("insert", 0, 10, 1), ("insert", 15, 25, 1)],
        [("delete", 0, 10, 1), ("delete", 15, 25, 1), ("insert", 0, 25, 3)],
    ]


def test_rows_exactly_a_gap_apart_do_not_merge() -> None:
    assert changes([at(0), 10, at(10), at(20), 20, at(9)]) == [
        [],
        [("insert", 0, 10, 1)],
        [],
        [],
        [("insert", 10, 20, 1)],
        [("delete", 0, 10, 1), ("delete", 10, 20, 1), ("insert", 0, 20, 3)],
    ]


def test_a_row_within_the_bounds_updates() -> None:
    assert changes([at(0, 5), 15, at(3)])[2] == [("update_before", 0, 15, 2), ("update_after", 0, 15, 3)]


def test_what_was_sent_early_is_replaced_before_it_is_too_late() -> None:
    """The session goes on, but at 10 its first part could not be taken back any more."""
    assert changes([at(0), at(9, 18), 9, 10, 28], early=1, lateness=0) == [
        [("insert", 0, 10, 1)],
        [("delete", 0, 10, 1), ("insert", 0, 28, 3)],
        [],
        [],
        [],
    ]
    assert changes([at(0, 1), at(9), 10, 11, 19], early=2, lateness=0) == [
        [("insert", 0, 11, 2)],
        [],
        [],
        [("delete", 0, 11, 2), ("insert", 0, 19, 3)],
        [],
    ]


@pytest.mark.parametrize(("watermark", "again"), [(29, True), (30, False)])
def test_the_last_microsecond_of_lateness(watermark: int, again: bool) -> None:
    """The row's own [0, 10) is judged: it is too late at 30, though the session ends at 15."""
    assert bool(changes([at(0, 5), watermark, at(0)])[2]) is again


def test_panes_have_the_bounds_that_the_session_has_by_then() -> None:
    assert changes([at(0, 15), 25, at(8), at(9), 45], accumulate=False, late=2) == [
        [],
        [("", 0, 10, 1), ("", 15, 25, 1)],
        [],
        [("", 0, 25, 2)],
        [],
    ]


def test_a_sum_that_does_not_fit_is_rejected_and_what_was_sent_is_taken_back() -> None:
    sums = AggregateSpec("sum", "v", pa.int64(), "total")
    operator = RefiningSessions((), 10, (sums,), SCHEMA, lateness=20, early=None, late=1, accumulate=True)
    outputs = [
        *operator.on_batch(0, batch([naive.Row("a", 0, 2**62), naive.Row("a", 30, 1)])),
        *operator.on_watermark(Watermark(10)),
        *operator.on_batch(0, batch([naive.Row("a", 5, 2**62)])),
        *operator.on_watermark(Watermark(40)),
    ]
    rejected = [output for output in outputs if isinstance(output, Rejected)]
    assert [output.rows.column("window_end").cast(pa.int64()).to_pylist() for output in rejected] == [[15]]
    sent = [(CHANGE_NAMES[row[CHANGE]], row["total"]) for output in batches(outputs) for row in output.to_pylist()]
    assert sent == [("insert", 2**62), ("delete", 2**62), ("insert", 1)]
