from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from streamflow_connectors import memory, parquet

import streamflow as sf
from streamflow.connect import (
    DataError,
    Fatal,
    FilterableSource,
    ProjectableSource,
    SchemaError,
    SizedSource,
    TimedSource,
    TransactionalSink,
    UserError,
)

ReadAll = Callable[..., pa.Table]
WriteAll = Callable[..., None]


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """Three files of ten rows, in row groups of four: n counts through all of them."""
    for index, name in enumerate("abc"):
        first = index * 10
        table = pa.table(
            {
                "n": list(range(first, first + 10)),
                "s": [f"s{n}" for n in range(first, first + 10)],
                "at": pa.array([n * 1_000_000_000 - 5 for n in range(first, first + 10)], pa.timestamp("ns")),
            }
        )
        pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=4)
    return tmp_path


def test_it_has_all_capabilities_of_a_source(numbers: Path) -> None:
    source = parquet.Source(numbers)
    for capability in (ProjectableSource, FilterableSource, TimedSource, SizedSource):
        assert isinstance(source, capability)


def test_schema_is_canonical_and_rows_fit_it(numbers: Path, read_all: ReadAll) -> None:
    table = read_all(parquet.Source(numbers))
    assert table.schema == pa.schema({"n": pa.int64(), "s": pa.string(), "at": pa.timestamp("us", "UTC")})
    assert table["n"].to_pylist() == list(range(30))
    assert table["at"][1].as_py() == datetime(1970, 1, 1, 0, 0, 0, 999999, tzinfo=UTC)


def test_dictionaries_and_large_strings_are_read_as_plain_strings(tmp_path: Path, read_all: ReadAll) -> None:
    table = pa.table(
        {"d": pa.array(["x", None, "x"]).dictionary_encode(), "l": pa.array(["a", "b", None], pa.large_string())}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    read = read_all(parquet.Source(tmp_path))
    assert read.schema.types == [pa.string(), pa.string()]
    assert read.to_pydict() == {"d": ["x", None, "x"], "l": ["a", "b", None]}


def test_projected_columns_come_in_the_asked_order(numbers: Path, read_all: ReadAll) -> None:
    source = parquet.Source(numbers).project(["s", "n"])
    assert source.schema().names == ["s", "n"]
    assert read_all(source).equals(read_all(parquet.Source(numbers)).select(["s", "n"]))


def test_no_columns_still_give_all_rows(numbers: Path) -> None:
    source = parquet.Source(numbers / "a.parquet").project([])
    polled = source.open(dict.fromkeys(source.splits())).poll(100)
    assert isinstance(polled, list)
    [part] = polled
    assert isinstance(part, tuple)
    assert part[1].num_rows == 4


def test_filter_leaves_out_row_groups_but_no_row_that_passes(numbers: Path, read_all: ReadAll) -> None:
    source = parquet.Source(numbers).filter(pc.field("n") > 21).project(["n"])
    read = read_all(source)["n"].to_pylist()
    assert read == list(range(20, 30))
    assert read_all(source.filter(pc.field("n") < 24))["n"].to_pylist() == [20, 21, 22, 23]


def test_filter_on_a_column_that_was_projected_away_works(numbers: Path, read_all: ReadAll) -> None:
    source = parquet.Source(numbers).project(["s"]).filter(pc.field("n") >= 28)
    assert read_all(source)["s"].to_pylist() == ["s28", "s29"]


def test_filter_that_statistics_cannot_answer_leaves_nothing_out(numbers: Path, read_all: ReadAll) -> None:
    late = pa.scalar(datetime(2020, 1, 1, tzinfo=UTC), pa.timestamp("us", "UTC"))
    assert read_all(parquet.Source(numbers).filter(pc.field("at") > late)).num_rows == 30


def test_filters_are_part_of_equality(numbers: Path) -> None:
    source = parquet.Source(numbers)
    assert source.filter(pc.field("n") > 1) == source.filter(pc.field("n") > 1)
    assert source.filter(pc.field("n") > 1) != source.filter(pc.field("n") > 2)
    assert hash(source) == hash(parquet.Source(numbers))


def test_resume_within_a_filtered_file(numbers: Path, read_all: ReadAll) -> None:
    source = parquet.Source(numbers / "a.parquet").filter(pc.field("n") > 3)
    [split] = source.splits()
    assert read_all(source, at={split: {"group": 0, "row": 2}})["n"].to_pylist() == [4, 5, 6, 7, 8, 9]
    assert read_all(source, at={split: {"group": 1, "row": 3}})["n"].to_pylist() == [7, 8, 9]


def test_statistics_give_the_least_value_and_the_number_of_rows(numbers: Path) -> None:
    source = parquet.Source(numbers)
    split = source.splits()[1]
    assert source.row_count() == 30
    assert source.min_value(split, "n") == pa.scalar(10)
    assert source.min_value(split, "s") == pa.scalar("s10")
    assert source.min_value(split, "at") == pa.scalar(9_999_999, pa.int64()).cast(pa.timestamp("us", "UTC"))
    assert source.min_value(split, "missing") is None


def test_without_statistics_the_least_value_is_not_known(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [1], "m": [None]}), tmp_path / "a.parquet", write_statistics=False)
    source = parquet.Source(tmp_path)
    assert source.min_value(source.splits()[0], "n") is None


def test_nulls_do_not_hide_the_least_value(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": pa.array([None, None, 3, 2], pa.int64())}), tmp_path / "a.parquet", row_group_size=2)
    source = parquet.Source(tmp_path)
    assert source.min_value(source.splits()[0], "n") == pa.scalar(2)


def test_declared_schema_chooses_and_casts(numbers: Path, read_all: ReadAll) -> None:
    @dataclass
    class Row:
        s: str
        n: float

    assert read_all(parquet.Source(numbers, schema=Row)).slice(3, 1).to_pylist() == [{"s": "s3", "n": 3.0}]


def test_a_value_that_does_not_fit_names_the_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [1, 300]}), tmp_path / "a.parquet")
    flow = sf.Flow("f")
    flow.read("rows", parquet.Source(tmp_path, schema=pa.schema({"n": pa.int8()}))).write("out", memory.Sink())
    with pytest.raises(DataError, match=r"a\.parquet: a value does not fit the column's type"):
        sf.testing.run(flow)


def test_a_file_that_lacks_a_column_is_named(numbers: Path, read_all: ReadAll) -> None:
    pq.write_table(pa.table({"n": [1]}), numbers / "d.parquet")
    with pytest.raises(SchemaError, match=r"d\.parquet has no column 's'"):
        read_all(parquet.Source(numbers))


@pytest.mark.parametrize("kept", [0, 3, 300, -1])
def test_a_truncated_file_is_fatal_and_named(numbers: Path, read_all: ReadAll, kept: int) -> None:
    whole = (numbers / "b.parquet").read_bytes()
    (numbers / "b.parquet").write_bytes(whole[:kept])
    with pytest.raises(Fatal, match=r"b\.parquet is damaged") as raised:
        read_all(parquet.Source(numbers))
    assert raised.value.remedy is not None


def test_a_damaged_page_is_fatal_and_named(tmp_path: Path, read_all: ReadAll) -> None:
    pq.write_table(pa.table({"s": [f"value {n}" for n in range(1000)]}), tmp_path / "a.parquet", compression="zstd")
    whole = bytearray((tmp_path / "a.parquet").read_bytes())
    whole[40:400] = bytes(360)
    (tmp_path / "a.parquet").write_bytes(whole)
    with pytest.raises(Fatal, match=r"a\.parquet is damaged"):
        read_all(parquet.Source(tmp_path))


def test_a_flipped_bit_in_a_page_of_our_sink_is_found_by_its_checksum(
    tmp_path: Path, read_all: ReadAll, write_all: WriteAll
) -> None:
    write_all(parquet.Sink(tmp_path / "out", compression="none"), pa.table({"s": [f"value {n}" for n in range(100)]}))
    [path] = (tmp_path / "out").glob("*.parquet")
    whole = path.read_bytes()
    assert whole.count(b"value 42") == 1
    path.write_bytes(whole.replace(b"value 42", b"value 43"))
    with pytest.raises(Fatal, match=r"\.parquet is damaged.*CRC"):
        read_all(parquet.Source(tmp_path / "out"))


def test_it_reads_from_another_filesystem_of_pyarrow(numbers: Path, read_all: ReadAll) -> None:
    below = pafs.SubTreeFileSystem(str(numbers), pafs.LocalFileSystem())
    source = parquet.Source("*.parquet", filesystem=below)
    assert source.splits() == ["a.parquet", "b.parquet", "c.parquet"]
    assert read_all(source)["n"].to_pylist() == list(range(30))
    assert source.filter(pc.field("n") > 28).row_count() == 30


def test_what_the_sink_writes_the_source_reads(tmp_path: Path, read_all: ReadAll, write_all: WriteAll) -> None:
    table = pa.table(
        {
            "n": [1, None, 3],
            "at": pa.array([1, -1, None], pa.timestamp("us", "UTC")),
            "nested": [{"x": [1, 2]}, None, {"x": None}],
        }
    )
    sink = parquet.Sink(tmp_path / "out")
    assert isinstance(sink, TransactionalSink)
    write_all(sink, table, max_rows=2)
    assert read_all(parquet.Source(tmp_path / "out")).equals(table)
    assert pq.ParquetFile(next((tmp_path / "out").glob("*.parquet"))).num_row_groups == 1


def test_a_column_that_parquet_cannot_hold_is_refused_with_step_and_line(tmp_path: Path) -> None:
    flow = sf.Flow("parquet")
    rows = flow.read("rows", memory.Source(pa.table({"x": pa.array([{}], pa.struct([]))})))
    rows.write("out", parquet.Sink(tmp_path / "out"))
    with pytest.raises(SchemaError, match="'x' with no child field") as raised:
        sf.run(flow)
    assert (raised.value.step, raised.value.location is None) == ("out", False)
    assert raised.value.remedy is not None
    assert not (tmp_path / "out").exists()


def test_an_unknown_compression_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="compression='rar' is unknown"):
        parquet.Sink(tmp_path, compression="rar")  # type: ignore[arg-type]
