"""count, sum and mean. Sums of integers and decimals are exact: limbs of 32 bits, each summed in an int64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamflow.kernels.aggregates.grouped import (
    add,
    array,
    count_rows,
    count_values,
    only,
    seen,
    sum_floats,
    sum_int64,
    zero_nulls,
)
from streamflow.kernels.aggregates.spec import AggregateSpec, Family, input_type, require_numbers
from streamflow.kernels.arrays import Bools, Int64s, raw_values, validity
from streamflow.kernels.grouping import Groups

_LIMB = 32
_MASK = (1 << _LIMB) - 1


def _count(spec: AggregateSpec, columns: Sequence[pa.Array], groups: Groups) -> list[pa.Array]:
    return [pa.array(count_values(columns[0], groups) if columns else count_rows(groups))]


def _add_pairs(parts: Sequence[pa.Array], others: Sequence[pa.Array]) -> list[pa.Array]:
    with np.errstate(invalid="ignore", over="ignore"):
        totals = [raw_values(part) + raw_values(other) for part, other in zip(parts, others, strict=True)]
    return [pa.array(total) for total in (totals if len(totals) == 1 else _normal(totals))]


COUNT = Family(
    result=lambda spec: pa.int64(),
    parts=lambda spec: [("count", pa.int64())],
    partial=_count,
    merge=lambda spec, parts, groups: [add(parts[0], groups)],
    finish=lambda spec, parts: parts[0],
    merge_pairs=_add_pairs,
)


def _sum_type(spec: AggregateSpec) -> pa.DataType:
    type_ = require_numbers(spec)
    if pa.types.is_floating(type_):
        return pa.float64()
    if pa.types.is_decimal128(type_):
        return pa.decimal128(38, type_.scale)
    return pa.uint64() if pa.types.is_unsigned_integer(type_) else pa.int64()


def _sum_parts(spec: AggregateSpec) -> list[tuple[str, pa.DataType]]:
    type_ = input_type(spec)
    if pa.types.is_floating(type_):
        return [("sum", pa.float64())]
    limbs = 4 if pa.types.is_decimal(type_) else 2
    return [(f"sum{limb}", pa.int64()) for limb in range(limbs)]


def _sum(values: pa.Array, groups: Groups) -> list[pa.Array]:
    valid = validity(values)
    ids, present = groups.ids, None
    if valid is not None:
        ids, present = ids[valid], seen(ids[valid], groups.count)
    if pa.types.is_floating(values.type):
        numbers = only(raw_values(values), valid).astype(np.float64, copy=False)
        return [array(sum_floats(numbers, ids, groups.count), present)]
    if pa.types.is_decimal(values.type):
        limbs = _normal([sum_int64(limb, ids, groups.count) for limb in _decimal_limbs(values, valid)])
    else:
        limbs = _sum_integers(only(raw_values(values), valid), ids, groups.count)
    return [array(limb, present) for limb in limbs]


def _merge_sum(parts: Sequence[pa.Array], groups: Groups) -> list[pa.Array]:
    valid = validity(parts[0])
    ids, present = groups.ids, None
    if valid is not None:
        ids, present = ids[valid], seen(ids[valid], groups.count)
    columns = [only(raw_values(part), valid) for part in parts]
    if len(columns) == 1:
        return [array(sum_floats(columns[0], ids, groups.count), present)]
    return [array(limb, present) for limb in _normal([sum_int64(limb, ids, groups.count) for limb in columns])]


def _sum_integers(values: npt.NDArray[Any], ids: Int64s, count: int) -> list[Int64s]:
    """The two limbs of integer sums: in one pass where no sum can leave int64, else limb by limb."""
    if len(values) == 0:
        return [np.zeros(count, np.int64), np.zeros(count, np.int64)]
    magnitude = max(abs(int(values.min())), abs(int(values.max())))
    if magnitude * len(values) < 1 << 63:
        total = sum_int64(values.astype(np.int64, copy=False), ids, count)
        return [total & _MASK, total >> _LIMB]
    low = (values & values.dtype.type(_MASK)).astype(np.int64)
    high = (values >> values.dtype.type(_LIMB)).astype(np.int64)
    return _normal([sum_int64(low, ids, count), sum_int64(high, ids, count)])


def _decimal_limbs(values: pa.Array, valid: Bools | None) -> list[Int64s]:
    """Four columns of 32 bits, least first; only the last has a sign."""
    data = values.buffers()[1]
    if data is None or len(values) == 0:
        return [np.zeros(0, np.int64)] * 4
    words = np.frombuffer(data, np.uint32, len(values) * 4, values.offset * 16).reshape(-1, 4)
    limbs = [words[:, limb].astype(np.int64) for limb in range(3)]
    limbs.append(words[:, 3].astype(np.int32).astype(np.int64))
    return [only(limb, valid) for limb in limbs]


def _normal(limbs: list[Int64s]) -> list[Int64s]:
    """Carry upwards: every limb but the last in 0..2^32-1. Room for 2^31 rows between two calls."""
    carry = np.zeros(len(limbs[0]), np.int64)
    result = []
    for limb in limbs[:-1]:
        total = limb + carry
        result.append(total & _MASK)
        carry = total >> _LIMB
    return [*result, limbs[-1] + carry]


def _finish_sum(spec: AggregateSpec, parts: Sequence[pa.Array]) -> pa.Array:
    if len(parts) == 1:
        return parts[0]
    type_ = _sum_type(spec)
    valid = validity(parts[0])
    limbs = [zero_nulls(raw_values(part), valid) for part in parts]
    least, most = (0, _MASK) if type_ == pa.uint64() else (-(1 << 31), (1 << 31) - 1)
    if len(limbs[-1]) and (int(limbs[-1].min()) < least or int(limbs[-1].max()) > most):
        raise OverflowError(f"the sum {spec.name!r} does not fit {type_}")
    if pa.types.is_decimal(type_):
        return _decimals(spec, limbs, valid, type_)
    total = limbs[0] | (limbs[1] << _LIMB)
    return array(total.view(np.uint64) if type_ == pa.uint64() else total, valid)


def _decimals(spec: AggregateSpec, limbs: list[Int64s], valid: Bools | None, type_: pa.DataType) -> pa.Array:
    words = np.stack([limb.astype(np.uint32) for limb in limbs], axis=1)
    mask = None if valid is None else pa.array(valid).buffers()[1]
    result = pa.Array.from_buffers(type_, len(words), [mask, pa.py_buffer(np.ascontiguousarray(words))])
    try:
        result.validate(full=True)
    except pa.ArrowInvalid:
        raise OverflowError(f"the sum {spec.name!r} does not fit {type_}") from None
    return result


SUM = Family(
    result=_sum_type,
    parts=_sum_parts,
    partial=lambda spec, columns, groups: _sum(columns[0], groups),
    merge=lambda spec, parts, groups: _merge_sum(parts, groups),
    finish=_finish_sum,
    merge_pairs=_add_pairs,
)


def _mean_type(spec: AggregateSpec) -> pa.DataType:
    require_numbers(spec)
    return pa.float64()


def _finish_mean(spec: AggregateSpec, parts: Sequence[pa.Array]) -> pa.Array:
    *sums, counts = parts
    valid = validity(sums[0])
    limbs = [zero_nulls(raw_values(part), valid) for part in sums]
    total = limbs[-1].astype(np.float64)
    for limb in reversed(limbs[:-1]):
        total = total * float(1 << _LIMB) + limb
    if spec.type is not None and pa.types.is_decimal(spec.type):
        total = total / 10.0**spec.type.scale
    return array(total / np.maximum(raw_values(counts), 1), valid)


MEAN = Family(
    result=_mean_type,
    parts=lambda spec: [*_sum_parts(spec), ("count", pa.int64())],
    partial=lambda spec, columns, groups: [*_sum(columns[0], groups), pa.array(count_values(columns[0], groups))],
    merge=lambda spec, parts, groups: [*_merge_sum(parts[:-1], groups), add(parts[-1], groups)],
    finish=_finish_mean,
    merge_pairs=lambda parts, others: [*_add_pairs(parts[:-1], others[:-1]), *_add_pairs(parts[-1:], others[-1:])],
)
