"""How functions of text are compiled."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from streamflow.errors import UserError
from streamflow.kernels import matching, text
from streamflow.plan.codes.code import Code, Compile, of_arrays, of_column
from streamflow.plan.logical.patterns import named_groups
from streamflow.plan.logical.terms import Call


def _concat(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    separator = call.option("separator")
    nulls = "skip" if call.option("ignore_nulls") else "emit_null"
    return of_arrays(lambda *parts: pc.binary_join_element_wise(*parts, separator, null_handling=nulls), type_, args)


_FRACTION = re.compile(r"(?:(?!%f).)*%S\.%f(?:[^%.0-9](?:[^%.]|%[zZp%])*|%[zZp])?")
"""Layouts with a fraction that can be told from the rest of the text."""


def _to_datetime(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    layout = call.option("format")
    if layout is None:
        return of_arrays(text.parse_iso_times, type_, args)
    if "%f" in layout and not _FRACTION.fullmatch(layout):
        raise UserError(
            f"to_datetime({layout!r}): %f does not stand as %S.%f, with no point or number behind",
            remedy="without a format ISO 8601 is read, with fractions of a second",
        )
    return of_arrays(lambda a: text.parse_times(a, layout), type_, args)


def _strip(white: Any, these: Any) -> Callable[[Call], Any]:
    def strip(call: Call) -> Any:
        characters = call.option("characters")
        return white if characters is None else lambda a: these(a, characters)

    return strip


def _contains(call: Call) -> Callable[[Any], Any]:
    pattern = call.option("pattern")
    if call.option("literal") or pattern == re.escape(pattern):
        return lambda a: pc.match_substring(a, pattern)
    _check_pattern(pattern)
    return lambda a: pc.match_substring_regex(a, pattern)


def _replace(call: Call) -> Callable[[Any], Any]:
    pattern, value = call.option("pattern"), call.option("value")
    most = 1 if call.function == "str.replace" else -1
    if call.option("literal"):
        return lambda a: pc.replace_substring(a, pattern, value, max_replacements=most)
    _check_pattern(pattern)
    return lambda a: pc.replace_substring_regex(a, pattern, value, max_replacements=most)


def _check_pattern(pattern: str) -> None:
    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        raise UserError(
            f"{pattern!r} is not a regular expression: {error}",
            remedy="write literal=True for plain text; the syntax is RE2's, without look-around and back references",
        ) from error


def _slice(call: Call) -> Callable[[Any], Any]:
    offset, length = call.option("offset"), call.option("length")
    stop = None if length is None else offset + length
    if offset < 0 and stop is not None and stop >= 0:
        stop = None
    return lambda a: pc.utf8_slice_codeunits(a, offset, stop)


def _split(call: Call) -> Callable[[Any], Any]:
    by = call.option("by")
    if not by:
        raise UserError("split(''): there is nothing to split by")
    if call.option("regex"):
        _check_pattern(by)
        return lambda a: pc.split_pattern_regex(a, by)
    return lambda a: pc.split_pattern(a, by)


def _find(call: Call) -> Callable[[Any], Any]:
    pattern = call.option("pattern")
    if call.option("literal"):
        return lambda a: matching.characters_before(a, pc.find_substring(a, pattern))
    _check_pattern(pattern)
    return lambda a: matching.characters_before(a, pc.find_substring_regex(a, pattern))


def _replace_many(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    empty = pa.RecordBatch.from_arrays([], [])
    texts = [arg.arrow(empty).as_py() for arg in args[1:]]
    middle = len(texts) // 2
    return of_arrays(lambda a: matching.replace_many(a, texts[:middle], texts[middle:]), type_, args[:1])


def _count_matches(call: Call) -> Callable[[Any], Any]:
    pattern = call.option("pattern")
    if call.option("literal"):
        return lambda a: pc.count_substring(a, pattern).cast(pa.int64())
    _check_pattern(pattern)
    return lambda a: pc.count_substring_regex(a, pattern).cast(pa.int64())


def _extract(call: Call) -> Callable[[Any], Any]:
    pattern, group = call.option("pattern"), call.option("group")
    _check_pattern(pattern)
    named, names = named_groups(pattern)
    if not 0 <= group <= len(names):
        raise UserError(
            f"extract({pattern!r}, {group}): the pattern has {len(names)} groups",
            remedy="put what is to be extracted in parentheses; group 0 is the whole match",
        )
    return lambda a: matching.extract(a, f"(?P<g0>{named})", group)


def _extract_groups(call: Call) -> Callable[[Any], Any]:
    pattern = call.option("pattern")
    _check_pattern(pattern)
    named, names = named_groups(pattern)
    if not names:
        raise UserError(f"extract_groups({pattern!r}): the pattern has no group", remedy="put parts in parentheses")
    return lambda a: matching.extract_groups(a, named, names)


def _extract_all(call: Call) -> Callable[[Any], Any]:
    pattern = call.option("pattern")
    _check_pattern(pattern)
    return lambda a: matching.extract_all(a, pattern)


def _to_integer(call: Call) -> Callable[[Any], Any]:
    base, strict = call.option("base"), call.option("strict")
    if base == 10:
        return lambda a: (text.cast_or_raise if strict else text.cast_or_null)(a, pa.int64())
    return lambda a: matching.to_integer(a, base, strict=strict)


def _json_path(call: Call) -> Callable[[Any], Any]:
    try:
        steps = matching.parse_json_path(call.option("path"))
    except ValueError as error:
        raise UserError(str(error), remedy="""write '$.a.b[0]', or '$["a b"]' for names with other signs""") from error
    return lambda a: matching.json_path(a, steps)


TEXT: Mapping[str, Compile] = {
    "concat_str": _concat,
    "str.len_chars": of_column(lambda call: lambda a: pc.utf8_length(a).cast(pa.int64())),
    "str.len_bytes": of_column(lambda call: lambda a: pc.binary_length(a).cast(pa.int64())),
    "str.to_lowercase": of_column(lambda call: pc.utf8_lower),
    "str.to_uppercase": of_column(lambda call: pc.utf8_upper),
    "str.to_titlecase": of_column(lambda call: pc.utf8_title),
    "str.reverse": of_column(lambda call: pc.utf8_reverse),
    "str.strip_chars": of_column(_strip(pc.utf8_trim_whitespace, pc.utf8_trim)),
    "str.strip_chars_start": of_column(_strip(pc.utf8_ltrim_whitespace, pc.utf8_ltrim)),
    "str.strip_chars_end": of_column(_strip(pc.utf8_rtrim_whitespace, pc.utf8_rtrim)),
    "str.strip_prefix": of_column(lambda call: lambda a: matching.strip_prefix(a, call.option("prefix"))),
    "str.strip_suffix": of_column(lambda call: lambda a: matching.strip_suffix(a, call.option("suffix"))),
    "str.pad_start": of_column(lambda call: lambda a: pc.utf8_lpad(a, call.option("length"), call.option("fill"))),
    "str.pad_end": of_column(lambda call: lambda a: pc.utf8_rpad(a, call.option("length"), call.option("fill"))),
    "str.zfill": of_column(lambda call: lambda a: matching.zero_fill(a, call.option("length"))),
    "str.starts_with": of_column(lambda call: lambda a: pc.starts_with(a, call.option("prefix"))),
    "str.ends_with": of_column(lambda call: lambda a: pc.ends_with(a, call.option("suffix"))),
    "str.contains": of_column(_contains),
    "str.find": of_column(_find),
    "str.count_matches": of_column(_count_matches),
    "str.extract": of_column(_extract),
    "str.extract_all": of_column(_extract_all),
    "str.extract_groups": of_column(_extract_groups),
    "str.replace": of_column(_replace),
    "str.replace_all": of_column(_replace),
    "str.replace_many": _replace_many,
    "str.normalize": of_column(lambda call: lambda a: pc.utf8_normalize(a, call.option("form"))),
    "str.slice": of_column(_slice),
    "str.split": of_column(_split),
    "str.to_integer": of_column(_to_integer),
    "str.to_datetime": _to_datetime,
    "str.json_path_match": of_column(_json_path),
}
