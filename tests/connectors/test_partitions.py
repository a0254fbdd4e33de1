"""Folders called key=value: columns of the rows below them, written and read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamflow_connectors import arrow, csv, jsonl, memory, parquet, text

import streamflow as sf
from streamflow.connect import DataError, Fatal, SchemaError, SinkContext, UserError
from streamflow.connect.partitions import folder_values, parts

ReadAll = Callable[..., pa.Table]
WriteAll = Callable[..., None]
CONNECTORS = [parquet, arrow, jsonl, csv]

TABLE = pa.table(
    {
        "n": list(range(8)),
        "city": ["Oslo", "São Paulo", None, "a/b=c%", "Oslo", "", "_x", ".."],
        "s": list("abcdefgh"),
        "day": [date(2026, 3, 1)] * 4 + [date(2026, 3, 2), None, None, None],
    }
)


def by_number(table: pa.Table) -> pa.Table:
    return table.select(TABLE.column_names).sort_by("n").combine_chunks()


@pytest.mark.parametrize("connector", CONNECTORS, ids=lambda connector: connector.__name__)
def test_what_a_sink_puts_into_folders_its_source_reads_back(
    tmp_path: Path,
    read_all: ReadAll,
    write_all: WriteAll,
    connector: type[parquet],  # type: ignore[valid-type]
) -> None:
    write_all(connector.Sink(tmp_path / "out", partition_by=["day", "city"]), TABLE, max_rows=3)  # type: ignore[attr-defined]
    source = connector.Source(tmp_path / "out", TABLE.schema)  # type: ignore[attr-defined]
    assert by_number(read_all(source, max_rows=2)).equals(TABLE)
    assert read_all(source.project(["city", "n"])).column_names == ["city", "n"]
    assert sorted(map(str, read_all(source.project(["city"]))["city"].to_pylist())) == sorted(
        map(str, TABLE["city"].to_pylist())
    )


def test_other_programs_read_the_folders_as_hive_partitions(tmp_path: Path, write_all: WriteAll) -> None:
    write_all(parquet.Sink(tmp_path / "out", partition_by=["day", "city"]), TABLE.slice(0, 5))
    partitioning = ds.partitioning(pa.schema({"day": pa.date32(), "city": pa.string()}), flavor="hive")
    assert by_number(ds.dataset(tmp_path / "out", partitioning=partitioning).to_table()).equals(TABLE.slice(0, 5))
    assert (tmp_path / "out" / "day=2026-03-01" / "city=a%2Fb%3Dc%25").is_dir()


def test_folders_of_other_programs_are_read(tmp_path: Path, read_all: ReadAll) -> None:
    pq.write_to_dataset(TABLE.slice(0, 4), tmp_path / "out", partition_cols=["city"])
    assert by_number(read_all(parquet.Source(tmp_path / "out", TABLE.schema))).equals(TABLE.slice(0, 4))


def test_the_columns_of_a_file_without_header_are_those_that_its_path_lacks(tmp_path: Path, read_all: ReadAll) -> None:
    (tmp_path / "b=7").mkdir()
    (tmp_path / "b=7" / "x.csv").write_text("1,2\n")
    source = csv.Source(tmp_path, pa.schema({"a": pa.int64(), "b": pa.int64(), "c": pa.int64()}), header=False)
    assert read_all(source).to_pydict() == {"a": [1], "b": [7], "c": [2]}
    assert read_all(source.project(["c"])).to_pydict() == {"c": [2]}


def test_only_folders_below_the_path_and_declared_columns_count(tmp_path: Path, read_all: ReadAll) -> None:
    below = tmp_path / "a=1" / "b=2"
    below.mkdir(parents=True)
    (below / "x.jsonl").write_text('{"a": 5, "b": 6}\n')
    ab = pa.schema({"a": pa.int64(), "b": pa.int64()})
    assert read_all(jsonl.Source(tmp_path, ab)).to_pylist() == [{"a": 1, "b": 2}]
    assert read_all(jsonl.Source(tmp_path / "a=1", ab)).to_pylist() == [{"a": 5, "b": 2}]
    assert read_all(jsonl.Source(tmp_path / "*/*/*.jsonl", ab)).to_pylist() == [{"a": 1, "b": 2}]
    assert read_all(jsonl.Source(below / "x.jsonl", ab)).to_pylist() == [{"a": 5, "b": 6}]


def test_a_folder_that_does_not_fit_names_file_and_value(tmp_path: Path, read_all: ReadAll) -> None:
    (tmp_path / "a=x").mkdir()
    (tmp_path / "a=x" / "x.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match=r"x\.jsonl: the folder's value 'x' is no int64"):
        read_all(jsonl.Source(tmp_path, pa.schema({"a": pa.int64()})))


def test_the_least_value_of_a_folders_column_is_the_folders(tmp_path: Path, write_all: WriteAll) -> None:
    write_all(parquet.Sink(tmp_path / "out", partition_by="day"), TABLE.slice(3, 2))
    source = parquet.Source(tmp_path / "out", TABLE.schema)
    assert [source.min_value(split, "day") for split in source.splits()] == [
        pa.scalar(date(2026, 3, 1)),
        pa.scalar(date(2026, 3, 2)),
    ]
    filtered = source.filter(pc.field("day") == date(2026, 3, 2))
    assert filtered.schema().equals(TABLE.schema)


def test_many_partitions_do_not_open_as_many_files(
    tmp_path: Path, read_all: ReadAll, write_all: WriteAll, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamflow.connect.file_sink._MOST_OPEN", 3)
    table = pa.table({"n": list(range(40)), "k": [n % 7 for n in range(40)]})
    write_all(jsonl.Sink(tmp_path / "out", partition_by="k"), table, max_rows=10)
    assert read_all(jsonl.Source(tmp_path / "out", table.schema)).sort_by("n").equals(table)


def who(schema: pa.Schema, job: str = "job-1") -> SinkContext:
    return SinkContext(job=job, step="out", worker=0, attempt=1, schema=schema)


def test_nothing_is_visible_before_commit_and_commit_again_is_harmless(tmp_path: Path) -> None:
    sink = parquet.Sink(tmp_path, partition_by="k")
    batch = pa.record_batch({"k": ["a", "b"], "n": [1, 2]})
    writer = sink.open(who(batch.schema))
    writer.write(batch)
    prepared = writer.prepare(1, final=True)
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["_staging"]
    for _ in range(2):
        sink.committer("job-1").commit(prepared)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k=a", "k=b"]
    with pytest.raises(Fatal, match="is not empty: it holds k=a/"):
        sink.open(who(batch.schema, "job-2"))


def test_replace_removes_the_old_files_of_all_partitions_and_nothing_else(tmp_path: Path, write_all: WriteAll) -> None:
    for folder in ("k=a", "k=z", "other", "j=a"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "old.jsonl").write_text("{}\n")
    write_all(jsonl.Sink(tmp_path, mode="replace", partition_by="k"), pa.table({"k": ["a"], "n": [1]}))
    assert sorted(path.parent.name for path in tmp_path.rglob("old.jsonl")) == ["j=a", "other"]
    assert [path.read_text() for path in tmp_path.glob("k=*/*.jsonl")] == ['{"n":1}\n']


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (["x"], "no column 'x' to partition by"),
        (["f"], "a folder cannot be named by a double"),
        (["k", "n", "f"], "cannot be named|leaves no column"),
    ],
)
def test_what_cannot_be_put_into_folders_is_refused(tmp_path: Path, keys: list[str], problem: str) -> None:
    schema = pa.schema({"k": pa.string(), "n": pa.int64(), "f": pa.float64()})
    for connector in CONNECTORS:
        with pytest.raises(SchemaError, match=problem):
            connector.Sink(tmp_path, partition_by=keys).open(who(schema))
    with pytest.raises(SchemaError, match="leaves no column"):
        text.Sink(tmp_path, partition_by="k").open(who(pa.schema({"k": pa.string()})))
    for wrong in (["k", "k"], ["_k"]):
        with pytest.raises(UserError, match="cannot name folders"):
            parquet.Sink(tmp_path, partition_by=wrong)


def test_a_flow_writes_and_reads_partitions(tmp_path: Path) -> None:
    flow = sf.Flow("write")
    flow.read("rows", memory.Source(TABLE)).write("out", arrow.Sink(tmp_path / "out", partition_by="day"))
    sf.run(flow)
    again, out = sf.Flow("read"), memory.Sink()
    rows = again.read("rows", arrow.Source(tmp_path / "out", TABLE.schema))
    rows.filter(sf.col("day") == date(2026, 3, 1)).select("n", "day").write("out", out)
    sf.run(again)
    assert sorted(out.table()["n"].to_pylist()) == [0, 1, 2, 3]


KEYS = st.fixed_dictionaries(
    {
        "s": st.none() | st.text(st.characters(codec="utf-8"), max_size=4),
        "i": st.none() | st.integers(-3, 3),
        "b": st.none() | st.booleans(),
        "t": st.none() | st.sampled_from([datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(1969, 1, 1, tzinfo=UTC)]),
    }
)
KEYS_SCHEMA = pa.schema({"s": pa.string(), "i": pa.int8(), "b": pa.bool_(), "t": pa.timestamp("us", "UTC")})


@settings(max_examples=60, deadline=None)
@given(st.lists(KEYS, min_size=1, max_size=12))
def test_every_row_is_in_the_folder_of_its_values(rows: list[dict[str, object]]) -> None:
    batch = pa.RecordBatch.from_pylist(rows, schema=KEYS_SCHEMA)
    batch = batch.append_column("n", pa.array(range(len(rows))))
    seen: dict[str, list[int]] = {}
    for folder, part in parts(batch, KEYS_SCHEMA.names):
        assert folder not in seen
        seen[folder] = part["n"].to_pylist()
        values = folder_values(f"{folder}/x")
        for number in seen[folder]:
            for name, type_ in zip(KEYS_SCHEMA.names, KEYS_SCHEMA.types, strict=True):
                assert pa.array([values[name]]).cast(type_)[0].as_py() == rows[number][name]
    assert sorted(chain.from_iterable(seen.values())) == list(range(len(rows)))
    assert all(numbers == sorted(numbers) for numbers in seen.values())
