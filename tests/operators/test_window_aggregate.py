"""Windowed aggregates against the definition: every row in every window that holds its time, by plain Python."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.kernels.aggregate import AggregateSpec
from streamflow.kernels.arrays import raw_values
from streamflow.kernels.hashing import groups_of_worker, hash_columns, key_groups
from streamflow.kernels.windows import FinalBound, SlidingSlices
from streamflow.operators.base import Output, Pause
from streamflow.operators.dead_letters import Rejected
from streamflow.operators.events import MAX_TIME, MIN_TIME, TIME_TYPE, Watermark
from streamflow.operators.window_aggregate import WindowAggregate, WindowPartial
from streamflow.state.container import Snapshot

GROUPS = 16
SCHEMA = pa.schema({"word": pa.string(), "level": pa.float64(), "n": pa.int64(), "_time": TIME_TYPE})
KEYS = ("word", "level")
AGGREGATES = (
    AggregateSpec("count", None, None, "rows"),
    AggregateSpec("sum", "n", pa.int64(), "total"),
    AggregateSpec("max", "n", pa.int64(), "top"),
    AggregateSpec("n_unique", "n", pa.int64(), "kinds"),
)
Row = tuple[str | None, float | None, int | None, int]
Pair = tuple[str | None, str, int]
"""A key and the end of a window."""

windows = st.builds(SlidingSlices, st.integers(1, 30), st.integers(1, 30), st.integers(0, 10)) | st.just(
    SlidingSlices(70, 1)
)
words = st.none() | st.sampled_from(["", "a", "é", "x" * 300])
levels = st.none() | st.sampled_from([0.0, -0.0, math.nan, 1.5])
rows_strategy = st.lists(
    st.tuples(words, levels, st.none() | st.sampled_from([-(2**55), -1, 0, 3, 2**55]), st.integers(-60, 60)),
    min_size=1,
    max_size=30,
)


def batch(rows: Sequence[Row]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * 4
    arrays = [pa.array(column, type_) for column, type_ in zip(columns, SCHEMA.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def ends(window: SlidingSlices, time: int) -> list[int]:
    """The ends of the windows that hold a time, by definition."""
    first = time - window.size + 1
    first += (window.offset - first) % window.every
    return [start + window.size for start in range(first, time + 1, window.every)]


def pair(word: str | None, level: float | None, end: int) -> Pair:
    return word, str(level if level is None else level + 0.0), end


def answer(pairs: Iterable[tuple[Pair, int | None]]) -> dict[Pair, tuple[Any, ...]]:
    """The aggregates of (pair, value of n)."""
    grouped: dict[Pair, list[int | None]] = defaultdict(list)
    for key, n in pairs:
        grouped[key].append(n)
    result = {}
    for key, all_ in grouped.items():
        some = [n for n in all_ if n is not None]
        result[key] = (len(all_), sum(some) if some else None, max(some, default=None), len(set(some)))
    return result


@dataclass
class Collected:
    """What came out, checked as it comes: each pair once, windows in order, nothing below the watermark sent."""

    window: SlidingSlices
    results: dict[Pair, tuple[Any, ...]] = field(default_factory=dict)
    sent: int = MIN_TIME

    def take(self, events: Iterable[Output]) -> None:
        for event in events:
            if isinstance(event, Watermark):
                assert event.time >= self.sent
                self.sent = event.time
                continue
            if isinstance(event, Pause):
                continue
            assert not isinstance(event, Rejected)
            end_times = event.column("window_end").view(pa.int64()).to_pylist()
            starts = event.column("window_start").view(pa.int64()).to_pylist()
            times = event.column("_time").view(pa.int64()).to_pylist()
            assert times == [end - 1 for end in end_times]
            assert starts == [end - self.window.size for end in end_times]
            assert min(times) >= self.sent
            assert end_times == sorted(end_times)
            columns = [event.column(name).to_pylist() for name in (*KEYS, *(spec.name for spec in AGGREGATES))]
            for end, word, level, *values in zip(end_times, *columns, strict=True):
                assert pair(word, level, end) not in self.results
                self.results[pair(word, level, end)] = tuple(values)


def snapshots(operators: Sequence[WindowAggregate]) -> list[dict[str, Snapshot]]:
    for operator in operators:
        assert list(operator.flush()) == []
    return [
        {name: container.snapshot(GROUPS) for name, container in operator.state().items()} for operator in operators
    ]


def restored(
    window: SlidingSlices, schema: pa.Schema, mode: Any, parts: Sequence[dict[str, Snapshot]], workers: int
) -> list[WindowAggregate]:
    operators = [WindowAggregate(KEYS, window, AGGREGATES, schema, mode) for _ in range(workers)]
    for worker, operator in enumerate(operators):
        for name, container in operator.state().items():
            container.restore([part[name] for part in parts], groups_of_worker(worker, GROUPS, workers))
    return operators


class Cluster:
    """Partial aggregates for some splits, an exchange, and final aggregates on some workers."""

    def __init__(self, window: SlidingSlices, splits: int, workers: int) -> None:
        self.window = window
        self.partials = [WindowPartial(KEYS, window, AGGREGATES, SCHEMA) for _ in range(splits)]
        self.watermarks = [MIN_TIME] * splits
        self.schema = self.partials[0].output_schema
        self.finals = restored(window, self.schema, "partials", [], workers)
        self.collected = [Collected(window) for _ in range(workers)]

    def split(self, number: int, events: Iterable[pa.RecordBatch | Watermark]) -> None:
        for event in events:
            if isinstance(event, Watermark):
                self.watermarks[number] = event.time
                for final, collected in zip(self.finals, self.collected, strict=True):
                    collected.take(final.on_watermark(Watermark(min(self.watermarks))))
            else:
                self.exchange(event)

    def exchange(self, partials: pa.RecordBatch) -> None:
        groups = key_groups(hash_columns([partials.column(key) for key in KEYS], partials.num_rows), GROUPS)
        for worker, final in enumerate(self.finals):
            own = groups_of_worker(worker, GROUPS, len(self.finals))
            some = partials.filter(pa.array((groups >= own.start) & (groups < own.stop)))
            if some.num_rows:
                self.collected[worker].take(final.on_batch(0, some))

    def rescale(self, workers: int) -> None:
        for number, partial in enumerate(self.partials):
            self.split(number, partial.flush())
        self.finals = restored(self.window, self.schema, "partials", snapshots(self.finals), workers)
        results = {pair: values for collected in self.collected for pair, values in collected.results.items()}
        self.collected = [Collected(self.window, dict(results)) for _ in range(workers)]

    def results(self) -> dict[Pair, tuple[Any, ...]]:
        return {pair: values for collected in self.collected for pair, values in collected.results.items()}


@settings(max_examples=60, deadline=None)
@given(st.data(), windows, rows_strategy, st.integers(0, 15))
def test_within_the_bound_any_cut_split_worker_and_restore_gives_the_batch_answer(
    data: st.DataObject, window: SlidingSlices, rows: list[Row], bound: int
) -> None:
    jitter = data.draw(st.lists(st.integers(0, bound), min_size=len(rows), max_size=len(rows)))
    rows = [row for _, row in sorted(zip(jitter, rows, strict=True), key=lambda pair: pair[0] + pair[1][3])]
    splits = data.draw(st.integers(1, 3))
    queues = [rows[number::splits] for number in range(splits)]
    greatest = [MIN_TIME + bound] * splits
    cluster = Cluster(window, splits, data.draw(st.integers(1, 3)))
    while any(queues):
        number = data.draw(st.sampled_from([number for number in range(splits) if queues[number]]))
        cut = data.draw(st.integers(1, len(queues[number])))
        some, queues[number] = queues[number][:cut], queues[number][cut:]
        cluster.split(number, cluster.partials[number].on_batch(0, batch(some)))
        if data.draw(st.booleans()):
            greatest[number] = max(greatest[number], *(row[3] for row in some))
            cluster.split(number, cluster.partials[number].on_watermark(Watermark(greatest[number] - bound)))
        if data.draw(st.integers(0, 3)) == 0:
            cluster.rescale(data.draw(st.integers(1, 3)))
    for number, partial in enumerate(cluster.partials):
        cluster.split(number, partial.on_watermark(Watermark(MAX_TIME)))
    assert cluster.results() == answer(
        (pair(word, level, end), n) for word, level, n, time in rows for end in ends(window, time)
    )
    assert sum(final.late for final in cluster.finals) == 0


@settings(max_examples=60, deadline=None)
@given(st.data(), windows, rows_strategy)
def test_late_pairs_are_left_out_and_counted_by_the_watermark_before_their_batch(
    data: st.DataObject, window: SlidingSlices, rows: list[Row]
) -> None:
    (operator,) = restored(window, SCHEMA, "rows", [], 1)
    operators, collected = [operator], [Collected(window)]
    judged, watermark, late = MIN_TIME, MIN_TIME, 0
    in_time: list[tuple[Pair, int | None]] = []
    while rows:
        cut = data.draw(st.integers(1, len(rows)))
        some, rows = rows[:cut], rows[cut:]
        for word, level, n, time in some:
            pairs = [(pair(word, level, end), n) for end in ends(window, time) if end > judged]
            late += len(ends(window, time)) - len(pairs)
            in_time += pairs
        groups = key_groups(hash_columns([batch(some).column(key) for key in KEYS], len(some)), GROUPS)
        for worker, operator in enumerate(operators):
            own = groups_of_worker(worker, GROUPS, len(operators))
            mine = [row for row, group in zip(some, groups.tolist(), strict=True) if group in own]
            if mine:
                collected[worker].take(operator.on_batch(0, batch(mine)))
        watermark = data.draw(st.integers(max(watermark, -70), 70))
        judged = max(judged, watermark)
        for operator, output in zip(operators, collected, strict=True):
            output.take(operator.on_watermark(Watermark(watermark)))
        if data.draw(st.integers(0, 3)) == 0:
            operators = restored(window, SCHEMA, "rows", snapshots(operators), data.draw(st.integers(1, 3)))
            results = {pair: values for output in collected for pair, values in output.results.items()}
            collected = [Collected(window, dict(results)) for _ in operators]
            watermark = data.draw(st.integers(-70, watermark))
    for operator, output in zip(operators, collected, strict=True):
        output.take(operator.on_watermark(Watermark(MAX_TIME)))
    results = {pair: values for output in collected for pair, values in output.results.items()}
    assert results == answer(in_time)
    assert sum(operator.late for operator in operators) == late
    assert sum(values[0] for values in results.values()) == len(in_time)


@settings(max_examples=60, deadline=None)
@given(
    st.data(),
    st.sampled_from([SlidingSlices(20, 5, 2), SlidingSlices(10, 10), SlidingSlices(7, 3), SlidingSlices(70, 1)]),
    st.lists(
        st.tuples(st.sampled_from([0, 1, 2, 40, 10**12]) | st.none(), st.integers(-60, 60)), min_size=1, max_size=30
    ),
)
def test_counts_by_an_integer_key_are_the_same_after_any_cut_and_restore(
    data: st.DataObject, window: SlidingSlices, rows: list[tuple[int | None, int]]
) -> None:
    schema = pa.schema({"k": pa.int64(), "_time": TIME_TYPE})

    def made(parts: Sequence[dict[str, Snapshot]], workers: int) -> list[WindowAggregate]:
        count = (AggregateSpec("count", None, None, "n"),)
        operators = [WindowAggregate(("k",), window, count, schema) for _ in range(workers)]
        for worker, operator in enumerate(operators):
            for name, container in operator.state().items():
                container.restore([part[name] for part in parts], groups_of_worker(worker, GROUPS, workers))
        return operators

    operators, watermark = made([], 1), MIN_TIME
    expected = Counter((k, end) for k, time in rows for end in ends(window, time))
    found: Counter[tuple[int | None, int]] = Counter()
    rows = sorted(rows, key=lambda row: row[1])
    while rows or watermark < MAX_TIME:
        cut = data.draw(st.integers(1, len(rows))) if rows else 0
        some, rows = rows[:cut], rows[cut:]
        columns = [pa.array([row[0] for row in some], pa.int64()), pa.array([row[1] for row in some], TIME_TYPE)]
        arrived = pa.RecordBatch.from_arrays(columns, schema=schema)
        groups = key_groups(hash_columns(columns[:1], len(some)), GROUPS)
        watermark = data.draw(st.integers(some[-1][1] - 5, some[-1][1])) if some else MAX_TIME  # never above what comes
        for worker, operator in enumerate(operators):
            own = groups_of_worker(worker, GROUPS, len(operators))
            mine = arrived.filter(pa.array((groups >= own.start) & (groups < own.stop)))
            outputs = [*operator.on_batch(0, mine)] if mine.num_rows else []
            for output in [*outputs, *operator.on_watermark(Watermark(watermark))]:
                if isinstance(output, pa.RecordBatch):
                    of_rows = zip(*(output.column(name).to_pylist() for name in ("k", "n")), strict=True)
                    end_times = raw_values(output.column("window_end")).tolist()
                    for (k, n), end in zip(of_rows, end_times, strict=True):
                        assert (k, end) not in found
                        found[k, end] = n
        if data.draw(st.integers(0, 2)) == 0:
            operators = made(snapshots(operators), data.draw(st.integers(1, 3)))
    assert found == expected
    assert sum(operator.late for operator in operators) == 0


def one(window: SlidingSlices, rows: Sequence[tuple[int, str]] = ()) -> WindowAggregate:
    operator = WindowAggregate(("k",), window, (AggregateSpec("count", None, None, "n"),), SIMPLE)
    if rows:
        list(operator.on_batch(0, simple(rows)))
    return operator


SIMPLE = pa.schema({"k": pa.string(), "_time": TIME_TYPE})


def simple(rows: Sequence[tuple[int, str]]) -> pa.RecordBatch:
    times = pa.array([time for time, _ in rows], pa.int64()).view(TIME_TYPE)
    return pa.RecordBatch.from_arrays([pa.array([key for _, key in rows]), times], schema=SIMPLE)


def fired(operator: WindowAggregate, watermark: int) -> list[tuple[int, str, int]]:
    """What a watermark fires: (window end, key, n)."""
    return [
        (int(end), key, n)
        for event in operator.on_watermark(Watermark(watermark))
        if isinstance(event, pa.RecordBatch)
        for end, key, n in zip(
            event.column("window_end").view(pa.int64()).to_pylist(),
            event.column("k").to_pylist(),
            event.column("n").to_pylist(),
            strict=True,
        )
    ]


def test_a_window_fires_when_the_watermark_reaches_its_end_and_not_a_microsecond_before() -> None:
    operator = one(SlidingSlices(10, 10), [(3, "a"), (9, "a"), (10, "a")])
    assert fired(operator, 9) == []
    assert fired(operator, 10) == [(10, "a", 2)]
    assert fired(operator, MAX_TIME) == [(20, "a", 1)]


def test_a_row_is_late_from_the_microsecond_of_its_windows_end_on() -> None:
    operator = one(SlidingSlices(10, 10))
    fired(operator, 9)
    list(operator.on_batch(0, simple([(5, "in time")])))
    assert operator.late == 0
    assert fired(operator, 10) == [(10, "in time", 1)]
    list(operator.on_batch(0, simple([(9, "late"), (10, "in time")])))
    assert operator.late == 1
    assert fired(operator, MAX_TIME) == [(20, "in time", 1)]


def test_a_row_that_is_late_for_its_first_windows_counts_in_the_others() -> None:
    operator = one(SlidingSlices(10, 2), [(0, "a")])
    assert fired(operator, 4) == [(2, "a", 1), (4, "a", 1)]
    list(operator.on_batch(0, simple([(1, "a")])))
    assert operator.late == 2
    assert fired(operator, MAX_TIME) == [(6, "a", 2), (8, "a", 2), (10, "a", 2)]


def test_rows_are_judged_when_they_arrive_and_not_when_they_are_aggregated() -> None:
    operator = one(SlidingSlices(10, 10), [(5, "a")])
    assert fired(operator, 9) == []
    list(operator.on_batch(0, simple([(6, "a")])))
    assert fired(operator, 1000) == [(10, "a", 2)]
    assert operator.late == 0


def test_windows_before_1970_and_at_the_ends_of_time_fire() -> None:
    operator = one(SlidingSlices(10, 10), [(-1, "a"), (-10, "a"), (-(2**63), "first"), (2**63 - 2, "last")])
    assert [(end, key) for end, key, _ in fired(operator, 0)] == [(-(2**63) + 8, "first"), (0, "a")]
    assert fired(operator, MAX_TIME) == [(MAX_TIME, "last", 1)]


def test_an_idle_watermark_is_passed_on() -> None:
    operator = one(SlidingSlices(10, 10))
    list(operator.on_watermark(Watermark(5)))
    assert list(operator.on_watermark(Watermark(5, idle=True))) == [Watermark(5, idle=True)]


def test_windows_that_fire_at_once_share_a_batch_in_the_order_of_their_ends() -> None:
    operator = one(SlidingSlices(10, 10), [(number * 10, "a") for number in (3, 1, 2)])
    first, watermark = operator.on_watermark(Watermark(40))
    assert isinstance(first, pa.RecordBatch)
    assert first.column("window_end").view(pa.int64()).to_pylist() == [20, 30, 40]
    assert watermark == Watermark(40)


def test_a_sum_that_does_not_fit_is_rejected_with_its_window() -> None:
    schema = pa.schema({"x": pa.int64(), "_time": TIME_TYPE})
    operator = WindowAggregate((), SlidingSlices(10, 10), (AggregateSpec("sum", "x", pa.int64(), "total"),), schema)
    times = pa.array([1, 2], pa.int64()).view(TIME_TYPE)
    list(operator.on_batch(0, pa.RecordBatch.from_arrays([pa.array([2**63 - 1, 1]), times], schema=schema)))
    rejected, _ = operator.on_watermark(Watermark(MAX_TIME))
    assert isinstance(rejected, Rejected)
    assert rejected.rows.schema.names == ["window_start", "window_end"]
    assert rejected.errors[0].message == "the sum 'total' does not fit int64"


def test_results_of_windows_are_aggregated_by_their_bound_and_sent_once() -> None:
    schema = pa.schema({"window_start": TIME_TYPE, "n": pa.int64(), "_time": TIME_TYPE})
    total = AggregateSpec("sum", "n", pa.int64(), "total")
    operator = WindowAggregate(("window_start",), FinalBound("window_start", 10), (total,), schema)

    def rows(*pairs: tuple[int, int]) -> pa.RecordBatch:
        starts = pa.array([start for start, _ in pairs], pa.int64())
        ends = pa.array([start + 9 for start, _ in pairs], pa.int64())
        numbers = pa.array([n for _, n in pairs], pa.int64())
        return pa.RecordBatch.from_arrays([starts.view(TIME_TYPE), numbers, ends.view(TIME_TYPE)], schema=schema)

    list(operator.on_batch(0, rows((0, 1), (0, 2), (10, 4))))
    assert [event for event in operator.on_watermark(Watermark(9)) if isinstance(event, pa.RecordBatch)] == []
    (result,) = (event for event in operator.on_watermark(Watermark(10)) if isinstance(event, pa.RecordBatch))
    assert result.schema == operator.output_schema
    assert result.schema.names == ["window_start", "total", "_time"]
    assert result.column("total").to_pylist() == [3]
    assert result.column("_time").view(pa.int64()).to_pylist() == [9]
    list(operator.on_batch(0, rows((0, 8), (10, 8))))
    assert operator.late == 1
    (result,) = (event for event in operator.on_watermark(Watermark(20)) if isinstance(event, pa.RecordBatch))
    assert result.column("total").to_pylist() == [12]


def test_results_of_windows_that_were_sent_before_a_restore_are_not_sent_again() -> None:
    schema = pa.schema({"window_end": TIME_TYPE, "_time": TIME_TYPE})
    count = AggregateSpec("count", None, None, "n")

    def rows(*ends: int) -> pa.RecordBatch:
        arrays = [pa.array(ends, pa.int64()).view(TIME_TYPE), pa.array([end - 1 for end in ends]).view(TIME_TYPE)]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    before, after = (WindowAggregate(("window_end",), FinalBound("window_end", 0), (count,), schema) for _ in range(2))
    list(before.on_batch(0, rows(10, 20)))
    assert sum(isinstance(event, pa.RecordBatch) for event in before.on_watermark(Watermark(10))) == 1
    (parts,) = snapshots([before])
    for name, container in after.state().items():
        container.restore([parts[name]], range(GROUPS))
    list(after.on_batch(0, rows(10, 20)))
    assert after.late == 1
    (result,) = (event for event in after.on_watermark(Watermark(MAX_TIME)) if isinstance(event, pa.RecordBatch))
    assert result.column("n").to_pylist() == [2]
    assert result.column("_time").view(pa.int64()).to_pylist() == [19]


def test_without_keys_the_partials_of_all_splits_make_one_row_per_window() -> None:
    window, count = SlidingSlices(10, 10), (AggregateSpec("count", None, None, "n"),)
    splits = [WindowPartial((), window, count, SIMPLE) for _ in range(2)]
    final = WindowAggregate((), window, count, splits[0].output_schema, "partials")
    for partial in splits:
        list(partial.on_batch(0, simple([(1, "a"), (2, "b"), (12, "a")])))
        for sent in partial.flush():
            assert isinstance(sent, pa.RecordBatch)
            list(final.on_batch(0, sent))
    (result,) = (event for event in final.on_watermark(Watermark(MAX_TIME)) if isinstance(event, pa.RecordBatch))
    assert result.column("n").to_pylist() == [4, 2]


def test_rows_between_windows_are_neither_counted_nor_late() -> None:
    operator = one(SlidingSlices(size=3, every=10), [(1, "a"), (5, "a"), (11, "a")])
    assert fired(operator, 4) == [(3, "a", 1)]
    list(operator.on_batch(0, simple([(4, "a"), (2, "a")])))
    assert operator.late == 1
    assert fired(operator, MAX_TIME) == [(13, "a", 1)]


def test_a_partial_holds_rows_until_their_slice_ends_and_sends_them_before_the_watermark() -> None:
    partial = WindowPartial(("k",), SlidingSlices(10, 2), (AggregateSpec("count", None, None, "n"),), SIMPLE)
    assert list(partial.on_batch(0, simple([(0, "a"), (1, "a"), (5, "a")]))) == []
    assert list(partial.on_watermark(Watermark(1))) == [Watermark(1)]
    sent, watermark = partial.on_watermark(Watermark(2))
    assert isinstance(sent, pa.RecordBatch)
    assert sent.column("~rows").to_pylist() == [2, 1]
    assert sent.column("_time").view(pa.int64()).to_pylist() == [1, 5]
    assert watermark == Watermark(2)


def test_a_partial_sends_rows_of_slices_that_are_over_at_once() -> None:
    partial = WindowPartial(("k",), SlidingSlices(10, 2), (AggregateSpec("count", None, None, "n"),), SIMPLE)
    list(partial.on_watermark(Watermark(2)))
    (sent,) = partial.on_batch(0, simple([(1, "late"), (1, "late")]))
    assert isinstance(sent, pa.RecordBatch)
    assert sent.column("~rows").to_pylist() == [2]
    assert partial.late == 0


def test_late_partials_are_counted_by_the_rows_they_stand_for() -> None:
    window, count = SlidingSlices(10, 5), (AggregateSpec("count", None, None, "n"),)
    partial = WindowPartial(("k",), window, count, SIMPLE)
    final = WindowAggregate(("k",), window, count, partial.output_schema, "partials")
    list(final.on_watermark(Watermark(5)))
    list(partial.on_batch(0, simple([(0, "a"), (1, "a"), (2, "a")])))
    for sent in partial.flush():
        assert isinstance(sent, pa.RecordBatch)
        list(final.on_batch(0, sent))
    assert final.late == 3
    assert fired(final, MAX_TIME) == [(10, "a", 3)]


@pytest.mark.parametrize("batch_rows", [1_000, 16_384, 200_000])
def test_many_rows_equal_duckdb(batch_rows: int) -> None:
    count, seed = 200_000, np.random.default_rng(7)
    keys = seed.integers(0, 500, count) * 2**50
    values = seed.integers(-(2**40), 2**40, count)
    times = np.sort(seed.integers(-10_000_000, 10_000_000, count))
    schema = pa.schema({"k": pa.int64(), "x": pa.int64(), "_time": TIME_TYPE})
    arrays = [pa.array(keys), pa.array(values), pa.array(times).view(TIME_TYPE)]
    rows = pa.RecordBatch.from_arrays(arrays, schema=schema)
    aggregates = (AggregateSpec("sum", "x", pa.int64(), "s"), AggregateSpec("mean", "x", pa.int64(), "m"))
    operator = WindowAggregate(("k",), SlidingSlices(3_000_000, 1_000_000), aggregates, schema)
    results = []
    for start in range(0, count, batch_rows):
        list(operator.on_batch(0, rows.slice(start, batch_rows)))
        last = int(times[min(start + batch_rows, count) - 1])
        results += [event for event in operator.on_watermark(Watermark(last)) if isinstance(event, pa.RecordBatch)]
    results += [event for event in operator.on_watermark(Watermark(MAX_TIME)) if isinstance(event, pa.RecordBatch)]
    ours = pa.Table.from_batches(results)
    connection = duckdb.connect()
    connection.register("t", pa.table({"k": keys, "x": values, "t": times}))
    wanted = connection.execute(
        "select k, (floor(t / 1e6)::bigint + h) * 1000000 as e, sum(x)::bigint as s, avg(x) as m"
        " from t, range(1, 4) r(h) group by all"
    ).fetchall()
    window_ends = ours.column("window_end").combine_chunks().view(pa.int64()).to_pylist()
    columns = [ours.column(name).to_pylist() for name in ("s", "m")]
    found = {(k, end): (s, m) for k, end, s, m in zip(ours.column("k").to_pylist(), window_ends, *columns, strict=True)}
    assert len(found) == ours.num_rows == len(wanted)
    for k, end, s, m in wanted:
        assert found[k, end][0] == s
        assert found[k, end][1] == pytest.approx(m, rel=1e-9)
    assert Counter(end for _, end in found).keys() == Counter(row[1] for row in wanted).keys()
