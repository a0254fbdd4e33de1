"""Every kind of step that may be unable to process a row, under every policy, on some workers, through crashes.

The oracle is conservation: what good rows become is what they become where there are no bad ones; each bad row is in
exactly one of {counted as skipped, dead letters}; and a job that is to fail names the step and the user's line.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.errors import StreamflowError
from streamflow.plan.compile import _FAILING

COUNT = 60
BAD = [n for n in range(COUNT) if n % 10 == 3]
UTC_TIME = pa.timestamp("us", "UTC")
LAST = 2**63 - 1

Step = Callable[[Any], Any]


@dataclass(frozen=True)
class Kind:
    """A step over rows with a column `v`, `good` or, in some rows, `bad`; `timed`: rows have an event time.

    `functions`: what it tries of those that the compiler knows to fail.
    """

    type: pa.DataType
    good: Any
    bad: Any
    step: Step
    timed: bool = False
    functions: tuple[str, ...] = ()


class Made(NamedTuple):
    n: int
    made: str


def fine(v: int) -> int:
    return 1 // v


def is_fine(v: int) -> bool:
    return 1 // v > 0


def record(n: int, v: int) -> Made:
    return Made(n, str(1 // v))


def records(n: int, v: int) -> Iterator[Made]:
    yield Made(n, "first")
    yield Made(n, str(1 // v))


def undeclared(v: int) -> int:
    return v or "zero"  # type: ignore[return-value]


def batch(rows: pa.RecordBatch) -> pa.RecordBatch:
    if 0 in rows["v"].to_pylist():
        raise ValueError("a zero")
    return rows


class Running(sf.KeyedFunction):
    """All kinds of cells, changed before it raises."""

    rows = sf.cell(int, default=0)
    seen = sf.list_cell(int)
    by_value = sf.map_cell(int, int)
    last = sf.cell(int, default=0, ttl="1h")

    def on_row(self, n: int, v: int) -> Iterator[Made]:
        self.rows += 1
        self.seen.append(n)
        self.by_value[v] = self.by_value.get(v, 0) + 1
        self.last = n
        yield Made(n, "dropped with the row, if it is")
        yield Made(n, f"{1 // v} {self.rows} {self.seen} {self.by_value} {self.last}")


class Undeclared(sf.KeyedFunction):
    rows = sf.cell(int, default=0)

    def on_row(self, n: int, v: int) -> Made:
        self.rows += 1
        return Made(n, str(self.rows) if v else 0)  # type: ignore[arg-type]


class Timed(sf.KeyedFunction):
    """Sets its timer before it raises."""

    rows = sf.cell(int, default=0)
    quiet = sf.timer()

    def on_row(self, n: int, v: int, at: datetime) -> Made:
        self.rows += 1
        self.quiet.set(at + timedelta(seconds=7 if v else 1))
        return Made(n, str(1 // v))

    def on_quiet(self, _time: int) -> Made:
        return Made(self.rows, str(_time))


class Inverses:
    """An aggregate of the user's own that does not take a zero."""

    partials: Mapping[str, pa.DataType] = {"sum": pa.int64()}
    result = pa.int64()

    def partial(self, ids: Any, count: int, v: pa.Array) -> Mapping[str, Any]:
        if 0 in v.to_pylist():
            raise ZeroDivisionError("a zero")
        total = np.zeros(count, np.int64)
        np.add.at(total, ids, 1 // v.to_numpy())
        return {"sum": total}

    def merge(self, ids: Any, count: int, partials: Mapping[str, pa.Array]) -> Mapping[str, Any]:
        total = np.zeros(count, np.int64)
        np.add.at(total, ids, partials["sum"].to_numpy())
        return {"sum": total}

    def finish(self, partials: Mapping[str, pa.Array]) -> pa.Array:
        return partials["sum"]


@dataclass(frozen=True)
class Days:
    """An assigner that has no window for the times before 1970."""

    def assign(self, times: Any) -> tuple[Any, Any]:
        if (times < 0).any():
            raise ValueError("a time before there were shifts")
        starts = times // 10_000_000 * 10_000_000
        return starts, starts + 10_000_000


def made(expr: Any) -> Step:
    return lambda rows: rows.with_columns(made=expr)


def own(window: Any) -> Step:
    return lambda rows: rows.key_by("k").window(window).agg(made=sf.aggregate(Inverses(), "v"))


TEXT, INT, DECIMAL = pa.string(), pa.int64(), pa.decimal128(38, 0)
NINES = Decimal("9" * 38)
ZONE = "Europe/Berlin"
KINDS: dict[str, Kind] = {
    # expressions
    "text to int": Kind(TEXT, "7", "x", made(col("v").cast(int))),
    "text to float": Kind(TEXT, "7.5", "1,5", made(col("v").cast(float))),
    "text to bool": Kind(TEXT, "true", "maybe", made(col("v").cast(bool))),
    "text to date": Kind(TEXT, "2024-02-29", "2023-02-29", made(col("v").cast(date))),
    "text to time": Kind(TEXT, "2024-02-29T12:00:00Z", "noon", made(col("v").cast(datetime))),
    "text to decimal": Kind(TEXT, "7.5", "x", made(col("v").cast(pa.decimal128(5, 2)))),
    "int to a narrower int": Kind(INT, 7, 300, made(col("v").cast(pa.int8()))),
    "int to an unsigned int": Kind(INT, 7, -1, made(col("v").cast(pa.uint64()))),
    "int to decimal": Kind(INT, 7, 10**6, made(col("v").cast(pa.decimal128(5, 2)))),
    "float to int": Kind(pa.float64(), 7.0, float("nan"), made(col("v").cast(int))),
    "decimal to a narrower one": Kind(DECIMAL, Decimal(7), NINES, made(col("v").cast(pa.decimal128(5, 2)))),
    "+": Kind(INT, 7, LAST, made(col("v") + 1), functions=("add",)),
    "-": Kind(INT, 7, -LAST, made(col("v") - 2), functions=("sub",)),
    "*": Kind(INT, 7, LAST, made(col("v") * 2), functions=("mul",)),
    "//": Kind(INT, 7, -LAST - 1, made(col("v") // -1), functions=("floordiv",)),
    "**": Kind(INT, 7, LAST, made(col("v") ** 2), functions=("pow",)),
    "negation": Kind(INT, 7, -LAST - 1, made(-col("v")), functions=("neg",)),
    "abs": Kind(INT, 7, -LAST - 1, made(col("v").abs()), functions=("abs",)),
    "replace_strict": Kind(INT, 7, 8, made(col("v").replace_strict({7: "seven"})), functions=("replace_strict",)),
    "list.sum": Kind(pa.list_(INT), [1, 2], [LAST, 1], made(col("v").list.sum()), functions=("list.sum",)),
    "from_epoch": Kind(INT, 7, LAST, made(sf.from_epoch("v", "s")), functions=("from_epoch",)),
    "to_datetime": Kind(
        TEXT, "1.2.2024", "30.2.2024", made(col("v").str.to_datetime("%d.%m.%Y")), functions=("str.to_datetime",)
    ),
    "to_integer": Kind(TEXT, "ff", "xyz", made(col("v").str.to_integer(base=16)), functions=("str.to_integer",)),
    "truncate": Kind(INT, 7, -LAST, made(col("v").cast(UTC_TIME).dt.truncate("1h")), functions=("dt.truncate",)),
    "offset_by": Kind(INT, 7, LAST - 1, made(col("v").cast(UTC_TIME).dt.offset_by("1h")), functions=("dt.offset_by",)),
    "month_start": Kind(INT, 7, -LAST, made(col("v").cast(UTC_TIME).dt.month_start()), functions=("dt.month_start",)),
    "a zone": Kind(INT, 7, LAST - 1, made(col("v").cast(UTC_TIME).dt.hour(tz=ZONE))),
    "a branch": Kind(TEXT, "7", "x", made(sf.when(col("n") >= 0).then(col("v").cast(int)).otherwise(0))),
    # row functions and batch functions
    "filter by an expression": Kind(TEXT, "7", "x", lambda rows: rows.filter(col("v").cast(int) > 0)),
    "filter by a function": Kind(INT, 1, 0, lambda rows: rows.filter(is_fine)),
    "a column by a function": Kind(INT, 1, 0, made(fine)),
    "columns by a function": Kind(INT, 1, 0, lambda rows: rows.with_columns(record)),
    "another type than declared": Kind(INT, 1, 0, made(undeclared)),
    "map": Kind(INT, 1, 0, lambda rows: rows.map(record)),
    "flat_map": Kind(INT, 1, 0, lambda rows: rows.flat_map(records)),
    "map_batches": Kind(INT, 1, 0, lambda rows: rows.map_batches(batch)),
    # event time
    "event time of a stream": Kind(UTC_TIME, 1, None, lambda rows: rows.with_event_time("v")),
    "event time out of range": Kind(INT, 1, LAST, lambda rows: rows.with_event_time(sf.from_epoch("v", "s"))),
    # keys and arguments
    "a computed key": Kind(TEXT, "7", "x", lambda rows: rows.key_by(key=col("v").cast(int)).agg(n=sf.count())),
    "an argument": Kind(TEXT, "7", "x", lambda rows: rows.key_by("k").agg(made=col("v").cast(int).sum())),
    "an argument in a window": Kind(
        TEXT, "7", "x", lambda rows: rows.window(sf.tumbling("20s")).agg(made=col("v").cast(int).max()), timed=True
    ),
    # keyed functions
    "process": Kind(INT, 1, 0, lambda rows: rows.key_by("k").process(Running()), timed=True),
    "process, another type": Kind(INT, 1, 0, lambda rows: rows.key_by("k").process(Undeclared()), timed=True),
    "process with timers": Kind(INT, 1, 0, lambda rows: rows.key_by("k").process(Timed()), timed=True),
    # aggregates of one's own
    "aggregate": Kind(INT, 1, 0, lambda rows: rows.key_by("k").agg(made=sf.aggregate(Inverses(), "v"))),
    "aggregate in windows": Kind(INT, 1, 0, own(sf.tumbling("20s")), timed=True),
    "aggregate in sliding windows": Kind(INT, 1, 0, own(sf.sliding("20s", every="10s")), timed=True),
    "aggregate in sessions": Kind(INT, 1, 0, own(sf.session("4s")), timed=True),
    "aggregate in windows of rows": Kind(INT, 1, 0, own(sf.count_window(4)), timed=True),
    "windows of one's own": Kind(
        UTC_TIME,
        1,
        -1,
        lambda rows: (
            rows.with_event_time("v", watermark=sf.bounded_out_of_orderness("1h"))
            .key_by("k")
            .window(Days())
            .agg(made=sf.count())
        ),
    ),
}


def table(kind: Kind, numbers: list[int]) -> pa.Table:
    values = pa.array([kind.bad if n in BAD else kind.good for n in numbers], kind.type)
    at = pa.array([n * 1_000_000 for n in numbers], UTC_TIME)
    return pa.table({"n": pa.array(numbers, INT), "k": pa.array([n % 3 for n in numbers], INT), "v": values, "at": at})


def flow_of(kind: Kind, policy: Any, *, bad: bool = True) -> sf.Flow:
    flow = sf.Flow("f", on_error=policy)
    rows = table(kind, [n for n in range(COUNT) if bad or n not in BAD])
    options: dict[str, Any] = {"event_time": "at", "watermark": sf.bounded_out_of_orderness("1h")} if kind.timed else {}
    stream = flow.read("rows", memory.Source(rows, splits=3), **options)
    kind.step(stream).step("risky").write("out", memory.Sink())
    if policy == "dead_letter":
        flow.dead_letters().write("dead", memory.Sink())
    return flow


def what(results: pa.Table) -> Counter[str]:
    """Rows, whatever their order; of a changelog those that are left."""
    if "_change" in results.column_names:
        results = sf.testing.final(results)
    return Counter(map(repr, results.to_pylist()))


def expected(kind: Kind) -> Counter[str]:
    return what(sf.testing.run(flow_of(kind, "fail", bad=False))["out"])


@pytest.mark.parametrize("name", KINDS)
def test_under_fail_the_job_stops_and_names_the_step_and_the_line(name: str) -> None:
    kind = KINDS[name]
    for workers in (1, 3):
        with pytest.raises(StreamflowError) as error:
            sf.testing.run(flow_of(kind, "fail"), workers=workers)
        assert error.value.step == "risky"
        assert error.value.location is not None
        assert error.value.location.file == __file__


@pytest.mark.parametrize("name", KINDS)
def test_under_skip_each_bad_row_is_counted_once_and_the_others_go_on(name: str) -> None:
    kind = KINDS[name]
    good = expected(kind)
    for seed, workers in enumerate((1, 3)):
        results = sf.testing.run(flow_of(kind, "skip"), seed=seed, workers=workers, crashes=2)
        assert what(results["out"]) == good
        assert results.skipped == {"risky": len(BAD)}
        assert results.dead == {}


@pytest.mark.parametrize("name", KINDS)
def test_under_dead_letter_each_bad_row_is_one_and_the_others_go_on(name: str) -> None:
    kind = KINDS[name]
    good = expected(kind)
    for seed, workers in enumerate((1, 3)):
        results = sf.testing.run(flow_of(kind, "dead_letter"), seed=seed, workers=workers, crashes=2)
        assert what(results["out"]) == good
        assert results.skipped == {}
        assert results.dead == {"risky": len(BAD)}
        letters = results["dead"].to_pylist()
        payloads = [json.loads(letter["payload"]) for letter in letters]
        assert sorted(payload["n"] for payload in payloads) == BAD
        assert all({"n", "k", "v", "at"} <= set(payload) for payload in payloads), "it is the whole row"
        assert {letter["step"] for letter in letters} == {"risky"}
        assert all(letter["error"] for letter in letters)


def test_every_function_that_may_fail_is_tried() -> None:
    assert set(_FAILING) <= {function for kind in KINDS.values() for function in kind.functions}
