"""Windows that fire more than once, against the interpreter in `streamflow.testing.naive`."""

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
from streamflow.kernels.windows import CumulativeSlices, EndlessSlices, Slices, SlidingSlices, pairs
from streamflow.operators.base import Operator
from streamflow.operators.events import CHANGE, MAX_TIME, TIME_TYPE, Watermark
from streamflow.operators.late_rows import LateRows
from streamflow.operators.refining_aggregate import RefiningAggregate
from streamflow.testing import final, naive

GROUPS = 16
LATE = ("k", "v", "window_start", "window_end")
SCHEMA = pa.schema({"k": pa.string(), "v": pa.int64(), "_time": TIME_TYPE})
AGGREGATES = (
    AggregateSpec("count", None, None, "rows"),
    AggregateSpec("sum", "v", pa.int64(), "total"),
    AggregateSpec("max", "v", pa.int64(), "top"),
    AggregateSpec("n_unique", "v", pa.int64(), "kinds"),
)


def batch(rows: Sequence[naive.Row]) -> pa.RecordBatch:
    columns = [[row.key for row in rows], [row.value for row in rows], [row.time for row in rows]]
    arrays = [pa.array(column, type_) for column, type_ in zip(columns, SCHEMA.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def bounds_of(window: Slices, time: int) -> list[naive.Bounds]:
    return [window.window_bounds(number) for number in window.windows_of(window.slice_of(time))]


class Workers:
    """One or more copies of the two operators, each with the rows of its key groups, behind one input."""

    def __init__(self, window: Slices, keys: tuple[str, ...], count: int, **firing: Any) -> None:
        self.count = count
        self.refining = [RefiningAggregate(keys, window, AGGREGATES, SCHEMA, **firing) for _ in range(count)]
        self.late = [LateRows(keys, window, firing["lateness"], SCHEMA, LATE) for _ in range(count)]
        self.results: list[pa.RecordBatch] = []
        self.late_rows: list[pa.RecordBatch] = []
        self._keys = keys

    def send(self, rows: Sequence[naive.Row]) -> None:
        whole = batch(rows)
        groups = key_groups(hash_columns([whole[key] for key in self._keys], len(rows)), GROUPS)
        for worker in range(self.count):
            own = groups_of_worker(worker, GROUPS, self.count)
            part = whole.filter(pa.array([group in own for group in groups.tolist()]))
            if part.num_rows:
                self.results += self._batches(self.refining[worker].on_batch(0, part))
                self.late_rows += self._batches(self.late[worker].on_batch(0, part))

    def advance(self, time: int) -> None:
        for refining, late in zip(self.refining, self.late, strict=True):
            self.results += self._batches(refining.on_watermark(Watermark(time)))
            self.late_rows += self._batches(late.on_watermark(Watermark(time)))

    def restored(self, others: Workers) -> Workers:
        """Move all state to other workers, as after a crash: they have seen no watermark."""
        both: list[tuple[Sequence[Operator], Sequence[Operator]]]
        both = [(self.refining, others.refining), (self.late, others.late)]
        for mine, theirs in both:
            parts: dict[str, list[Any]] = {}
            for operator in mine:
                self.results += self._batches(operator.flush())
                for name, container in operator.state().items():
                    parts.setdefault(name, []).append(container.snapshot(GROUPS))
            for worker, other in enumerate(theirs):
                for name, container in other.state().items():
                    container.restore(parts[name], groups_of_worker(worker, GROUPS, others.count))
        others.results, others.late_rows = self.results, self.late_rows
        return others

    @staticmethod
    def _batches(outputs: Iterable[Any]) -> list[pa.RecordBatch]:
        return [output for output in outputs if isinstance(output, pa.RecordBatch)]


def answer(key: Any, bounds: naive.Bounds, values: Sequence[int], keyed: bool) -> tuple[Any, ...]:
    head = (key, *bounds) if keyed else bounds
    return (*head, len(values), sum(values), max(values), len(set(values)))


def found(table: pa.Table) -> Counter[tuple[Any, ...]]:
    columns = [column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in table.columns]
    visible = [c.to_pylist() for c, n in zip(columns, table.column_names, strict=True) if n not in ("_time", CHANGE)]
    return Counter(zip(*visible, strict=True))


windows = st.sampled_from(
    [SlidingSlices(10, 10), SlidingSlices(10, 4, 1), SlidingSlices(3, 5), CumulativeSlices(12, 3, 2)]
)
times = st.integers(-30, 60)


@settings(max_examples=100, deadline=None)
@given(
    window=windows,
    keyed=st.booleans(),
    lateness=st.sampled_from([0, 1, 7, 25]),
    early=st.none() | st.integers(1, 4),
    late=st.integers(1, 3),
    accumulate=st.booleans(),
    script=st.lists(
        st.tuples(
            st.lists(st.tuples(st.sampled_from(["a", "b", None]), times, st.integers(0, 5)), min_size=1, max_size=6),
            st.none() | times,
            st.none() | st.sampled_from([1, 2, 3]),
        ),
        max_size=12,
    ),
)
def test_panes_and_late_rows_are_those_of_the_interpreter(
    window: Slices,
    keyed: bool,
    lateness: int,
    early: int | None,
    late: int,
    accumulate: bool,
    script: list[tuple[list[tuple[str | None, int, int]], int | None, int | None]],
) -> None:
    """Batches of rows, after each maybe a watermark, and maybe a move of all state to so many workers."""
    keys = ("k",) if keyed else ()
    firing: dict[str, Any] = {"lateness": lateness, "early": early, "late": late, "accumulate": accumulate}
    expected = naive.Windows(lambda time: bounds_of(window, time), lateness, early, late, accumulate)
    workers = Workers(window, keys, 1, **firing)
    watermark = -100
    for given_rows, rise, restored in script:
        rows = [naive.Row(key if keyed else None, time, value) for key, time, value in given_rows]
        workers.send([naive.Row(key, time, value) for key, time, value in given_rows])
        expected.run(rows)
        if rise is not None and rise > watermark:
            watermark = rise
            workers.advance(rise)
            expected.run([naive.Watermark(rise)])
        if restored is not None:
            workers = workers.restored(Workers(window, keys, restored, **firing))
    workers.advance(MAX_TIME)
    expected.run([naive.Watermark(MAX_TIME)])

    out = pa.Table.from_batches(workers.results, workers.refining[0].output_schema)
    panes = [answer(pane.key, pane.bounds, pane.values, keyed) for pane in expected.panes]
    if accumulate:
        last = {(pane.key, pane.bounds): answer(pane.key, pane.bounds, pane.values, keyed) for pane in expected.panes}
        assert found(final(out)) == Counter(last.values())
    else:
        assert found(out) == Counter(panes)
    late_out = pa.Table.from_batches(workers.late_rows, workers.late[0].output_schema)
    wanted = Counter((row.row.time, row.row.value, *row.bounds) for row in expected.late_rows)
    values, starts, ends = (late_out[name].cast(pa.int64()).to_pylist() for name in ("v", "window_start", "window_end"))
    assert Counter(zip(values, starts, ends, strict=True)) == Counter(
        (value, start, end) for (_, value, start, end), n in wanted.items() for _ in range(n)
    )
    assert sum(operator.late for operator in workers.refining) == len(expected.late_rows)


def run(window: Slices, script: Iterable[Sequence[naive.Row] | int], **firing: Any) -> tuple[list[Any], int]:
    operator = RefiningAggregate((), window, AGGREGATES[:1], SCHEMA, **firing)
    outputs: list[Any] = []
    for step in script:
        outputs += (
            operator.on_watermark(Watermark(step)) if isinstance(step, int) else operator.on_batch(0, batch(step))
        )
    batches = [output for output in outputs if isinstance(output, pa.RecordBatch)]
    return [row for found in batches for row in found["rows"].to_pylist()], operator.late


ROW = naive.Row("a", 5, 1)


@pytest.mark.parametrize(("watermark", "results", "late"), [(14, [1, 1], 0), (15, [1], 1), (16, [1], 1)])
def test_the_last_microsecond_of_lateness(watermark: int, results: list[int], late: int) -> None:
    script: list[Any] = [[ROW], watermark, [ROW], MAX_TIME]
    firing = {"lateness": 5, "early": None, "late": 1, "accumulate": False}
    assert run(SlidingSlices(10, 10), script, **firing) == (results, late)


def test_lateness_beyond_the_end_of_time_saturates() -> None:
    firing = {"lateness": MAX_TIME, "early": None, "late": 1, "accumulate": False}
    assert run(SlidingSlices(10, 10), [[ROW], MAX_TIME - 1, [ROW], MAX_TIME, [ROW]], **firing) == ([1, 1], 1)


def test_discarded_panes_do_not_depend_on_how_rows_are_cut() -> None:
    firing = {"lateness": 0, "early": 3, "late": 1, "accumulate": False}
    assert run(SlidingSlices(10, 10), [[ROW] * 8, 10], **firing) == ([3, 3, 2], 0)
    assert run(SlidingSlices(10, 10), [*[[ROW]] * 8, 10], **firing) == ([3, 3, 2], 0)
    assert run(SlidingSlices(10, 10), [[ROW] * 2, [ROW] * 4, [ROW] * 2, 10], **firing) == ([3, 3, 2], 0)


def test_late_rows_that_are_fewer_than_a_pane_are_sent_when_the_window_is_dropped() -> None:
    firing = {"lateness": 5, "early": None, "late": 3, "accumulate": False}
    assert run(SlidingSlices(10, 10), [[ROW], 10, [ROW] * 4, 14, 15], **firing) == ([1, 3, 1], 0)


def test_one_window_of_all_rows_ends_with_time() -> None:
    firing = {"lateness": 0, "early": None, "late": 1, "accumulate": False}
    assert run(EndlessSlices(), [[ROW] * 2, MAX_TIME - 1, [ROW], MAX_TIME], **firing) == ([3], 0)
    assert run(EndlessSlices(), [[ROW] * 5, MAX_TIME], **(firing | {"early": 2})) == ([2, 2, 1], 0)


def test_results_that_did_not_change_are_not_sent() -> None:
    largest = RefiningAggregate(
        (), SlidingSlices(10, 10), AGGREGATES[2:3], SCHEMA, lateness=5, early=None, late=1, accumulate=True
    )
    outputs = [
        *largest.on_batch(0, batch([naive.Row("a", 5, 9)])),
        *largest.on_watermark(Watermark(10)),
        *largest.on_batch(0, batch([naive.Row("a", 6, 4)])),
        *largest.on_batch(0, batch([naive.Row("a", 6, 12)])),
    ]
    batches = [output for output in outputs if isinstance(output, pa.RecordBatch)]
    assert [list(zip(b["top"].to_pylist(), b[CHANGE].to_pylist(), strict=True)) for b in batches] == [
        [(9, 0)],
        [(9, 1), (12, 2)],
    ]


def test_pairs_of_rows_and_windows() -> None:
    window = EndlessSlices()
    places, numbers = pairs(window, window.slice_ids(batch([ROW, ROW])["_time"].cast(pa.int64()).to_numpy()))
    assert places is None
    assert numbers.tolist() == [0, 0]
