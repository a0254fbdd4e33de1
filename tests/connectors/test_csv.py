from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from streamflow_connectors import csv, memory

import streamflow as sf
from streamflow.connect import DataError, SchemaError, UserError
from streamflow.connect.formats.lines import Compression

ReadAll = Callable[..., pa.Table]
WriteAll = Callable[..., None]

AB = pa.schema({"a": pa.int64(), "b": pa.string()})


def test_columns_are_found_by_the_header_of_each_file(tmp_path: Path, read_all: ReadAll) -> None:
    (tmp_path / "1.csv").write_text("b,c,a\nx,?,1\n")
    (tmp_path / "2.csv").write_text('a,b\n2,"y\n""z"""\n\n3,\n4,""\n')
    assert read_all(csv.Source(tmp_path, AB)).to_pydict() == {"a": [1, 2, 3, 4], "b": ["x", 'y\n"z"', None, ""]}


def test_without_header_the_schema_names_all_columns(tmp_path: Path, read_all: ReadAll) -> None:
    (tmp_path / "1.csv").write_text("1;x\nNA;NA\n")
    source = csv.Source(tmp_path, AB, header=False, delimiter=";", null_values=["NA"])
    assert read_all(source).to_pydict() == {"a": [1, None], "b": ["x", None]}
    assert read_all(source.project(["b"])).to_pydict() == {"b": ["x", None]}


def test_timestamps_with_and_without_offset(tmp_path: Path, read_all: ReadAll) -> None:
    (tmp_path / "1.csv").write_text("at,be\n2013-01-01 10:00:00,2013-01-01T10:00:00+01:00\n,\n")
    schema = pa.schema({"at": pa.timestamp("us", "UTC"), "be": pa.timestamp("us", "UTC")})
    assert read_all(csv.Source(tmp_path, schema)).to_pydict() == {
        "at": [datetime(2013, 1, 1, 10, tzinfo=UTC), None],
        "be": [datetime(2013, 1, 1, 9, tzinfo=UTC), None],
    }


@pytest.mark.parametrize("line", ["x,x", "1", "1,2,3"])
@pytest.mark.parametrize("block", [20, 1 << 18])
def test_a_malformed_record_names_file_and_line(
    tmp_path: Path, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch, line: str, block: int
) -> None:
    monkeypatch.setattr("streamflow.connect.lines._BLOCK", block)
    (tmp_path / "1.csv").write_text("a,b\n" + '1,"x\ny"\n' * 20 + line + "\n1,z\n")
    with pytest.raises(DataError, match=r"1\.csv:42: "):
        read_all(csv.Source(tmp_path, AB))


@pytest.mark.parametrize("block", [7, 1 << 18])
def test_a_quote_within_a_value_is_a_character_and_newlines_within_quotes_stay(
    tmp_path: Path, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr("streamflow.connect.lines._BLOCK", block)
    (tmp_path / "1.csv").write_text('a,b\n1,5" pipe\n2,"x\ny"\n3,6"\n4,"""z""\n"\n')
    assert read_all(csv.Source(tmp_path, AB))["b"].to_pylist() == ['5" pipe', "x\ny", '6"', '"z"\n']


@pytest.mark.parametrize("block", [7, 1 << 18])
@pytest.mark.parametrize(("before", "line"), [("", 2), ('1,5" pipe\n2,"x\ny"\n', 5)])
def test_a_quote_that_is_never_closed_names_its_line(
    tmp_path: Path, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch, block: int, before: str, line: int
) -> None:
    monkeypatch.setattr("streamflow.connect.lines._BLOCK", block)
    (tmp_path / "1.csv").write_text("a,b\n" + before + '3,"open\n4,z\n5,z\n')
    with pytest.raises(DataError, match=rf"1\.csv:{line}: the quote that opens in line {line} is never closed"):
        read_all(csv.Source(tmp_path, AB))


def test_a_header_with_a_quote_that_is_never_closed_names_its_line(tmp_path: Path, read_all: ReadAll) -> None:
    (tmp_path / "1.csv").write_text('a,b,"c\n1,x,y\n')
    with pytest.raises(DataError, match=r"1\.csv:1: the quote that opens in line 1 is never closed"):
        read_all(csv.Source(tmp_path, AB))


def test_a_header_without_the_column_names_the_file(tmp_path: Path, read_all: ReadAll) -> None:
    (tmp_path / "1.csv").write_text("a,c\n1,2\n")
    with pytest.raises(DataError, match=r"1\.csv:1: no column 'b' in the header \['a', 'c'\]"):
        read_all(csv.Source(tmp_path, AB))


def test_a_file_of_only_a_header_has_no_rows(tmp_path: Path, read_all: ReadAll) -> None:
    (tmp_path / "1.csv").write_text("a,b")
    assert read_all(csv.Source(tmp_path, AB)).num_rows == 0


def test_nested_columns_and_odd_delimiters_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="column 'l': CSV has no list"):
        csv.Source(tmp_path, pa.schema({"l": pa.list_(pa.int64())}))
    with pytest.raises(UserError, match="delimiter='ab' cannot separate values"):
        csv.Source(tmp_path, AB, delimiter="ab")


def test_decimals_of_any_width_come_back(tmp_path: Path, read_all: ReadAll, write_all: WriteAll) -> None:
    values = [Decimal("123456789012345678901234567890123456789012.50"), None, Decimal("-0.01")]
    table = pa.table({"d": pa.array(values, pa.decimal256(50, 2)), "e": pa.array([1, None, -2], pa.decimal128(9, 3))})
    write_all(csv.Sink(tmp_path / "out"), table)
    assert read_all(csv.Source(tmp_path / "out", table.schema)).equals(table)


@pytest.mark.parametrize("type_", [pa.binary(), pa.struct([]), pa.list_(pa.int64()), pa.map_(pa.string(), pa.int64())])
def test_what_csv_has_no_words_for_is_refused_with_step_and_line(tmp_path: Path, type_: pa.DataType) -> None:
    flow = sf.Flow("csv")
    rows = flow.read("rows", memory.Source(pa.table({"x": pa.nulls(1, type_)})))
    rows.write("out", csv.Sink(tmp_path / "out"))
    with pytest.raises(SchemaError, match="column 'x': CSV has no") as raised:
        sf.run(flow)
    assert (raised.value.step, raised.value.location is None) == ("out", False)
    assert raised.value.remedy is not None
    assert not (tmp_path / "out").exists()


def test_sinks_of_the_same_are_equal(tmp_path: Path) -> None:
    assert csv.Sink(tmp_path, delimiter=";") == csv.Sink(tmp_path, delimiter=";")
    assert csv.Sink(tmp_path, delimiter=";") != csv.Sink(tmp_path)


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_what_the_sink_writes_the_source_reads(
    tmp_path: Path, read_all: ReadAll, write_all: WriteAll, compression: Compression
) -> None:
    table = pa.table(
        {
            "s": ['quote " comma ,', "new\nline", "", None],
            "n": [1, None, -3, 4],
            "f": [0.1, 1e300, None, float("inf")],
            "at": pa.array([1, -1, None, 0], pa.timestamp("us", "UTC")),
            "i": pa.array([5, None, -5, 0], pa.duration("us")),
            "d": pa.array([5, None, -5, 0], pa.date32()),
        }
    )
    write_all(csv.Sink(tmp_path / "out", compression=compression, delimiter=";"), table, max_rows=3)
    assert read_all(csv.Source(tmp_path / "out", table.schema, delimiter=";")).equals(table)
