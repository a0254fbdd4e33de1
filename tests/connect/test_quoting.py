from __future__ import annotations

import csv
import io
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.connect import Quoting


def ends_by_python(text: str, delimiter: str) -> list[int]:
    """Where the records end by the standard library's parser."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    lines = list(itertools.accumulate(map(len, text.splitlines(keepends=True))))
    return [lines[reader.line_num - 1] - 1 for _ in reader]


@settings(max_examples=500)
@given(st.text('a"",;\n', max_size=30), st.sampled_from(",;"))
def test_records_end_where_the_standard_library_ends_them(text: str, delimiter: str) -> None:
    quoting, content = Quoting('"', delimiter), text.encode()
    expected = ends_by_python(text, delimiter)
    is_open = quoting.open_at(content) is not None
    if expected and (is_open or not text.endswith("\n")):
        expected.pop()
    assert quoting.record_ends(content).tolist() == expected
    assert quoting.last_end(content) == (expected[-1] + 1 if expected else 0)


@pytest.mark.parametrize(
    ("content", "open_at"),
    [
        (b"", None),
        (b'a,"b"\n', None),
        (b'"', 0),
        (b'a,"', 2),
        (b'a,""', None),
        (b'a,"""', 2),
        (b'a,5"\n', None),
        (b'a,5"\nb,"6\n', 7),
        (b'"a"b"', None),
        (b'"a\n"\n"b\n', 5),
    ],
)
def test_a_quote_that_nothing_closes_is_found(content: bytes, open_at: int | None) -> None:
    assert Quoting('"', ",").open_at(content) == open_at
