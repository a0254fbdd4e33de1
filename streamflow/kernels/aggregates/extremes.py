"""min and max, and of bools any and all."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa

from streamflow.kernels.aggregates.grouped import array, only, seen
from streamflow.kernels.aggregates.spec import AggregateSpec, Family, input_type, is_comparable
from streamflow.kernels.arrays import raw_values, validity
from streamflow.kernels.grouping import Groups

End: TypeAlias = Literal["min", "max"]


def _extreme(kind: End, values: pa.Array, groups: Groups) -> pa.Array:
    type_ = values.type
    if pa.types.is_floating(type_):
        return _floats(kind, values, groups)
    if pa.types.is_integer(type_) or pa.types.is_temporal(type_) or pa.types.is_boolean(type_):
        return _integers(kind, values, groups)
    return _by_acero(kind, values, groups)


def _integers(kind: End, values: pa.Array, groups: Groups) -> pa.Array:
    valid = validity(values)
    numbers, ids = only(raw_values(values), valid), only(groups.ids, valid)
    limits = np.iinfo(numbers.dtype)
    if kind == "min":
        result = np.full(groups.count, limits.max, numbers.dtype)
        np.minimum.at(result, ids, numbers)
    else:
        result = np.full(groups.count, limits.min, numbers.dtype)
        np.maximum.at(result, ids, numbers)
    found = array(result, None if valid is None else seen(ids, groups.count))
    if pa.types.is_boolean(values.type):
        return found.cast(pa.bool_())
    return found if found.type == values.type else found.view(values.type)


def _floats(kind: End, values: pa.Array, groups: Groups) -> pa.Array:
    """NaN is the greatest: `maximum` lets it through, `fmin` gives it only where all are NaN."""
    valid = validity(values)
    numbers, ids = only(raw_values(values), valid), only(groups.ids, valid)
    if kind == "min":
        result = np.full(groups.count, np.nan, numbers.dtype)
        np.fmin.at(result, ids, numbers)
    else:
        result = np.full(groups.count, -np.inf, numbers.dtype)
        with np.errstate(invalid="ignore"):
            np.maximum.at(result, ids, numbers)
    return array(result + numbers.dtype.type(0), None if valid is None else seen(ids, groups.count))


def _by_acero(kind: End, values: pa.Array, groups: Groups) -> pa.Array:
    if pa.types.is_null(values.type):
        return pa.nulls(groups.count)
    table = pa.table({"group": pa.array(groups.ids), "value": values})
    found = table.group_by("group", use_threads=False).aggregate([("value", kind)])
    row_of = np.zeros(groups.count, np.int64)
    row_of[found.column("group").to_numpy()] = np.arange(len(found))
    return found.column(f"value_{kind}").combine_chunks().take(pa.array(row_of)).cast(values.type)


def _comparable(spec: AggregateSpec) -> pa.DataType:
    type_ = input_type(spec)
    if not is_comparable(type_):
        raise ValueError(f"{spec.kind} takes values that have an order, not {type_}")
    return type_


def _conditions(spec: AggregateSpec) -> pa.DataType:
    type_ = input_type(spec)
    if not pa.types.is_boolean(type_):
        raise ValueError(f"{spec.kind} takes conditions, not {type_}")
    return type_


def _family(kind: End, *, bools: bool = False) -> Family:
    return Family(
        result=_conditions if bools else _comparable,
        parts=lambda spec: [(kind, input_type(spec))],
        partial=lambda spec, columns, groups: [_extreme(kind, columns[0], groups)],
        merge=lambda spec, parts, groups: [_extreme(kind, parts[0], groups)],
        finish=lambda spec, parts: parts[0],
    )


MIN, MAX = _family("min"), _family("max")
ANY, ALL = _family("max", bools=True), _family("min", bools=True)
