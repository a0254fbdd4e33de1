"""Windows that fire by processing time, against the interpreter in `streamflow.testing.naive`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.kernels.aggregate import AggregateSpec
from streamflow.kernels.hashing import groups_of_worker
from streamflow.kernels.windows import CumulativeSlices, EndlessSlices, Slices, SlidingSlices
from streamflow.operators.base import Output, TimedOperator
from streamflow.operators.clocked_aggregate import ClockedAggregate
from streamflow.operators.events import CHANGE, MAX_TIME, TIME_TYPE, Watermark
from streamflow.operators.refining_aggregate import RefiningAggregate
from streamflow.testing import final, naive

GROUPS = 8
SCHEMA = pa.schema({"k": pa.string(), "v": pa.int64(), "_time": TIME_TYPE})
AGGREGATES = (AggregateSpec("count", None, None, "rows"), AggregateSpec("sum", "v", pa.int64(), "total"))


def batch(*rows: tuple[str, int, int]) -> pa.RecordBatch:
    arrays = [pa.array([row[i] for row in rows], type_) for i, type_ in enumerate(SCHEMA.types)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def step(window: Slices, **firing: Any) -> ClockedAggregate:
    return ClockedAggregate(("k",), window, AGGREGATES, SCHEMA, **firing)


def shown(outputs: Iterable[Output]) -> list[tuple[Any, ...]]:
    """Key, count, sum and, in a changelog, the kind of change."""
    found: list[tuple[Any, ...]] = []
    for output in outputs:
        if isinstance(output, pa.RecordBatch):
            names = [name for name in ("k", "rows", "total", CHANGE) if name in output.schema.names]
            found += zip(*(output[name].to_pylist() for name in names), strict=True)
    return found


EARLY = {"lateness": 0, "early": None, "late": 1, "accumulate": False, "delays": (10, None)}
WINDOW = SlidingSlices(100, 100)


def test_a_pane_is_sent_so_long_after_its_first_row_to_the_microsecond() -> None:
    early = step(WINDOW, **EARLY)
    shown(early.on_timer(1_000))
    assert shown(early.on_batch(0, batch(("a", 1, 5)))) == []
    assert early.next_wakeup() is not None
    assert shown(early.on_timer(1_009)) == []
    assert shown(early.on_batch(0, batch(("a", 2, 5), ("b", 3, 5)))) == []  # the second row does not put it off
    assert early.next_wakeup() == 1_010
    assert shown(early.on_timer(1_010)) == [("a", 2, 3)]
    assert early.next_wakeup() == 1_019
    assert shown(early.on_batch(0, batch(("a", 4, 5)))) == []  # at that very microsecond: of the next pane
    assert shown(early.on_timer(1_019)) == [("b", 1, 3)]
    assert shown(early.on_timer(1_020)) == [("a", 1, 4)]
    assert early.next_wakeup() is None


def test_nothing_is_sent_where_nothing_came() -> None:
    early = step(WINDOW, **EARLY)
    shown(early.on_timer(1_000))
    shown(early.on_batch(0, batch(("a", 1, 5))))
    assert shown(early.on_timer(5_000)) == [("a", 1, 1)]
    assert shown(early.on_timer(9_000)) == []
    assert shown(early.on_watermark(Watermark(100))) == []


def test_what_was_sent_on_time_is_not_due_any_more() -> None:
    early = step(WINDOW, **EARLY)
    shown(early.on_timer(1_000))
    shown(early.on_batch(0, batch(("a", 1, 5))))
    assert shown(early.on_watermark(Watermark(100))) == [("a", 1, 1)]
    assert shown(early.on_timer(1_010)) == []


def test_panes_of_late_rows_have_a_time_of_their_own() -> None:
    late = step(WINDOW, **(EARLY | {"lateness": 50, "delays": (None, 7)}))
    shown(late.on_timer(1_000))
    shown(late.on_batch(0, batch(("a", 1, 5))))
    assert shown(late.on_timer(1_500)) == []
    assert shown(late.on_watermark(Watermark(100))) == [("a", 1, 1)]
    shown(late.on_batch(0, batch(("a", 2, 5))))
    shown(late.on_batch(0, batch(("a", 3, 5))))
    assert shown(late.on_timer(1_506)) == []
    assert shown(late.on_timer(1_507)) == [("a", 2, 5)]
    shown(late.on_batch(0, batch(("a", 4, 5))))
    assert shown(late.on_watermark(Watermark(150))) == [("a", 1, 4)]


def test_accumulating_panes_replace_each_other() -> None:
    early = step(WINDOW, **(EARLY | {"accumulate": True}))
    shown(early.on_timer(0))
    shown(early.on_batch(0, batch(("a", 1, 5))))
    assert shown(early.on_timer(10)) == [("a", 1, 1, 0)]
    shown(early.on_batch(0, batch(("a", 2, 5))))
    assert shown(early.on_timer(20)) == [("a", 1, 1, 1), ("a", 2, 3, 2)]


def test_rows_by_number_before_the_end_and_by_time_after_it() -> None:
    both = step(WINDOW, **(EARLY | {"lateness": 50, "early": 2, "delays": (None, 7)}))
    shown(both.on_timer(0))
    assert shown(both.on_batch(0, batch(("a", 1, 5), ("a", 1, 5), ("a", 1, 5)))) == [("a", 2, 2)]
    assert shown(both.on_timer(1_000)) == []
    assert shown(both.on_watermark(Watermark(100))) == [("a", 1, 1)]
    shown(both.on_batch(0, batch(("a", 1, 5))))
    assert shown(both.on_timer(1_007)) == [("a", 1, 1)]


def test_the_window_of_all_rows_is_sent_from_time_to_time() -> None:
    rows = step(EndlessSlices(), **EARLY)
    shown(rows.on_timer(0))
    shown(rows.on_batch(0, batch(("a", 1, 5), ("a", 2, 5))))
    assert shown(rows.on_timer(10)) == [("a", 2, 3)]
    shown(rows.on_batch(0, batch(("a", 3, 5))))
    assert shown(rows.on_watermark(Watermark(MAX_TIME))) == [("a", 1, 3)]


def test_only_triggers_by_processing_time_go_by_the_clock() -> None:
    options: dict[str, Any] = {"lateness": 0, "early": 1, "late": 1, "accumulate": True}
    assert isinstance(step(WINDOW, **EARLY), TimedOperator)
    assert not isinstance(RefiningAggregate(("k",), WINDOW, AGGREGATES, SCHEMA, **options), TimedOperator)


@settings(max_examples=100, deadline=None)
@given(
    window=st.sampled_from([SlidingSlices(10, 10), SlidingSlices(10, 4, 1), CumulativeSlices(12, 3, 2)]),
    lateness=st.sampled_from([0, 7, 25]),
    early=st.none() | st.integers(1, 12),
    late=st.none() | st.integers(1, 12),
    accumulate=st.booleans(),
    script=st.lists(
        st.tuples(
            st.lists(st.tuples(st.sampled_from("ab"), st.integers(-20, 40), st.integers(0, 5)), min_size=1, max_size=5),
            st.integers(0, 15),
            st.none() | st.integers(-20, 60),
            st.booleans(),
        ),
        max_size=10,
    ),
)
def test_panes_are_those_of_the_interpreter(
    window: Slices,
    lateness: int,
    early: int | None,
    late: int | None,
    accumulate: bool,
    script: list[tuple[list[tuple[str, int, int]], int, int | None, bool]],
) -> None:
    """Batches of rows, after each some time, maybe a watermark, and maybe a restart."""

    def bounds(time: int) -> list[naive.Bounds]:
        return [window.window_bounds(number) for number in window.windows_of(window.slice_of(time))]

    firing: dict[str, Any] = {"lateness": lateness, "early": None, "late": 1, "accumulate": accumulate}
    firing["delays"] = (early, late)
    expected = naive.Windows(
        bounds, lateness, None, None if late else 1, accumulate, early_after=early, late_after=late
    )
    aggregate = step(window, **firing)
    outputs: list[Output] = []
    now, watermark = 0, -100
    for rows, elapsed, rise, restored in script:
        outputs += aggregate.on_timer(now)
        outputs += aggregate.on_batch(0, batch(*((key, value, time) for key, time, value in rows)))
        expected.run([naive.Clock(now), *(naive.Row(key, time, value) for key, time, value in rows)])
        now += elapsed
        outputs += aggregate.on_timer(now)
        expected.run([naive.Clock(now)])
        if rise is not None and rise > watermark:
            watermark = rise
            expected.run([naive.Watermark(rise)])
            outputs += aggregate.on_watermark(Watermark(rise))
        if restored:
            aggregate = moved(aggregate, step(window, **firing), outputs)
    outputs += aggregate.on_watermark(Watermark(MAX_TIME))
    expected.run([naive.Watermark(MAX_TIME)])

    panes = [(pane.key, *pane.bounds, len(pane.values), sum(pane.values)) for pane in expected.panes]
    batches = [output for output in outputs if isinstance(output, pa.RecordBatch)]
    out = pa.Table.from_batches(batches, aggregate.output_schema)
    if accumulate:
        last = {pane[:3]: pane for pane in panes}
        assert found(final(out)) == Counter(last.values())
    else:
        assert found(out) == Counter(panes)
    assert aggregate.late == len(expected.late_rows)


def moved(old: ClockedAggregate, new: ClockedAggregate, outputs: list[Output]) -> ClockedAggregate:
    outputs += old.flush()
    for name, container in old.state().items():
        new.state()[name].restore([container.snapshot(GROUPS)], groups_of_worker(0, GROUPS, 1))
    return new


def found(table: pa.Table) -> Counter[tuple[Any, ...]]:
    columns = [table[name] for name in ("k", "window_start", "window_end", "rows", "total")]
    plain = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in columns]
    return Counter(zip(*(column.to_pylist() for column in plain), strict=True))


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_panes_that_were_due_while_the_job_was_down_are_sent_at_the_first_word_of_the_clock(workers: int) -> None:
    old = step(WINDOW, **EARLY)
    shown(old.on_timer(0))
    shown(old.on_batch(0, batch(("a", 1, 5), ("b", 1, 5))))
    shown(old.on_timer(5))
    shown(old.on_batch(0, batch(("c", 1, 5), ("d", 1, 5))))
    parts = {name: container.snapshot(GROUPS) for name, container in old.state().items()}
    early, late = [], []
    for worker in range(workers):
        new = step(WINDOW, **EARLY)
        for name, container in new.state().items():
            container.restore([parts[name]], groups_of_worker(worker, GROUPS, workers))
        early += shown(new.on_timer(12))
        late += shown(new.on_timer(15))
    assert (sorted(early), sorted(late)) == ([("a", 1, 1), ("b", 1, 1)], [("c", 1, 1), ("d", 1, 1)])
