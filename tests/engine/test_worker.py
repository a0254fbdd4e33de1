"""Workers that exchange rows over the wire, in one process: whatever the order of things, results are the batch's."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamflow_connectors import memory, parquet

import streamflow as sf
from streamflow.cluster.coordinator import assign
from streamflow.connect.sink import TransactionalSink
from streamflow.engine.clock import ManualClock
from streamflow.engine.control import (
    Acknowledged,
    Completed,
    Declined,
    Deploy,
    Deployed,
    Failed,
    Finish,
    Finished,
    FromWorker,
    ReadEnded,
    Report,
    Trigger,
)
from streamflow.engine.reading import known_splits
from streamflow.engine.split_state import SplitState
from streamflow.engine.worker import Worker
from streamflow.errors import DataError, Retryable
from streamflow.operators.events import Barrier
from streamflow.plan.physical import PhysicalGraph
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise
from streamflow.state.store import StateFile
from streamflow.testing.stores import MemoryStore

TABLE = pa.table({"k": [f"{i % 7}" for i in range(500)], "t": pa.array(range(500), pa.int64())})
JOB = "5ca1ab1e"


class Pool:
    """The workers of one attempt, their network, and the least that a coordinator does. A seed decides the order."""

    def __init__(
        self,
        graph: PhysicalGraph,
        seed: int = 0,
        *,
        attempt: int = 1,
        store: MemoryStore | None = None,
        base: Mapping[int, Acknowledged] | None = None,
    ) -> None:
        self.graph = graph
        self.rng = random.Random(seed)
        self.store = MemoryStore() if store is None else store
        self.workers = [
            Worker(graph, n, store=self.store, clock=ManualClock(), max_rows=self.rng.choice([1, 30, 16_384]))
            for n in range(graph.workers)
        ]
        self.wires = {(a, b): bytearray() for a in range(graph.workers) for b in range(graph.workers) if a != b}
        self.said: list[tuple[int, FromWorker]] = []
        known: dict[str, Mapping[str, SplitState]] = {}
        parts = list((base or {}).values())
        for read in graph.reads():
            node = graph.nodes[read]
            states = {name: state for part in parts for name, state in part.splits[node.step].items()}
            known[node.step] = known_splits(graph, node, states)
        files: dict[str, list[StateFile]] = {}
        for part in parts:
            for address, found in part.state.items():
                files.setdefault(address, []).extend(found)
        for worker in self.workers:
            own = {
                step: {name: states[name] for name in assign(list(states), graph.workers)[worker.number]}
                for step, states in known.items()
            }
            worker.on_message(
                Deploy(attempt=attempt, job=JOB, splits=own, known=known, state=files, complete=0, peers={})
            )

    def turn(self) -> bool:
        """One thing that may happen next."""
        worker = self.rng.choice(self.workers)
        done = False
        match self.rng.randrange(4):
            case 0:
                for peer in range(self.graph.workers):
                    if peer != worker.number:
                        for piece in worker.links.outgoing(peer):
                            self.wires[worker.number, peer] += piece
                            done = True
            case 1:
                for (sender, receiver), wire in self.wires.items():
                    if receiver == worker.number and wire:
                        size = self.rng.randint(1, len(wire))
                        self.workers[receiver].on_data(sender, bytes(wire[:size]))
                        del wire[:size]
                        done = True
            case 2:
                while worker.writes:
                    worker.on_written(worker.writes.pop(0)())
            case _:
                done = worker.step()
        for one in self.workers:
            self.said += [(one.number, message) for message in one.taken()]
        return done

    def until(self, reached: Callable[[], bool]) -> None:
        for _ in range(200_000):
            if reached():
                return
            self.turn()
            failures = [message.error for _, message in self.said if isinstance(message, Failed)]
            if failures:
                raise failures[0]
        raise AssertionError(f"the workers stand still: {self.said[-5:]}")

    def count(self, kind: type[FromWorker]) -> int:
        return sum(isinstance(message, kind) for _, message in self.said)

    def checkpoint(self, number: int, *, final: bool = False) -> dict[int, Acknowledged]:
        for worker in self.workers:
            worker.on_message(Trigger(Barrier(number, final)))
        self.until(lambda: len(self.parts(number)) == len(self.workers))
        return self.parts(number)

    def parts(self, number: int) -> dict[int, Acknowledged]:
        """What was acknowledged of a checkpoint, by worker."""
        acknowledged = [(n, m) for n, m in self.said if isinstance(m, Acknowledged)]
        return {n: m for n, m in acknowledged if m.checkpoint == number}

    def commit(self, number: int, parts: Mapping[int, Acknowledged]) -> None:
        for work in self.graph.sinks().values():
            if isinstance(work.sink, TransactionalSink):
                committables = [one for part in parts.values() for found in part.committables.values() for one in found]
                work.sink.committer(JOB).commit(committables)
        for worker in self.workers:
            worker.on_message(Completed(number))

    def to_the_end(self, number: int) -> None:
        reads = len(self.graph.reads())
        self.until(lambda: self.count(ReadEnded) == reads * len(self.workers))
        self.commit(number, self.checkpoint(number, final=True))
        for worker in self.workers:
            worker.on_message(Finish())
        self.until(lambda: self.count(Finished) == len(self.workers))
        for worker in self.workers:
            worker.close()


def hot(workers: int, sink: object, *, splits: int = 3) -> PhysicalGraph:
    flow = sf.Flow("hot")
    rows = flow.read("rows", memory.Source(TABLE, splits=splits), event_time=sf.from_epoch("t", "s"))
    counts = rows.key_by("k").window(sf.sliding("60s", every="20s")).agg(n=sf.count())
    counts.key_by("window_end").top(2, by=["n", "k"]).write("top", sink)  # type: ignore[arg-type]
    return place(optimise(flow.graph()), name="hot", workers=workers)


def expected() -> list[object]:
    sink = memory.Sink()
    pool = Pool(hot(1, sink))
    pool.to_the_end(1)
    assert sink.table().num_rows > 20
    return in_order(sink.table())


def in_order(table: pa.Table) -> list[object]:
    return sorted(table.to_pylist(), key=str)


@pytest.mark.parametrize("seed", range(12))
def test_results_do_not_depend_on_workers_or_on_the_order_of_things(seed: int) -> None:
    sink = memory.Sink()
    pool = Pool(hot(1 + seed % 4, sink), seed)
    if seed % 2:
        pool.commit(1, pool.checkpoint(1))
    pool.to_the_end(2)
    assert in_order(sink.table()) == expected()


@pytest.mark.parametrize("seed", range(12))
def test_another_number_of_workers_goes_on_from_a_checkpoint(seed: int, tmp_path: Path) -> None:
    """What was prepared and not committed comes again in the next acknowledgement."""
    rng = random.Random(seed)
    sink = parquet.Sink(str(tmp_path / "out"), mode="append")
    store = MemoryStore()
    first = Pool(hot(rng.randint(1, 4), sink), seed, store=store)
    first.until(lambda: first.count(Deployed) == len(first.workers))
    for _ in range(rng.randrange(300)):
        first.turn()
    first.commit(1, first.checkpoint(1))
    for _ in range(rng.randrange(300)):
        first.turn()
    for worker in first.workers:
        worker.close()
    second = Pool(hot(rng.randint(1, 4), sink), seed + 1, attempt=2, store=store, base=first.parts(1))
    sink.committer(JOB).discard_unknown(set(), 2)
    second.to_the_end(2)
    assert in_order(pq.read_table(tmp_path / "out")) == expected()


def test_what_was_prepared_for_a_checkpoint_that_failed_is_part_of_the_next(tmp_path: Path) -> None:
    pool = Pool(hot(2, parquet.Sink(str(tmp_path / "out"), mode="append")), 3)
    pool.store.put = refuse  # type: ignore[method-assign]
    for worker in pool.workers:
        worker.on_message(Trigger(Barrier(1)))
    pool.until(lambda: pool.count(Declined) == 2)
    first = [worker._sinks.prepared(1) for worker in pool.workers if worker._sinks is not None]
    del pool.store.put
    second = pool.checkpoint(2)
    for before, part in zip(first, second.values(), strict=True):
        for step, committables in before.items():
            assert list(part.committables[step])[: len(committables)] == list(committables)


def refuse(path: str, data: bytes) -> None:
    raise Retryable("the store is away")


def test_an_error_of_a_function_ends_its_worker_and_is_told_with_its_step() -> None:
    def bad(k: str) -> str:
        raise ValueError(k)

    flow = sf.Flow("f")
    flow.read("rows", memory.Source(TABLE)).with_columns(x=bad).step("guess").write("out", memory.Sink())
    pool = Pool(place(optimise(flow.graph()), name="f", workers=2))
    with pytest.raises(DataError, match="ValueError: 0") as caught:
        pool.to_the_end(1)
    assert caught.value.step == "guess"


def test_a_read_waits_while_a_worker_takes_nothing() -> None:
    pool = Pool(hot(2, memory.Sink(), splits=2))
    fast = pool.workers[0]
    pool.until(lambda: pool.count(Deployed) == 2)
    while fast.step():
        pass
    report = fast.report()
    assert report.rows_in < TABLE.num_rows // 2 or not list(fast.links.outgoing(1))


def test_a_report_says_how_far_it_is() -> None:
    pool = Pool(hot(1, memory.Sink()))
    pool.until(lambda: pool.count(ReadEnded) == 1)
    report = pool.workers[0].report()
    assert (report.rows_in, report.greatest, report.late) == (500, 499_000_000, 0)
    assert isinstance(report, Report)
    assert report.turns > 0


@dataclass
class Seen:
    k: str
    n: int


class Count(sf.KeyedFunction):
    seen = sf.cell(int, default=0)

    def on_row(self, k: str) -> Iterator[Seen]:
        self.seen += 1
        yield Seen(k, self.seen)


def test_what_is_in_a_keyed_function_s_cells_goes_on_with_another_number_of_workers(tmp_path: Path) -> None:
    def graph(workers: int) -> PhysicalGraph:
        flow = sf.Flow("counted")
        rows = flow.read("rows", memory.Source(TABLE, splits=3), event_time=sf.from_epoch("t", "s"))
        rows.key_by("k").process(Count()).write("out", parquet.Sink(str(tmp_path / "out"), mode="append"))
        return place(optimise(flow.graph()), name="counted", workers=workers)

    store = MemoryStore()
    first = Pool(graph(3), 5, store=store)
    for _ in range(400):
        first.turn()
    first.commit(1, first.checkpoint(1))
    second = Pool(graph(2), 6, attempt=2, store=store, base=first.parts(1))
    second.to_the_end(2)
    counts = pq.read_table(tmp_path / "out").to_pylist()
    assert sorted(row["n"] for row in counts if row["k"] == "3") == list(range(1, 72))


@pytest.mark.parametrize("seed", range(8))
def test_rows_of_files_that_are_not_full_go_on_from_a_checkpoint(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    out = tmp_path / "out"
    sink = parquet.Sink(str(out), mode="append", roll=("100MB", "1h"))
    store = MemoryStore()
    first = Pool(hot(rng.randint(1, 4), sink), seed, store=store)
    for number in (1, 2):
        for _ in range(rng.randrange(300)):
            first.turn()
        first.commit(number, first.checkpoint(number))
    for worker in first.workers:
        worker.close()
    assert list(out.glob("*.parquet")) == []
    second = Pool(hot(rng.randint(1, 4), sink), seed + 1, attempt=2, store=store, base=first.parts(2))
    second.to_the_end(3)
    assert in_order(pq.read_table(out)) == expected()
