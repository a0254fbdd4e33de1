from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamflow_connectors import jsonl

from streamflow.connect import DataError, Fatal, ProjectableSource, SchemaError
from streamflow.connect.formats.json import JsonDecoder, JsonEncoder
from streamflow.connect.formats.lines import Compression

ReadAll = Callable[..., pa.Table]
WriteAll = Callable[..., None]

AB = pa.schema({"a": pa.int64(), "b": pa.string()})


def test_missing_fields_are_null_unknown_ones_and_blank_lines_skipped(tmp_path: Path, read_all: ReadAll) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'\n{"a":1}\n  \n\r\n {"b":"x","c":{"d":[1]}}\r\n{"a":null}\n{}')
    assert read_all(jsonl.Source(tmp_path, AB)).to_pydict() == {
        "a": [1, None, None, None],
        "b": [None, "x", None, None],
    }


def test_only_projected_columns_are_decoded(tmp_path: Path, read_all: ReadAll) -> None:
    (tmp_path / "x.jsonl").write_text('{"a": "not a number", "b": "x"}\n')
    source = jsonl.Source(tmp_path, AB)
    assert isinstance(source, ProjectableSource)
    assert read_all(source.project(["b"])).to_pydict() == {"b": ["x"]}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"a": 1', "JSON parse error"),
        (b'{"a": "x"}', "JSON parse error"),
        (b'{"a": 1.5}', "couldn't parse"),
        (b'{"a": 99999999999999999999}', "couldn't parse"),
        (b"null", "not a JSON object"),
        (b'{"a": 1} null', "not a JSON object|Extra data"),
        (b"  null", "not a JSON object"),
        (b"[1]", "not a JSON object"),
        (b'{"a": 1}{"a": 2}', "each needs a line of its own"),
        (b'{"b": "\xff"}', "invalid start byte"),
        (b'{"a": 1, "a": 2}', "twice"),
    ],
)
@pytest.mark.parametrize("block", [20, 1 << 18])
def test_a_malformed_line_names_file_and_line(
    tmp_path: Path, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch, line: bytes, problem: str, block: int
) -> None:
    monkeypatch.setattr("streamflow.connect.lines._BLOCK", block)
    good = b'{"a": 1, "b": "x"}\n\n'
    (tmp_path / "x.jsonl").write_bytes(good * 30 + line + b"\n" + good * 30)
    with pytest.raises(DataError, match=rf"x\.jsonl:61: .*({problem})"):
        read_all(jsonl.Source(tmp_path, AB))


def test_an_error_does_not_speak_of_a_row_of_what_was_parsed_at_once(tmp_path: Path, read_all: ReadAll) -> None:
    for line in ('{"a": 1', '{"a": "x"}', '{"a": 1, "a": 2}'):
        (tmp_path / "x.jsonl").write_text('{"a": 1}\n' * 3 + line + "\n")
        with pytest.raises(DataError, match=r"x\.jsonl:4: JSON parse error") as raised:
            read_all(jsonl.Source(tmp_path, AB))
        assert "row" not in str(raised.value).replace("a row", "")


def test_nulls_within_strings_and_objects_are_not_mistaken(tmp_path: Path, read_all: ReadAll) -> None:
    (tmp_path / "x.jsonl").write_text('{"b": "} null {"}\n{"b": null}\n{"a": null, "b": "null"}\n')
    assert read_all(jsonl.Source(tmp_path, AB))["b"].to_pylist() == ["} null {", None, "null"]


def test_dates_times_and_durations_are_decoded(tmp_path: Path, read_all: ReadAll) -> None:
    row = (
        '{"d": "2015-07-15", "t": "10:11:12.5", "i": 1500, "at": "2015-07-15T02:00:00.5+02:00", '
        '"m": "1.25", "l": [{"d": "1969-12-31"}]}\n{}\n'
    )
    (tmp_path / "x.jsonl").write_text(row)
    schema = pa.schema(
        {
            "d": pa.date32(),
            "t": pa.time64("us"),
            "i": pa.duration("us"),
            "at": pa.timestamp("us", "UTC"),
            "m": pa.decimal128(9, 2),
            "l": pa.list_(pa.struct({"d": pa.date32()})),
        }
    )
    first, second = read_all(jsonl.Source(tmp_path, schema)).to_pylist()
    assert first["d"] == date(2015, 7, 15)
    assert first["t"] == time(10, 11, 12, 500000)
    assert first["i"] == timedelta(microseconds=1500)
    assert first["at"] == datetime(2015, 7, 15, 0, 0, 0, 500000, tzinfo=UTC)
    assert str(first["m"]) == "1.25"
    assert first["l"] == [{"d": date(1969, 12, 31)}]
    assert set(second.values()) == {None}


def test_a_type_that_json_lacks_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="column 'm': JSON has no map"):
        jsonl.Source(tmp_path, pa.schema({"m": pa.map_(pa.string(), pa.int64())}))


def test_a_truncated_gzip_file_is_fatal_and_named(tmp_path: Path, read_all: ReadAll) -> None:
    import gzip

    packed = gzip.compress(b'{"a": 1, "b": "x"}\n' * 1000)
    (tmp_path / "x.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(Fatal, match=r"x\.jsonl\.gz is damaged"):
        read_all(jsonl.Source(tmp_path, AB))


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_what_the_sink_writes_the_source_reads(
    tmp_path: Path, read_all: ReadAll, write_all: WriteAll, compression: Compression
) -> None:
    table = pa.table(
        {
            "n": [1, None, -3],
            "f": [0.1, 1e300, None],
            "flag": [True, None, False],
            "s": ['quote " backslash \\', "new\nline \x00 \x1f tab\t", "ünï\u2028çødé"],
            "at": pa.array([1, -1, None], pa.timestamp("us", "UTC")),
            "d": pa.array([0, None, -1], pa.date32()),
            "i": pa.array([5, None, -5], pa.duration("us")),
            "nested": [{"x": [1, None]}, None, {"x": None}],
            "names": [["a", None, 'b"'], [], None],
        }
    )
    write_all(jsonl.Sink(tmp_path / "out", compression=compression), table, max_rows=2)
    assert read_all(jsonl.Source(tmp_path / "out", table.schema)).equals(table)


JSON_VALUES = st.fixed_dictionaries(
    {
        "n": st.none() | st.integers(-(2**63), 2**63 - 1),
        "f": st.none() | st.floats(),
        "s": st.none() | st.text(),
        "l": st.none() | st.lists(st.none() | st.text(), max_size=3),
        "r": st.none() | st.fixed_dictionaries({"x": st.none() | st.integers(0, 5), "y": st.none() | st.text()}),
    }
)
JSON_SCHEMA = pa.schema(
    {
        "n": pa.int64(),
        "f": pa.float64(),
        "s": pa.string(),
        "l": pa.list_(pa.string()),
        "r": pa.struct({"x": pa.int64(), "y": pa.string()}),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(JSON_VALUES, max_size=8), st.integers(0, 3))
def test_encoded_rows_are_the_json_of_pythons_own_encoder(rows: list[dict[str, object]], skipped: int) -> None:
    batch = pa.RecordBatch.from_pylist(rows, schema=JSON_SCHEMA).slice(skipped)
    for row in rows:
        if isinstance(number := row["f"], float) and not math.isfinite(number):
            row["f"] = None
    text = JsonEncoder(JSON_SCHEMA).encode(batch).to_pybytes()
    lines = text.decode().split("\n")[:-1]
    assert [json.loads(line) for line in lines] == rows[skipped:]
    assert JsonDecoder(JSON_SCHEMA).decode(text).to_pylist() == rows[skipped:]


def test_bytes_are_refused_by_the_sink(tmp_path: Path, who: Callable[..., object]) -> None:
    with pytest.raises(SchemaError, match="column 'x': JSON has no bytes"):
        jsonl.Sink(tmp_path / "out").open(who(pa.schema({"x": pa.list_(pa.binary())})))  # type: ignore[arg-type]
