from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.errors import DataError
from streamflow.kernels.aggregate import AggregateSpec
from streamflow.kernels.hashing import groups_of_worker, hash_columns, key_groups, worker_of_group
from streamflow.kernels.partition import split
from streamflow.operators.base import Output
from streamflow.operators.events import DELETE, INSERT, UPDATE_AFTER, UPDATE_BEFORE, Watermark
from streamflow.operators.running_aggregate import RunningAggregate
from streamflow.state.files import decode, encode

GROUPS = 128
TIME = pa.timestamp("us", "UTC")
SCHEMA = pa.schema({"k": pa.int64(), "s": pa.string(), "f": pa.float64(), "v": pa.int64(), "_time": TIME})
SPECS = (
    AggregateSpec("count", None, None, "rows"),
    AggregateSpec("count", "v", pa.int64(), "n"),
    AggregateSpec("sum", "v", pa.int64(), "total"),
    AggregateSpec("min", "f", pa.float64(), "least"),
    AggregateSpec("max", "s", pa.string(), "last"),
    AggregateSpec("mean", "v", pa.int64(), "mean"),
    AggregateSpec("n_unique", "s", pa.string(), "kinds"),
)
ROW = st.tuples(
    st.none() | st.integers(0, 6) | st.sampled_from([-(2**63), 2**63 - 1]),
    st.none() | st.sampled_from(["", "a", "ü", "x" * 300]),
    st.none() | st.sampled_from([0.0, -0.0, 1.5, math.nan, math.inf]),
    st.none() | st.integers(-100, 100),
    st.integers(-(10**6), 10**6),
)
Row = tuple[Any, ...]


def batch(rows: Sequence[Row], schema: pa.Schema = SCHEMA) -> pa.RecordBatch:
    arrays = [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(schema)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def comparable(row: Iterable[Any]) -> Row:
    return tuple("nan" if isinstance(x, float) and math.isnan(x) else x for x in row)


def fold(keys: int, outputs: Iterable[Output], state: dict[Row, Row]) -> dict[Row, Row]:
    """Apply a changelog, checking that it is one: old results are those that stood, updates come in pairs."""
    for output in outputs:
        assert isinstance(output, pa.RecordBatch)
        output.validate(full=True)
        visible = [name for name in output.schema.names if not name.startswith("_")]
        pending: Row | None = None
        for *row, change in zip(*(output[name].to_pylist() for name in [*visible, "_change"]), strict=True):
            key, result = comparable(row[:keys]), comparable(row[keys:])
            assert (change == UPDATE_AFTER) == (pending is not None)
            match change:
                case 0 if change == INSERT:
                    assert key not in state
                    state[key] = result
                case 1 if change == UPDATE_BEFORE:
                    assert state[key] == result
                    pending = key
                case 2 if change == UPDATE_AFTER:
                    assert pending == key
                    assert state[key] != result
                    state[key] = result
                    pending = None
                case _:
                    pytest.fail(f"unexpected change {change}, delete is {DELETE}")
        assert pending is None
    return state


@pytest.fixture(scope="module")
def oracle() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as connection:
        yield connection


def answer(oracle: duckdb.DuckDBPyConnection, keys: tuple[str, ...], rows: Sequence[Row]) -> dict[Row, Row]:
    """The batch answer, by DuckDB."""
    select = """count(*) AS "rows", count(v) AS n, sum(v)::BIGINT AS total, min(f + 0.0) AS least, max(s) AS "last",
        avg(v) AS mean, count(DISTINCT s) AS kinds"""
    columns = ", ".join({"f": "f + 0.0"}.get(key, key) for key in keys)
    grouping = f"GROUP BY {columns}" if keys else "HAVING count(*) > 0"
    oracle.register("input", pa.Table.from_batches([batch(rows)]))
    found = oracle.execute(f"SELECT {columns + ',' if keys else ''} {select} FROM input {grouping}").fetchall()
    return {comparable(row[: len(keys)]): comparable(row[len(keys) :]) for row in found}


def cut(rows: Sequence[Row], sizes: Sequence[int]) -> list[Sequence[Row]]:
    parts, start = [], 0
    for size in sizes:
        parts.append(rows[start : start + size])
        start += size
    return [part for part in [*parts, rows[start:]] if part]


@given(
    st.sampled_from([("k",), ("s",), ("f",), ("k", "s"), ()]),
    st.lists(ROW, max_size=60),
    st.lists(st.integers(1, 20), max_size=5),
)
@settings(max_examples=40, deadline=None)
def test_the_folded_changelog_is_the_batch_answer(
    oracle: duckdb.DuckDBPyConnection, keys: tuple[str, ...], rows: list[Row], sizes: list[int]
) -> None:
    operator = RunningAggregate(keys, SPECS, SCHEMA)
    state: dict[Row, Row] = {}
    for number, part in enumerate(cut(rows, sizes)):
        fold(len(keys), operator.on_batch(0, batch(part)), state)
        if number == 0:
            assert state == answer(oracle, keys, part)
    assert state == answer(oracle, keys, rows)


@given(
    st.sampled_from([("k",), ("s", "f"), ("k", "s")]),
    st.lists(ROW, max_size=60),
    st.integers(0, 60),
    st.sampled_from([1, 2, 3, 7]),
    st.sampled_from([1, 2, 3, 7]),
)
@settings(max_examples=40, deadline=None)
def test_state_restored_on_another_number_of_workers_goes_on(
    oracle: duckdb.DuckDBPyConnection, keys: tuple[str, ...], rows: list[Row], at: int, before: int, after: int
) -> None:
    state: dict[Row, Row] = {}
    first = [RunningAggregate(keys, SPECS, SCHEMA) for _ in range(before)]
    feed(keys, first, rows[:at], state)
    files = [encode(operator.state()["table"].snapshot(GROUPS)) for operator in first]
    second = [RunningAggregate(keys, SPECS, SCHEMA) for _ in range(after)]
    for worker, operator in enumerate(second):
        snapshots = [decode(data) for data in files]
        operator.state()["table"].restore(snapshots, groups_of_worker(worker, GROUPS, after))
    feed(keys, second, rows[at:], state)
    assert state == answer(oracle, keys, rows)


def feed(keys: tuple[str, ...], workers: list[RunningAggregate], rows: Sequence[Row], state: dict[Row, Row]) -> None:
    """Send rows to the workers that own their keys, as an exchange does."""
    for part in cut(rows, [7, 11]):
        whole = batch(part)
        groups = key_groups(hash_columns([whole.column(key) for key in keys], whole.num_rows), GROUPS)
        for worker, mine in split(whole, worker_of_group(groups, GROUPS, len(workers)), len(workers)):
            fold(len(keys), workers[worker].on_batch(0, mine), state)


def simple(*specs: AggregateSpec) -> RunningAggregate:
    return RunningAggregate(("k",), specs or (AggregateSpec("max", "v", pa.int64(), "top"),), SCHEMA)


def rows_of(outputs: Iterable[Output], *columns: str) -> list[Row]:
    return [
        tuple(row[column] for column in columns)
        for output in outputs
        if isinstance(output, pa.RecordBatch)
        for row in output.to_pylist()
    ]


def test_new_keys_are_inserts_and_changed_keys_pairs_of_updates() -> None:
    operator = simple()
    first = operator.on_batch(0, batch([(1, None, None, 5, 0), (2, None, None, 7, 0)]))
    assert sorted(rows_of(first, "k", "top", "_change")) == [(1, 5, INSERT), (2, 7, INSERT)]
    second = operator.on_batch(0, batch([(1, None, None, 9, 0), (3, None, None, 1, 0)]))
    assert rows_of(second, "k", "top", "_change") == [
        (1, 5, UPDATE_BEFORE),
        (1, 9, UPDATE_AFTER),
        (3, 1, INSERT),
    ]


def test_a_key_whose_results_stay_sends_nothing() -> None:
    operator = simple()
    list(operator.on_batch(0, batch([(1, None, None, 5, 0)])))
    assert list(operator.on_batch(0, batch([(1, None, None, 4, 0), (1, None, None, None, 0)]))) == []


def test_a_result_that_stays_nan_or_null_is_no_change() -> None:
    operator = simple(AggregateSpec("max", "f", pa.float64(), "top"), AggregateSpec("sum", "v", pa.int64(), "sum"))
    [first] = operator.on_batch(0, batch([(1, None, math.nan, None, 0)]))
    assert isinstance(first, pa.RecordBatch)
    assert list(operator.on_batch(0, batch([(1, None, 3.0, None, 0)]))) == []


def test_a_key_is_written_the_same_whatever_zero_came_first() -> None:
    schema = pa.schema({"f": pa.float64()})
    operator = RunningAggregate(("f",), (AggregateSpec("count", None, None, "n"),), schema)
    [output] = operator.on_batch(0, batch([(-0.0,)], schema))
    assert isinstance(output, pa.RecordBatch)
    assert math.copysign(1, output["f"][0].as_py()) == 1


def test_a_change_has_the_greatest_event_time_of_its_rows_but_never_below_the_watermark() -> None:
    operator = simple()

    def times(outputs: Iterable[Output]) -> list[int]:
        [output] = outputs
        assert isinstance(output, pa.RecordBatch)
        return [int(time) for time in output["_time"].cast(pa.int64()).to_pylist()]

    assert times(
        operator.on_batch(0, batch([(1, None, None, 1, 30), (1, None, None, 0, 70), (2, None, None, 1, 5)]))
    ) == [70, 5]
    assert list(operator.on_watermark(Watermark(50))) == [Watermark(50)]
    list(operator.on_watermark(Watermark(50, idle=True)))
    assert times(operator.on_batch(0, batch([(1, None, None, 9, 20), (2, None, None, 8, 90)]))) == [50, 50, 90, 90]


def test_without_event_time_there_is_no_time_column() -> None:
    schema = pa.schema({"k": pa.int64()})
    operator = RunningAggregate(("k",), (AggregateSpec("count", None, None, "n"),), schema)
    assert operator.output_schema.names == ["k", "n", "_change"]
    [output] = operator.on_batch(0, batch([(1,), (1,)], schema))
    assert rows_of([output], "k", "n", "_change") == [(1, 2, INSERT)]


def test_output_has_the_declared_schema_keys_results_time_change() -> None:
    operator = RunningAggregate(("s", "k"), SPECS, SCHEMA)
    [output] = operator.on_batch(0, batch([(1, "a", 1.0, 1, 0)]))
    assert isinstance(output, pa.RecordBatch)
    assert output.schema.equals(operator.output_schema)
    assert output.schema.names == ["s", "k", "rows", "n", "total", "least", "last", "mean", "kinds", "_time", "_change"]


def test_distinct_keys_without_aggregates() -> None:
    operator = RunningAggregate(("k",), (), SCHEMA)
    list(operator.on_batch(0, batch([(1, None, None, None, 0)])))
    second = operator.on_batch(0, batch([(1, None, None, None, 0), (2, None, None, None, 0)]))
    assert rows_of(second, "k", "_change") == [(2, INSERT)]


def test_a_sum_that_leaves_its_type_is_an_error_that_names_the_column() -> None:
    operator = simple(AggregateSpec("sum", "v", pa.int64(), "total"))
    list(operator.on_batch(0, batch([(1, None, None, 2**63 - 1, 0)])))
    with pytest.raises(DataError, match="total"):
        list(operator.on_batch(0, batch([(1, None, None, 1, 0)])))


def test_a_million_rows_of_few_keys_count_right() -> None:
    schema = pa.schema({"k": pa.int64()})
    operator = RunningAggregate(("k",), (AggregateSpec("count", None, None, "n"),), schema)
    keys = pa.array(np.arange(1_000_000) % 1000)
    whole = pa.record_batch([keys], schema=schema)
    state: dict[Row, Row] = {}
    for start in range(0, 1_000_000, 100_000):
        fold(1, operator.on_batch(0, whole.slice(start, 100_000)), state)
    assert state == {(k,): (1000,) for k in range(1000)}
