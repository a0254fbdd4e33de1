from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest
from streamflow_connectors import stdout

from streamflow.connect import Sink, SinkContext, UserError

Who = Callable[..., SinkContext]


def test_rows_are_an_aligned_table_whose_header_returns_when_it_grows(
    who: Who, capsys: pytest.CaptureFixture[str]
) -> None:
    first = pa.record_batch(
        {"name": ["ann", None], "n": [1, -20], "at": pa.array([0, None], pa.timestamp("us", "UTC"))}
    )
    longer = pa.record_batch({"name": ["barbara\n"], "n": [3], "at": pa.array([None], pa.timestamp("us", "UTC"))})
    sink = stdout.Sink()
    assert isinstance(sink, Sink)
    writer = sink.open(who(first.schema))
    for batch in (first, first.slice(1), longer):
        writer.write(batch)
    writer.flush()
    writer.close()
    assert capsys.readouterr().out.splitlines() == [
        "name    n  at",
        "ann     1  1970-01-01 00:00:00.000000Z",
        "      -20",
        "      -20",
        "name         n  at",
        "barbara\\n    3",
    ]


def test_rows_are_json_lines(who: Who, capsys: pytest.CaptureFixture[str]) -> None:
    batch = pa.record_batch({"s": ['q"', None], "n": [[1], None]})
    stdout.Sink(format="jsonl").open(who(batch.schema)).write(batch)
    assert capsys.readouterr().out == '{"s":"q\\"","n":[1]}\n{"s":null,"n":null}\n'


def test_a_changelog_shows_its_changes_in_words(who: Who, capsys: pytest.CaptureFixture[str]) -> None:
    batch = pa.record_batch({"_change": pa.array([0, 3], pa.int8()), "n": [1, 1]})
    for format_ in ("table", "jsonl"):
        stdout.Sink(format=format_).open(who(batch.schema)).write(batch)
    assert capsys.readouterr().out.splitlines() == [
        "change  n",
        "insert  1",
        "delete  1",
        '{"change":"insert","n":1}',
        '{"change":"delete","n":1}',
    ]


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UserError, match="format='xml' is unknown"):
        stdout.Sink(format="xml")  # type: ignore[arg-type]


def test_on_a_terminal_rows_take_the_place_of_the_line_of_progress(
    who: Who, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    batch = pa.record_batch({"n": [1]})
    stdout.Sink().open(who(batch.schema)).write(batch)
    assert capsys.readouterr().out == "\r\x1b[2Kn\n1\n"
