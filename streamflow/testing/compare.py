"""Comparing results: rows without an order, numbers with the exactness that streamflow promises (rule 17)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from streamflow.operators.events import CHANGE, DELETE, INSERT, UPDATE_AFTER, UPDATE_BEFORE

RELATIVE = 1e-9
"""How far apart two floats may be that are equal."""


def assert_rows(table: pa.Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Raise AssertionError unless the table holds just these rows, in any order. Floats may differ by 1e-9, relatively.

    A column, or a field of a struct, that a row leaves out is null. Values are written as Python has them: a dict for a
    struct or a map, a list, a Decimal of any scale, a datetime with or without a zone (then it is UTC). NaN equals NaN.

    >>> assert_rows(pa.table({"n": [1, 2]}), [{"n": 2}, {"n": 1}])
    >>> assert_rows(pa.table({"k": ["a"], "n": [1]}), [{"k": "a", "n": 2}])
    Traceback (most recent call last):
    ...
    AssertionError: 1 row too many, 1 missing
      not expected: {'k': 'a', 'n': 1}
      missing: {'k': 'a', 'n': 2}
      they differ in 'n': 1 and not 2
    """
    rows = list(rows)
    unknown = {name for row in rows for name in row} - set(table.column_names)
    if unknown:
        raise AssertionError(f"rows are expected to have {sorted(unknown)}; the table has {table.column_names}")
    expected = [_expected([row.get(field.name) for row in rows], field) for field in table.schema]
    found = _rows(table.column_names, [_plain(column) for column in table.columns])
    wanted = _rows(table.column_names, expected)
    extra, missing = _difference(found, wanted)
    if extra or missing:
        raise AssertionError("\n".join(_told(extra, missing)))


def final(table: pa.Table) -> pa.Table:
    """The rows that a changelog leaves when all its changes are applied; the column `_change` is gone.

    Raises AssertionError when the changelog takes back a row that was never there.
    """
    visible = table.select([name for name in table.column_names if name != CHANGE])
    signs = {INSERT: 1, UPDATE_AFTER: 1, UPDATE_BEFORE: -1, DELETE: -1}
    counts: Counter[str] = Counter()
    places: dict[str, int] = {}
    rows = visible.to_pylist()
    for place, (change, row) in enumerate(zip(table.column(CHANGE).to_pylist(), rows, strict=True)):
        key = repr(row)
        places.setdefault(key, place)
        counts[key] += signs[change]
    negative = [places[key] for key, count in counts.items() if count < 0]
    if negative:
        raise AssertionError(f"the changelog takes back a row that was never there: {rows[negative[0]]}")
    return visible.take(pa.array([places[key] for key, count in counts.items() for _ in range(count)], pa.int64()))


def _expected(values: list[Any], field: pa.Field) -> list[Any]:
    """Expected values as a column of this type would give them back."""
    made = [_converted(value, field.type) for value in values]
    for value, held in zip(values, made, strict=True):
        if value is not None and (held is None or _truncated(value, held)):
            raise AssertionError(f"{value!r} is expected in {field.name!r}, which is {field.type}")
    return made


def _converted(value: Any, type_: pa.DataType) -> Any:
    """None for a value that the type cannot hold."""
    try:
        return _plain(pa.array([value], type_))[0]
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None


def _truncated(value: Any, held: Any) -> bool:
    """Has Arrow dropped the fraction of a float?"""
    match held:
        case int():
            return isinstance(value, float) and value != held
        case dict():
            given = value if isinstance(value, Mapping) else dict(value)
            return any(_truncated(given.get(name), inner) for name, inner in held.items())
        case list():
            return any(map(_truncated, value, held))
    return False


def _plain(column: Any) -> list[Any]:
    """The values in Python's form, maps as dicts."""
    values: list[Any] = column.to_pylist()
    return [_without_pairs(value, column.type) for value in values] if pt.is_nested(column.type) else values


def _without_pairs(value: Any, type_: pa.DataType) -> Any:
    if value is None or not pt.is_nested(type_):
        return value
    if pt.is_map(type_):
        pairs = [(key, _without_pairs(item, type_.item_type)) for key, item in value]
        return pairs if pt.is_nested(type_.key_type) else dict(sorted(pairs, key=repr))
    if pt.is_struct(type_):
        return {field.name: _without_pairs(value[field.name], field.type) for field in type_}
    return [_without_pairs(item, type_.value_type) for item in value]


def _rows(names: list[str], columns: list[list[Any]]) -> list[dict[str, Any]]:
    return sorted((dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)), key=_sort_key)


def _told(extra: list[dict[str, Any]], missing: list[dict[str, Any]]) -> Iterator[str]:
    """What differs, a line for each row, up to five of a kind; and in what the first one and its nearest do."""
    yield f"{len(extra)} {'row' if len(extra) == 1 else 'rows'} too many, {len(missing)} missing"
    for label, rows in (("not expected", extra), ("missing", missing)):
        yield from (f"  {label}: {row}" for row in rows[:5])
        if len(rows) > 5:
            yield f"  and {len(rows) - 5} more"
    if not extra or not missing:
        return
    first = extra[0]
    nearest = min(missing[:100], key=lambda row: len(_apart(first, row)))
    apart = _apart(first, nearest)
    if len(apart) < len(first):
        begin = "they differ in" if len(extra) == len(missing) == 1 else "the first and its nearest differ in"
        yield f"  {begin} " + ", ".join(f"{name!r}: {first[name]!r} and not {nearest[name]!r}" for name in apart)


def _apart(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    return [name for name in a if not _equal(a[name], b[name])]


def _sort_key(row: Mapping[str, Any]) -> str:
    """Floats are left out, for they may differ by a little; they only break ties."""
    exact = {name: value for name, value in row.items() if not isinstance(value, float)}
    return f"{exact!r}|{row!r}"


def _difference(
    found: list[dict[str, Any]], wanted: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    if len(found) == len(wanted) and all(map(_equal, found, wanted)):
        return [], []
    rest = list(wanted)
    extra = []
    for row in found:
        match = next((i for i, other in enumerate(rest) if _equal(row, other)), None)
        if match is None:
            extra.append(row)
        else:
            del rest[match]
    return extra, rest


def _equal(a: object, b: object) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=RELATIVE)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_equal, a, b))
    return a == b
