"""Windows by processing time: the clock decides, to the microsecond, and never goes back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from streamflow.kernels.aggregate import AggregateSpec
from streamflow.kernels.hashing import groups_of_worker
from streamflow.kernels.windows import SlidingSlices
from streamflow.operators.base import Output, TimedOperator
from streamflow.operators.events import MAX_TIME, TIME_TYPE, Watermark
from streamflow.operators.processing_time import ByProcessingTime, stamped_schema
from streamflow.operators.session import SessionAggregate
from streamflow.operators.top import WindowTop
from streamflow.operators.window_aggregate import WindowAggregate

SCHEMA = pa.schema({"k": pa.string(), "x": pa.int64()})
SPECS = (AggregateSpec("count", None, None, "n"), AggregateSpec("sum", "x", pa.int64(), "total"))
GROUPS = 4


def tumbling(size: int = 10) -> ByProcessingTime:
    windows = WindowAggregate(("k",), SlidingSlices(size, size), SPECS, stamped_schema(SCHEMA))
    return ByProcessingTime(windows, SCHEMA)


def batch(*rows: tuple[str, int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"k": k, "x": x} for k, x in rows], schema=SCHEMA)


def shown(outputs: Iterable[Output]) -> list[Any]:
    """Watermarks, and the columns of results as tuples, times as ints."""
    found: list[Any] = []
    for output in outputs:
        if isinstance(output, pa.RecordBatch):
            columns = [c.cast(pa.int64()) if c.type == TIME_TYPE else c for c in output.columns]
            found += zip(*(column.to_pylist() for column in columns), strict=True)
        else:
            found.append(output)
    return found


def restored(old: ByProcessingTime, workers: int) -> list[ByProcessingTime]:
    assert not list(old.flush())
    parts = {name: container.snapshot(GROUPS) for name, container in old.state().items()}
    found = []
    for worker in range(workers):
        new = tumbling()
        for name, container in new.state().items():
            container.restore([parts[name]], groups_of_worker(worker, GROUPS, workers))
        found.append(new)
    return found


def test_a_window_fires_when_the_clock_reaches_its_end_and_a_row_of_that_microsecond_is_in_the_next() -> None:
    step = tumbling()
    assert shown(step.on_timer(9)) == []
    assert shown(step.on_batch(0, batch(("a", 1)))) == []
    assert step.next_wakeup() == 10
    assert shown(step.on_timer(10)) == [("a", 0, 10, 1, 1)]
    assert step.next_wakeup() is None
    assert shown(step.on_batch(0, batch(("a", 2)))) == []
    assert shown(step.on_timer(19)) == []
    assert shown(step.on_timer(20)) == [("a", 10, 20, 1, 2)]
    assert step.late == 0


def test_results_have_no_event_time() -> None:
    assert tumbling().output_schema.names == ["k", "window_start", "window_end", "n", "total"]


def test_it_goes_by_the_clock() -> None:
    assert isinstance(tumbling(), TimedOperator)
    assert not isinstance(WindowAggregate(("k",), SlidingSlices(1, 1), SPECS, stamped_schema(SCHEMA)), TimedOperator)


def test_the_watermark_of_the_rows_passes_and_fires_nothing_before_the_end() -> None:
    step = tumbling()
    shown(step.on_timer(3))
    shown(step.on_batch(0, batch(("a", 1))))
    assert shown(step.on_watermark(Watermark(1_000))) == [Watermark(1_000)]
    assert shown(step.on_watermark(Watermark(MAX_TIME))) == [("a", 0, 10, 1, 1), Watermark(MAX_TIME)]
    assert step.next_wakeup() is None


def test_at_the_end_what_is_left_fires_in_the_order_of_time() -> None:
    windows = WindowAggregate(("k",), SlidingSlices(10, 5), SPECS, stamped_schema(SCHEMA))
    step = ByProcessingTime(windows, SCHEMA)
    shown(step.on_timer(7))
    shown(step.on_batch(0, batch(("a", 1))))
    assert shown(step.on_watermark(Watermark(MAX_TIME)))[:-1] == [("a", 0, 10, 1, 1), ("a", 5, 15, 1, 1)]


def test_a_session_ends_when_the_clock_has_gone_on_by_the_gap_without_a_row() -> None:
    step = ByProcessingTime(SessionAggregate(("k",), 10, SPECS, stamped_schema(SCHEMA)), SCHEMA)
    found: list[Any] = []
    for now, rows in [(0, [("a", 1), ("b", 2)]), (9, [("a", 3)]), (18, []), (19, [("a", 4)]), (28, []), (29, [])]:
        found += [(now, *row) for row in shown(step.on_timer(now))]
        if rows:
            shown(step.on_batch(0, batch(*rows)))
    assert found == [(18, "b", 0, 10, 1, 2), (19, "a", 0, 19, 2, 4), (29, "a", 19, 29, 1, 4)]


def test_the_wakeups_of_sessions_lead_to_their_ends() -> None:
    step = ByProcessingTime(SessionAggregate(("k",), 10, SPECS, stamped_schema(SCHEMA)), SCHEMA)
    shown(step.on_timer(0))
    shown(step.on_batch(0, batch(("a", 1))))
    shown(step.on_timer(6))
    shown(step.on_batch(0, batch(("a", 1))))
    woken = []
    while (due := step.next_wakeup()) is not None:
        woken.append((due, shown(step.on_timer(max(due, 6)))))
    assert woken[-1] == (16, [("a", 0, 16, 2, 2)])


def test_rows_with_event_time_are_put_by_the_clock_and_ordered_by_event_time() -> None:
    schema = pa.schema([*SCHEMA, ("_time", TIME_TYPE)])
    top = WindowTop(("k",), SlidingSlices(10, 10), 1, (("~event_time", False),), stamped_schema(schema))
    step = ByProcessingTime(top, schema)
    shown(step.on_timer(3))
    times = pa.array([900, 500], pa.int64()).view(TIME_TYPE)
    shown(step.on_batch(0, pa.RecordBatch.from_arrays([pa.array(["a", "a"]), pa.array([1, 2]), times], schema=schema)))
    assert shown(step.on_timer(10)) == [("a", 0, 10, 2)]


def test_windows_that_ended_while_the_job_was_down_fire_at_the_first_word_of_the_clock() -> None:
    old = tumbling()
    shown(old.on_timer(3))
    shown(old.on_batch(0, batch(*((key, 1) for key in "abcdefgh"))))
    for workers in (1, 2, 3):
        found = [row for new in restored(old, workers) for row in shown(new.on_timer(25))]
        assert sorted(found) == [(key, 0, 10, 1, 1) for key in "abcdefgh"]


def test_a_restored_window_that_has_not_ended_fires_in_its_time() -> None:
    old = tumbling()
    shown(old.on_timer(3))
    shown(old.on_batch(0, batch(("a", 1))))
    (new,) = restored(old, 1)
    assert shown(new.on_timer(5)) == []
    assert new.next_wakeup() == 10
    assert shown(new.on_timer(10)) == [("a", 0, 10, 1, 1)]


def test_a_clock_that_is_behind_after_a_restore_stands_still_and_opens_no_window_again() -> None:
    old = tumbling()
    shown(old.on_timer(8))
    shown(old.on_batch(0, batch(("a", 1))))
    assert shown(old.on_timer(12)) == [("a", 0, 10, 1, 1)]
    for new in restored(old, 2):
        shown(new.on_timer(2))
        shown(new.on_batch(0, batch(("a", 2))))
        assert new.next_wakeup() == 20
        assert shown(new.on_timer(20)) == [("a", 10, 20, 1, 2)]
        assert new.late == 0
