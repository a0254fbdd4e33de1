"""Functions of text give what DuckDB gives, or plain Python where SQL has no word for it."""

from __future__ import annotations

import re
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamflow as sf
from streamflow import col
from streamflow.errors import DataError, UserError
from streamflow.testing import evaluate

TEXT = st.none() | st.text("ab1 2-é漢.😀", max_size=8)
S = col("s").str


@settings(max_examples=25)
@given(st.lists(TEXT, min_size=1, max_size=12))
def test_text_functions_agree_with_duckdb(differences: Any, values: list[str | None]) -> None:
    column = pa.array(values, pa.string())
    both = [
        (S.len_bytes(), "strlen(s)"),
        (S.head(2), "s[1:2]"),
        (S.pad_start(5, "*"), "CASE WHEN length(s) < 5 THEN lpad(s, 5, '*') ELSE s END"),
        (S.pad_end(5, "*"), "CASE WHEN length(s) < 5 THEN rpad(s, 5, '*') ELSE s END"),
        (S.strip_chars_start("ab"), "ltrim(s, 'ab')"),
        (S.strip_chars_end("ab"), "rtrim(s, 'ab')"),
        (S.strip_prefix("a"), "CASE WHEN starts_with(s, 'a') THEN s[2:] ELSE s END"),
        (S.strip_suffix("a"), "CASE WHEN ends_with(s, 'a') THEN s[:-2] ELSE s END"),
        (S.count_matches("[ab]1"), "len(regexp_extract_all(s, '[ab]1'))"),
        (S.extract_all("[ab]+"), "regexp_extract_all(s, '[ab]+')"),
        (S.extract("([ab])([0-9])", 2), "nullif(regexp_extract(s, '([ab])([0-9])', 2), '')"),
        (S.extract("[ab][0-9]", 0), "nullif(regexp_extract(s, '[ab][0-9]'), '')"),
        (S.replace("([ab])([0-9])", r"\2\1"), r"regexp_replace(s, '([ab])([0-9])', '\2\1')"),
        (S.replace_all("([ab])([0-9])", r"\2\1"), r"regexp_replace(s, '([ab])([0-9])', '\2\1', 'g')"),
        (S.split("a"), "string_split(s, 'a')"),
        (S.split("[ab]1", regex=True), "string_split_regex(s, '[ab]1')"),
        (S.to_integer(strict=False), "CASE WHEN regexp_matches(s, '^-?[0-9]+$') THEN try_cast(s AS BIGINT) END"),
        (sf.concat_str("s", "s", separator="/"), "s || '/' || s"),
        (sf.concat_str("s", sf.lit("x"), separator="/", ignore_nulls=True), "concat_ws('/', s, 'x')"),
    ]
    assert not differences(both, {"s": column})
    assert evaluate(S.reverse(), s=column) == [None if value is None else value[::-1] for value in values]


def test_text_is_padded_with_zeros_behind_its_sign() -> None:
    values = ["7", "-7", "+7", "", "12345", None]
    assert evaluate(S.zfill(4), s=values) == [v if v is None else v.zfill(4) for v in values]


def test_integers_are_read_in_any_base() -> None:
    assert evaluate(S.to_integer(base=16), s=["ff", "FF", None]) == [255, 255, None]
    assert evaluate(S.to_integer(base=2, strict=False), s=["101", "2", "1" * 70]) == [5, None, None]
    with pytest.raises(DataError, match="'x' is no integer"):
        evaluate(S.to_integer(base=16), s=["x"])
    with pytest.raises(DataError, match="'x' does not fit int64"):
        evaluate(S.to_integer(), s=["x"])


def test_all_matches_are_found_in_slices_too() -> None:
    texts = pa.array(["skipped1", "a1b22", None, "", "none", "3"]).slice(1)
    assert evaluate(S.extract_all("[0-9]+"), s=texts) == [["1", "22"], None, [], [], ["3"]]
    assert evaluate(S.extract_all("([a-z])[0-9]"), s=texts) == [["a1", "b2"], None, [], [], []]
    assert evaluate(S.extract_all("x*"), s=["axb"]) == [["", "x", ""]]
    assert evaluate(S.extract_all("a"), s=["\ufdd0a"]) == [["a"]]


def test_groups_go_by_their_names_and_numbers() -> None:
    pattern = r"(?P<a>[(]\w)(?:-)(\)?\w)"
    assert evaluate(S.extract_groups(pattern), s=["(x-y", "no"]) == [{"a": "(x", "2": "y"}, None]
    with pytest.raises(UserError, match="has 0 groups"):
        evaluate(S.extract("abc"), s=["x"])
    with pytest.raises(UserError, match="not a regular expression"):
        evaluate(S.extract("(a"), s=["x"])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.a", ["1", "x", None, None, None, None]),
        ("$.b[1].c", ["1.50", None, None, None, None, None]),
        ("$.b", ['[0,{"c":1.5}]', None, None, None, None, None]),
        ('$["d e"]', ["true", None, None, None, None, None]),
        ("$[0]", [None, None, None, None, "5", None]),
    ],
)
def test_json_paths_give_text_as_it_is_and_all_else_as_json(path: str, expected: list[str | None]) -> None:
    documents = ['{"a": 1, "b": [0, {"c": 1.50}], "d e": true}', '{"a": "x"}', '{"a": null}', "broken {", "[5]", None]
    assert evaluate(S.json_path_match(path), s=documents) == expected


def test_a_path_that_cannot_be_followed_is_refused() -> None:
    for path in ("a.b", "$.*", "$..a", "$[x]", "$.a[-1]"):
        with pytest.raises(UserError, match="not a path"):
            evaluate(S.json_path_match(path), s=["{}"])


def test_json_paths_agree_with_duckdb() -> None:
    documents = ['{"a": {"b": [1, "x", 2.25, null, {"c": "é"}]}}', "[]", '{"a": {"b": []}}']
    for path in ("$.a", "$.a.b", "$.a.b[0]", "$.a.b[1]", "$.a.b[2]", "$.a.b[3]", "$.a.b[4].c", "$.a.b[9]"):
        expected = [duckdb.execute("SELECT ? ->> ?", [document, path]).fetchall()[0][0] for document in documents]
        assert evaluate(S.json_path_match(path), s=documents) == expected


@given(st.lists(TEXT, min_size=3, max_size=12), st.sampled_from(["a", "é漢", "1 ", "", "😀"]))
@settings(max_examples=25)
def test_a_text_is_found_as_python_finds_it(values: list[str | None], wanted: str) -> None:
    expected = [None if value is None or wanted not in value else value.find(wanted) for value in values]
    array = pa.array(values, pa.string())
    assert evaluate(S.find(wanted, literal=True), s=array) == expected
    assert evaluate(S.find(re.escape(wanted)), s=array.slice(2)) == expected[2:]


@given(st.lists(TEXT, min_size=3, max_size=12))
@settings(max_examples=25)
def test_many_texts_are_replaced_at_once(values: list[str | None]) -> None:
    mapping = {"a1": "b", "a": "1a", "b": "", ".": "é", "é": "\\1"}
    old = re.compile("|".join(map(re.escape, mapping)))
    expected = [value and old.sub(lambda match: mapping[match[0]], value) for value in values]
    array = pa.array(values, pa.string())
    assert evaluate(S.replace_many(mapping), s=array) == expected
    assert evaluate(S.replace_many(mapping), s=array.slice(1, 1)) == expected[1:2]
    assert evaluate(S.contains_any([".", "é"]), s=array) == [v if v is None else "." in v or "é" in v for v in values]


def test_patterns_that_are_none_are_refused() -> None:
    for wrong in ([], [""], "ab"):
        with pytest.raises(UserError, match="texts that are not empty"):
            S.contains_any(wrong)
    with pytest.raises(UserError, match="takes a dict"):
        S.replace_many(["a"])  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no normal form"):
        S.normalize("NFX")  # type: ignore[arg-type]


def test_numbers_may_have_a_plus() -> None:
    assert evaluate(col("s").cast(int), s=["+7", "-7", "7"]) == [7, -7, 7]
    assert evaluate(col("s").cast(float, strict=False), s=["+1.5", "+-1", "+", "++2"]) == [1.5, None, None, None]
