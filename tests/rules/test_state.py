"""Rules 27 and 31: state includes the watermark; key groups show in snapshots only."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import streamflow as sf
from streamflow import col
from streamflow.engine.split_time import SplitTime
from streamflow.engine.task import Task
from streamflow.kernels.aggregate import AggregateSpec
from streamflow.kernels.hashing import groups_of_worker, hash_columns, key_groups
from streamflow.kernels.windows import SlidingSlices
from streamflow.operators.base import Operator
from streamflow.operators.events import TIME, TIME_TYPE, Watermark
from streamflow.operators.running_aggregate import RunningAggregate
from streamflow.operators.session import SessionAggregate
from streamflow.operators.top import SessionTop, WindowTop
from streamflow.operators.window_aggregate import WindowAggregate
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise
from streamflow.runners.inline import InlineJob
from streamflow.state.chunk_log import ChunkLog
from streamflow.state.container import Snapshot
from streamflow.testing import final, splits

SECOND = 1_000_000
GROUPS = 128
ROWS = pa.schema([("k", pa.string()), ("v", pa.int64()), (TIME, TIME_TYPE)])
COUNT = (AggregateSpec("count", None, None, "n"),)

Table = Callable[..., pa.Table]
Flow = Callable[..., sf.Flow]

OPERATORS: dict[str, Callable[[], Operator]] = {
    "tumbling": lambda: WindowAggregate(("k",), SlidingSlices(10 * SECOND, 10 * SECOND), COUNT, ROWS),
    "session": lambda: SessionAggregate(("k",), 10 * SECOND, COUNT, ROWS),
    "top": lambda: WindowTop(("k",), SlidingSlices(10 * SECOND, 10 * SECOND), 100, (("v", True),), ROWS, "whole"),
    "session top": lambda: SessionTop(("k",), 10 * SECOND, 100, (("v", True),), ROWS),
}


def batch(rows: list[tuple[str, int]]) -> pa.RecordBatch:
    keys, times = zip(*rows, strict=True)
    values = pa.array(range(len(rows)), pa.int64())
    return pa.record_batch([pa.array(keys), values, pa.array(times, pa.int64()).view(TIME_TYPE)], schema=ROWS)


def snapshots(operator: Operator) -> dict[str, Snapshot]:
    list(operator.flush())
    return {name: container.snapshot(GROUPS) for name, container in operator.state().items()}


def restored(make: Callable[[], Operator], parts: list[dict[str, Snapshot]], worker: int, workers: int) -> Operator:
    operator = make()
    for name, container in operator.state().items():
        container.restore([part[name] for part in parts], groups_of_worker(worker, GROUPS, workers))
    return operator


def owned(worker: int, workers: int) -> str:
    """A key of this worker's groups."""
    keys = [f"key {i}" for i in range(1000)]
    of_key = key_groups(hash_columns([pa.array(keys)], len(keys)), GROUPS)
    return next(
        key for key, group in zip(keys, of_key, strict=True) if group in groups_of_worker(worker, GROUPS, workers)
    )


def rows_of(outputs: Any) -> int:
    return sum(output.num_rows for output in outputs if isinstance(output, pa.RecordBatch))


# -- 27. State includes the watermark


@pytest.mark.parametrize("name", OPERATORS)
def test_27_after_a_restore_a_row_is_judged_by_the_watermark_its_group_had(name: str) -> None:
    """Two workers, one at 100 s and one at 0, become one, which starts at the least time again."""
    make = OPERATORS[name]
    ahead, behind = make(), make()
    for worker, operator, time in ((0, ahead, 100 * SECOND), (1, behind, 0)):
        groups_of = operator.state()
        for container in groups_of.values():
            container.restore([], groups_of_worker(worker, GROUPS, 2))
        list(operator.on_watermark(Watermark(time)))
    both = restored(make, [snapshots(ahead), snapshots(behind)], 0, 1)
    list(both.on_watermark(Watermark(0)))
    list(both.on_batch(0, batch([(owned(0, 2), 5 * SECOND), (owned(1, 2), 5 * SECOND)])))
    assert both.late == 1, "the one whose group's windows had fired is late, the other is not"
    assert rows_of(both.on_watermark(Watermark(100 * SECOND))) == 1


@pytest.mark.parametrize("name", OPERATORS)
def test_27_the_step_own_watermark_judges_once_it_is_higher(name: str) -> None:
    make = OPERATORS[name]
    before = make()
    list(before.on_watermark(Watermark(50 * SECOND)))
    after = restored(make, [snapshots(before)], 0, 1)
    list(after.on_watermark(Watermark(100 * SECOND)))
    list(after.on_batch(0, batch([("a", 60 * SECOND)])))
    assert after.late == 1


@pytest.mark.parametrize("name", OPERATORS)
def test_27_the_count_of_late_pairs_survives_on_any_number_of_workers(name: str) -> None:
    make = OPERATORS[name]
    before = make()
    list(before.on_watermark(Watermark(50 * SECOND)))
    list(before.on_batch(0, batch([(key, 0) for key in "abcdef"])))
    after = [restored(make, [snapshots(before)], worker, 3) for worker in range(3)]
    assert sum(operator.late for operator in after) == 6


@pytest.mark.parametrize("workers", [1, 3])
def test_27_a_split_keeps_its_greatest_time_so_that_the_watermark_does_not_start_again(
    table: Table, flow: Flow, workers: int
) -> None:
    """The row behind the checkpoint is late by what was read before it."""
    steps = lambda rows: rows.key_by("k").window(sf.tumbling("10s")).agg(n=sf.count())  # noqa: E731
    graph = place(optimise(flow(steps).graph()), name="rule")
    source = table([("a", 1, 100 * SECOND), ("a", 1, 100 * SECOND), ("a", 1, 105 * SECOND)])
    flowing = flow(steps)
    results = [sf.testing.run(flowing, {"rows": source}, seed=seed, crashes=2, workers=workers) for seed in range(10)]
    assert {tuple(result["out"].column("n").to_pylist()) for result in results} == {(3,)}
    job = InlineJob(graph)
    while job.step():
        pass
    assert job.checkpoint is not None
    assert job.checkpoint.splits["rows"]["0"].ended


def test_27_the_watermark_of_a_restored_split_starts_where_it_was(table: Table, flow: Flow) -> None:
    graph = place(optimise(flow(lambda rows: rows.window(sf.tumbling("10s")).agg(n=sf.count())).graph()), name="rule")
    task = Task(graph, 0, 0, splits={0: {"a": {"rows": SplitTime(100 * SECOND)}}})
    task.on_rows(0, "a", table([("a", 1, 5)]).select(graph.nodes[0].schema.names).to_batches()[0])
    assert Watermark(100 * SECOND) in task.watermarks().values()


def test_27_positions_hold_the_greatest_event_time_of_each_split(table: Table) -> None:
    from streamflow_connectors import memory

    flow = sf.Flow("times")
    source = memory.Source(table([("a", 1, 30), ("a", 1, 20), ("a", 1, 10), ("a", 1, 5)]), splits=2)
    rows = flow.read("rows", source, event_time="t")
    rows.window(sf.tumbling("10s")).agg(n=sf.count()).write("out", memory.Sink())
    job = InlineJob(place(optimise(flow.graph()), name="times"))
    job.run()
    assert job.checkpoint is not None
    assert {name: dict(state.times) for name, state in job.checkpoint.splits["rows"].items()} == {
        "0": {"rows": SplitTime(30)},
        "1": {"rows": SplitTime(10)},
    }


@pytest.mark.parametrize("window", [sf.tumbling("10s"), sf.session("2s")], ids=["tumbling", "session"])
def test_27_no_window_fires_twice_and_every_pair_is_counted_or_late_after_restores(
    table: Table, flow: Flow, window: Any
) -> None:
    """Rows far too late, and workers whose watermarks differ when the job dies."""
    rng = random.Random(27)
    parts = [[(f"{rng.randrange(8)}", 1, rng.randrange(60) * SECOND) for _ in range(40)] for _ in range(4)]
    for seed in range(30):
        steps = lambda rows: rows.key_by("k").window(window).agg(n=sf.count())  # noqa: E731
        given = splits(*(table(part) for part in parts))
        results = sf.testing.run(flow(steps), {"rows": given}, workers=1 + seed % 4, crashes=3, seed=seed)
        out = results["out"]
        assert sum(out.column("n").to_pylist()) + sum(results.late.values()) == 160, seed
        if isinstance(window, type(sf.tumbling("1s"))):
            bounds = list(zip(out.column("k").to_pylist(), out.column("window_end").to_pylist(), strict=True))
            assert len(bounds) == len(set(bounds)), seed


# -- 31. Key groups are not in the hot path


def test_31_a_batch_of_many_groups_is_one_chunk() -> None:
    operator = OPERATORS["tumbling"]()
    list(operator.on_batch(0, batch([(f"{i}", 5) for i in range(10_000)])))
    list(operator.flush())
    log = operator.state()["slices"]
    assert isinstance(log, ChunkLog)
    assert [len(log.read(number)) for number in log.namespaces()] == [1]


ALL = OPERATORS | {"running": lambda: RunningAggregate(("k",), COUNT, ROWS)}


@pytest.mark.parametrize("name", ALL)
def test_31_a_snapshot_is_sorted_by_group_with_an_offset_for_each(name: str) -> None:
    operator = ALL[name]()
    list(operator.on_batch(0, batch([(f"{i}", i) for i in range(1000)])))
    found = snapshots(operator)
    for part in found.values():
        assert len(part.offsets) == GROUPS + 1
        assert part.offsets[0] == 0
        assert part.offsets[-1] == part.rows.num_rows
    rows = next(part for container, part in found.items() if container != "progress")
    place_of_key = max(0, rows.rows.schema.get_field_index("k"))  # the keyed table has names of its own
    groups = key_groups(hash_columns([rows.rows.column(place_of_key)], rows.rows.num_rows), GROUPS)
    assert rows.rows.num_rows == 1000
    assert (np.diff(groups.astype(np.int64)) >= 0).all()
    assert (np.searchsorted(groups, np.arange(GROUPS + 1)) == rows.offsets).all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (2, 5), (5, 2)])
def test_31_state_moves_by_ranges_of_groups_onto_any_number_of_workers(name: str, before: int, after: int) -> None:
    make = ALL[name]
    keys = [f"{i}" for i in range(500)]
    of_key = key_groups(hash_columns([pa.array(keys)], len(keys)), GROUPS)
    parts = []
    for worker in range(before):
        mine = [k for k, g in zip(keys, of_key, strict=True) if g in groups_of_worker(worker, GROUPS, before)]
        operator = make()
        for container in operator.state().values():
            container.restore([], groups_of_worker(worker, GROUPS, before))
        list(operator.on_batch(0, batch([(key, 1) for key in mine])))
        parts.append(snapshots(operator))
    for worker in range(after):
        operator = restored(make, parts, worker, after)
        groups = groups_of_worker(worker, GROUPS, after)
        mine = [k for k, g in zip(keys, of_key, strict=True) if g in groups]
        results = list(operator.on_batch(0, batch([(key, 2) for key in mine])))
        results += list(operator.on_watermark(Watermark(100 * SECOND)))
        found = pa.Table.from_batches([r for r in results if isinstance(r, pa.RecordBatch)])
        if name == "running":
            assert found.filter(pa.compute.equal(found.column("_change"), 2)).column("n").to_pylist() == [2] * len(mine)
        elif "top" in name:
            assert sorted(found.column("k").to_pylist()) == sorted(mine * 2)
        else:
            assert sorted(found.column("k").to_pylist()) == sorted(mine)
            assert found.column("n").to_pylist() == [2] * len(mine)


@pytest.mark.parametrize("groups", [1, 2, 7, 128, 1000])
@pytest.mark.parametrize("workers", [1, 3, 9])
def test_31_any_number_of_groups_gives_the_same_results(table: Table, flow: Flow, groups: int, workers: int) -> None:
    """Also fewer groups than workers, some of which then have no key."""
    steps = lambda rows: rows.key_by("k").agg(n=sf.count(), v=col("v").sum())  # noqa: E731
    given = splits(*(table([(f"{i % 5}", i, i) for i in range(start, 60, 2)]) for start in range(2)))
    out = sf.testing.run(flow(steps), {"rows": given}, workers=workers, key_groups=groups, crashes=1, seed=groups)[
        "out"
    ]
    found = {row["k"]: (row["n"], row["v"]) for row in final(out).to_pylist()}
    assert found == {f"{k}": (12, sum(range(k, 60, 5))) for k in range(5)}
