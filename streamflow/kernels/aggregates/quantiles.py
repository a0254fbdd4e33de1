"""Quantiles: exactly, from all values; and approximately, from how many values lie in each of many small ranges."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamflow.kernels.aggregates.grouped import (
    Floats,
    array,
    list_offsets,
    list_sizes,
    lists,
    owners,
    sum_int64,
    valid_floats,
)
from streamflow.kernels.aggregates.spec import AggregateSpec, Family, require_numbers
from streamflow.kernels.arrays import Int64s, raw_values
from streamflow.kernels.grouping import Groups, group
from streamflow.kernels.ordering import argsort_pairs, fixed_codes, signed_codes


def _type(spec: AggregateSpec) -> pa.DataType:
    require_numbers(spec)
    return pa.float64()


def _values(spec: AggregateSpec, columns: Sequence[pa.Array], groups: Groups) -> list[pa.Array]:
    values, ids = valid_floats(columns[0], groups.ids)
    return lists([pa.array(values + 0.0)], ids, groups.count)


def _exact(spec: AggregateSpec, parts: Sequence[pa.Array]) -> pa.Array:
    """The value at rank (n - 1) * q in ascending order (NaN last), or between its neighbours."""
    sizes = list_sizes(parts[0])
    some = sizes > 0
    values = parts[0].flatten()
    codes = fixed_codes(values, descending=False)
    assert codes is not None
    order = argsort_pairs(np.repeat(np.arange(len(sizes)), sizes), codes)
    ascending = raw_values(values)[order]
    starts = (np.cumsum(sizes) - sizes)[some]
    rank = (sizes[some] - 1) * spec.option("q")
    low = np.floor(rank).astype(np.int64)
    part = rank - low
    result = np.zeros(len(sizes))
    match spec.option("interpolation"):
        case "nearest":
            result[some] = ascending[starts + low + (part >= 0.5)]
        case "lower":
            result[some] = ascending[starts + low]
        case "higher":
            result[some] = ascending[starts + low + (part > 0)]
        case how:
            below, above = ascending[starts + low], ascending[starts + low + (part > 0)]
            result[some] = _between(below, above, np.where(part > 0, 0.5, 0.0) if how == "midpoint" else part)
    return array(result, None if some.all() else some)


def _between(below: Floats, above: Floats, part: Floats) -> Floats:
    """Equal neighbours give themselves, infinite ones too; far apart ones do not overflow."""
    with np.errstate(invalid="ignore"):
        between = below * (1 - part) + above * part
    return np.where((below == above) | (part == 0), below, between)


EXACT = Family(
    result=_type,
    parts=lambda spec: [("values", pa.list_(pa.float64()))],
    partial=_values,
    merge=lambda spec, parts, groups: lists([parts[0].flatten()], owners(parts[0], groups), groups.count),
    finish=_exact,
)


# Ranges of floats that have the sign, the exponent and the first bits of the mantissa in common: with b bits the middle
# of a range is at most 1 / 2**(b + 1) of a value away from it. Only counts are added, so that every cut of the input
# gives the same answer.

_MANTISSA = 52
_INFINITE = 0x7FF0 << 48


def bits_kept(error: float) -> int:
    """How many bits of the mantissa a relative error takes.

    >>> bits_kept(0.01), bits_kept(0.001)
    (6, 9)
    """
    return max(1, math.ceil(-math.log2(error) - 1))


def _ranges(values: Floats, bits: int) -> Int64s:
    """The number of each value's range, ascending as the values are; zero and what is next to it is 0."""
    numbers = values + 0.0
    numbers[np.isnan(numbers)] = np.nan
    magnitude = (numbers.view(np.int64) & np.int64(2**63 - 1)) >> (_MANTISSA - bits)
    return np.where(numbers < 0, -magnitude, magnitude)


def _middles(ranges: Int64s, bits: int) -> Floats:
    shift = _MANTISSA - bits
    magnitude = np.abs(ranges) << shift
    middle = np.where((magnitude > 0) & (magnitude < _INFINITE), magnitude + (1 << (shift - 1)), magnitude).view(
        np.float64
    )
    return np.where(ranges < 0, -middle, middle)


def _counted(ranges: Int64s, counts: Int64s | None, ids: Int64s, count: int) -> list[pa.Array]:
    """Each group's ranges, and how many values lie in each; `counts` None: one value each."""
    pairs = group([pa.array(ranges)], len(ids), leading=ids)
    total = (
        np.bincount(pairs.ids, minlength=pairs.count) if counts is None else sum_int64(counts, pairs.ids, pairs.count)
    )
    offsets = list_offsets(np.bincount(ids[pairs.first], minlength=count))
    columns = (ranges[pairs.first], total.astype(np.int64, copy=False))
    return [pa.ListArray.from_arrays(offsets, pa.array(column)) for column in columns]


def _sketch(spec: AggregateSpec, columns: Sequence[pa.Array], groups: Groups) -> list[pa.Array]:
    values, ids = valid_floats(columns[0], groups.ids)
    return _counted(_ranges(values, bits_kept(spec.option("error"))), None, ids, groups.count)


def _merge_sketch(spec: AggregateSpec, parts: Sequence[pa.Array], groups: Groups) -> list[pa.Array]:
    ranges, counts = (raw_values(part.flatten()) for part in parts)
    return _counted(ranges, counts, owners(parts[0], groups), groups.count)


def _estimate(spec: AggregateSpec, parts: Sequence[pa.Array]) -> pa.Array:
    """The middle of the range that holds the value of rank (n - 1) * q, rounded as for "nearest"."""
    sizes = list_sizes(parts[0])
    some = sizes > 0
    owner = np.repeat(np.arange(len(sizes)), sizes)
    ranges, counts = (raw_values(part.flatten()) for part in parts)
    order = argsort_pairs(owner, signed_codes(ranges))
    reached = np.cumsum(counts[order])
    ends = np.cumsum(sizes)[some]
    before = np.append(0, reached)[ends - sizes[some]]
    rank = (reached[ends - 1] - before - 1) * spec.option("q")
    place = np.searchsorted(reached, before + np.floor(rank + 0.5).astype(np.int64), side="right")
    result = np.zeros(len(sizes))
    result[some] = _middles(ranges[order][place], bits_kept(spec.option("error")))
    return array(result, None if some.all() else some)


APPROXIMATE = Family(
    result=_type,
    parts=lambda spec: [("ranges", pa.list_(pa.int64())), ("counts", pa.list_(pa.int64()))],
    partial=_sketch,
    merge=_merge_sketch,
    finish=_estimate,
)
