"""The value of one chosen row of each group: that with the greatest or the least of another column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamflow.kernels.aggregates.spec import AggregateSpec, Family, input_type, is_comparable
from streamflow.kernels.arrays import Int64s, validity
from streamflow.kernels.canonical import canonical_key
from streamflow.kernels.grouping import Groups
from streamflow.kernels.ordering import top_rows


def _type(spec: AggregateSpec) -> pa.DataType:
    by = spec.more[0][1]
    for type_, what in ((input_type(spec), "of values"), (by, "by values")):
        if not is_comparable(type_):
            raise ValueError(f"{spec.kind} chooses {what} that have an order, not {type_}")
    return input_type(spec)


def _parts(spec: AggregateSpec) -> list[tuple[str, pa.DataType]]:
    return [("value", input_type(spec)), ("by", spec.more[0][1])]


def _chosen(spec: AggregateSpec, columns: Sequence[pa.Array], groups: Groups) -> list[pa.Array]:
    """Per group the row whose second column is the greatest or least; of several the one with the least value."""
    by, ids = columns[1], groups.ids
    valid = validity(by)
    rows = np.arange(len(ids)) if valid is None else np.flatnonzero(valid)
    if len(rows) < len(ids):
        columns = [column.take(pa.array(rows)) for column in columns]
        ids = ids[rows]
    picked = np.full(groups.count, -1, np.int64)
    if len(rows):
        best = top_rows([columns[1], columns[0]], [spec.kind == "max_by", False], 1, ids)
        picked[ids[best]] = best
    return [take_or_null(column, picked) for column in columns]


def take_or_null(column: pa.Array, rows: Int64s) -> pa.Array:
    """The entries at these rows, null for a row of -1; -0.0 as 0.0."""
    missing = rows < 0
    taken = column.take(pa.array(rows, mask=missing) if missing.any() else pa.array(rows))
    return canonical_key(taken) if pa.types.is_floating(taken.type) else taken


BY = Family(
    result=_type,
    parts=_parts,
    partial=_chosen,
    merge=_chosen,
    finish=lambda spec, parts: parts[0],
)
