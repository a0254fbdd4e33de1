from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from streamflow_connectors import arrow, memory, parquet

import streamflow as sf
from streamflow.connect import DataError, Fatal, SchemaError, UserError

ReadAll = Callable[..., pa.Table]
WriteAll = Callable[..., None]
KINDS: list[Literal["file", "stream"]] = ["file", "stream"]

TABLE = pa.table(
    {
        "n": [1, None, 3],
        "s": ["a", "", None],
        "at": pa.array([1, -1, None], pa.timestamp("us", "UTC")),
        "nested": [{"x": [1, 2]}, None, {"x": None}],
    }
)


def save(path: Path, table: pa.Table, kind: str = "file") -> None:
    new = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with new(path, table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compression", ["zstd", "lz4", None])
def test_what_the_sink_writes_the_source_reads(
    tmp_path: Path,
    read_all: ReadAll,
    write_all: WriteAll,
    kind: Literal["file", "stream"],
    compression: arrow.Compression,
) -> None:
    write_all(arrow.Sink(tmp_path / "out", format=kind, compression=compression), TABLE, max_rows=2)
    assert read_all(arrow.Source(tmp_path / "out")).equals(TABLE)
    [path] = (tmp_path / "out").iterdir()
    assert path.suffix == {"file": ".arrow", "stream": ".arrows"}[kind]
    open_ = pa.ipc.open_file if kind == "file" else pa.ipc.open_stream
    assert open_(path).read_all().num_rows == 3


def test_small_batches_become_one(tmp_path: Path, write_all: WriteAll) -> None:
    write_all(arrow.Sink(tmp_path), pa.table({"n": list(range(1000))}), max_rows=10)
    [path] = tmp_path.iterdir()
    assert pa.ipc.open_file(path).num_record_batches == 1


@pytest.mark.parametrize("kind", KINDS)
def test_types_that_do_not_travel_are_made_canonical(tmp_path: Path, read_all: ReadAll, kind: str) -> None:
    table = pa.table({"d": pa.array(["x", "y", "x"]).dictionary_encode(), "l": pa.array(["u"] * 3, pa.large_string())})
    save(tmp_path / "a.arrow", table, kind)
    source = arrow.Source(tmp_path)
    assert source.schema() == pa.schema({"d": pa.string(), "l": pa.string()})
    assert read_all(source).to_pydict() == {"d": ["x", "y", "x"], "l": ["u"] * 3}
    assert read_all(source.project(["l", "d"])).column_names == ["l", "d"]


def test_a_declared_schema_chooses_and_casts(tmp_path: Path, read_all: ReadAll) -> None:
    save(tmp_path / "a.arrow", pa.table({"n": [1, 300], "s": ["a", "b"]}))
    assert read_all(arrow.Source(tmp_path, pa.schema({"n": pa.float64()}))).to_pydict() == {"n": [1.0, 300.0]}
    flow = sf.Flow("f")
    flow.read("rows", arrow.Source(tmp_path, schema=pa.schema({"n": pa.int8()}))).write("out", memory.Sink())
    with pytest.raises(DataError, match=r"a\.arrow: a value does not fit the column's type"):
        sf.testing.run(flow)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_lacks_a_column_is_named(tmp_path: Path, read_all: ReadAll, kind: str) -> None:
    save(tmp_path / "a.arrow", pa.table({"n": [1], "s": ["a"]}), kind)
    save(tmp_path / "b.arrow", pa.table({"n": [1]}), kind)
    with pytest.raises(SchemaError, match=r"b\.arrow has no column 's', only \['n'\]"):
        read_all(arrow.Source(tmp_path))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0, 3, 300, -60])
def test_a_truncated_file_is_fatal_and_named(tmp_path: Path, read_all: ReadAll, kind: str, kept: int) -> None:
    save(tmp_path / "a.arrow", pa.table({"s": [f"value {n}" for n in range(100)]}), kind)
    (tmp_path / "a.arrow").write_bytes((tmp_path / "a.arrow").read_bytes()[:kept])
    with pytest.raises(Fatal, match=r"a\.arrow is damaged"):
        read_all(arrow.Source(tmp_path, pa.schema({"s": pa.string()})))


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_offsets_are_found_before_they_are_used(tmp_path: Path, read_all: ReadAll, kind: str) -> None:
    save(tmp_path / "a.arrow", pa.table({"s": ["abcdefgh"] * 100}), kind)
    whole = (tmp_path / "a.arrow").read_bytes()
    offsets = b"".join((8 * n).to_bytes(4, "little") for n in range(101))
    assert whole.count(offsets) == 1
    (tmp_path / "a.arrow").write_bytes(whole.replace(offsets, offsets[:40] + b"\xff\xff\xff\x7f" * 10 + offsets[80:]))
    with pytest.raises(Fatal, match=r"a\.arrow is damaged"):
        read_all(arrow.Source(tmp_path))


def test_wrong_options_are_refused_when_the_sink_is_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="compression='gzip' is unknown"):
        arrow.Sink(tmp_path, compression="gzip")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="format='feather' is unknown"):
        arrow.Sink(tmp_path, format="feather")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_a_file_that_has_a_column_twice_is_named_where_that_column_is_read(tmp_path: Path, kind: str) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "a", "b"])
    file = tmp_path / f"twice.{kind}"
    if kind == "arrow":
        with pa.ipc.new_file(str(file), table.schema) as writer:
            writer.write_table(table)
    else:
        pq.write_table(table, file)
    source = arrow.Source if kind == "arrow" else parquet.Source

    def read(column: str) -> list[dict[str, int]]:
        flow, out = sf.Flow("twice"), memory.Sink()
        flow.read("rows", source(file, pa.schema({column: pa.int64()}))).write("out", out)
        sf.run(flow)
        rows: list[dict[str, int]] = out.table().to_pylist()
        return rows

    assert read("b") == [{"b": 3}]
    with pytest.raises(SchemaError, match=rf"twice\.{kind} has two columns 'a'") as raised:
        read("a")
    assert (raised.value.step, raised.value.location is None) == ("rows", False)
