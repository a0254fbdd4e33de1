"""Rules 1-4, 6, 7 and 9-11: event time and watermarks. Each test fails without the sentence it stands for."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamflow_connectors import jsonl, memory, parquet

import streamflow as sf
from streamflow import col
from streamflow.connect import Ended, PollResult, Position, SinkContext, Wait
from streamflow.engine.outputs import Write
from streamflow.engine.reading import discover
from streamflow.engine.task import Task
from streamflow.errors import DataError, EngineError, UserError
from streamflow.operators.events import MAX_TIME, MIN_TIME, TIME, Batch, Watermark
from streamflow.operators.window_aggregate import WindowAggregate
from streamflow.plan.physical import PhysicalGraph, PhysicalNode, Run
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise
from streamflow.runners.inline import InlineJob
from streamflow.state.files import decode
from streamflow.testing import advance, splits, watermark
from streamflow.testing.checks import Checked

SECOND = 1_000_000
HOUR = 3600 * SECOND

Table = Callable[..., pa.Table]
Flow = Callable[..., sf.Flow]
Micros = Callable[[pa.Table], list[dict[str, Any]]]
Batches = Callable[..., tuple[list[dict[str, Any]], int]]


def count_by_key(rows: sf.Stream) -> sf.Stream:
    return rows.key_by("k").window(sf.tumbling("10s")).agg(n=sf.count())


def count(rows: sf.Stream) -> sf.Stream:
    return rows.window(sf.tumbling("10s")).agg(n=sf.count())


def graph_of(flow: sf.Flow, workers: int = 1) -> PhysicalGraph:
    return place(optimise(flow.graph()), name="rule", workers=workers)


# -- 1. Event time lives beside the columns


def test_1_no_change_of_columns_moves_a_row_into_another_window(run_batches: Batches) -> None:
    def steps(rows: sf.Stream) -> sf.Stream:
        changed = rows.with_columns(t=sf.lit(0), k="t").rename({"t": "u"}).select("v", "u").rename({"u": "t"}).drop("v")
        return changed.window(sf.tumbling("10s")).agg(n=sf.count(), t=col("t").max())

    found, _ = run_batches(steps, [("a", 1, 3 * SECOND), ("a", 1, 12 * SECOND)])
    assert [(row["window_start"], row["n"]) for row in found] == [(0, 1), (10 * SECOND, 1)]


def test_1_event_time_that_equals_a_column_shares_its_buffer(table: Table, flow: Flow) -> None:
    graph = graph_of(flow(lambda rows: rows.select("t", at="_time")))
    task = Task(graph, 0, 0, splits={0: {"rows-0": {}}})
    batch = table([("a", 1, 5)]).select(["t"]).to_batches()[0]
    [written] = task.on_rows(0, "rows-0", batch)
    assert isinstance(written, Write)
    addresses = [written.batch.column(name).buffers()[1].address for name in ("t", "at")]
    assert addresses == [batch.column("t").buffers()[1].address] * 2


@pytest.mark.parametrize("time", [None, MAX_TIME, MIN_TIME])
def test_1_a_time_that_is_null_or_reserved_is_bad_input_that_names_the_read(flow: Flow, time: int | None) -> None:
    schema = pa.schema([("k", pa.string()), ("v", pa.int64()), ("t", pa.timestamp("us", "UTC"))])
    given = pa.table([["a"], [7], pa.array([time], pa.int64()).cast(schema.field("t").type)], schema=schema)
    with pytest.raises(DataError, match="event time") as caught:
        sf.testing.run(flow(count), {"rows": given})
    assert caught.value.step == "rows"
    assert caught.value.location is not None
    assert caught.value.remedy is not None


# -- 2. A read waits for its slowest split, also for those not opened yet


@pytest.fixture
def two_files(tmp_path: Path, table: Table) -> Path:
    """The file that is read first, by name, holds the later hour."""
    late = table([("a", 1, HOUR + i * SECOND) for i in range(100)])
    early = table([("a", 1, i * SECOND) for i in range(100)])
    pq.write_table(late, tmp_path / "1.parquet")
    pq.write_table(early, tmp_path / "2.parquet")
    for name, rows in (("1.jsonl", late), ("2.jsonl", early)):
        lines = [f'{{"k":"a","v":1,"t":{time.value}}}\n' for time in rows.column("t")]
        (tmp_path / name).write_text("".join(lines), encoding="utf-8")
    return tmp_path


def counted(source: Any, event_time: Any) -> tuple[int, int]:
    flow, out = sf.Flow("files"), memory.Sink()
    count(flow.read("files", source, event_time=event_time)).write("out", out)
    return sf.run(flow).late, sum(out.table().column("n").to_pylist())


def test_2_the_second_file_of_a_folder_is_not_late_where_nothing_is_known_of_it(two_files: Path) -> None:
    source = jsonl.Source(
        str(two_files / "*.jsonl"), schema=pa.schema({"k": pa.string(), "v": pa.int64(), "t": pa.int64()})
    )
    assert counted(source, sf.from_epoch("t", "us")) == (0, 200)


def test_2_the_second_file_of_a_folder_is_not_late_where_statistics_say_when_it_starts(two_files: Path) -> None:
    assert counted(parquet.Source(str(two_files / "*.parquet")), "t") == (0, 200)


def test_2_splits_open_by_their_least_time_and_only_what_is_not_open_yet_holds_windows(two_files: Path) -> None:
    seen: list[int] = []

    class Recorder:
        """Notes results as 1 and raw rows as 0, in the order in which they come."""

        changelog = False

        def __init__(self, mark: int) -> None:
            self._mark = mark

        def open(self, who: SinkContext) -> Recorder:
            return self

        def write(self, batch: Batch) -> None:
            seen.extend([self._mark] * batch.num_rows)

        def flush(self) -> None: ...

        def close(self) -> None: ...

    flow = sf.Flow("files")
    files = flow.read("files", parquet.Source(str(two_files / "*.parquet")), event_time="t")
    files.write("raw", Recorder(0))
    count(files).write("windows", Recorder(1))
    names = discover(graph_of(flow), graph_of(flow).nodes[0])
    assert [Path(name).name for name in names] == ["2.parquet", "1.parquet"]
    sf.run(flow)
    assert seen.index(1) < 150, "windows of the first hour wait for the second one's file, whose least time is known"


def test_2_a_read_reaches_the_end_of_time_only_when_every_split_has_ended(table: Table, flow: Flow) -> None:
    parts = splits(table([("a", 1, 0)]), table([("a", 1, i * SECOND) for i in range(50)]))
    for seed in range(20):
        results = sf.testing.run(flow(count), {"rows": parts}, seed=seed)
        assert results.late == {}
        assert sum(results["out"].column("n").to_pylist()) == 51


# -- 3. Idleness is part of the watermark


@pytest.mark.parametrize("workers", [1, 2])
def test_3_an_idle_split_leaves_the_minimum_and_is_judged_by_the_others_when_it_wakes(
    table: Table, flow: Flow, micros: Micros, workers: int
) -> None:
    quiet = [{"k": "q", "v": 1, "t": 1 * SECOND}, advance("10m"), {"k": "q", "v": 1, "t": 2 * SECOND}]
    busy = [{"k": "b", "v": 1, "t": 1 * SECOND}, advance("5m"), {"k": "b", "v": 1, "t": 40 * SECOND}, advance("10m")]
    for seed in range(20):
        results = sf.testing.run(
            flow(count_by_key, idle="1m"), {"rows": splits(quiet, busy)}, seed=seed, workers=workers
        )
        assert sum(results.late.values()) == 1, f"the row that woke the split came after its window had fired ({seed})"
        assert sorted((row["k"], row["n"]) for row in micros(results["out"])) == [("b", 1), ("b", 1), ("q", 1)]


@pytest.mark.parametrize("workers", [1, 2])
def test_3_when_all_are_idle_the_watermark_stays(table: Table, flow: Flow, workers: int) -> None:
    one = [{"k": "a", "v": 1, "t": 1 * SECOND}, advance("10m"), {"k": "a", "v": 1, "t": 3 * SECOND}]
    other = [{"k": "b", "v": 1, "t": 9 * SECOND}, advance("10m"), {"k": "b", "v": 1, "t": 9 * SECOND}]
    for seed in range(20):
        results = sf.testing.run(
            flow(count_by_key, idle="1m"), {"rows": splits(one, other)}, seed=seed, workers=workers
        )
        assert results.late == {}


def test_3_a_partial_that_goes_idle_sends_what_it_holds(flow: Flow, micros: Micros) -> None:
    """Two workers: one reads three rows and is quiet; by the other alone their window fires."""
    quiet = [*({"k": "q", "v": 1, "t": i * SECOND} for i in range(3)), advance("1h")]
    busy = [advance("20m"), {"k": "b", "v": 1, "t": 40 * SECOND}, advance("20m"), {"k": "b", "v": 1, "t": 80 * SECOND}]
    for seed in range(20):
        results = sf.testing.run(flow(count_by_key, idle="1m"), {"rows": splits(quiet, busy)}, seed=seed, workers=2)
        assert results.late == {}
        assert [row["n"] for row in micros(results["out"]) if row["k"] == "q"] == [3]


def test_3_a_split_that_wakes_counts_again_once_it_has_caught_up(flow: Flow) -> None:
    quiet = [
        {"k": "q", "v": 1, "t": 0},
        advance("10m"),
        {"k": "q", "v": 1, "t": 50 * SECOND},  # at or above the others: from here on it holds the watermark
        {"k": "q", "v": 1, "t": 51 * SECOND},
        advance("10s"),
        {"k": "q", "v": 1, "t": 52 * SECOND},
    ]
    busy = [
        advance("5m"),
        {"k": "b", "v": 1, "t": 40 * SECOND},
        advance("305s"),
        {"k": "b", "v": 1, "t": 200 * SECOND},
        advance("1m"),
    ]
    for seed in range(20):
        for workers in (1, 2):
            results = sf.testing.run(
                flow(count_by_key, idle="1m"), {"rows": splits(quiet, busy)}, seed=seed, workers=workers
            )
            assert results.late == {}


class Ticking:
    """Unbounded: one split with a row a second of event time, twenty of them, then silence."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    bounded = False

    def schema(self) -> pa.Schema:
        return pa.schema({"t": pa.int64()})

    def splits(self) -> list[str]:
        return self._names

    def open(self, splits: Mapping[str, Position | None]) -> TickingReader:
        return TickingReader(list(splits))


class TickingReader:
    def __init__(self, names: list[str]) -> None:
        self._names, self._at = names, 0

    def poll(self, max_rows: int) -> PollResult:
        if self._at == 20:
            return Wait(1.0)
        self._at += 1
        return [(self._names[0], pa.record_batch({"t": [self._at * SECOND]}))]

    def positions(self) -> dict[str, Position]:
        return dict.fromkeys(self._names, self._at)

    def committed(self, positions: Mapping[str, Position]) -> None: ...

    def close(self) -> None: ...


def test_3_a_worker_without_a_split_is_idle_and_holds_nobody(micros: Micros) -> None:
    flow = sf.Flow("ticks")
    count(flow.read("ticks", Ticking(["only"]), event_time=sf.from_epoch("t", "us"))).write("out", memory.Sink())
    job = InlineJob(graph_of(flow, workers=3))
    for _ in range(500):
        job.step()
    job.trigger_checkpoint()
    for _ in range(500):
        job.step()
    assert [(row["window_start"], row["n"]) for row in micros(job.results()["out"])] == [
        (0, 9),
        (10 * SECOND, 10),
    ]


def test_3_the_watermark_never_falls(flow: Flow) -> None:
    """A woken split far behind: `Checked` around every operator raises when a watermark goes back."""
    quiet = [{"k": "q", "v": 1, "t": 0}, advance("10m"), *({"k": "q", "v": 1, "t": i * SECOND} for i in range(30))]
    busy = [advance("5m"), {"k": "b", "v": 1, "t": 40 * SECOND}, advance("10m"), {"k": "b", "v": 1, "t": 80 * SECOND}]
    for seed in range(20):
        for workers in (1, 2):
            results = sf.testing.run(
                flow(count_by_key, idle="1m"), {"rows": splits(quiet, busy)}, seed=seed, workers=workers, crashes=1
            )
            assert sum(results["out"].column("n").to_pylist()) + sum(results.late.values()) == 33


# -- 4. The idle timer runs only while asking brings nothing


def test_4_a_split_that_was_not_asked_is_not_idle_however_long_it_took(flow: Flow) -> None:
    """One split is paused for ten minutes while the other is read and asked: rows of the paused one are in time."""
    graph = graph_of(flow(count_by_key, idle="1m"))
    task = Task(graph, 0, 0, splits={0: {"paused": {}, "busy": {}}})

    def read(split: str, second: int) -> None:
        row = {"k": split, "v": 1, "t": second * SECOND}
        task.on_rows(0, split, pa.RecordBatch.from_pylist([row], schema=graph.nodes[0].schema))

    for minute in range(10):
        read("busy", 100 * minute)
        task.on_quiet(0, ["busy"], minute * 60 * SECOND)
    read("paused", 5)
    assert task.late() == {}


def test_4_a_wholly_idle_read_keeps_its_watermark(flow: Flow) -> None:
    graph = graph_of(flow(count_by_key, bound="5s", idle="1m"))
    task = Task(graph, 0, 0, splits={0: {"a": {}}})
    task.on_rows(
        0, "a", pa.RecordBatch.from_pylist([{"k": "a", "v": 1, "t": 12 * SECOND}], schema=graph.nodes[0].schema)
    )
    task.on_quiet(0, ["a"], 0)
    task.on_quiet(0, ["a"], 3600 * SECOND)
    assert {w for w in task.watermarks().values() if w.time > MIN_TIME} == {Watermark(7 * SECOND, idle=True)}


# -- 6. Late is decided at arrival, once


def test_6_a_row_is_late_from_the_microsecond_at_which_the_watermark_is_its_windows_end(run_batches: Batches) -> None:
    before = run_batches(count, [("a", 1, 10 * SECOND - 1)], [("a", 1, 5)])
    at = run_batches(count, [("a", 1, 10 * SECOND)], [("a", 1, 5)])
    assert (before[1], [row["n"] for row in before[0]]) == (0, [2])
    assert (at[1], [row["n"] for row in at[0]]) == (1, [1])


def test_6_the_bound_is_kept_to_the_microsecond(run_batches: Batches) -> None:
    exactly = run_batches(count, [("a", 1, 15 * SECOND - 1)], [("a", 1, 5)], bound="5s")
    beyond = run_batches(count, [("a", 1, 15 * SECOND)], [("a", 1, 5)], bound="5s")
    assert (exactly[1], beyond[1]) == (0, 1)


def test_6_a_row_is_judged_by_the_watermark_before_its_batch(run_batches: Batches) -> None:
    assert run_batches(count, [("a", 1, 10 * SECOND), ("a", 1, 5)])[1] == 0


def test_6_a_row_is_judged_for_each_of_its_windows(run_batches: Batches) -> None:
    found, late = run_batches(
        lambda rows: rows.window(sf.sliding("10s", every="5s")).agg(n=sf.count()),
        [("a", 1, 10 * SECOND)],  # fires [0, 10); [5, 15) is open
        [("a", 1, 7 * SECOND)],
    )
    assert late == 1
    assert {row["window_start"]: row["n"] for row in found} == {5 * SECOND: 2, 10 * SECOND: 1}


def test_6_a_session_row_is_judged_by_its_own_interval_before_it_joins_a_session(run_batches: Batches) -> None:
    """[0, 10) and [8, 18) would be one session, and [8, 18) is open; but the row at 0 came when W was 10."""
    found, late = run_batches(
        lambda rows: rows.key_by("k").window(sf.session("10s")).agg(n=sf.count()),
        [("a", 1, 8 * SECOND), ("other", 1, 10 * SECOND)],
        [("a", 1, 0)],
    )
    assert late == 1
    assert {(row["k"], row["window_start"]): row["n"] for row in found} == {
        ("a", 8 * SECOND): 1,
        ("other", 10 * SECOND): 1,
    }


# -- 7. Results have an event time, and a step promises nothing it cannot keep


def test_7_the_result_of_a_window_belongs_to_the_second_window_of_the_same_size(run_batches: Batches) -> None:
    def steps(rows: sf.Stream) -> sf.Stream:
        first = count_by_key(rows)
        return first.select("n", at="_time").window(sf.tumbling("10s")).agg(n=col("n").sum(), at=col("at").max())

    found, late = run_batches(steps, [("a", 1, 1), ("b", 1, 2), ("a", 1, 25 * SECOND)])
    assert late == 0
    assert found == [
        {"window_start": 0, "window_end": 10 * SECOND, "n": 2, "at": 10 * SECOND - 1},
        {"window_start": 20 * SECOND, "window_end": 30 * SECOND, "n": 1, "at": 30 * SECOND - 1},
    ]


@pytest.mark.parametrize("window", [sf.tumbling("10s"), sf.sliding("10s", every="4s"), sf.session("10s")])
@pytest.mark.parametrize("how", ["agg", "refined", "top"])
def test_7_results_of_every_kind_lie_a_microsecond_before_their_windows_end(
    run_batches: Batches, window: Any, how: str
) -> None:
    def steps(rows: sf.Stream) -> sf.Stream:
        if how == "top":
            return rows.window(window).top(1, by="v").select("window_end", at="_time")
        trigger = sf.trigger(early=100, accumulate=False) if how == "refined" else None
        return rows.window(window, trigger=trigger).agg(n=sf.count()).select("window_end", at="_time")

    found, _ = run_batches(steps, [("a", 1, 1), ("a", 2, 7 * SECOND), ("a", 1, 45 * SECOND)])
    assert found
    assert all(row["at"] == row["window_end"] - 1 for row in found)


def test_7_a_result_below_the_watermark_that_was_sent_is_an_error_of_the_engine(flow: Flow) -> None:
    node = next(n for n in graph_of(flow(count)).nodes if n.label.startswith("aggregate"))
    assert isinstance(node.work, Run)
    inner = node.work.make()
    assert isinstance(inner, WindowAggregate)
    checked = Checked(inner, node)
    list(checked.on_watermark(Watermark(100 * SECOND)))
    result = _result_at(node, 99 * SECOND)
    inner.on_batch = lambda port, batch: (result,)  # type: ignore[method-assign]
    with pytest.raises(EngineError, match="below the forwarded watermark"):
        list(checked.on_batch(0, result))


def _result_at(node: PhysicalNode, time: int) -> Batch:
    row = dict.fromkeys(node.schema.names, 1) | {TIME: time}
    return pa.RecordBatch.from_pylist([row], schema=node.schema)


@pytest.mark.parametrize(
    "window", [sf.tumbling("1s", time="processing"), sf.session("1s", time="processing"), sf.global_window()]
)
def test_7_event_time_is_refused_behind_windows_that_do_not_go_by_it(flow: Flow, window: Any) -> None:
    def last_times(rows: sf.Stream) -> sf.Stream:
        return rows.key_by("k").window(window).agg(t=col("t").max())

    def hourly(rows: sf.Stream) -> sf.Stream:
        return rows.window(sf.tumbling("1h")).agg(n=sf.count())

    with pytest.raises(UserError, match="needs event time, and the rows have none") as error:
        flow(lambda rows: hourly(last_times(rows)))
    assert "with_event_time" in str(error.value.remedy)
    assert flow(lambda rows: hourly(last_times(rows).with_event_time("t"))).name == "rule"


def test_7_a_window_behind_a_changelog_is_refused(flow: Flow) -> None:
    with pytest.raises(UserError):
        flow(lambda rows: count(rows.key_by("k").agg(n=sf.count())))


# -- 9. Windowed results are aggregated once


def test_9_a_top_of_windowed_results_is_sent_once_and_its_state_dropped(table: Table, flow: Flow) -> None:
    steps = lambda rows: count_by_key(rows).key_by("window_end").top(1, by="n")  # noqa: E731
    given = [{"k": "ab"[i % 2], "v": i, "t": i * SECOND} for i in range(95)]
    results = sf.testing.run(flow(steps), {"rows": [*given, watermark(200 * SECOND)]}, workers=2, crashes=1)
    ends = results["out"].column("window_end").to_pylist()
    assert "_change" not in results["out"].column_names
    assert len(ends) == len(set(ends)) == 10


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("of_results", ["top", "agg"])
def test_9_state_is_gone_when_the_watermark_has_passed(of_results: str, workers: int) -> None:
    flow = sf.Flow("ticks")
    ticks = flow.read("ticks", Ticking(["only"]), event_time=sf.from_epoch("t", "us"))
    windows = ticks.key_by("t").window(sf.tumbling("4s")).agg(n=sf.count()).key_by("window_end")
    (windows.top(1, by="n") if of_results == "top" else windows.agg(n=col("n").sum())).write("out", memory.Sink())
    job = InlineJob(graph_of(flow, workers=workers))
    for _ in range(600):
        job.step()
    job.trigger_checkpoint()
    for _ in range(600):
        job.step()
    assert job.checkpoint is not None
    held = [
        decode(part).rows.num_rows for a, parts in job.checkpoint.state.items() for part in parts if "progress" not in a
    ]
    assert sum(job.results()["out"].column("n").to_pylist()) == (5 if of_results == "top" else 19)
    assert sum(held) == 1, (
        f"only the row at 20 s waits for its window: {dict(zip(job.checkpoint.state, held, strict=False))}"
    )


def test_9_only_each_workers_top_is_exchanged(flow: Flow) -> None:
    steps = lambda rows: count_by_key(rows).key_by("window_end").top(1, by="n")  # noqa: E731
    nodes = graph_of(flow(steps), workers=2).nodes
    final = next(node for node in nodes if node.label.startswith("final top"))
    assert nodes[final.edges[0].source].label.startswith("local top")
    assert final.edges[0].exchange == ("window_end",)


# -- 10. Windows are anchored at the epoch


@pytest.mark.parametrize(
    ("window", "time", "starts"),
    [
        (sf.tumbling("10s"), -1, [-10]),
        (sf.tumbling("10s"), -10 * SECOND, [-10]),
        (sf.tumbling("10s", offset="3s"), -8 * SECOND, [-17]),
        (sf.tumbling("10s", offset="3s"), 2 * SECOND, [-7]),
        (sf.sliding("10s", every="4s"), -1, [-8, -4]),
        (sf.sliding("10s", every="4s"), 0, [-8, -4, 0]),
        (sf.sliding("10s", every="4s"), 2 * SECOND, [-4, 0]),
        (sf.sliding("4s", every="10s"), -5 * SECOND, []),
        (sf.sliding("4s", every="10s"), -7 * SECOND, [-10]),
    ],
)
def test_10_windows_start_at_whole_steps_from_the_epoch_before_1970_too(
    run_batches: Batches, window: Any, time: int, starts: list[int]
) -> None:
    found, late = run_batches(lambda rows: rows.window(window).agg(n=sf.count()), [("a", 1, time)])
    assert ([row["window_start"] for row in found], late) == ([start * SECOND for start in starts], 0)


def test_10_rows_exactly_one_gap_apart_are_two_sessions(run_batches: Batches) -> None:
    steps = lambda rows: rows.window(sf.session("10s")).agg(n=sf.count())  # noqa: E731
    apart, _ = run_batches(steps, [("a", 1, -10 * SECOND), ("a", 1, 0)])
    together, _ = run_batches(steps, [("a", 1, -10 * SECOND + 1), ("a", 1, 0)])
    assert [row["n"] for row in apart] == [1, 1]
    assert [(row["window_start"], row["window_end"]) for row in together] == [(-10 * SECOND + 1, 10 * SECOND)]


# -- 11. The end of time is reserved


@pytest.mark.parametrize(
    "window",
    [sf.tumbling("10s"), sf.sliding("10s", every="4s"), sf.session("10s")],
    ids=["tumbling", "sliding", "session"],
)
@pytest.mark.parametrize("time", [MAX_TIME - 1, MIN_TIME + 1])
def test_11_windows_at_the_ends_of_time_do_not_wrap_around(run_batches: Batches, window: Any, time: int) -> None:
    found, late = run_batches(
        lambda rows: rows.window(window).agg(n=sf.count()), [("a", 1, time)], [("a", 1, 0)], bound="10m"
    )
    for row in found:
        assert row["window_start"] < row["window_end"]
    at_the_end = [row["n"] for row in found if row["window_start"] <= time < row["window_end"]]
    assert at_the_end
    assert set(at_the_end) == {1}
    assert (late > 0) == (time > 0)


def test_11_a_stop_does_not_send_the_end_of_time(tmp_path: Path) -> None:
    """Twenty seconds of rows: the window of the last one must not be published by a stop."""

    class Stopping(Ticking):
        def open(self, splits: Mapping[str, Position | None]) -> TickingReader:
            return StoppingReader(list(splits))

    class StoppingReader(TickingReader):
        def poll(self, max_rows: int) -> PollResult:
            if self._at == 20:
                os.kill(os.getpid(), signal.SIGINT)
            return super().poll(max_rows)

    flow = sf.Flow("ticks")
    ticks = flow.read("ticks", Stopping(["only"]), event_time=sf.from_epoch("t", "us"))
    count(ticks).write("out", jsonl.Sink(str(tmp_path / "out")))
    result = sf.run(flow)
    assert (result.stopped, result.published, result.rows_out) == (True, True, 2)


def test_11_the_end_of_a_split_is_not_the_end_of_time() -> None:
    class Ending(TickingReader):
        def poll(self, max_rows: int) -> PollResult:
            return Ended("a") if self._at == 20 else super().poll(max_rows)

    class Source(Ticking):
        def open(self, splits: Mapping[str, Position | None]) -> TickingReader:
            return Ending(list(splits))

    flow = sf.Flow("ticks")
    count(flow.read("ticks", Source(["a", "b"]), event_time=sf.from_epoch("t", "us"))).write("out", memory.Sink())
    job = InlineJob(graph_of(flow))
    for _ in range(100):
        if job.batches_read < 21:
            job.step()
    job.trigger_checkpoint()
    for _ in range(20):
        if not job._jump_clock():
            job.step()
    assert job.results()["out"].num_rows == 0, "split b has not shown a row"


def test_11_a_file_of_times_that_no_datetime_can_hold_is_read(tmp_path: Path, table: Table) -> None:
    pq.write_table(table([("a", 1, -(2**62)), ("a", 1, 2**62)]), tmp_path / "far.parquet")
    assert counted(parquet.Source(str(tmp_path / "far.parquet")), "t") == (0, 2)


def test_2_statistics_of_text_say_nothing_about_the_numbers_that_it_is_read_as(tmp_path: Path) -> None:
    pq.write_table(pa.table({"t": ["10", "9", "9"]}), tmp_path / "1.parquet", row_group_size=1)
    pq.write_table(pa.table({"t": ["100"]}), tmp_path / "2.parquet")
    source = parquet.Source(str(tmp_path), schema=pa.schema({"t": pa.int64()}))
    assert counted(source, sf.from_epoch("t", "s")) == (0, 4)
