"""Arrays by group: what the families share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.kernels.arrays import Bools, Int64s, raw_values, validity
from streamflow.kernels.grouping import Groups
from streamflow.kernels.ordering import argsort_pairs

Floats = npt.NDArray[np.float64]

_MOST = 2**31 - 1


def only(values: npt.NDArray[Any], valid: Bools | None) -> npt.NDArray[Any]:
    """Without the entries that are not valid."""
    return values if valid is None else values[valid]


def zero_nulls(values: npt.NDArray[Any], valid: Bools | None) -> npt.NDArray[Any]:
    return values if valid is None else np.where(valid, values, values.dtype.type(0))


def seen(ids: Int64s, count: int) -> Bools | None:
    """Which groups have a value; None if all have."""
    found = np.zeros(count, np.bool_)
    found[ids] = True
    return None if found.all() else found


def array(values: npt.NDArray[Any], valid: Bools | None) -> pa.Array:
    """As an Arrow array, null where not valid."""
    return pa.array(values) if valid is None else pa.array(values, mask=~valid)


def count_rows(groups: Groups) -> Int64s:
    return np.bincount(groups.ids, minlength=groups.count).astype(np.int64, copy=False)


def count_values(values: pa.Array, groups: Groups) -> Int64s:
    """How many values of each group are not null."""
    valid = validity(values)
    if valid is None:
        return count_rows(groups)
    return np.bincount(groups.ids[valid], minlength=groups.count).astype(np.int64, copy=False)


def add(counts: pa.Array, groups: Groups) -> pa.Array:
    return pa.array(sum_int64(raw_values(counts), groups.ids, groups.count))


def sum_int64(values: Int64s, ids: Int64s, count: int) -> Int64s:
    total = np.zeros(count, np.int64)
    np.add.at(total, ids, values)
    return total


def sum_floats(values: Floats, ids: Int64s, count: int) -> Floats:
    return np.bincount(ids, weights=values, minlength=count).astype(np.float64, copy=False)


def as_floats(values: pa.Array) -> Floats:
    """Numbers as float64; what stands at nulls is arbitrary."""
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    return raw_values(values).astype(np.float64, copy=False)


def valid_floats(values: pa.Array, ids: Int64s) -> tuple[Floats, Int64s]:
    """The numbers that are not null, and their groups."""
    valid = validity(values)
    return only(as_floats(values), valid), only(ids, valid)


def lists(columns: list[pa.Array], ids: Int64s, count: int) -> list[pa.Array]:
    """One list per group and column: the entries of its rows, side by side in all columns, in the rows' order.

    Raises `OverflowError` where there are more entries than an Arrow list array can hold.

    >>> lists([pa.array(["a", "b", "c"])], np.array([1, 0, 1]), 3)[0].to_pylist()
    [['b'], ['a', 'c'], []]
    """
    offsets = list_offsets(np.bincount(ids, minlength=count))
    if (ids[1:] < ids[:-1]).any():
        rows = pa.array(argsort_pairs(ids, np.zeros(len(ids), np.uint64)))
        columns = [column.take(rows) for column in columns]
    return [pa.ListArray.from_arrays(offsets, column) for column in columns]


def list_offsets(sizes: npt.NDArray[Any]) -> pa.Array:
    """The offsets of lists of these sizes."""
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    if offsets[-1] > _MOST:
        raise OverflowError(
            f"{int(offsets[-1])} values are kept at once, more than {_MOST}: use more or shorter windows"
        )
    return pa.array(offsets.astype(np.int32))


def owners(part: pa.Array, groups: Groups) -> Int64s:
    """The group of each entry of a column of lists."""
    owner: Int64s = groups.ids[raw_values(pc.list_parent_indices(part))]
    return owner


def list_sizes(part: pa.Array) -> Int64s:
    sizes: Int64s = raw_values(pc.list_value_length(part)).astype(np.int64)
    return sizes
