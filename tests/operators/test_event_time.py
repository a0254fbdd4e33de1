from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.errors import DataError
from streamflow.operators.base import Output
from streamflow.operators.event_time import SetEventTime
from streamflow.operators.events import MAX_TIME, MIN_TIME, TIME_TYPE, Watermark

SCHEMA = pa.schema([("id", pa.int64()), ("at", pa.int64()), ("_time", TIME_TYPE)])


def rows(*times: int | None) -> pa.RecordBatch:
    ids, zeros = list(range(len(times))), pa.array([0] * len(times), TIME_TYPE)
    return pa.record_batch([ids, pa.array(times, pa.int64()), zeros], schema=SCHEMA)


def step(bound: int = 10) -> SetEventTime:
    return SetEventTime(lambda batch: batch.column("at").cast(TIME_TYPE), bound, SCHEMA)


def watermarks(outputs: list[Output]) -> list[Watermark]:
    return [output for output in outputs if isinstance(output, Watermark)]


def test_the_event_time_is_replaced_and_the_watermark_trails_the_greatest_by_the_bound() -> None:
    batch, watermark = step().on_batch(0, rows(-7, 100, 95))
    assert isinstance(batch, pa.RecordBatch)
    assert batch.schema == SCHEMA
    assert batch.column("_time").cast(pa.int64()).to_pylist() == [-7, 100, 95]
    assert watermark == Watermark(90)


def test_the_watermark_is_sent_only_when_it_rises_and_late_rows_pass() -> None:
    events = step()
    list(events.on_batch(0, rows(100)))
    [batch] = events.on_batch(0, rows(100, 1))
    assert isinstance(batch, pa.RecordBatch)
    assert batch.num_rows == 2
    assert events.late == 0


def test_a_stream_without_event_time_gets_it_before_the_change_column() -> None:
    given = pa.schema([("at", pa.int64()), ("_change", pa.int8())])
    wanted = pa.schema([("at", pa.int64()), ("_time", TIME_TYPE), ("_change", pa.int8())])
    events = SetEventTime(lambda batch: batch.column("at").cast(TIME_TYPE), 0, wanted)
    batch, _ = events.on_batch(0, pa.record_batch([pa.array([5]), pa.array([2], pa.int8())], schema=given))
    assert isinstance(batch, pa.RecordBatch)
    assert batch.schema == wanted
    assert batch.column("_change").to_pylist() == [2]


def test_of_the_inputs_watermark_only_the_end_and_idleness_pass() -> None:
    events = step()
    assert list(events.on_watermark(Watermark(50))) == []
    list(events.on_batch(0, rows(30)))
    assert list(events.on_watermark(Watermark(60, idle=True))) == [Watermark(20, idle=True)]
    assert list(events.on_watermark(Watermark(60, idle=True))) == []
    assert list(events.on_watermark(Watermark(61))) == [Watermark(20)]
    assert list(events.on_watermark(Watermark(MAX_TIME))) == [Watermark(MAX_TIME)]


def test_a_null_time_is_an_error_that_shows_the_row() -> None:
    with pytest.raises(DataError, match="the event time is null in the row id=1, at=None"):
        list(step().on_batch(0, rows(5, None)))


@pytest.mark.parametrize("time", [MAX_TIME, MIN_TIME])
def test_a_reserved_time_is_an_error_that_shows_the_row(time: int) -> None:
    with pytest.raises(DataError, match=f"out of range in the row id=1, at={time}"):
        list(step().on_batch(0, rows(5, time)))


def test_a_bound_below_the_first_time_saturates() -> None:
    assert watermarks(list(step(100).on_batch(0, rows(MIN_TIME + 5)))) == []


@given(st.lists(st.lists(st.integers(-100, 100), min_size=1), min_size=1, max_size=3), st.integers(1, 4))
def test_a_restore_takes_the_least_of_all_workers_onto_any_number(seen: list[list[int]], workers: int) -> None:
    snapshots = []
    for times in seen:
        events = step(0)
        list(events.on_batch(0, rows(*times)))
        snapshots.append(events.state()["greatest"].snapshot(8))
    least = min(max(times) for times in seen)
    for worker in range(workers):
        events = step(0)
        events.state()["greatest"].restore(snapshots, range(worker * 8 // workers, (worker + 1) * 8 // workers))
        assert watermarks(list(events.on_batch(0, rows(least)))) == []
        assert watermarks(list(events.on_batch(0, rows(least + 1)))) == [Watermark(least + 1)]
