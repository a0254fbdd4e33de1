"""Comparing results: rows without an order, numbers with the exactness that streamflow promises (rule 17)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from streamflow.operators.events import CHANGE, DELETE, INSERT, UPDATE_AFTER, UPDATE_BEFORE

RELATIVE = 1e-9
"""How far apart two floats may be that are equal."""


def assert_rows(table: pa.Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Raise AssertionError unless the table holds just these rows, in any order. Floats may differ by 1e-9, relatively.

    >>> assert_rows(pa.table({"n": [1, 2]}), [{"n": 2}, {"n": 1}])
    >>> assert_rows(pa.table({"n": [1, 2]}), [{"n": 1}])
    Traceback (most recent call last):
    ...
    AssertionError: 1 row too many, 0 missing
      not expected: {'n': 2}
    """
    rows = list(rows)
    unknown = {name for row in rows for name in row} - set(table.column_names)
    if unknown:
        raise AssertionError(f"rows are expected to have {sorted(unknown)}; the table has {table.column_names}")
    found = sorted((dict(row) for row in table.to_pylist()), key=_sort_key)
    wanted = sorted(({name: row.get(name) for name in table.column_names} for row in rows), key=_sort_key)
    extra, missing = _difference(found, wanted)
    if extra or missing:
        lines = [f"{len(extra)} {'row' if len(extra) == 1 else 'rows'} too many, {len(missing)} missing"]
        lines += [f"  not expected: {row}" for row in extra[:5]]
        lines += [f"  missing: {row}" for row in missing[:5]]
        raise AssertionError("\n".join(lines))


def final(table: pa.Table) -> pa.Table:
    """The rows that a changelog leaves when all its changes are applied; the column `_change` is gone.

    Raises AssertionError when the changelog takes back a row that was never there.
    """
    visible = [name for name in table.column_names if name != CHANGE]
    signs = {INSERT: 1, UPDATE_AFTER: 1, UPDATE_BEFORE: -1, DELETE: -1}
    counts: Counter[str] = Counter()
    samples: dict[str, dict[str, Any]] = {}
    for change, row in zip(table.column(CHANGE).to_pylist(), table.select(visible).to_pylist(), strict=True):
        key = repr(row)
        samples[key] = row
        counts[key] += signs[change]
    negative = [samples[key] for key, count in counts.items() if count < 0]
    if negative:
        raise AssertionError(f"the changelog takes back a row that was never there: {negative[0]}")
    rows = [samples[key] for key, count in counts.items() for _ in range(count)]
    return pa.Table.from_pylist(rows, schema=table.select(visible).schema)


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
