"""What a task does in which order, and how it pauses in between."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping

import pyarrow as pa
import pytest
from streamflow_connectors import memory

from streamflow.connect.source import BadRecord
from streamflow.engine.outputs import Aligned, TaskOutput, Write
from streamflow.engine.task import Task
from streamflow.errors import DataError, EngineError
from streamflow.operators.base import Output, Pause
from streamflow.operators.dead_letters import DEAD_LETTERS, Rejected
from streamflow.operators.events import Barrier, Batch, Watermark
from streamflow.plan.logical.policy import OnError
from streamflow.plan.physical import Deliver, Edge, PhysicalGraph, PhysicalNode, ReadSplits, Run, Work
from streamflow.state.container import Container

SCHEMA = pa.schema({"n": pa.int64()})


def rows(*values: int) -> Batch:
    return pa.record_batch({"n": values}, schema=SCHEMA)


class Told:
    """An operator that does as it is told, and tells what it was asked, and when what it sent had gone all the way."""

    late = 0

    def __init__(self, name: str, story: list[str], items: Callable[[Batch], Iterable[Output]], held: int = 0) -> None:
        self._name = name
        self._story = story
        self._items = items
        self._held = held

    def on_batch(self, port: int, batch: Batch) -> Iterator[Output]:
        self._story.append(f"{self._name} takes {batch.column('n').to_pylist()} at {port}")
        yield from self._items(batch)
        self._story.append(f"{self._name} is done")

    def on_watermark(self, watermark: Watermark) -> Iterable[Output]:
        self._story.append(f"{self._name} takes {watermark.time}")
        return (watermark,)

    def flush(self) -> Iterator[Output]:
        while self._held:
            self._held -= 1
            yield rows(-1)

    def state(self) -> Mapping[str, Container]:
        return {}


def same(batch: Batch) -> Iterable[Output]:
    return (batch,)


def one_by_one(batch: Batch) -> Iterable[Output]:
    return (batch.slice(row, 1) for row in range(batch.num_rows))


def node(number: int, work: Work, *edges: Edge, on_error: OnError = "fail", schema: pa.Schema = SCHEMA) -> PhysicalNode:
    return PhysicalNode(
        id=number,
        step=f"step {number}",
        label="",
        location=None,
        schema=schema,
        work=work,
        edges=edges,
        stage=0,
        on_error=on_error,
    )


READ = node(0, ReadSplits(memory.Source([], schema=SCHEMA), SCHEMA))


def task(*nodes: PhysicalNode, pause_after: int = 1 << 17) -> Task:
    graph = PhysicalGraph(name="told", workers=1, key_groups=8, nodes=(READ, *nodes))
    return Task(graph, 0, 0, pause_after=pause_after)


def sink(number: int, *edges: Edge, on_error: OnError = "fail", schema: pa.Schema = SCHEMA) -> PhysicalNode:
    return node(number, Deliver(memory.Sink(), schema, None), *edges, on_error=on_error)


def written(outputs: Iterable[TaskOutput]) -> list[int]:
    return [n for output in outputs if isinstance(output, Write) for n in output.batch.column(0).to_pylist()]


def test_what_follows_from_one_item_comes_before_the_operator_is_asked_for_the_next() -> None:
    story: list[str] = []
    cut, end = Told("cut", story, one_by_one), Told("end", story, same)
    made = task(node(1, Run(lambda: cut), Edge(0)), node(2, Run(lambda: end), Edge(1)), sink(3, Edge(2)))
    assert written(made.on_rows(0, "a", rows(1, 2))) == [1, 2]
    assert story == [
        "cut takes [1, 2] at 0",
        *("end takes [1] at 0", "end is done"),
        *("end takes [2] at 0", "end is done"),
        "cut is done",
    ]


def test_of_several_ways_the_first_is_gone_to_its_end_before_the_second_begins() -> None:
    """From the read to `both` through `first`, and at once: by way of the first node it is asked with all of it."""
    story: list[str] = []
    first, both = Told("first", story, one_by_one), Told("both", story, same)
    made = task(
        node(1, Run(lambda: first), Edge(0)), node(2, Run(lambda: both), Edge(1, 0), Edge(0, 1)), sink(3, Edge(2))
    )
    assert written(made.on_rows(0, "a", rows(1, 2))) == [1, 2, 1, 2]
    assert [told for told in story if "takes" in told] == ["first takes [1, 2] at 0"] + [
        f"both takes {text}" for text in ("[1] at 0", "[2] at 0", "[1, 2] at 1")
    ]


def test_it_pauses_after_so_many_rows_and_goes_on_where_it_was() -> None:
    cut = Told("cut", [], one_by_one)
    made = task(node(1, Run(lambda: cut), Edge(0)), sink(2, Edge(1)), pause_after=3)
    pieces = [written(outputs) for outputs in made.to_end(made.on_rows(0, "a", rows(*range(8))))]
    assert pieces == [[], [0, 1, 2], [3, 4, 5], [6, 7]]
    assert not made.pending


def test_it_pauses_where_an_operator_says_so_also_where_no_row_comes_out() -> None:
    story: list[str] = []
    long = Told("long", story, lambda batch: (Pause(), Pause(), batch))
    made = task(node(1, Run(lambda: long), Edge(0)), sink(2, Edge(1)))
    assert [written(outputs) for outputs in made.to_end(made.on_rows(0, "a", rows(1)))] == [[], [], [1]]


def test_what_a_watermark_fires_comes_before_the_watermark_over_all_pauses() -> None:
    class Firing(Told):
        def on_watermark(self, watermark: Watermark) -> Iterator[Output]:
            for number in range(3):
                yield rows(number)
                yield Pause()
            yield watermark

    story: list[str] = []
    firing, after = Firing("firing", story, same), Told("after", story, same)
    made = task(node(1, Run(lambda: firing), Edge(0)), node(2, Run(lambda: after), Edge(1)), sink(3, Edge(2)))
    assert [written(outputs) for outputs in made.to_end(made.on_read_ended(0))] == [[0], [1], [2], []]
    assert [told for told in story if "takes" in told] == [
        *(f"after takes [{number}] at 0" for number in range(3)),
        f"after takes {2**63 - 1}",
    ]


def test_nothing_else_is_taken_while_something_is_pending() -> None:
    cut = Told("cut", [], one_by_one)
    made = task(node(1, Run(lambda: cut), Edge(0)), sink(2, Edge(1)), pause_after=1)
    made.on_rows(0, "a", rows(1, 2, 3))
    assert made.pending
    calls: list[Callable[[], object]] = [
        lambda: made.on_rows(0, "a", rows(4)),
        lambda: made.on_trigger(Barrier(1)),
        lambda: made.on_read_ended(0),
        made.on_end,
    ]
    for call in calls:
        with pytest.raises(EngineError, match="before what was pending was done"):
            call()


def test_a_barrier_is_aligned_when_all_that_was_held_has_gone_out_and_nothing_is_pending() -> None:
    holds = Told("holds", [], same, held=5)
    made = task(node(1, Run(lambda: holds), Edge(0)), sink(2, Edge(1)), pause_after=2)
    pieces = []
    for outputs in made.to_end(made.on_trigger(Barrier(1))):
        pieces.append([type(output) for output in outputs])
        assert made.is_blocked(0) == made.pending
    assert pieces == [[Write, Write], [Write, Write], [Write, Aligned]]


def behind_exchange() -> Task:
    """The task of a sink that two workers send to."""
    out = dataclasses.replace(sink(1, Edge(0, exchange=("n",))), stage=1)
    return Task(PhysicalGraph(name="t", workers=2, key_groups=128, nodes=(READ, out)), 1, 0)


def test_a_newer_barrier_cancels_the_alignment_of_an_older_one() -> None:
    made = behind_exchange()
    first, second = made.channels
    assert made.on_event(first, Barrier(3)) == []
    assert made.is_blocked(first)
    assert made.on_event(second, Barrier(4)) == []
    assert not made.is_blocked(first)
    assert made.is_blocked(second)
    assert made.on_event(first, Barrier(4)) == [Aligned(Barrier(4))]
    assert not made.is_blocked(second)


def test_an_older_barrier_that_comes_late_is_ignored() -> None:
    made = behind_exchange()
    first, second = made.channels
    made.on_event(first, Barrier(4))
    assert made.on_event(second, Barrier(3)) == []
    assert not made.is_blocked(second)
    assert made.on_event(second, Barrier(4)) == [Aligned(Barrier(4))]
    assert made.on_event(first, Barrier(3)) == []
    assert not made.is_blocked(first)


def test_rows_that_a_sink_refuses_in_between_become_letters_before_the_barrier_is_aligned() -> None:
    class Letters(Told):
        """Holds the letters up to a flush."""

        def __init__(self) -> None:
            super().__init__("letters", [], same)
            self._letters: list[Batch] = []

        def on_batch(self, port: int, batch: Batch) -> Iterator[Output]:
            self._letters.append(batch)
            return iter(())

        def flush(self) -> Iterator[Output]:
            while self._letters:
                yield self._letters.pop()

    one, four = Told("one", [], same, held=1), Told("four", [], same, held=4)
    made = task(
        node(1, Run(lambda: one), Edge(0)),
        sink(2, Edge(1), on_error="dead_letter"),
        node(3, Run(Letters), Edge(2, letters=True), schema=DEAD_LETTERS),
        sink(4, Edge(3), schema=DEAD_LETTERS),
        node(5, Run(lambda: four), Edge(0)),
        sink(6, Edge(5)),
        pause_after=2,
    )
    first = made.on_trigger(Barrier(1))
    assert [output.node for output in first if isinstance(output, Write)] == [2, 6]
    assert made.on_refused(2, Rejected(rows(-1), (DataError("no"),))) == []
    rest = [output for outputs in made.to_end([]) for output in outputs]
    assert [output.node if isinstance(output, Write) else "aligned" for output in rest] == [6, 6, 6, 4, "aligned"]


def test_an_operator_between_two_items_is_asked_for_nothing_else_whatever_a_sink_refuses() -> None:
    story: list[str] = []

    class Flushed(Told):
        def flush(self) -> Iterator[Output]:
            story.append("flush")
            yield from ()

    cut = Flushed("cut", story, one_by_one)
    made = task(node(1, Run(lambda: cut), Edge(0)), sink(2, Edge(1), on_error="skip"), pause_after=1)
    made.on_rows(0, "a", rows(1, 2))
    made.resume()
    assert made.on_refused(2, Rejected(rows(1), (DataError("no"),))) == []
    for _ in made.to_end([]):
        pass
    assert story == ["cut takes [1, 2] at 0", "cut is done", "flush"]


def test_a_chain_may_be_longer_than_calls_may_nest() -> None:
    count = 500
    nodes = [node(i, Run(lambda: Told("one", [], same)), Edge(i - 1)) for i in range(1, count)]
    made = task(*nodes, sink(count, Edge(count - 1)))
    assert [n for outputs in made.to_end(made.on_rows(0, "a", rows(1, 2))) for n in written(outputs)] == [1, 2]


def test_without_anything_pending_refused_rows_become_letters_in_one_call() -> None:
    class Copies(Told):
        def on_batch(self, port: int, batch: Batch) -> Iterator[Output]:
            return iter([batch] * 5)

    copies = Copies("copies", [], same)
    made = task(
        sink(1, Edge(0), on_error="dead_letter"),
        node(2, Run(lambda: copies), Edge(1, letters=True), schema=DEAD_LETTERS),
        sink(3, Edge(2), schema=DEAD_LETTERS),
        pause_after=1,
    )
    assert len(made.on_refused(1, Rejected(rows(1), (DataError("no"),)))) == 5
    assert not made.pending


def test_an_error_between_two_items_names_its_step() -> None:
    def fails(batch: Batch) -> Iterator[Output]:
        yield batch
        raise DataError("no")

    made = task(node(1, Run(lambda: Told("fails", [], fails)), Edge(0)), sink(2, Edge(1)))
    with pytest.raises(DataError, match="no") as caught:
        made.on_rows(0, "a", rows(1))
    assert caught.value.step == "step 1"


def test_a_bad_record_is_the_reads_error() -> None:
    with pytest.raises(DataError, match="a:7: no") as caught:
        task(sink(1, Edge(0))).on_bad_record(0, BadRecord("a", "7", b"", "no"))
    assert caught.value.step == "step 0"
