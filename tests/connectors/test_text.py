from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from streamflow_connectors import text

from streamflow.connect import DataError, SchemaError

ReadAll = Callable[..., pa.Table]
WriteAll = Callable[..., None]


@pytest.mark.parametrize("block", [1, 3, 1 << 18])
def test_newlines_of_both_kinds_end_lines(
    tmp_path: Path, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr("streamflow.connect.lines._BLOCK", block)
    (tmp_path / "a.txt").write_bytes("é\r\n\n two \rx\r\nlast".encode())
    assert read_all(text.Source(tmp_path)).to_pydict() == {"line": ["é", "", " two \rx", "last"]}


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path, read_all: ReadAll) -> None:
    (tmp_path / "a.txt").write_bytes(b"good\n" * 10 + b"b\xe9d\n" + b"good\n")
    with pytest.raises(DataError, match=r"a\.txt:11: 'utf-8' codec can't decode byte 0xe9"):
        read_all(text.Source(tmp_path))


def test_an_empty_file_has_no_rows(tmp_path: Path, read_all: ReadAll) -> None:
    (tmp_path / "a.txt").write_bytes(b"")
    assert read_all(text.Source(tmp_path)).num_rows == 0


def test_the_sink_writes_the_first_string_column(tmp_path: Path, read_all: ReadAll, write_all: WriteAll) -> None:
    write_all(
        text.Sink(tmp_path / "out", compression="zstd"), pa.table({"n": [1, 2], "s": ["x", None], "t": ["y", "y"]})
    )
    assert read_all(text.Source(tmp_path / "out"))["line"].to_pylist() == ["x", ""]


def test_rows_without_a_string_are_refused(tmp_path: Path, who: Callable[..., object]) -> None:
    with pytest.raises(SchemaError, match=r"none of the columns \['n'\] is a string"):
        text.Sink(tmp_path / "out").open(who(pa.schema({"n": pa.int64()})))  # type: ignore[arg-type]
