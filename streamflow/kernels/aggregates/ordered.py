"""first, last and list: aggregates that go by the event time of rows, and where it ties by their order (rule 13).

Nulls are values here, as in SQL and polars. A partial says of every value when it was and where it stood, so that
partials merge in any order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamflow.kernels.aggregates.chosen import take_or_null
from streamflow.kernels.aggregates.grouped import list_sizes, lists, owners
from streamflow.kernels.aggregates.spec import AggregateSpec, Family, input_type
from streamflow.kernels.arrays import validity
from streamflow.kernels.grouping import Groups
from streamflow.kernels.ordering import top_rows


def _places(spec: AggregateSpec) -> list[tuple[str, pa.DataType]]:
    """What tells rows' places: the time and the order."""
    return [("time", spec.more[0][1]), ("order", spec.more[1][1])]


def _end(spec: AggregateSpec, columns: Sequence[pa.Array], groups: Groups) -> list[pa.Array]:
    """Per group the row that stands first, or last; none of a group's rows is one without a time."""
    ids = groups.ids
    valid = validity(columns[1])
    if valid is not None:
        columns = [column.filter(pa.array(valid)) for column in columns]
        ids = ids[valid]
    picked = np.full(groups.count, -1, np.int64)
    if len(ids):
        found = top_rows(columns[1:], [spec.kind == "last"] * 2, 1, ids)
        picked[ids[found]] = found
    return [take_or_null(column, picked) for column in columns]


END = Family(
    result=input_type,
    parts=lambda spec: [("value", input_type(spec)), *_places(spec)],
    partial=_end,
    merge=_end,
    finish=lambda spec, parts: parts[0],
)


def _merge_lists(spec: AggregateSpec, parts: Sequence[pa.Array], groups: Groups) -> list[pa.Array]:
    return lists([part.flatten() for part in parts], owners(parts[0], groups), groups.count)


def _sorted(spec: AggregateSpec, parts: Sequence[pa.Array]) -> pa.Array:
    sizes = list_sizes(parts[0])
    values, *places = (part.flatten() for part in parts)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    if len(owner):
        values = values.take(pa.array(top_rows(places, [False, False], len(owner), owner)))
    offsets = np.zeros(len(sizes) + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(sizes == 0))


LIST = Family(
    result=lambda spec: pa.list_(input_type(spec)),
    parts=lambda spec: [(f"{name}s", pa.list_(type_)) for name, type_ in [("value", input_type(spec)), *_places(spec)]],
    partial=lambda spec, columns, groups: lists(list(columns), groups.ids, groups.count),
    merge=_merge_lists,
    finish=_sorted,
)
