"""Functions with `open()` and `close()`: once each, before and after all rows, whatever happens between."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.errors import DataError, StepError, UserError

ROWS = pa.table({"k": ["a", "b", "a"], "x": [1, 2, 3]})


class Doubled(NamedTuple):
    k: str
    x: int


class Log:
    """Notes what is called, and refuses rows unless it is open."""

    def __init__(self, calls: list[str], name: str = "log") -> None:
        self.calls = calls
        self.name = name
        self.is_open = False

    def open(self) -> None:
        assert not self.is_open
        self.is_open = True
        self.calls.append(f"open {self.name}")

    def close(self) -> None:
        assert self.is_open
        self.is_open = False
        self.calls.append(f"close {self.name}")

    def note(self) -> None:
        assert self.is_open
        if self.calls[-1] != self.name:
            self.calls.append(self.name)


class Double(Log):
    def __call__(self, x: int) -> int:
        self.note()
        return 2 * x


class Rows(Log):
    def __call__(self, k: str, x: int) -> Doubled:
        self.note()
        return Doubled(k, 2 * x)


class Twice(Log):
    def __call__(self, k: str, x: int) -> list[Doubled]:
        self.note()
        return [Doubled(k, x), Doubled(k, x)]


class Small(Log):
    def __call__(self, x: int) -> bool:
        self.note()
        return x < 3


class Batches(Log):
    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.note()
        return batch


class Scaled(Log):
    """By a factor that a partial gives."""

    def __call__(self, factor: int, x: int) -> int:
        self.note()
        return factor * x


class Total(sf.KeyedFunction):
    total = sf.cell(int, default=0)

    def __init__(self, log: Log) -> None:
        self.log = log

    def open(self) -> None:
        self.log.open()
        self.factor = 10

    def close(self) -> None:
        self.log.close()

    def on_row(self, k: str, x: int) -> Doubled:
        self.log.note()
        self.total += x * self.factor
        return Doubled(k, self.total)


class Sum(Log):
    """An aggregate."""

    result = pa.int64()
    partials: Mapping[str, pa.DataType] = {"sum": pa.int64()}

    def partial(self, ids: Any, count: int, column: pa.Array) -> dict[str, Any]:
        self.note()
        return {"sum": np.bincount(ids, column.to_numpy(), count).astype(np.int64)}

    def merge(self, ids: Any, count: int, partials: Mapping[str, pa.Array]) -> dict[str, Any]:
        return {"sum": np.bincount(ids, partials["sum"].to_numpy(), count).astype(np.int64)}

    def finish(self, partials: Mapping[str, pa.Array]) -> pa.Array:
        return partials["sum"]


def read(flow: sf.Flow) -> sf.Stream:
    return flow.read("rows", memory.Source(ROWS))


def steps(calls: list[str]) -> dict[str, Any]:
    """For each place that takes a function: the steps that have one there."""
    return {
        "filter": lambda rows: rows.filter(Small(calls)),
        "with_columns": lambda rows: rows.with_columns(y=Double(calls)),
        "expression": lambda rows: rows.with_columns(y=sf.fn(Double(calls))),
        "partial": lambda rows: rows.with_columns(y=partial(Scaled(calls), 3)),
        "record": lambda rows: rows.with_columns(Rows(calls)),
        "map": lambda rows: rows.map(Rows(calls)),
        "flat_map": lambda rows: rows.flat_map(Twice(calls)),
        "map_batches": lambda rows: rows.map_batches(Batches(calls)),
        "key_by": lambda rows: rows.key_by(bucket=Double(calls)).dedup(),
        "process": lambda rows: rows.key_by("k").process(Total(Log(calls)), ordered=False),
        "aggregate": lambda rows: rows.key_by("k").agg(y=sf.aggregate(Sum(calls), "x")),
    }


@pytest.mark.parametrize("place", list(steps([])))
def test_a_function_is_opened_before_rows_and_closed_after_them(place: str) -> None:
    for run in (sf.run, partial(sf.testing.run, workers=3, crashes=0)):
        calls: list[str] = []
        flow = sf.Flow("f")
        steps(calls)[place](read(flow)).write("out", memory.Sink())
        run(flow)
        assert calls == ["open log", "log", "close log"], place


def test_each_attempt_opens_and_closes_again() -> None:
    calls: list[str] = []
    flow = sf.Flow("f")
    read(flow).with_columns(y=Double(calls)).write("out", memory.Sink())
    rows = sf.testing.run(flow, seed=1, workers=2, crashes=2)["out"]
    assert sorted(rows["y"].to_pylist()) == [2, 4, 6]
    opened = [call for call in calls if call != "log"]
    assert opened == ["open log", "close log"] * (len(opened) // 2)


def test_one_object_in_two_places_is_opened_once_and_closing_is_in_reverse() -> None:
    calls: list[str] = []
    one, two = Double(calls, "one"), Double(calls, "two")
    flow = sf.Flow("f")
    rows = read(flow).with_columns(y=one).filter(col("y") > 0).with_columns(z=one, u=two)
    rows.write("out", memory.Sink())
    sf.run(flow)
    assert [call for call in calls if " " in call] == ["open one", "open two", "close two", "close one"]


class Failing(Double):
    def __call__(self, x: int) -> int:
        raise ZeroDivisionError("no")


class Unopened(Small):
    def open(self) -> None:
        raise OSError("no such model")


class Unclosed(Double):
    def close(self) -> None:
        super().close()
        raise OSError("lost")


@pytest.mark.parametrize("run", [sf.run, sf.testing.run])
def test_a_function_is_closed_when_a_row_fails(run: Any) -> None:
    calls: list[str] = []
    flow = sf.Flow("f")
    read(flow).with_columns(y=Failing(calls)).write("out", memory.Sink())
    with pytest.raises(DataError, match="raised ZeroDivisionError: no"):
        run(flow)
    assert calls == ["open log", "close log"]


@pytest.mark.parametrize("run", [sf.run, sf.testing.run])
def test_an_error_in_open_names_step_and_line_and_closes_those_before(run: Any) -> None:
    calls: list[str] = []
    flow = sf.Flow("f")
    rows = read(flow).with_columns(y=Double(calls, "one")).filter(Unopened(calls, "two")).step("scores")
    rows.write("out", memory.Sink())
    with pytest.raises(StepError, match=r"Unopened.open\(\) raised OSError: no such model") as caught:
        run(flow)
    assert caught.value.step == "scores"
    assert caught.value.location is not None
    assert caught.value.location.file == __file__
    assert calls == ["open one", "close one"]


def test_an_error_in_close_fails_the_job_and_does_not_hide_another() -> None:
    calls: list[str] = []
    flow = sf.Flow("f")
    read(flow).with_columns(y=Unclosed(calls)).step("scores").write("out", memory.Sink())
    with pytest.raises(StepError, match=r"Unclosed.close\(\) raised OSError: lost"):
        sf.run(flow)
    flow = sf.Flow("g")
    read(flow).with_columns(y=Unclosed(calls), z=Failing(calls, "bad")).write("out", memory.Sink())
    with pytest.raises(DataError, match="ZeroDivisionError"):
        sf.run(flow)
    assert calls[-2:] == ["close bad", "close log"]


class Early(sf.KeyedFunction):
    total = sf.cell(int, default=0)

    def open(self) -> None:
        self.total = 1

    def on_row(self, k: str, x: int) -> Doubled:
        return Doubled(k, x)


def test_open_must_not_set_a_cell() -> None:
    flow = sf.Flow("f")
    read(flow).key_by("k").process(Early(), ordered=False).write("out", memory.Sink())
    with pytest.raises(UserError, match=r"Early.open\(\) sets the cell 'total'"):
        sf.run(flow)


def test_a_class_or_a_function_without_either_is_left_alone() -> None:
    class Opened(NamedTuple):
        x: int

        def open(self) -> None: ...

    flow = sf.Flow("f")
    out = memory.Sink()
    read(flow).map(Opened).write("out", out)
    sf.run(flow)
    assert out.table().to_pylist() == [{"x": 1}, {"x": 2}, {"x": 3}]
