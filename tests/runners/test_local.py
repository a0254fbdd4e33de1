"""The local runner: several reads, sources that wait, errors that close everything, stops."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

import pyarrow as pa
import pytest
from streamflow_connectors import datagen, memory

import streamflow as sf
from streamflow import col
from streamflow.connect import Ended, PollResult, Position, SinkContext, Wait
from streamflow.engine.clock import SystemClock
from streamflow.errors import ConnectorError, Fatal, StreamflowError, UserError


@dataclass
class Log:
    """What happened to readers and writers."""

    opened: int = 0
    closed: int = 0
    rows: list[int] = field(default_factory=list)
    committed: list[Mapping[str, Position]] = field(default_factory=list)


class Numbers:
    """0, 1, 2, ... : a row a poll, each after a wait; at `fails` it raises, at `stops` it sends the process SIGINT."""

    def __init__(self, log: Log, rows: int, *, bounded: bool = True, fails: int = -1, stops: int = -1) -> None:
        self.log, self.rows, self.fails, self.stops = log, rows, fails, stops
        self._bounded = bounded

    @property
    def bounded(self) -> bool:
        return self._bounded

    def schema(self) -> pa.Schema:
        return pa.schema({"n": pa.int64()})

    def splits(self) -> list[str]:
        return ["only"]

    def open(self, splits: Mapping[str, Position | None]) -> NumbersReader:
        self.log.opened += 1
        return NumbersReader(self)


class NumbersReader:
    def __init__(self, source: Numbers) -> None:
        self._source = source
        self._at = 0
        self._waited = False

    def poll(self, max_rows: int) -> PollResult:
        self._waited = not self._waited
        if self._waited:
            return Wait(0.0001)
        if self._at == self._source.fails:
            raise Fatal("the peer is gone", remedy="start it again")
        if self._at == self._source.stops:
            os.kill(os.getpid(), signal.SIGINT)
        if self._at == self._source.rows:
            return Ended("only") if self._source.bounded else Wait(0.01)
        self._at += 1
        return [("only", pa.record_batch({"n": [self._at - 1]}))]

    def positions(self) -> dict[str, Position]:
        return {"only": self._at}

    def committed(self, positions: Mapping[str, Position]) -> None:
        self._source.log.committed.append(positions)

    def close(self) -> None:
        self._source.log.closed += 1


@dataclass
class Sink:
    """Fails at the call named `fails`."""

    log: Log
    fails: str = ""
    changelog: bool = False

    def open(self, who: SinkContext) -> Sink:
        self._maybe("open")
        self.log.opened += 1
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        self._maybe("write")
        self.log.rows += batch.column("n").to_pylist()

    def flush(self) -> None:
        self._maybe("flush")

    def close(self) -> None:
        self.log.closed += 1
        self._maybe("close")

    def _maybe(self, call: str) -> None:
        if self.fails == call:
            raise Fatal(f"{call} failed", remedy="try another")


def test_a_source_that_waits_is_read_to_its_end() -> None:
    source, sink = Log(), Log()
    flow = sf.Flow("f")
    flow.read("rows", Numbers(source, 20)).write("out", Sink(sink))
    result = sf.run(flow)
    assert sink.rows == list(range(20))
    assert (result.rows_in, result.rows_out, result.stopped, result.published) == (20, 20, False, True)
    assert (source.opened, source.closed, sink.opened, sink.closed) == (1, 1, 1, 1)
    assert source.committed == [{"only": 20}]


def test_several_reads_and_their_union_are_all_read() -> None:
    logs, sink, other = [Log(), Log(), Log()], Log(), Log()
    flow = sf.Flow("f")
    a, b, c = (flow.read(f"rows-{i}", Numbers(log, 10 * (i + 1))) for i, log in enumerate(logs))
    a.union(b, c).write("all", Sink(sink))
    b.filter(col("n") >= 15).write("some", Sink(other))
    result = sf.run(flow)
    assert sorted(sink.rows) == sorted([*range(10), *range(20), *range(30)])
    assert other.rows == [15, 16, 17, 18, 19]
    assert result.rows_in == 60
    assert [log.closed for log in logs] == [1, 1, 1]


def test_windows_over_a_union_wait_for_the_slower_read() -> None:
    flow, out = sf.Flow("f"), memory.Sink()
    time = sf.from_epoch("n", "s")
    fast = flow.read("fast", memory.Source(pa.table({"n": range(100)})), event_time=time)
    slow = flow.read("slow", Numbers(Log(), 100), event_time=time)
    fast.union(slow).window(sf.tumbling("10s")).agg(n=sf.count()).write("out", out)
    assert sf.run(flow).late == 0
    assert out.table().column("n").to_pylist() == [20] * 10


@pytest.mark.parametrize("call", ["write", "flush"])
def test_an_error_of_a_sink_names_it_and_closes_everything(call: str) -> None:
    source, sink, other = Log(), Log(), Log()
    flow = sf.Flow("f")
    rows = flow.read("rows", Numbers(source, 5))
    rows.write("fine", Sink(other))
    rows.write("broken", Sink(sink, call))
    with pytest.raises(ConnectorError, match=f"{call} failed") as caught:
        sf.run(flow)
    assert caught.value.step == "broken"
    assert caught.value.location is not None
    assert caught.value.remedy == "try another"
    assert (source.closed, sink.closed, other.closed) == (1, 1, 1)


def test_a_sink_that_does_not_open_closes_those_that_did_and_opens_no_reader() -> None:
    source, sink, other = Log(), Log(), Log()
    flow = sf.Flow("f")
    rows = flow.read("rows", Numbers(source, 5))
    rows.write("fine", Sink(other))
    rows.write("broken", Sink(sink, "open"))
    with pytest.raises(ConnectorError, match="open failed") as caught:
        sf.run(flow)
    assert caught.value.step == "broken"
    assert (other.opened, other.closed, source.opened) == (1, 1, 0)


def test_an_error_while_closing_is_raised_when_all_are_closed() -> None:
    source, sink, other = Log(), Log(), Log()
    flow = sf.Flow("f")
    rows = flow.read("rows", Numbers(source, 5))
    rows.write("broken", Sink(sink, "close"))
    rows.write("fine", Sink(other))
    with pytest.raises(ConnectorError, match="close failed"):
        sf.run(flow)
    assert (source.closed, other.closed) == (1, 1)


def test_the_first_error_is_the_one_that_is_raised() -> None:
    source, sink = Log(), Log()
    flow = sf.Flow("f")
    flow.read("rows", Numbers(source, 5, fails=3)).write("out", Sink(sink, "close"))
    with pytest.raises(ConnectorError, match="the peer is gone") as caught:
        sf.run(flow)
    assert caught.value.step == "rows"
    assert (source.closed, sink.closed) == (1, 1)
    assert sink.rows == [0, 1, 2]


def test_a_function_that_raises_closes_everything() -> None:
    source, sink = Log(), Log()

    def inverse(n: int) -> int:
        return 7 // (n - 3)

    flow = sf.Flow("f")
    flow.read("rows", Numbers(source, 5)).with_columns(n=inverse).write("out", Sink(sink))
    with pytest.raises(StreamflowError, match="ZeroDivisionError"):
        sf.run(flow)
    assert (source.closed, sink.closed) == (1, 1)


def test_an_unbounded_source_is_stopped_and_published_where_it_stands() -> None:
    source, sink = Log(), Log()
    flow = sf.Flow("f")
    flow.read("rows", Numbers(source, 5, bounded=False, stops=5)).write("out", Sink(sink))
    result = sf.run(flow)
    assert (result.stopped, result.published) == (True, True)
    assert sink.rows == [0, 1, 2, 3, 4]
    assert source.committed == [{"only": 5}]
    assert (source.closed, sink.closed) == (1, 1)


def test_a_bounded_source_that_is_stopped_publishes_nothing() -> None:
    source, sink = Log(), Log()
    flow = sf.Flow("f")
    flow.read("rows", Numbers(source, 500, stops=5)).write("out", Sink(sink))
    result = sf.run(flow)
    assert (result.stopped, result.published) == (True, False)
    assert source.committed == []
    assert (source.closed, sink.closed) == (1, 1)


def test_signals_are_given_back_after_a_run() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    flow = sf.Flow("f")
    flow.read("rows", Numbers(Log(), 1)).write("out", Sink(Log()))
    sf.run(flow)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_source_without_rows_and_one_without_splits_end_at_once() -> None:
    class Nothing(Numbers):
        def splits(self) -> list[str]:
            return []

    for source in (Numbers(Log(), 0), Nothing(Log(), 5)):
        sink = Log()
        flow = sf.Flow("f")
        flow.read("rows", source).write("out", Sink(sink))
        assert sf.run(flow).rows_out == 0
        assert sink.closed == 1


def test_batches_without_rows_change_nothing() -> None:
    empty, full = pa.record_batch({"n": pa.array([], pa.int64())}), pa.record_batch({"n": [1]})

    class Empty(Numbers):
        def open(self, splits: Mapping[str, Position | None]) -> NumbersReader:
            return EmptyReader(self)

    class EmptyReader(NumbersReader):
        def poll(self, max_rows: int) -> PollResult:
            self._at += 1
            return Ended("only") if self._at == 4 else [("only", full if self._at == 2 else empty), ("only", empty)]

    flow, out = sf.Flow("f"), memory.Sink()
    rows = flow.read("rows", Empty(Log(), 0), event_time=sf.from_epoch("n", "s"))
    rows.window(sf.tumbling("10s")).agg(n=sf.count()).write("out", out)
    sf.run(flow)
    assert out.table().column("n").to_pylist() == [1]


def test_a_build_function_gets_its_parameters_and_a_finished_flow_none() -> None:
    def build(rows: int = 3) -> sf.Flow:
        flow = sf.Flow("f")
        flow.read("rows", Numbers(Log(), rows)).write("out", Sink(Log()))
        return flow

    assert sf.run(build, rows=5).rows_in == 5
    assert sf.run(build).rows_in == 3
    with pytest.raises(UserError, match="parameters"):
        sf.run(build(), rows=5)
    with pytest.raises(UserError, match="not a Flow"):
        sf.run(lambda: 5)  # type: ignore[arg-type,return-value]


def test_errors_of_the_flow_come_before_anything_is_opened() -> None:
    source = Log()
    flow = sf.Flow("f")
    rows = flow.read("rows", Numbers(source, 5))
    with pytest.raises(UserError):
        rows.filter(col("x") > 1)
    assert source.opened == 0


def test_windows_by_processing_time_fire_while_the_job_runs_and_what_is_left_at_its_end() -> None:
    out = memory.Sink()
    flow = sf.Flow("clocked")
    rows = flow.read("rows", datagen.Source({"n": datagen.sequence()}, rows=12, rate=40))
    rows.window(sf.tumbling("50ms", time="processing")).agg(n=sf.count(), last=col("n").max()).write("out", out)
    before = SystemClock().now()
    result = sf.run(flow)
    windows = out.table().to_pylist()
    assert sum(row["n"] for row in windows) == 12
    assert [row["last"] for row in windows] == sorted(row["last"] for row in windows)
    assert 3 <= len(windows) <= 12
    starts = out.table()["window_start"].cast(pa.int64()).to_pylist()
    assert all(before - 50_000 <= start < before + 2_000_000 for start in starts)
    assert result.seconds < 2


def test_a_window_by_processing_time_fires_though_no_row_comes() -> None:
    """The source waits half a second; the window that ends meanwhile is sent in the meantime, not with the next row."""
    seen: list[tuple[int, int]] = []

    def noted(rows: pa.RecordBatch) -> pa.RecordBatch:
        seen.append((rows.num_rows, SystemClock().monotonic()))
        return rows

    flow = sf.Flow("clocked")
    rows = flow.read("rows", datagen.Source({"n": datagen.sequence()}, rows=2, rate=2))
    counts = rows.window(sf.tumbling("50ms", time="processing")).agg(n=sf.count())
    counts.map_batches(noted, schema=counts.schema).write("out", memory.Sink())
    sf.run(flow)
    assert [number for number, _ in seen] == [1, 1]
    assert seen[1][1] - seen[0][1] > 300_000


def test_what_is_left_of_long_windows_does_not_wait_for_the_clock() -> None:
    out = memory.Sink()
    flow = sf.Flow("clocked")
    rows = flow.read("rows", memory.Source(pa.table({"n": [1, 2]})))
    rows.window(sf.session("1d", time="processing")).agg(n=sf.count()).write("out", out)
    assert sf.run(flow).seconds < 1
    assert out.table()["n"].to_pylist() == [2]


class Beat(NamedTuple):
    number: int


class Beats(sf.KeyedFunction):
    """Three beats after the first row, twenty milliseconds apart."""

    number = sf.cell(int, default=0)
    beat = sf.timer("processing")

    def on_row(self) -> None:
        if not self.number and self.beat.time is None:
            self.beat.set(timedelta(milliseconds=20))

    def on_beat(self) -> Beat:
        self.number += 1
        if self.number < 3:
            self.beat.set(timedelta(milliseconds=20))
        return Beat(self.number)


def test_timers_by_processing_time_go_off_while_no_row_comes() -> None:
    seen: list[int] = []

    def noted(rows: pa.RecordBatch) -> pa.RecordBatch:
        seen.extend([SystemClock().monotonic()] * rows.num_rows)
        return rows

    flow = sf.Flow("beats")
    rows = flow.read("rows", datagen.Source({"n": datagen.sequence()}, rows=2, rate=2))
    beats = rows.key_by(one=sf.lit(1)).process(Beats(), ordered=False)
    beats.map_batches(noted, schema=beats.schema).write("out", memory.Sink())
    started = SystemClock().monotonic()
    sf.run(flow)
    assert [moment - started < 400_000 for moment in seen] == [True, True, True]
    assert seen[2] - seen[0] >= 40_000
