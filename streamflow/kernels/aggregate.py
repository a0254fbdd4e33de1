"""Aggregates in three steps, each from arrays to arrays: rows to partials, partials to partials, partials to results.

A partial is one or more columns with one entry per group. Partials merge in any order and any grouping to the same
result (exactly, but for float sums), so rows may be aggregated per batch, per slice, per worker, and again at a merge.

The semantics are SQL's (rule 16): nulls are skipped; sum, min, max and mean of no value are null, a count of none is 0;
NaN is the greatest number; -0.0 equals 0.0 and comes out as 0.0. Sums of integers and decimals are kept in limbs of 32
bits, each summed in an int64: no order of rows overflows on the way, only a final value that does not fit is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.kernels.arrays import Bools, Int64s, raw_values, validity
from streamflow.kernels.grouping import Groups, group

Kind: TypeAlias = Literal["count", "sum", "min", "max", "mean", "n_unique"]

_LIMB = 32
_MASK = (1 << _LIMB) - 1


@dataclass(frozen=True, slots=True)
class AggregateSpec:
    """One aggregate: `kind` of `column` (None: count rows), whose type is `type`, as output column `name`."""

    kind: Kind
    column: str | None
    type: pa.DataType | None
    name: str


def result_type(kind: Kind, input_type: pa.DataType | None) -> pa.DataType:
    """The type an aggregate of a column of `input_type` has. Raises `ValueError` saying what fits.

    >>> result_type("sum", pa.int32()), result_type("mean", pa.int32()), result_type("max", pa.string())
    (DataType(int64), DataType(double), DataType(string))
    >>> result_type("sum", pa.string())
    Traceback (most recent call last):
    ...
    ValueError: sum takes numbers, not string
    """
    if kind == "count":
        return pa.int64()
    if input_type is None:
        raise ValueError(f"{kind} needs a column")
    if kind == "n_unique":
        if pa.types.is_nested(input_type):
            raise ValueError(f"n_unique takes plain values, not {input_type}")
        return pa.int64()
    if kind in ("min", "max"):
        if not _is_comparable(input_type):
            raise ValueError(f"{kind} takes values that have an order, not {input_type}")
        return input_type
    if kind not in ("sum", "mean"):
        raise ValueError(f"no aggregate is called {kind}")
    if not (pa.types.is_integer(input_type) or pa.types.is_floating(input_type) or pa.types.is_decimal128(input_type)):
        raise ValueError(f"{kind} takes numbers, not {input_type}")
    if kind == "mean" or pa.types.is_floating(input_type):
        return pa.float64()
    if pa.types.is_decimal128(input_type):
        return pa.decimal128(38, input_type.scale)
    return pa.uint64() if pa.types.is_unsigned_integer(input_type) else pa.int64()


def partial_fields(spec: AggregateSpec) -> list[pa.Field]:
    """The columns of the aggregate's partial, named `~<name>.<part>`.

    >>> [field.name for field in partial_fields(AggregateSpec("mean", "x", pa.int64(), "m"))]
    ['~m.sum0', '~m.sum1', '~m.count']
    """
    match spec.kind:
        case "count":
            return [pa.field(f"~{spec.name}.count", pa.int64())]
        case "sum":
            return _sum_fields(spec)
        case "mean":
            return [*_sum_fields(spec), pa.field(f"~{spec.name}.count", pa.int64())]
        case "min" | "max":
            return [pa.field(f"~{spec.name}.{spec.kind}", spec.type)]
        case "n_unique":
            return [pa.field(f"~{spec.name}.values", pa.list_(spec.type))]


def partial(spec: AggregateSpec, values: pa.Array | None, groups: Groups) -> list[pa.Array]:
    """Aggregate rows: the partial of each group. `values` has one entry per row of `groups`; None only to count rows.

    >>> groups = group([pa.array(["a", "b", "a"])], 3)
    >>> total = AggregateSpec("sum", "x", pa.int64(), "total")
    >>> finish(total, partial(total, pa.array([1, 2, 4]), groups)).to_pylist()
    [5, 2]
    """
    if values is None:
        if spec.kind != "count":
            raise ValueError(f"{spec.kind} needs a column")
        return [pa.array(_count(groups))]
    match spec.kind:
        case "count":
            return [pa.array(_count_values(values, groups))]
        case "sum":
            return _sum(values, groups)
        case "mean":
            return [*_sum(values, groups), pa.array(_count_values(values, groups))]
        case "min" | "max":
            return [_extreme(spec.kind, values, groups)]
        case "n_unique":
            return [_distinct(values, groups.ids, groups.count)]


def merge(spec: AggregateSpec, parts: Sequence[pa.Array], groups: Groups) -> list[pa.Array]:
    """Aggregate partials: `parts` are the columns of `partial_fields`, with one entry per row of `groups`."""
    match spec.kind:
        case "count":
            return [_add(parts[0], groups)]
        case "sum":
            return _merge_sum(parts, groups)
        case "mean":
            return [*_merge_sum(parts[:-1], groups), _add(parts[-1], groups)]
        case "min" | "max":
            return [_extreme(spec.kind, parts[0], groups)]
        case "n_unique":
            owners = groups.ids[raw_values(parts[0].value_parent_indices())]
            return [_distinct(parts[0].flatten(), owners, groups.count)]


def finish(spec: AggregateSpec, parts: Sequence[pa.Array]) -> pa.Array:
    """The results of partials, of type `result_type`. Raises `OverflowError` for an exact sum that does not fit it."""
    match spec.kind:
        case "count" | "min" | "max":
            return parts[0]
        case "sum":
            return _finish_sum(spec, parts)
        case "mean":
            return _finish_mean(spec, parts)
        case "n_unique":
            return pc.list_value_length(parts[0]).cast(pa.int64())


# count


def _count(groups: Groups) -> Int64s:
    return np.bincount(groups.ids, minlength=groups.count).astype(np.int64, copy=False)


def _count_values(values: pa.Array, groups: Groups) -> Int64s:
    valid = validity(values)
    if valid is None:
        return _count(groups)
    return np.bincount(groups.ids[valid], minlength=groups.count).astype(np.int64, copy=False)


def _add(counts: pa.Array, groups: Groups) -> pa.Array:
    return pa.array(_sum_int64(raw_values(counts), groups.ids, groups.count))


# sum


def _sum_fields(spec: AggregateSpec) -> list[pa.Field]:
    if spec.type is None:
        raise ValueError(f"{spec.kind} needs a column")
    if pa.types.is_floating(spec.type):
        return [pa.field(f"~{spec.name}.sum", pa.float64())]
    limbs = 4 if pa.types.is_decimal(spec.type) else 2
    return [pa.field(f"~{spec.name}.sum{limb}", pa.int64()) for limb in range(limbs)]


def _sum(values: pa.Array, groups: Groups) -> list[pa.Array]:
    valid = validity(values)
    ids, seen = groups.ids, None
    if valid is not None:
        ids, seen = ids[valid], _seen(ids[valid], groups.count)
    if pa.types.is_floating(values.type):
        numbers = _only(raw_values(values), valid).astype(np.float64, copy=False)
        return [_array(_sum_floats(numbers, ids, groups.count), seen)]
    if pa.types.is_decimal(values.type):
        limbs = _normal([_sum_int64(limb, ids, groups.count) for limb in _decimal_limbs(values, valid)])
    else:
        limbs = _sum_integers(_only(raw_values(values), valid), ids, groups.count)
    return [_array(limb, seen) for limb in limbs]


def _merge_sum(parts: Sequence[pa.Array], groups: Groups) -> list[pa.Array]:
    valid = validity(parts[0])
    ids, seen = groups.ids, None
    if valid is not None:
        ids, seen = ids[valid], _seen(ids[valid], groups.count)
    columns = [_only(raw_values(part), valid) for part in parts]
    if len(columns) == 1:
        return [_array(_sum_floats(columns[0], ids, groups.count), seen)]
    return [_array(limb, seen) for limb in _normal([_sum_int64(limb, ids, groups.count) for limb in columns])]


def _sum_integers(values: npt.NDArray[Any], ids: Int64s, count: int) -> list[Int64s]:
    """The two limbs of integer sums: in one pass where no sum can leave int64, else limb by limb."""
    if len(values) == 0:
        return [np.zeros(count, np.int64), np.zeros(count, np.int64)]
    magnitude = max(abs(int(values.min())), abs(int(values.max())))
    if magnitude * len(values) < 1 << 63:
        total = _sum_int64(values.astype(np.int64, copy=False), ids, count)
        return [total & _MASK, total >> _LIMB]
    low = (values & values.dtype.type(_MASK)).astype(np.int64)
    high = (values >> values.dtype.type(_LIMB)).astype(np.int64)
    return _normal([_sum_int64(low, ids, count), _sum_int64(high, ids, count)])


def _decimal_limbs(values: pa.Array, valid: Bools | None) -> list[Int64s]:
    """Four columns of 32 bits, least first; only the last has a sign."""
    data = values.buffers()[1]
    if data is None or len(values) == 0:
        return [np.zeros(0, np.int64)] * 4
    words = np.frombuffer(data, np.uint32, len(values) * 4, values.offset * 16).reshape(-1, 4)
    limbs = [words[:, limb].astype(np.int64) for limb in range(3)]
    limbs.append(words[:, 3].astype(np.int32).astype(np.int64))
    return [_only(limb, valid) for limb in limbs]


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
    type_ = result_type("sum", spec.type)
    valid = validity(parts[0])
    limbs = [_zero_nulls(raw_values(part), valid) for part in parts]
    least, most = (0, _MASK) if type_ == pa.uint64() else (-(1 << 31), (1 << 31) - 1)
    if len(limbs[-1]) and (int(limbs[-1].min()) < least or int(limbs[-1].max()) > most):
        raise OverflowError(f"the sum {spec.name!r} does not fit {type_}")
    if pa.types.is_decimal(type_):
        return _decimals(spec, limbs, valid, type_)
    total = limbs[0] | (limbs[1] << _LIMB)
    return _array(total.view(np.uint64) if type_ == pa.uint64() else total, valid)


def _decimals(spec: AggregateSpec, limbs: list[Int64s], valid: Bools | None, type_: pa.DataType) -> pa.Array:
    words = np.stack([limb.astype(np.uint32) for limb in limbs], axis=1)
    mask = None if valid is None else pa.array(valid).buffers()[1]
    result = pa.Array.from_buffers(type_, len(words), [mask, pa.py_buffer(np.ascontiguousarray(words))])
    try:
        result.validate(full=True)
    except pa.ArrowInvalid:
        raise OverflowError(f"the sum {spec.name!r} does not fit {type_}") from None
    return result


def _finish_mean(spec: AggregateSpec, parts: Sequence[pa.Array]) -> pa.Array:
    *sums, counts = parts
    valid = validity(sums[0])
    limbs = [_zero_nulls(raw_values(part), valid) for part in sums]
    total = limbs[-1].astype(np.float64)
    for limb in reversed(limbs[:-1]):
        total = total * float(1 << _LIMB) + limb
    if spec.type is not None and pa.types.is_decimal(spec.type):
        total = total / 10.0**spec.type.scale
    return _array(total / np.maximum(raw_values(counts), 1), valid)


def _sum_int64(values: Int64s, ids: Int64s, count: int) -> Int64s:
    total = np.zeros(count, np.int64)
    np.add.at(total, ids, values)
    return total


def _sum_floats(values: npt.NDArray[np.float64], ids: Int64s, count: int) -> npt.NDArray[np.float64]:
    return np.bincount(ids, weights=values, minlength=count).astype(np.float64, copy=False)


# min and max


def _extreme(kind: Literal["min", "max"], values: pa.Array, groups: Groups) -> pa.Array:
    type_ = values.type
    if pa.types.is_floating(type_):
        return _extreme_floats(kind, values, groups)
    if pa.types.is_integer(type_) or pa.types.is_temporal(type_) or pa.types.is_boolean(type_):
        return _extreme_integers(kind, values, groups)
    return _extreme_by_acero(kind, values, groups)


def _extreme_integers(kind: Literal["min", "max"], values: pa.Array, groups: Groups) -> pa.Array:
    valid = validity(values)
    numbers, ids = _only(raw_values(values), valid), _only(groups.ids, valid)
    limits = np.iinfo(numbers.dtype)
    if kind == "min":
        result = np.full(groups.count, limits.max, numbers.dtype)
        np.minimum.at(result, ids, numbers)
    else:
        result = np.full(groups.count, limits.min, numbers.dtype)
        np.maximum.at(result, ids, numbers)
    array = _array(result, None if valid is None else _seen(ids, groups.count))
    if pa.types.is_boolean(values.type):
        return array.cast(pa.bool_())
    return array if array.type == values.type else array.view(values.type)


def _extreme_floats(kind: Literal["min", "max"], values: pa.Array, groups: Groups) -> pa.Array:
    """NaN is the greatest: `maximum` lets it through, `fmin` gives it only where all are NaN."""
    valid = validity(values)
    numbers, ids = _only(raw_values(values), valid), _only(groups.ids, valid)
    if kind == "min":
        result = np.full(groups.count, np.nan, numbers.dtype)
        np.fmin.at(result, ids, numbers)
    else:
        result = np.full(groups.count, -np.inf, numbers.dtype)
        with np.errstate(invalid="ignore"):
            np.maximum.at(result, ids, numbers)
    return _array(result + numbers.dtype.type(0), None if valid is None else _seen(ids, groups.count))


def _extreme_by_acero(kind: Literal["min", "max"], values: pa.Array, groups: Groups) -> pa.Array:
    if pa.types.is_null(values.type):
        return pa.nulls(groups.count)
    table = pa.table({"group": pa.array(groups.ids), "value": values})
    found = table.group_by("group", use_threads=False).aggregate([("value", kind)])
    row_of = np.zeros(groups.count, np.int64)
    row_of[found.column("group").to_numpy()] = np.arange(len(found))
    return found.column(f"value_{kind}").combine_chunks().take(pa.array(row_of)).cast(values.type)


def _is_comparable(type_: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_integer(type_)
        or types.is_floating(type_)
        or types.is_boolean(type_)
        or types.is_temporal(type_)
        or types.is_decimal(type_)
        or types.is_string(type_)
        or types.is_binary(type_)
        or types.is_null(type_)
    )


# n_unique


def _distinct(values: pa.Array, ids: Int64s, count: int) -> pa.Array:
    """For each group the list of its distinct non-null values."""
    valid = validity(values)
    if valid is not None:
        values, ids = values.filter(pa.array(valid)), ids[valid]
    pairs = group([values], len(ids), leading=ids)
    sizes = np.bincount(ids[pairs.first], minlength=count)
    offsets = np.zeros(count + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), values.take(pa.array(pairs.first)))


# arrays with nulls


def _only(values: npt.NDArray[Any], valid: Bools | None) -> npt.NDArray[Any]:
    return values if valid is None else values[valid]


def _zero_nulls(values: npt.NDArray[Any], valid: Bools | None) -> npt.NDArray[Any]:
    return values if valid is None else np.where(valid, values, values.dtype.type(0))


def _seen(ids: Int64s, count: int) -> Bools | None:
    """Which groups have a value; None if all have."""
    seen = np.zeros(count, np.bool_)
    seen[ids] = True
    return None if seen.all() else seen


def _array(values: npt.NDArray[Any], valid: Bools | None) -> pa.Array:
    return pa.array(values) if valid is None else pa.array(values, mask=~valid)
