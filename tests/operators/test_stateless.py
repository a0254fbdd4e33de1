"""Operators without state: what they send, what they share, what they leave out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from streamflow.errors import DataError
from streamflow.flow.expr import col
from streamflow.flow.records import row_function
from streamflow.operators.base import Operator
from streamflow.operators.events import TIME, TIME_TYPE, Watermark
from streamflow.operators.stateless import (
    ApplyBatches,
    Compute,
    ExplodeList,
    FlatMapRecords,
    MapRecords,
    PeekRows,
    Where,
)
from streamflow.plan.compile import compile_expr, compile_predicate, compile_records


def timed(**columns: Any) -> pa.RecordBatch:
    """Rows at times 0, 1, 2, ... microseconds."""
    batch = pa.record_batch(columns)
    return batch.append_column(TIME, pa.array(range(batch.num_rows), TIME_TYPE))


def only(events: Iterable[Any]) -> pa.RecordBatch:
    (batch,) = events
    assert isinstance(batch, pa.RecordBatch)
    batch.validate(full=True)
    return batch


def times(batch: pa.RecordBatch) -> list[int]:
    listed: list[int] = batch.column(TIME).cast(pa.int64()).to_pylist()
    return listed


ROWS = timed(a=list(range(10)), s=[f"s{i}" for i in range(10)])


def where(limit: int) -> Where:
    return Where(compile_predicate((col("a") < limit).node, ROWS.schema))


def test_a_filter_that_keeps_all_passes_the_batch_itself() -> None:
    assert only(where(10).on_batch(0, ROWS)) is ROWS


def test_a_filter_that_keeps_nothing_sends_nothing() -> None:
    assert list(where(0).on_batch(0, ROWS)) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 9])
def test_a_filter_keeps_the_rows_for_which_it_is_true(limit: int) -> None:
    assert only(where(limit).on_batch(0, ROWS)) == ROWS.slice(0, limit)


def test_a_null_condition_keeps_nothing() -> None:
    batch = timed(a=[1, None, 3])
    keep = Where(compile_predicate((col("a") > 1).node, batch.schema))
    assert only(keep.on_batch(0, batch))["a"].to_pylist() == [3]

    def flagged(a: int | None) -> bool | None:
        return None if a is None else a == 1

    by_function = Where(compile_predicate(row_function(flagged), batch.schema))
    assert only(by_function.on_batch(0, batch))["a"].to_pylist() == [1]


def test_computed_columns_stand_beside_shared_ones_and_time_stays() -> None:
    schema = pa.schema({"b": pa.int64(), "s": pa.string(), TIME: TIME_TYPE})
    compute = Compute([("b", compile_expr((col("a") * 2).node, ROWS.schema)), ("s", 1)], schema)
    made = only(compute.on_batch(0, ROWS))
    assert made.schema == schema
    assert made["b"].to_pylist() == [2 * i for i in range(10)]
    assert made["s"].buffers()[2].address == ROWS["s"].buffers()[2].address
    assert made[TIME].buffers()[1].address == ROWS[TIME].buffers()[1].address


class Pair(NamedTuple):
    name: str
    n: int | None


def test_map_replaces_rows_and_keeps_their_times() -> None:
    def pair(a: int) -> Pair:
        return Pair(f"p{a}", a or None)

    schema = pa.schema({"name": pa.string(), "n": pa.int64(), TIME: TIME_TYPE})
    made = only(MapRecords(compile_records(row_function(pair), ROWS.schema), schema).on_batch(0, ROWS.slice(0, 2)))
    assert made.select(["name", "n"]).to_pylist() == [{"name": "p0", "n": None}, {"name": "p1", "n": 1}]
    assert times(made) == [0, 1]


def test_flat_map_gives_each_row_the_time_of_its_origin() -> None:
    def repeated(a: int) -> Iterator[Pair]:
        yield from (Pair("x", i) for i in range(a))

    schema = pa.schema({"name": pa.string(), "n": pa.int64(), TIME: TIME_TYPE})
    records = compile_records(row_function(repeated, many=True), ROWS.schema)
    operator = FlatMapRecords(records, schema)
    made = only(operator.on_batch(0, ROWS.slice(0, 4)))
    assert made["n"].to_pylist() == [0, 0, 1, 0, 1, 2]
    assert times(made) == [1, 2, 2, 3, 3, 3]
    assert list(operator.on_batch(0, ROWS.slice(0, 1))) == []


def test_explode_makes_a_row_per_element_and_none_of_empty_lists() -> None:
    batch = timed(k=["a", "b", "c", "d"], l=pa.array([[1, 2], [], None, [3]]))
    schema = pa.schema({"k": pa.string(), "l": pa.int64(), TIME: TIME_TYPE})
    explode = ExplodeList("l", schema)
    made = only(explode.on_batch(0, batch))
    assert made.drop_columns([TIME]).to_pylist() == [{"k": "a", "l": 1}, {"k": "a", "l": 2}, {"k": "d", "l": 3}]
    assert times(made) == [0, 0, 3]
    assert only(explode.on_batch(0, batch.slice(3)))["l"].to_pylist() == [3]
    assert list(explode.on_batch(0, batch.slice(1, 2))) == []


def test_batch_functions_see_time_and_keep_it_where_rows_stay() -> None:
    seen: list[list[str]] = []

    def doubled(batch: pa.RecordBatch) -> pa.RecordBatch:
        seen.append(batch.schema.names)
        return pa.record_batch({"b": pc.multiply(batch["a"], 2)})

    schema = pa.schema({"b": pa.int64(), TIME: TIME_TYPE})
    made = [only([batch]) for batch in ApplyBatches(doubled, schema, max_rows=4).on_batch(0, ROWS)]
    assert [batch.num_rows for batch in made] == [4, 4, 2]
    assert times(made[2]) == [8, 9]
    assert seen == [["a", "s", TIME]] * 3


def test_batch_functions_that_change_rows_say_their_time() -> None:
    schema = pa.schema({"a": pa.int64(), TIME: TIME_TYPE})
    with_time = ApplyBatches(lambda batch: batch.select(["a", TIME]).slice(7), schema)
    assert times(only(with_time.on_batch(0, ROWS))) == [7, 8, 9]
    nothing = ApplyBatches(lambda batch: batch.select(["a", TIME]).slice(10), schema)
    assert list(nothing.on_batch(0, ROWS)) == []
    without = ApplyBatches(lambda batch: batch.select(["a"]).slice(7), schema)
    with pytest.raises(DataError, match=r"made 3 rows of 10 without _time(?s:.)*return the column _time"):
        list(without.on_batch(0, ROWS))


def test_batch_functions_are_held_to_their_schema() -> None:
    schema = pa.schema({"a": pa.int64(), TIME: TIME_TYPE})

    def fails(batch: pa.RecordBatch) -> pa.RecordBatch:
        raise KeyError("x")

    wrong: list[tuple[Any, str]] = [
        (lambda batch: batch.select(["s"]), "columns that its schema does not have: s"),
        (lambda batch: pa.record_batch({"a": batch["s"]}), "'a' is string, not int64"),
        (lambda batch: batch.drop_columns(["a", "s"]), "'a' is missing"),
        (lambda batch: [batch], "returned a list"),
        (lambda batch: None, "returned a NoneType"),
        (fails, "the function fails raised KeyError"),
        (lambda batch: pa.record_batch({"a": batch["a"], TIME: pa.nulls(10, TIME_TYPE)}), "_time is null"),
    ]
    for function, message in wrong:
        with pytest.raises(DataError, match=message):
            list(ApplyBatches(function, schema).on_batch(0, ROWS))
    canonical = ApplyBatches(lambda batch: pa.record_batch({"a": batch["a"].dictionary_encode()}), schema)
    assert only(canonical.on_batch(0, ROWS)).schema == schema


def test_peek_logs_the_first_rows_and_passes_all(caplog: pytest.LogCaptureFixture) -> None:
    peek = PeekRows("bids", 3)
    with caplog.at_level(logging.INFO, "streamflow.peek"):
        assert only(peek.on_batch(0, ROWS.slice(0, 2))).num_rows == 2
        assert only(peek.on_batch(0, ROWS)) is ROWS
    assert len(caplog.messages) == 3
    assert caplog.messages[0].startswith("bids: {'a': 0, 's': 's0'")


def test_watermarks_pass_and_nothing_is_held() -> None:
    schema = pa.schema({"a": pa.int64(), TIME: TIME_TYPE})
    operators: list[Operator] = [
        where(3),
        Compute([("a", 0)], schema),
        ExplodeList("a", schema),
        ApplyBatches(lambda batch: batch, schema),
        PeekRows("x", 1),
    ]
    for operator in operators:
        mark = Watermark(5, idle=True)
        assert list(operator.on_watermark(mark)) == [mark]
        assert list(operator.flush()) == []
        assert operator.state() == {}
        assert operator.late == 0
