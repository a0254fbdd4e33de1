"""Rules 4 and 5: a split far ahead waits for the slow ones, which changes what is kept and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeAlias

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamflow_connectors import datagen, memory

import streamflow as sf
from streamflow import col
from streamflow.connect import PollResult, Position, Wait
from streamflow.engine.outputs import Aligned
from streamflow.engine.reading import OpenRead, discover, split_states
from streamflow.engine.task import Task
from streamflow.errors import UserError
from streamflow.operators.events import Barrier
from streamflow.plan.explain import explain
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise
from streamflow.testing import advance, assert_rows, splits

SECOND = 1_000_000
MINUTE = 60 * SECOND
SCHEMA = pa.schema([("k", pa.string()), ("v", pa.int64()), ("t", pa.timestamp("us", "UTC"))])

Flows: TypeAlias = "Callable[..., sf.Flow]"


def counts(rows: sf.Stream) -> sf.Stream:
    return rows.key_by("k").window(sf.tumbling("10s")).agg(n=sf.count(), total=col("v").sum())


def rows_of(name: str, steps: list[tuple[int, int]]) -> list[Any]:
    """Rows at (silence in seconds, step of event time in seconds) after the one before, never going back."""
    rows: list[Any] = []
    time = 0
    for silence, passed in steps:
        time += passed * SECOND
        rows += [advance(f"{silence}s")] if silence else []
        rows.append({"k": "ab"[time % 2], "v": len(rows), "t": time})
    return rows


Steps = st.lists(st.tuples(st.sampled_from([0, 0, 0, 5]), st.sampled_from([0, 1, 7, 60, 3600])), max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    parts=st.lists(Steps, min_size=1, max_size=4),
    align=st.sampled_from(["1us", "1s", "10s", "1h", "1000d"]),
    seed=st.integers(0, 2**31),
    workers=st.sampled_from([1, 2]),
    crashes=st.integers(0, 2),
)
def test_5_results_are_the_same_with_any_alignment_and_without(
    flow: Flows, parts: list[list[tuple[int, int]]], align: str, seed: int, workers: int, crashes: int
) -> None:
    rows = {"rows": splits(*(rows_of(str(number), steps) for number, steps in enumerate(parts)))}
    plain = sf.testing.run(flow(counts), rows)
    aligned = sf.testing.run(flow(counts, align=align), rows, seed=seed, workers=workers, crashes=crashes)
    assert_rows(aligned["out"], plain["out"].to_pylist())
    assert aligned.late == plain.late == {}


class Job:
    """A read of one worker with its task, polled by hand."""

    def __init__(self, flow: sf.Flow, at: Mapping[str, Any] | None = None) -> None:
        self.graph = place(optimise(flow.graph()), name="job")
        [read] = self.graph.reads()
        node = self.graph.nodes[read]
        states = dict(at) if at else split_states(discover(self.graph, node), {})
        self.task = Task(self.graph, 0, 0, splits={read: {name: s.times for name, s in states.items()}})
        self.read = OpenRead(self.graph, node, self.task, states)
        list(self.read.start())

    def spreads(self, max_rows: int) -> Iterator[int]:
        """After every poll: how far in event time the greatest row lies ahead of the watermark's split."""
        while not self.read.ended:
            list(self.read.poll(max_rows, 0))
            states = self.read.states()
            times = [state.times["rows"].greatest for state in states.values() if state.times and not state.ended]
            if len(times) == len(states):
                yield max(times) - min(times)


def fast_and_slow(steps: tuple[int, ...], rows: int) -> pa.Table:
    """A split for each step of time, in seconds, one after the other."""
    times = [step * SECOND * row for step in steps for row in range(rows)]
    return pa.table([["k"] * len(times), [0] * len(times), pa.array(times).view(SCHEMA[2].type)], schema=SCHEMA)


def reading(source: Any, **watermark: Any) -> sf.Flow:
    flow = sf.Flow("job")
    rows = flow.read("rows", source, event_time="t", watermark=sf.monotonic(**watermark))
    rows.window(sf.tumbling("10s")).agg(n=sf.count()).write("out", memory.Sink())
    return flow


@pytest.mark.parametrize("rows_a_poll", [1, 5, 16])
def test_5_a_split_is_ahead_by_the_bound_and_one_batch_at_most(rows_a_poll: int) -> None:
    source = memory.Source(fast_and_slow((1, 60, 10), 100), splits=3)
    spread = max(Job(reading(source, align="2m")).spreads(rows_a_poll))
    assert 2 * MINUTE < spread <= 2 * MINUTE + rows_a_poll * MINUTE
    assert max(Job(reading(source)).spreads(rows_a_poll)) > 80 * MINUTE


def test_5_it_is_counted_from_the_bound_of_lateness_alike_for_all() -> None:
    flow = sf.Flow("job")
    late = sf.bounded_out_of_orderness("1h", align="2m")
    source = memory.Source(fast_and_slow((1, 60), 100), splits=2)
    rows = flow.read("rows", source, event_time="t", watermark=late)
    rows.window(sf.tumbling("10s")).agg(n=sf.count()).write("out", memory.Sink())
    assert 2 * MINUTE < max(Job(flow).spreads(1)) <= 3 * MINUTE


@pytest.mark.parametrize("rate", [None, 1e9])
def test_5_generated_rows_can_wait_also_at_a_rate(rate: float | None) -> None:
    columns = {"t": datagen.timestamps("2026-03-01T12:00:00Z", every="1m")}
    job = Job(reading(datagen.Source(columns, 40, splits=2, rate=rate), align="90s"))
    turns, now = set(), 0
    while not job.read.ended:
        now += SECOND
        list(job.read.poll(3, now))
        turns.add(job.read.paused)
    assert turns == {frozenset(), frozenset("0"), frozenset("1")}
    assert sum(job.task.counters()[read].rows_out for read in job.graph.reads()) == 40


def test_5_a_split_that_has_shown_nothing_yet_holds_the_others_until_it_is_idle() -> None:
    job = Job(reading(Quiet(), idle="30s", align="1m"))
    list(job.read.poll(10, 0))
    assert job.read.paused == {"busy"}
    list(job.read.poll(10, SECOND))
    assert job.read.wakes_at == 31 * SECOND, "the reader would sleep for an hour"
    list(job.read.poll(10, 31 * SECOND))
    assert job.read.paused == frozenset()
    assert job.read.wakes_at is None, "there are rows to read"


def test_5_a_paused_split_passes_barriers_and_its_position_is_part_of_the_checkpoint() -> None:
    job = Job(reading(Quiet(), align="1m"))
    list(job.read.poll(10, 0))
    assert job.read.paused == {"busy"}
    assert job.task.on_trigger(Barrier(1)) == [Aligned(Barrier(1))]
    assert job.read.states()["busy"].position == 1


def test_5_after_a_restore_the_slowest_split_is_read_first_and_never_paused() -> None:
    source = memory.Source(fast_and_slow((1, 60), 100), splits=2)
    before = Job(reading(source, align="2m"))
    for _ in range(20):
        list(before.read.poll(3, 0))
    restored = Job(reading(source, align="2m"), before.read.states())
    assert restored.read.paused == {"1"}
    assert max(restored.spreads(1)) <= 6 * MINUTE


def test_5_two_event_times_of_one_read_do_not_wait_for_one_another() -> None:
    """Each split is the slowest by one of its times."""
    times = [(0, 9), (1, 9), (2, 9), (9, 0), (9, 1), (9, 2)]
    table = pa.table(
        {name: pa.array([t[i] * MINUTE for t in times]).view(SCHEMA[2].type) for i, name in enumerate("ab")}
    )
    flow = sf.Flow("two")
    rows = flow.read("rows", memory.Source(table.to_batches(1), splits=2), event_time="a")
    aligned = sf.monotonic(align="1m")
    streams = [rows.with_event_time(name, watermark=aligned).step(name) for name in "ab"]
    counted = [s.window(sf.tumbling("1m")).agg(n=sf.count()) for s in streams]
    counted[0].union(counted[1]).write("out", memory.Sink())
    job = Job(flow)
    for _ in range(20):
        if not job.read.ended:
            list(job.read.poll(1, 0))
    assert job.read.ended


def test_5_a_split_does_not_wait_for_one_that_has_ended() -> None:
    """The first split ends at 9 s, the others go on to a quarter of an hour."""
    source = memory.Source(fast_and_slow((1, 100, 110), 10), splits=3)
    job = Job(reading(source, align="1m"))
    for _ in range(60):
        if not job.read.ended:
            list(job.read.poll(1, 0))
    assert job.read.ended


def test_4_a_split_that_waits_for_others_does_not_become_idle() -> None:
    job = Job(reading(Quiet(again=10), idle="30s", align="1m"))
    for second in range(0, 31, 10):
        list(job.read.poll(10, second * SECOND))
        assert job.read.paused == {"busy"}
    list(job.read.poll(10, 40 * SECOND))
    assert job.read.paused == frozenset(), "the quiet split is idle by now"
    assert not any(watermark.idle for watermark in job.task.watermarks().values())


class Quiet:
    """A busy split with three rows an hour apart, and one that has nothing: the reader says when to ask again."""

    bounded = False

    def __init__(self, again: float = 3600) -> None:
        self._again = again

    def schema(self) -> pa.Schema:
        return SCHEMA

    def splits(self) -> list[str]:
        return ["busy", "quiet"]

    def open(self, splits: Mapping[str, Position | None]) -> QuietReader:
        return QuietReader(self._again)


class QuietReader:
    def __init__(self, again: float) -> None:
        self._again = again
        self._given = 0
        self._paused: Collection[str] = ()

    def poll(self, max_rows: int) -> PollResult:
        if "busy" in self._paused or self._given == 3:
            return Wait(self._again)
        self._given += 1
        row = {"k": "b", "v": 1, "t": self._given * 60 * MINUTE}
        return [("busy", pa.RecordBatch.from_pylist([row], schema=SCHEMA))]

    def pause(self, splits: Collection[str]) -> None:
        self._paused = splits

    def positions(self) -> Mapping[str, Position]:
        return {"busy": self._given, "quiet": 0}

    def committed(self, positions: Mapping[str, Position]) -> None: ...

    def close(self) -> None: ...


def test_4_silence_counts_only_while_somebody_listens() -> None:
    """Ten minutes pass in which the reader wants to be polled and the engine is busy elsewhere."""
    job = Job(reading(Quiet(again=20), idle="30s"))
    for _ in range(4):
        list(job.read.poll(10, 0))
    assert job.read.wakes_at == 20 * SECOND
    list(job.read.poll(10, 620 * SECOND))
    assert job.read.wakes_at == 630 * SECOND, "silent for 20 s, as far as anybody knows"
    list(job.read.poll(10, 630 * SECOND))
    assert job.task.idle_at(job.read.node.id) is None, "both are idle now"


def test_the_plan_says_that_splits_wait(flow: Flows) -> None:
    made = flow(counts, idle="30s", align="1m")
    said = "a split is idle after 30s, a split more than 1m ahead waits for the slowest"
    assert said in " ".join(explain(made.graph()).replace("│", " ").split())


def test_where_no_split_is_known_none_can_wait() -> None:
    flow = sf.Flow("behind")
    rows = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="t")
    counted = rows.window(sf.tumbling("10s")).agg(n=sf.count())
    again = counted.with_event_time("window_start", watermark=sf.monotonic(align="1m"))
    again.window(sf.tumbling("20s")).agg(n=sf.count()).write("out", memory.Sink())
    with pytest.raises(UserError, match="align= lets a split wait for others, and here no split is known"):
        sf.run(flow)


def test_a_bound_must_be_a_positive_time() -> None:
    with pytest.raises(UserError, match="align"):
        sf.bounded_out_of_orderness("1s", align="0s")
