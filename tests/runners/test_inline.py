"""The inline runner: a seed decides everything, and crashes lose and repeat nothing."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.engine.clock import ManualClock
from streamflow.errors import EngineError
from streamflow.plan.physical import PhysicalGraph
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise
from streamflow.runners.inline import InlineJob

TABLE = pa.table({"k": [f"{i % 7}" for i in range(500)], "t": pa.array(range(500), pa.int64())})


def graph(workers: int, *, splits: int = 3) -> PhysicalGraph:
    flow = sf.Flow("f")
    rows = flow.read("rows", memory.Source(TABLE, splits=splits), event_time=sf.from_epoch("t", "s"))
    counts = rows.key_by("k").window(sf.sliding("60s", every="20s")).agg(n=sf.count())
    counts.key_by("window_end").top(2, by="n").write("top", memory.Sink())
    rows.filter(col("k") == "3").write("threes", memory.Sink())
    return place(optimise(flow.graph()), name="f", workers=workers)


def trace(seed: int, workers: int) -> list[Any]:
    """Every batch that was committed, in order, and when checkpoints completed."""
    job = InlineJob(graph(workers), seed=seed, max_rows=50)
    seen: list[Any] = []
    steps = 0
    while job.step():
        steps += 1
        if steps % 40 == 0:
            job.trigger_checkpoint()
        if job.checkpoint is not None and (not seen or seen[-1] != (job.checkpoint.number, steps)):
            seen.append((job.checkpoint.number, steps))
    assert job.finished
    return [seen, [[batch.to_pydict() for batch in batches] for batches in job.committed.values()]]


@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_seed_gives_the_same_batches_in_the_same_order(workers: int) -> None:
    assert trace(7, workers) == trace(7, workers)


def test_another_seed_gives_another_order_and_the_same_rows() -> None:
    one, other = trace(1, 3), trace(2, 3)
    assert one[1] != other[1]

    def rows(found: list[Any]) -> list[list[str]]:
        return [sorted(f"{row}" for batch in batches for row in pa.table(batch).to_pylist()) for batches in found[1]]

    assert rows(one) == rows(other)


def test_nothing_is_committed_before_a_checkpoint_is_complete() -> None:
    job = InlineJob(graph(2), seed=3, max_rows=50)
    for _ in range(60):
        job.step()
    assert all(not batches for batches in job.committed.values())
    job.trigger_checkpoint()
    while job.checkpoint is None:
        job.step()
    assert any(job.committed.values())


def test_a_checkpoint_taken_at_every_step_leaves_the_results_alone() -> None:
    whole = InlineJob(graph(2), seed=3, max_rows=50)
    whole.run()
    often = InlineJob(graph(2), seed=4, max_rows=50)
    while often.step():
        often.trigger_checkpoint()
    for name, table in whole.results().items():
        assert sorted(map(str, table.to_pylist())) == sorted(map(str, often.results()[name].to_pylist()))


@pytest.mark.parametrize("crash_at", range(5, 200, 13))
def test_a_crash_at_any_step_loses_and_repeats_nothing(crash_at: int) -> None:
    whole = InlineJob(graph(1), max_rows=50)
    whole.run()
    job = InlineJob(graph(3), seed=crash_at, max_rows=50)
    for step in range(crash_at):
        if step % 9 == 0:
            job.trigger_checkpoint()
        job.step()
    before = job.results()
    job.close()
    again = InlineJob(graph(1 + crash_at % 4), seed=1, checkpoint=job.checkpoint, max_rows=50)
    again.run()
    for name, table in whole.results().items():
        found = before[name].to_pylist() + ([] if job.finished else again.results()[name].to_pylist())
        assert sorted(map(str, found)) == sorted(map(str, table.to_pylist()))


def test_a_job_restored_from_its_final_checkpoint_finishes_and_gives_nothing_more() -> None:
    job = InlineJob(graph(2))
    job.run()
    assert job.checkpoint is not None
    again = InlineJob(graph(3), checkpoint=job.checkpoint)
    again.run()
    assert all(table.num_rows == 0 for table in again.results().values())


class Silent:
    """Unbounded, without a split or with one that never has a row."""

    bounded = False

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def schema(self) -> pa.Schema:
        return pa.schema({"t": pa.int64()})

    def splits(self) -> list[str]:
        return self._names

    def open(self, splits: Any) -> Any:
        raise AssertionError("there is nothing to open")


def test_a_job_that_can_never_go_on_says_so() -> None:
    flow = sf.Flow("f")
    flow.read("rows", Silent([])).write("out", memory.Sink())
    job = InlineJob(place(optimise(flow.graph()), name="f", workers=2), clock=ManualClock())
    with pytest.raises(EngineError, match="stands still"):
        job.run()


@pytest.mark.parametrize("workers", [1, 2, 5, 8])
@pytest.mark.parametrize("splits", [1, 2, 7])
def test_more_workers_than_splits_and_more_splits_than_workers(workers: int, splits: int) -> None:
    job = InlineJob(graph(workers, splits=splits), seed=workers)
    job.run()
    assert job.results()["threes"].num_rows == 71
    assert job.late() == {}
