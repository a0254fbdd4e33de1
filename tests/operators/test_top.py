"""Top-n against a plain Python oracle: any cuts, any workers, local and final stages, late pairs to the microsecond."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.kernels.hashing import groups_of_worker, hash_columns, key_groups
from streamflow.kernels.windows import FinalBound, SlidingSlices
from streamflow.operators.base import Operator, Output
from streamflow.operators.events import MAX_TIME, MIN_TIME, TIME_TYPE, Watermark
from streamflow.operators.top import SessionTop, Stage, WindowTop

GROUPS = 8
NAN = float("nan")
SCHEMA = pa.schema([("user", pa.string()), ("x", pa.float64()), ("note", pa.string()), ("_time", TIME_TYPE)])
Row = tuple[str | None, float | None, str | None, int]
BY = (("x", True),)


def batch(rows: Sequence[Row]) -> pa.RecordBatch:
    columns = [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(SCHEMA)]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def results(outputs: Sequence[Output]) -> list[tuple[Any, ...]]:
    """The columns as tuples, times as ints, -0.0 as 0.0, NaN as text."""
    found: list[tuple[Any, ...]] = []
    for output in outputs:
        if isinstance(output, pa.RecordBatch):
            columns = [c.cast(pa.int64()) if c.type == TIME_TYPE else c for c in output.columns]
            found += zip(*(column.to_pylist() for column in columns), strict=True)
    return [tuple(plain(value) for value in row) for row in found]


def plain(value: Any) -> Any:
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    return value


def best_first(rows: Sequence[Row], n: int) -> list[Row]:
    """By x descending with NaN first and null last, then note ascending with null last, then time."""

    def rank(row: Row) -> tuple[Any, ...]:
        x = row[1]
        value = (2, 0.0) if x is None else (0, 0.0) if math.isnan(x) else (1, -x)
        return (*value, row[2] is None, (row[2] or "").encode(), row[3])

    return sorted(rows, key=rank)[:n]


def by_window(results: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], list[tuple[Any, ...]]]:
    """Results in their order within each (key, window)."""
    found: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for user, start, end, *rest in results:
        found.setdefault((user, start, end), []).append(tuple(rest))
    return found


class Oracle:
    """Every key group has a watermark; every pair of a row and a window that was not late is kept."""

    def __init__(self, windows: Callable[[int], Sequence[tuple[int, int]]]) -> None:
        self.windows = windows
        self.late = 0
        self.watermarks = [MIN_TIME] * GROUPS
        self.pairs: dict[tuple[Any, ...], list[Row]] = {}

    def rows(self, rows: Sequence[Row]) -> None:
        for row, group in zip(rows, groups_of(rows), strict=True):
            for start, end in self.windows(row[3]):
                if end <= self.watermarks[group]:
                    self.late += 1
                else:
                    self.pairs.setdefault((row[0], start, end), []).append(row)

    def watermark(self, time: int, groups: range) -> None:
        for group in groups:
            self.watermarks[group] = max(self.watermarks[group], time)

    def top(self, n: int) -> dict[tuple[Any, ...], list[tuple[Any, ...]]]:
        return {
            pair: [(plain(x), note, pair[2] - 1) for _, x, note, _ in best_first(rows, n)]
            for pair, rows in self.pairs.items()
        }


def groups_of(rows: Sequence[Row]) -> list[int]:
    found: list[int] = key_groups(hash_columns([batch(rows).column(0)], len(rows)), GROUPS).tolist()
    return found


def sliding(size: int, every: int) -> Callable[[int], list[tuple[int, int]]]:
    def windows(time: int) -> list[tuple[int, int]]:
        first = (time - size) // every + 1
        return [(k * every, k * every + size) for k in range(first, time // every + 1)]

    return windows


class Workers:
    """Each owns a range of key groups. A restore goes onto another number of them."""

    def __init__(self, make: Callable[[], Operator]) -> None:
        self.make = make
        self.all: list[Operator] = []
        self.outputs: list[Output] = []

    def restore(self, count: int) -> None:
        for worker in self.all:
            self.outputs += worker.flush()
        parts = [{name: kept.snapshot(GROUPS) for name, kept in worker.state().items()} for worker in self.all]
        self.all = [self.make() for _ in range(count)]
        for index, worker in enumerate(self.all):
            for name, kept in worker.state().items():
                kept.restore([part[name] for part in parts], groups_of_worker(index, GROUPS, count))

    def batch(self, rows: pa.RecordBatch) -> None:
        owners = key_groups(hash_columns([rows.column("user")], rows.num_rows), GROUPS) * len(self.all) // GROUPS
        for owner in np.unique(owners):
            self.outputs += self.all[owner].on_batch(0, rows.filter(pa.array(owners == owner)))

    def watermark(self, index: int, time: int) -> range:
        index %= len(self.all)
        self.outputs += self.all[index].on_watermark(Watermark(time))
        return groups_of_worker(index, GROUPS, len(self.all))

    def late(self) -> int:
        return sum(worker.late for worker in self.all)


XS = st.sampled_from([None, NAN, -0.0, 0.0, 1.0, math.inf, -math.inf])
ROWS = st.tuples(
    st.sampled_from(["a", "b", None]), XS, st.sampled_from([None, "", "n", "ä" * 150]), st.integers(-40, 40)
)
EVENTS = st.lists(
    st.lists(ROWS, min_size=1, max_size=8)
    | st.tuples(st.just("watermark"), st.integers(0, 2), st.integers(-40, 60))
    | st.tuples(st.just("restore"), st.integers(1, 3)),
    max_size=12,
)
SIZES = st.sampled_from([(10, 10), (10, 4), (4, 10), (12, 4)])
END: list[Any] = [("watermark", index, MAX_TIME) for index in range(3)]


def play(workers: Workers, oracle: Oracle, events: Sequence[Any]) -> None:
    workers.restore(1)
    for event in [*events, *END]:
        match event:
            case ("watermark", index, time):
                oracle.watermark(time, workers.watermark(index, time))
            case ("restore", count):
                workers.restore(count)
            case rows:
                oracle.rows(rows)
                workers.batch(batch(rows))


@settings(max_examples=120, deadline=None)
@given(EVENTS, SIZES, st.integers(1, 3))
def test_each_window_and_key_has_its_first_rows_through_restores_from_workers_with_other_watermarks(
    events: list[Any], sizes: tuple[int, int], n: int
) -> None:
    workers = Workers(lambda: WindowTop(("user",), SlidingSlices(*sizes), n, BY, SCHEMA))
    oracle = Oracle(sliding(*sizes))
    play(workers, oracle, events)
    assert by_window(results(workers.outputs)) == oracle.top(n)
    assert workers.late() == oracle.late


@settings(max_examples=100, deadline=None)
@given(EVENTS, st.integers(1, 3), st.sampled_from([BY, (("note", True), ("x", False))]))
def test_without_a_key_the_rows_left_out_early_change_nothing(events: list[Any], n: int, by: Any) -> None:
    keyed, keyless = [
        WindowTop(keys, SlidingSlices(10, 4), n, by, schema)
        for keys, schema in (
            (("all",), pa.schema([("all", pa.int64()), *SCHEMA])),
            ((), SCHEMA),
        )
    ]
    found: list[list[Output]] = [[], []]
    for event in [*events, *END]:
        match event:
            case ("watermark", _, time):
                found[0] += keyed.on_watermark(Watermark(time))
                found[1] += keyless.on_watermark(Watermark(time))
            case ("restore", _):
                restored = WindowTop((), SlidingSlices(10, 4), n, by, SCHEMA)
                for name, kept in keyless.state().items():
                    restored.state()[name].restore([kept.snapshot(GROUPS)], range(GROUPS))
                keyless = restored
            case rows:
                given_rows = batch(rows)
                ones = pa.array([1] * len(rows), pa.int64())
                found[0] += keyed.on_batch(0, given_rows.add_column(0, "all", ones))
                found[1] += keyless.on_batch(0, given_rows)
    assert [row[1:] for row in results(found[0])] == results(found[1])
    assert keyed.late == keyless.late


@settings(max_examples=120, deadline=None)
@given(EVENTS, SIZES, st.integers(1, 3), st.sampled_from([("user",), ()]))
def test_local_and_final_stages_give_what_one_stage_gives(
    events: list[Any], sizes: tuple[int, int], n: int, keys: tuple[str, ...]
) -> None:
    window = SlidingSlices(*sizes)
    one = WindowTop(keys, window, n, BY, SCHEMA)
    locals_ = [WindowTop(keys, window, n, BY, SCHEMA, "local") for _ in range(3)]
    final = WindowTop(keys, window, n, BY, locals_[0].output_schema, "final")
    assert final.output_schema == one.output_schema
    lows = [MIN_TIME] * 3
    found: list[list[Output]] = [[], []]

    def forward(outputs: Any) -> None:
        for output in outputs:
            if isinstance(output, pa.RecordBatch):
                found[1].extend(final.on_batch(0, output))

    for turn, event in enumerate([*events, *END]):
        match event:
            case ("watermark", index, time):
                lows[index] = max(lows[index], time)
                forward(locals_[index].on_watermark(Watermark(lows[index])))
                found[0] += one.on_watermark(Watermark(min(lows)))
                found[1] += final.on_watermark(Watermark(min(lows)))
            case ("restore", _):
                for worker in locals_:
                    forward(worker.flush())
                    assert worker.state() == {}
                restored = WindowTop(keys, window, n, BY, locals_[0].output_schema, "final")
                list(final.flush())
                for name, kept in final.state().items():
                    restored.state()[name].restore([kept.snapshot(GROUPS)], range(GROUPS))
                final = restored
            case rows:
                found[0] += one.on_batch(0, batch(rows))
                forward(locals_[turn % 3].on_batch(0, batch(rows)))
    width = len(keys) + 2
    sorted_results = [sorted(results(outputs), key=lambda row: repr(row[:width])) for outputs in found]
    assert sorted_results[0] == sorted_results[1]
    assert one.late == final.late
    assert all(worker.late == 0 for worker in locals_)


STAGES: list[tuple[Stage, ...]] = [("whole",), ("local", "final")]


@pytest.mark.parametrize("stages", STAGES)
def test_results_of_windows_are_ranked_per_window_and_keep_their_columns(stages: tuple[Stage, ...]) -> None:
    schema = pa.schema([("window_start", TIME_TYPE), ("item", pa.string()), ("bids", pa.int64()), ("_time", TIME_TYPE)])
    rows = [(0, "pen", 3, 9), (0, "ink", 5, 9), (0, "cup", 5, 9), (10, "pen", 1, 19), (-10, "old", 9, -1)]
    given_rows = pa.RecordBatch.from_arrays(
        [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(schema)], schema=schema
    )
    outputs: list[Output] = [given_rows]
    late = 0
    for stage in stages:
        top = WindowTop(("window_start",), FinalBound("window_start", 10), 2, (("bids", True),), schema, stage)
        assert top.output_schema == schema
        taken, outputs = outputs, list(top.on_watermark(Watermark(0)))
        for output in taken:
            if isinstance(output, pa.RecordBatch):
                outputs += top.on_batch(0, output)
        outputs += top.on_watermark(Watermark(MAX_TIME))
        late = top.late
    assert results(outputs) == [(0, "cup", 5, 9), (0, "ink", 5, 9), (10, "pen", 1, 19)]
    assert late == 1


def test_a_pair_is_late_at_the_window_end_and_not_a_microsecond_before() -> None:
    top = WindowTop((), SlidingSlices(10, 5), 1, BY, SCHEMA)
    list(top.on_watermark(Watermark(14)))
    list(top.on_batch(0, batch([("a", 1.0, "n", 7)])))
    assert top.late == 1
    fired, _ = top.on_watermark(Watermark(15))
    assert results([fired]) == [(5, 15, "a", 1.0, "n", 14)]
    list(top.on_batch(0, batch([("a", 1.0, "n", 7)])))
    assert top.late == 3


def test_after_a_restore_late_pairs_are_counted_though_they_are_not_among_the_best() -> None:
    old, new = (WindowTop((), SlidingSlices(10, 10), 1, BY, SCHEMA) for _ in range(2))
    list(old.on_watermark(Watermark(10)))
    for name, kept in old.state().items():
        new.state()[name].restore([kept.snapshot(GROUPS)], range(GROUPS))
    list(new.on_batch(0, batch([("a", 2.0, "n", 5), ("a", 1.0, "n", 5)])))
    assert new.late == 2
    assert results(list(new.on_watermark(Watermark(MAX_TIME)))) == []


def test_the_event_time_itself_can_rank_rows_through_both_stages() -> None:
    local = WindowTop((), SlidingSlices(10, 10), 1, (("_time", True),), SCHEMA, "local")
    final = WindowTop((), SlidingSlices(10, 10), 1, (("_time", True),), local.output_schema, "final")
    list(local.on_batch(0, batch([("a", 1.0, "n", 3), ("b", 1.0, "n", 8), ("c", 1.0, "n", 5)])))
    [sent] = local.flush()
    assert isinstance(sent, pa.RecordBatch)
    list(final.on_batch(0, sent))
    assert results(list(final.on_watermark(Watermark(10)))) == [(0, 10, "b", 1.0, "n", 9)]


def test_many_ties_are_cut_as_they_come() -> None:
    top = WindowTop((), SlidingSlices(10, 10), 1, BY, SCHEMA)
    list(top.on_batch(0, batch([("a", 1.0, f"{i:04}", 5) for i in range(1000, 0, -1)])))
    assert top.state()["rows"].snapshot(GROUPS).rows.num_rows == 1
    assert results(list(top.on_watermark(Watermark(10)))) == [(0, 10, "a", 1.0, "0001", 9)]


@settings(max_examples=120, deadline=None)
@given(EVENTS, st.integers(1, 3))
def test_each_session_has_its_first_rows(events: list[Any], n: int) -> None:
    workers = Workers(lambda: SessionTop(("user",), 10, n, BY, SCHEMA))
    workers.restore(1)
    watermarks, late, fired = [MIN_TIME] * GROUPS, 0, []
    open_: dict[tuple[Any, ...], list[list[Row]]] = {}
    for event in [*events, *END]:
        match event:
            case ("watermark", index, time):
                for group in workers.watermark(index, time):
                    watermarks[group] = max(watermarks[group], time)
            case ("restore", count):
                workers.restore(count)
            case rows:
                for row, group in zip(rows, groups_of(rows), strict=True):
                    if row[3] + 10 <= watermarks[group]:
                        late += 1
                    else:
                        open_.setdefault((row[0], group), []).append([row])
                workers.batch(batch(rows))
        for (user, group), sessions in open_.items():
            merged: list[list[Row]] = []
            for rows in sorted(sessions, key=lambda s: min(r[3] for r in s)):
                merged = join(merged, rows)
            ends = [max(row[3] for row in session) + 10 for session in merged]
            for session, end in zip(merged, ends, strict=True):
                if end <= watermarks[group]:
                    start = min(row[3] for row in session)
                    fired += [(user, start, end, plain(r[1]), r[2], end - 1) for r in best_first(session, n)]
            open_[user, group] = [s for s, end in zip(merged, ends, strict=True) if end > watermarks[group]]
    assert by_window(results(workers.outputs)) == by_window(fired)
    assert workers.late() == late


def join(sessions: list[list[Row]], rows: list[Row]) -> list[list[Row]]:
    """Sessions in order of their start, and rows of one that starts no earlier."""
    if sessions and min(row[3] for row in rows) < max(row[3] for row in sessions[-1]) + 10:
        return [*sessions[:-1], sessions[-1] + rows]
    return [*sessions, rows]


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        WindowTop((), SlidingSlices(10, 10), 0, BY, SCHEMA)
    with pytest.raises(ValueError, match="output schema of the local one"):
        WindowTop((), SlidingSlices(10, 10), 1, BY, SCHEMA, "final")
    with pytest.raises(ValueError, match="window_end"):
        WindowTop(("user",), FinalBound("window_end", 0), 1, BY, SCHEMA)
