from __future__ import annotations

from collections.abc import Callable

import duckdb
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa
import pytest
from streamflow_connectors import memory

from streamflow.connect import DataError, Ended, PollResult, SchemaError, Sink, SinkContext, UserError

ReadAll = Callable[..., pa.Table]


def at_hand(polled: PollResult) -> list[tuple[str, pa.RecordBatch]]:
    assert isinstance(polled, list)
    batches = [part for part in polled if isinstance(part, tuple)]
    assert len(batches) == len(polled)
    return batches


TABLE = pa.table({"n": [1, 2, 3], "s": ["a", None, "c"]})


@pytest.mark.parametrize(
    "data",
    [
        TABLE,
        TABLE.combine_chunks().to_batches()[0],
        TABLE.to_batches(),
        TABLE.to_reader(),
        pl.DataFrame({"n": [1, 2, 3], "s": ["a", None, "c"]}),
        pd.DataFrame({"n": [1, 2, 3], "s": ["a", None, "c"]}),
        duckdb.sql("select unnest([1, 2, 3]::bigint[]) n, unnest(['a', null, 'c']) s"),
        lambda: TABLE,
        TABLE.to_reader,
    ],
    ids=["table", "batch", "batches", "reader", "polars", "pandas", "duckdb", "callable", "callable reader"],
)
def test_anything_that_speaks_arrow_is_read(data: object, read_all: ReadAll) -> None:
    source = memory.Source(data)
    assert source.schema().equals(TABLE.schema, check_metadata=True)
    for _ in range(2):
        assert read_all(source).equals(TABLE)
    assert read_all(source.project(["s"])).equals(TABLE.select(["s"]))


def test_batches_are_passed_on_as_they_were_cut_without_a_copy() -> None:
    batches = [pa.record_batch({"n": [1, 2]}), pa.record_batch({"n": [3, 4, 5]})]
    reader = memory.Source(batches).open({"0": None})
    [(_, first)] = at_hand(reader.poll(3))
    [(_, second)] = at_hand(reader.poll(3))
    assert first is batches[0]
    assert second is batches[1]
    assert reader.poll(3) == Ended("0")


def test_a_batch_that_is_too_large_is_sliced() -> None:
    reader = memory.Source(TABLE).open({"0": None})
    assert [batch.num_rows for poll in (reader.poll(2), reader.poll(2)) for _, batch in at_hand(poll)] == [2, 1]


def test_a_callable_is_called_when_it_is_opened_and_not_for_a_declared_schema() -> None:
    calls = []

    def rows() -> pa.Table:
        calls.append(1)
        return TABLE

    source = memory.Source(rows, schema=TABLE.schema)
    assert source.schema() == TABLE.schema
    assert source.row_count() is None
    assert calls == []
    source.open({"0": None})
    assert calls == [1]


def test_splits_are_read_in_turn() -> None:
    reader = memory.Source(TABLE, splits=3).open({"0": None, "1": None, "2": None})
    assert [split for _ in range(3) for split, _ in at_hand(reader.poll(5))] == ["0", "1", "2"]


def test_more_splits_than_rows_end_empty(read_all: ReadAll) -> None:
    assert read_all(memory.Source(TABLE, splits=7)).num_rows == 3
    assert read_all(memory.Source(TABLE.slice(0, 0), splits=2)).equals(TABLE.slice(0, 0))


def test_equality_goes_by_rows_and_the_text_shows_none_of_them() -> None:
    assert memory.Source(TABLE) == memory.Source(pa.table(TABLE))
    assert memory.Source(TABLE) != memory.Source(TABLE.slice(1))
    assert repr(memory.Source(TABLE)) == "memory.Source(rows=3, splits=1)"
    assert "test_equality" in repr(memory.Source(lambda: TABLE))


def test_what_is_no_data_or_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match=r"memory\.Source cannot read a int"):
        memory.Source(5).schema()
    with pytest.raises(SchemaError, match=r"the data has the columns \['n', 's'\]"):
        memory.Source(TABLE, schema=pa.schema({"n": pa.int64()})).open({"0": None})
    with pytest.raises(DataError, match="does not fit its schema"):
        memory.Source(TABLE, schema=pa.schema({"n": pa.int64(), "s": pa.int64()})).open({"0": None})
    with pytest.raises(UserError, match="splits=0"):
        memory.Source(TABLE, splits=0)


def test_the_sink_collects_the_rows_of_all_workers(who: Callable[..., SinkContext]) -> None:
    sink = memory.Sink()
    assert isinstance(sink, Sink)
    with pytest.raises(UserError, match="has received nothing yet"):
        sink.table()
    writers = [sink.open(who(TABLE.schema, worker=worker)) for worker in range(2)]
    assert sink.table().equals(TABLE.slice(0, 0))
    for writer in writers:
        writer.write(TABLE.to_batches()[0])
        writer.flush()
        writer.close()
    assert sink.table().equals(pa.concat_tables([TABLE, TABLE]))
    sink.clear()
    assert sink.table().num_rows == 0


def test_a_changelog_is_collected_with_its_changes_in_words(who: Callable[..., SinkContext]) -> None:
    sink = memory.Sink()
    batch = pa.record_batch({"_change": pa.array([0, 1, 2, 3], pa.int8()), "n": [1, 1, 2, 2]})
    sink.open(who(batch.schema)).write(batch)
    assert sink.table().to_pydict() == {
        "change": ["insert", "update_before", "update_after", "delete"],
        "n": [1, 1, 2, 2],
    }
