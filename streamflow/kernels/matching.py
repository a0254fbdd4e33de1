"""Matches of regular expressions (RE2's syntax), padding, prefixes, numbers and JSON in text.

Cost: one to four of pyarrow's kernels, 10-200 us for 8 k rows. JSON paths and numbers in other bases than ten are read
in Python, once per distinct text: 0.3 M small documents/s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.kernels.arrays import Bools, Int64s

_MARKS = [chr(code) for code in range(0xFDD0, 0xFDF0)]
"""Characters that Unicode keeps for use inside of programs."""


def extract(array: pa.Array, pattern: str, group: int) -> pa.Array:
    """One group of the first match, by its number among the named groups of the pattern; null where nothing matches.

    >>> extract(pa.array(["a=1", "b"]), r"(?P<k>\\w)=(?P<v>\\d)", 1).to_pylist()
    ['1', None]
    """
    matched = pc.extract_regex(array, pattern)
    values = matched.field(group)
    return pc.if_else(matched.is_valid(), values, None) if matched.null_count else values


def extract_groups(array: pa.Array, pattern: str, names: Sequence[str]) -> pa.Array:
    """All groups of the first match as a record; null where nothing matches."""
    matched = pc.extract_regex(array, pattern)
    mask = matched.is_null() if matched.null_count else None
    return pa.StructArray.from_arrays(matched.flatten(), list(names), mask=mask)


def extract_all(array: pa.Array, pattern: str) -> pa.Array:
    """All matches that do not overlap, as a list.

    >>> extract_all(pa.array(["1 or 22", "none", None]), r"\\d+").to_pylist()
    [['1', '22'], [], None]
    """
    parts, counts, matches = _cut_at_matches(array, pattern)
    offsets = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts // 2, out=offsets[1:])
    mask = parts.is_null() if parts.null_count else None
    items = parts.flatten().take(pa.array(np.flatnonzero(matches)))
    return pa.ListArray.from_arrays(pa.array(offsets), items, mask=mask)


def replace_many(array: pa.Array, old: Sequence[str], new: Sequence[str]) -> pa.Array:
    """Plain texts replaced by others, all at once; of two that match at one place the first counts.

    >>> replace_many(pa.array(["abba", None]), ["a", "b"], ["b", "a"]).to_pylist()
    ['baab', None]
    """
    parts, _, matches = _cut_at_matches(array, "|".join(map(re.escape, old)))
    items = parts.flatten()
    found = pc.index_in(items, value_set=pa.array(old, pa.string()))
    items = pc.if_else(pa.array(matches), pa.array(new, pa.string()).take(found), items)
    offsets = np.zeros(len(parts) + 1, np.int32)
    np.cumsum(pc.fill_null(parts.value_lengths(), 0).to_numpy(), out=offsets[1:])
    mask = parts.is_null() if parts.null_count else None
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), items, mask=mask), "")


def _cut_at_matches(array: pa.Array, pattern: str) -> tuple[pa.Array, Int64s, Bools]:
    """Each text as a list of what stands between matches and the matches in turns; their numbers; which are matches.

    Every list begins and ends with what stands between.
    """
    mark = next((m for m in _MARKS if not pc.any(pc.match_substring(array, m)).as_py()), None)
    if mark is None:
        raise ValueError("the text holds every character that Unicode keeps for use inside of programs")
    marked = pc.replace_substring_regex(array, f"(?:{pattern})", f"{mark}\\0{mark}")
    parts = pc.split_pattern(marked, mark)
    counts = pc.fill_null(parts.value_lengths(), 0).to_numpy().astype(np.int64)
    within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return parts, counts, within % 2 == 1


def characters_before(array: pa.Array, places: pa.Array) -> pa.Array:
    """Places in bytes, -1 for none, as numbers of characters; null for none.

    >>> characters_before(pa.array(["né7", "x", None]), pa.array([3, -1, None], pa.int32())).to_pylist()
    [2, None, None]
    """
    at = pc.fill_null(places, -1).to_numpy().astype(np.int64)
    _, offsets, data = array.buffers()
    starts = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array)] if len(array) else at
    content = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
    characters = np.zeros(len(content) + 1, np.int64)
    np.cumsum(content & 0xC0 != 0x80, out=characters[1:])
    found = at >= 0
    return pa.array(characters[starts + np.where(found, at, 0)] - characters[starts], mask=~found)


def strip_prefix(array: pa.Array, prefix: str) -> pa.Array:
    """Without this text in front.

    >>> strip_prefix(pa.array(["abc", "cab"]), "ab").to_pylist()
    ['c', 'cab']
    """
    return pc.if_else(pc.starts_with(array, prefix), pc.utf8_slice_codeunits(array, len(prefix)), array)


def strip_suffix(array: pa.Array, suffix: str) -> pa.Array:
    """Without this text at the end."""
    if not suffix:
        return array
    return pc.if_else(pc.ends_with(array, suffix), pc.utf8_slice_codeunits(array, 0, -len(suffix)), array)


def zero_fill(array: pa.Array, width: int) -> pa.Array:
    """Zeros in front, behind a sign.

    >>> zero_fill(pa.array(["7", "-7"]), 3).to_pylist()
    ['007', '-07']
    """
    sign = pc.if_else(pc.match_substring_regex(array, "^[+-]"), pc.utf8_slice_codeunits(array, 0, 1), "")
    digits = pc.utf8_slice_codeunits(array, 1)
    padded = pc.binary_join_element_wise(sign, pc.utf8_lpad(digits, max(width - 1, 0), "0"), "")
    return pc.if_else(pc.equal(sign, ""), pc.utf8_lpad(array, width, "0"), padded)


def by_distinct(array: pa.Array, function: Callable[[str], Any], type_: pa.DataType) -> pa.Array:
    """A Python function of every distinct text."""
    encoded = array.dictionary_encode()
    made = pa.array([function(text) for text in encoded.dictionary.to_pylist()], type_)
    return made.take(encoded.indices)


def to_integer(array: pa.Array, base: int, *, strict: bool) -> pa.Array:
    """Integers in another base than ten. ValueError for what is none, or null if not `strict`.

    >>> to_integer(pa.array(["ff", "x"]), 16, strict=False).to_pylist()
    [255, None]
    """

    def read(text: str) -> int | None:
        try:
            number = int(text, base) if "_" not in text else None
        except ValueError:
            number = None
        if number is not None and -(2**63) <= number < 2**63:
            return number
        if strict:
            raise ValueError(f"{text!r} is no integer of 64 bits in base {base}")
        return None

    return by_distinct(array, read, pa.int64())


_STEP = re.compile(r"\.([^.\[\]\s\"'*]+)|\[(\d+)\]|\[\"([^\"]*)\"\]|\['([^']*)'\]")


def parse_json_path(path: str) -> tuple[str | int, ...]:
    """The steps of a path: `.name`, `["name"]` and `[index]` after `$`. ValueError for anything else.

    >>> parse_json_path('$.a["b.c"][0]')
    ('a', 'b.c', 0)
    """
    steps: list[str | int] = []
    at = 1
    while path.startswith("$") and at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            break
        name, index, double, single = step.groups()
        steps.append(int(index) if index is not None else next(n for n in (name, double, single) if n is not None))
        at = step.end()
    if not path.startswith("$") or at < len(path):
        raise ValueError(f"{path!r} is not a path of names and indices")
    return tuple(steps)


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


def json_path(array: pa.Array, steps: Sequence[str | int]) -> pa.Array:
    """What stands at a path of JSON documents: text as it is, anything else as JSON. Null where there is none or null.

    >>> json_path(pa.array(['{"a": [1.50, "x"]}', '{"a": {}}', "{"]), ("a", 0)).to_pylist()
    ['1.50', None, None]
    """

    def look_up(document: str) -> str | None:
        try:
            found = _at(json.loads(document, parse_float=_Number, parse_int=_Number), steps)
            if isinstance(found, dict | list):
                return json.dumps(_at(json.loads(document), steps), separators=(",", ":"), ensure_ascii=False)
        except (ValueError, RecursionError):
            return None
        return found if found is None or isinstance(found, str) else json.dumps(found)

    return by_distinct(array, look_up, pa.string())


def _at(value: Any, steps: Sequence[str | int]) -> Any:
    for step in steps:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and step < len(value) else None
    return value
