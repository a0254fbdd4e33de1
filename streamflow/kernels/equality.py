"""Whether two columns hold equal values, row by row, as keys are: null = null, NaN = NaN, -0.0 = 0.0 (rule 16)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.kernels.arrays import Bools, Int64s


def equal_rows(left: pa.Array, right: pa.Array) -> Bools:
    """For each row, whether both columns, of one type and one length, hold the same value. Never null.

    Lists are the same with the same elements in the same order, structs with the same fields, maps with the same
    entries in the same order.

    >>> equal_rows(pa.array([1.0, None, float("nan")]), pa.array([1.0, None, 2.0])).tolist()
    [True, True, False]
    """
    if pa.types.is_null(left.type):
        return np.ones(len(left), dtype=np.bool_)
    if pa.types.is_nested(left.type):
        return _equal_nested(left, right)
    equal = pc.equal(left, right)
    if pa.types.is_floating(left.type):
        equal = pc.or_(equal, pc.and_(pc.is_nan(left), pc.is_nan(right)))
    if equal.null_count:
        both_null = pc.and_(pc.is_null(left), pc.is_null(right))
        equal = pc.or_(pc.fill_null(equal, False), both_null)
    result: Bools = equal.to_numpy(zero_copy_only=False)
    return result


def _equal_nested(left: pa.Array, right: pa.Array) -> Bools:
    if pa.types.is_struct(left.type):
        same: Bools = np.equal(_nulls(left), _nulls(right))
        for one, other in zip(left.flatten(), right.flatten(), strict=True):
            same &= equal_rows(one, other)
        return same
    if pa.types.is_map(left.type):
        left, right = _entries(left), _entries(right)
    sizes = _sizes(left)
    same = np.equal(sizes, _sizes(right))
    filled = np.flatnonzero(same & (sizes > 0))
    if len(filled):
        rows = pa.array(filled)
        elements = equal_rows(left.take(rows).flatten(), right.take(rows).flatten())
        same[filled] = np.logical_and.reduceat(elements, np.cumsum(sizes[filled]) - sizes[filled])
    return same


def _entries(maps: pa.Array) -> pa.Array:
    """Maps as lists of their entries."""
    fresh = maps.take(pa.array(np.arange(len(maps))))
    entries = pa.StructArray.from_arrays([fresh.keys, fresh.items], ["key", "value"])
    return pa.ListArray.from_arrays(fresh.offsets, entries, mask=fresh.is_null())


def _sizes(lists: pa.Array) -> Int64s:
    """The number of elements; -1 for null."""
    sizes: Int64s = pc.list_value_length(lists).fill_null(-1).to_numpy().astype(np.int64)
    return sizes


def _nulls(column: pa.Array) -> Bools:
    nulls: Bools = column.is_null().to_numpy(zero_copy_only=False)
    return nulls
