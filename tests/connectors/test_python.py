from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pytest
from streamflow_connectors import memory, python

import streamflow as sf
from streamflow.connect import DataError, Ended, Fatal, StreamflowError, UserError, Wait

ReadAll = Callable[..., pa.Table]
SCHEMA = pa.schema({"n": pa.int64(), "s": pa.string()})


@dataclass
class Row:
    n: int
    s: str | None = None


class Pair(NamedTuple):
    n: int
    s: str


def rows(count: int = 20) -> Iterator[dict[str, object]]:
    for n in range(count):
        yield {"n": n, "s": str(n)}


def test_rows_may_be_dicts_objects_and_whole_batches(read_all: ReadAll) -> None:
    def mixed() -> Iterator[object]:
        yield {"n": 1}
        yield Row(2, "b")
        yield Pair(3, "c")
        yield pa.table({"s": ["d", "e"], "n": [4, 5]})
        yield {"s": "f", "n": 6, "unknown": 1}

    expected = {"n": [1, 2, 3, 4, 5, 6], "s": [None, "b", "c", "d", "e", "f"]}
    for max_rows in (1, 2, 100):
        assert read_all(python.Source(mixed, Row), max_rows).to_pydict() == expected


def test_none_means_nothing_now_and_what_came_before_it_is_passed_on() -> None:
    def slowly() -> Iterator[dict[str, object] | None]:
        yield {"n": 1}
        yield None
        yield None
        yield {"n": 2}

    reader = python.Source(slowly, SCHEMA, poll_every="2s").open({"0": None})
    polled = [reader.poll(10) for _ in range(4)]
    parts = [part for found in polled if isinstance(found, list) for part in found]
    assert [part[1].to_pydict()["n"] for part in parts if isinstance(part, tuple)] == [[1], [2]]
    assert polled[1] == Wait(2.0)
    assert polled[3] == Ended("0")
    assert reader.poll(10) == []


def test_after_a_checkpoint_a_generator_is_refused_and_a_replayable_one_goes_on() -> None:
    with pytest.raises(Fatal, match=r"test_python\.rows cannot go on after its row 7") as raised:
        python.Source(rows, SCHEMA).open({"0": 7})
    assert raised.value.remedy is not None
    assert "replayable=True" in raised.value.remedy
    python.Source(rows, SCHEMA).open({"0": 0}).close()
    polled = python.Source(rows, SCHEMA, replayable=True).open({"0": 7}).poll(8)
    assert isinstance(polled, list)
    [part] = polled
    assert isinstance(part, tuple)
    assert part[1].to_pydict()["n"] == [7]


@pytest.mark.parametrize("seed", range(8))
def test_a_run_with_crashes_loses_and_doubles_nothing_or_stops(seed: int) -> None:
    def flow(*, replayable: bool) -> sf.Flow:
        made = sf.Flow("numbers")
        source = python.Source(rows, SCHEMA, replayable=replayable)
        made.read("numbers", source).filter(sf.col("n") > 2).write("out", memory.Sink())
        return made

    crashed = sf.testing.run(flow(replayable=True), seed=seed, workers=2, crashes=2)["out"]
    assert sorted(crashed["n"].to_pylist()) == list(range(3, 20))
    # Without the promise the run ends whole or stops: which of them, the seed decides.
    with suppress(Fatal):
        rest = sf.testing.run(flow(replayable=False), seed=seed, workers=2, crashes=2)["out"]
        assert sorted(rest["n"].to_pylist()) == list(range(3, 20))


def test_a_function_that_gives_no_rows_to_iterate_over_is_an_error_with_its_name() -> None:
    def forgot_to_yield() -> None:
        return None

    flow = sf.Flow("python")
    flow.read("rows", python.Source(forgot_to_yield, SCHEMA)).write("out", memory.Sink())  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"forgot_to_yield gave None, from which no rows can be taken") as raised:
        sf.run(flow)
    assert raised.value.step == "rows"
    assert raised.value.remedy is not None


def test_a_generator_is_closed_when_the_reader_is() -> None:
    ended = []

    def endless() -> Iterator[dict[str, object]]:
        try:
            while True:
                yield {"n": 1}
        finally:
            ended.append(True)

    reader = python.Source(endless, SCHEMA, bounded=False).open({"0": None})
    reader.poll(5)
    reader.close()
    assert ended == [True]


def test_a_batch_without_a_column_is_an_error() -> None:
    with pytest.raises(DataError, match=r"a batch of .* does not fit the schema"):
        python.Source(lambda: [pa.table({"n": [1]})], SCHEMA).open({"0": None}).poll(10)


def uneven() -> Iterator[object]:
    for n in range(0, 20, 2):
        yield {"n": n, "s": str(n)}
        yield {"n": "odd"} if n % 4 else n
    yield None
    yield pa.table({"n": ["20", "x", "22"], "s": ["", "", ""]})


def test_a_row_that_does_not_fit_is_an_error_with_its_number() -> None:
    flow = sf.Flow("uneven")
    flow.read("rows", python.Source(uneven, SCHEMA)).write("out", memory.Sink())
    with pytest.raises(DataError, match=r"0:2: a generator yielded a int, which is no row") as raised:
        sf.run(flow)
    assert raised.value.step == "rows"


@pytest.mark.parametrize("seed", range(8))
def test_rows_that_do_not_fit_are_rejected_one_by_one(seed: int) -> None:
    flow = sf.Flow("uneven")
    read = flow.read("rows", python.Source(uneven, SCHEMA, replayable=True), on_error="dead_letter")
    read.write("out", memory.Sink())
    flow.dead_letters().write("dead", memory.Sink())
    results = sf.testing.run(flow, seed=seed, workers=2, crashes=2)
    assert sorted(results["out"]["n"].to_pylist()) == list(range(0, 23, 2))
    letters = sorted((row["position"], row["payload"]) for row in results["dead"].to_pylist())
    odd = [(f"0:{n}", b"{'n': 'odd'}" if n % 4 == 0 else str(n - 2).encode()) for n in range(2, 21, 2)]
    assert letters == sorted([("0", b'{"n":"x","s":""}'), *odd])


def test_an_error_of_the_generator_names_the_read() -> None:
    def broken() -> Iterator[dict[str, object]]:
        yield {"n": 1}
        raise LookupError("the device is gone")

    flow = sf.Flow("broken")
    flow.read("device", python.Source(broken, SCHEMA)).write("out", memory.Sink())
    with pytest.raises(StreamflowError, match="the device is gone") as raised:
        sf.run(flow)
    assert raised.value.step == "device"


def test_what_was_given_is_shown_the_same_in_every_process() -> None:
    source = python.Source(functools.partial(rows, count=3), SCHEMA)
    assert repr(source).endswith("test_python.rows(count=3), columns=['n', 's'])")
    assert "0x" not in repr(python.Sink(print))


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(UserError, match="takes a function that gives rows, not a generator"):
        python.Source(rows(), SCHEMA)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="takes a function of a batch, not a list"):
        python.Sink([])  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no time to wait"):
        python.Source(rows, SCHEMA, poll_every="0s")


class Collected:
    def __init__(self) -> None:
        self.calls: list[object] = []

    def open(self) -> None:
        self.calls.append("open")

    def __call__(self, batch: pa.RecordBatch) -> None:
        self.calls += batch.to_pylist()

    def close(self) -> None:
        self.calls.append("close")


def test_a_function_sees_every_batch_between_open_and_close() -> None:
    function, plain = Collected(), list[pa.RecordBatch]()
    flow = sf.Flow("out")
    read = flow.read("rows", python.Source(functools.partial(rows, 2), SCHEMA))
    read.write("object", python.Sink(function))
    read.agg(n=sf.count()).write("function", python.Sink(plain.append))
    sf.run(flow)
    assert function.calls == ["open", {"n": 0, "s": "0"}, {"n": 1, "s": "1"}, "close"]
    assert plain[0].to_pydict() == {"change": ["insert"], "n": [2]}
