"""How many distinct values: exactly, and approximately in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamflow.kernels.aggregates.grouped import list_offsets, list_sizes, owners
from streamflow.kernels.aggregates.spec import AggregateSpec, Family, input_type
from streamflow.kernels.arrays import Int64s, raw_values, validity
from streamflow.kernels.grouping import Groups, group
from streamflow.kernels.hashing import hash_columns
from streamflow.kernels.ordering import argsort_pairs


def _type(spec: AggregateSpec) -> pa.DataType:
    type_ = input_type(spec)
    if pa.types.is_nested(type_):
        raise ValueError(f"{spec.kind} takes plain values, not {type_}")
    return pa.int64()


def _distinct(values: pa.Array, ids: Int64s, count: int) -> pa.Array:
    """For each group the list of its distinct non-null values."""
    valid = validity(values)
    if valid is not None:
        values, ids = values.filter(pa.array(valid)), ids[valid]
    pairs = group([values], len(ids), leading=ids)
    offsets = list_offsets(np.bincount(ids[pairs.first], minlength=count))
    return pa.ListArray.from_arrays(offsets, values.take(pa.array(pairs.first)))


EXACT = Family(
    result=_type,
    parts=lambda spec: [("values", pa.list_(input_type(spec)))],
    partial=lambda spec, columns, groups: [_distinct(columns[0], groups.ids, groups.count)],
    merge=lambda spec, parts, groups: [_distinct(parts[0].flatten(), owners(parts[0], groups), groups.count)],
    finish=lambda spec, parts: pa.array(list_sizes(parts[0])),
)


# The k least hashes of a group's values (Bar-Yossef et al., "Counting distinct elements in a data stream", 2002).
# Where there are fewer than k the count is exact; else the k-th least, as a part of the hashes' range, tells how many
# there are: a standard error of 1 / sqrt(k - 2). Which rows came first, or together, does not matter.


def hashes_kept(error: float) -> int:
    """How many hashes a standard error takes.

    >>> hashes_kept(0.02)
    2502
    """
    return math.ceil(1 / error**2) + 2


def _sketch(spec: AggregateSpec, columns: Sequence[pa.Array], groups: Groups) -> list[pa.Array]:
    values, ids = columns[0], groups.ids
    valid = validity(values)
    if valid is not None:
        values, ids = values.filter(pa.array(valid)), ids[valid]
    return [_least(spec, pa.array(hash_columns([values], len(values))), ids, groups.count)]


def _least(spec: AggregateSpec, hashes: pa.Array, ids: Int64s, count: int) -> pa.Array:
    """For each group the list of its k least distinct hashes, in any order."""
    kept = hashes_kept(spec.option("error"))
    pairs = group([hashes], len(ids), leading=ids)
    found, owner = raw_values(hashes)[pairs.first], ids[pairs.first]
    sizes = np.bincount(owner, minlength=count)
    if len(sizes) and sizes.max() > kept:
        order = argsort_pairs(owner, found)
        owner, found = owner[order], found[order]
        rank = np.arange(len(owner)) - (np.cumsum(sizes) - sizes)[owner]
        found = found[rank < kept]
        sizes = np.minimum(sizes, kept)
    return pa.ListArray.from_arrays(list_offsets(sizes), pa.array(found))


def _estimate(spec: AggregateSpec, parts: Sequence[pa.Array]) -> pa.Array:
    kept = hashes_kept(spec.option("error"))
    sizes = list_sizes(parts[0])
    full = sizes >= kept
    if not full.any():
        return pa.array(sizes)
    some = parts[0].filter(pa.array(full))
    starts = np.arange(len(some)) * kept
    greatest = np.maximum.reduceat(raw_values(some.flatten()), starts).astype(np.float64)
    sizes[full] = np.rint((kept - 1) * (2.0**64 / greatest)).astype(np.int64)
    return pa.array(sizes)


APPROXIMATE = Family(
    result=_type,
    parts=lambda spec: [("hashes", pa.list_(pa.uint64()))],
    partial=_sketch,
    merge=lambda spec, parts, groups: [_least(spec, parts[0].flatten(), owners(parts[0], groups), groups.count)],
    finish=_estimate,
)
