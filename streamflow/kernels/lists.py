"""Functions of lists, over all elements of a column at once: none loops over rows.

A null list gives null. Elements are compared as keys are (rule 16). Cost: a few passes over the elements and the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.kernels import aggregate as aggregates
from streamflow.kernels.arrays import Bools, Int64s
from streamflow.kernels.grouping import Groups, group
from streamflow.kernels.ordering import order


@dataclass(frozen=True, slots=True)
class Flat:
    """A column of lists: all its elements, and of each row how many, where they start, and whether it is null."""

    items: pa.Array
    lengths: Int64s
    starts: Int64s
    nulls: pa.Array | None

    @property
    def rows(self) -> Int64s:
        """The row of each element."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def lists(self, places: Int64s, lengths: Int64s) -> pa.Array:
        """New lists for these rows: of the elements at `places`, so many for each row."""
        offsets = np.zeros(len(lengths) + 1, np.int32)
        np.cumsum(lengths, out=offsets[1:])
        return pa.ListArray.from_arrays(pa.array(offsets), self.items.take(pa.array(places)), mask=self.nulls)

    def scalars(self, values: pa.Array) -> pa.Array:
        """A value per row, null where the list is."""
        return values if self.nulls is None else pc.if_else(self.nulls, None, values)


def flat(array: pa.Array) -> Flat:
    lengths = pc.fill_null(array.value_lengths(), 0).to_numpy().astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    return Flat(array.flatten(), lengths, starts, array.is_null() if array.null_count else None)


def aggregate(kind: Any, array: pa.Array, options: tuple[tuple[str, Any], ...] = ()) -> pa.Array:
    """sum, min, max, mean, std, var, any, all or n_unique of each list, as the aggregates of windows are.

    >>> aggregate("sum", pa.array([[1, 2], [], None, [None, 3]])).to_pylist()
    [3, None, None, 3]
    """
    lists = flat(array)
    spec = aggregates.AggregateSpec(kind, "item", array.type.value_type, "item", options=options)
    groups = Groups(lists.rows, len(array), lists.starts)
    made = aggregates.finish(spec, aggregates.partial(spec, lists.items, groups))
    if kind != "n_unique" and not lists.lengths.all():
        made = pc.if_else(pa.array(lists.lengths > 0), made, None)
    return lists.scalars(made)


def get(array: pa.Array, index: pa.Array) -> pa.Array:
    """The element at an index per row, from the end where it is negative; null where there is none.

    >>> get(pa.array([["a", "b"], ["c"]]), pa.array([-1, 1])).to_pylist()
    ['b', None]
    """
    lists = flat(array)
    at = pc.fill_null(index, 0).to_numpy()
    at = np.where(at < 0, at + lists.lengths, at)
    inside = (at >= 0) & (at < lists.lengths)
    if index.null_count:
        inside &= index.is_valid().to_numpy(zero_copy_only=False)
    return lists.items.take(pa.array(lists.starts + at, mask=~inside))


def contains(array: pa.Array, value: pa.Array) -> pa.Array:
    """Is the row's value in its list? Null where the value is.

    >>> contains(pa.array([[1, None], [2], []]), pa.array([1, 1, 1])).to_pylist()
    [True, False, False]
    """
    return pc.greater(count_matches(array, value), 0)


def count_matches(array: pa.Array, value: pa.Array) -> pa.Array:
    """How often the row's value is in its list. Null where the value is.

    >>> count_matches(pa.array([[1, 1], [2], None]), pa.array([1, 1, 1])).to_pylist()
    [2, 0, None]
    """
    lists = flat(array)
    rows = lists.rows
    wanted = value.take(pa.array(rows))
    equal = pc.fill_null(pc.equal(lists.items, wanted), False)
    if pa.types.is_floating(wanted.type):
        equal = pc.or_(equal, pc.fill_null(pc.and_(pc.is_nan(lists.items), pc.is_nan(wanted)), False))
    hits = np.bincount(rows[equal.to_numpy(zero_copy_only=False)], minlength=len(array))
    held = lists.scalars(pa.array(hits))
    return pc.if_else(value.is_valid(), held, None) if value.null_count else held


def sort(array: pa.Array, descending: bool) -> pa.Array:
    """Each list in order, nulls last.

    >>> sort(pa.array([[2, None, 1], None, [4, 3]]), False).to_pylist()
    [[1, 2, None], None, [3, 4]]
    """
    lists = flat(array)
    return lists.lists(order([pa.array(lists.rows), lists.items], [False, descending]), lists.lengths)


def unique(array: pa.Array) -> pa.Array:
    """Each value once, where it stands first.

    >>> unique(pa.array([["b", "a", "b"], [None, None]])).to_pylist()
    [['b', 'a'], [None]]
    """
    lists = flat(array)
    rows = lists.rows
    groups = group([lists.items], len(rows), leading=rows)
    first = np.full(groups.count, len(rows), np.int64)
    np.minimum.at(first, groups.ids, np.arange(len(rows)))
    places = np.sort(first)
    return lists.lists(places, np.bincount(rows[places], minlength=len(array)))


def reverse(array: pa.Array) -> pa.Array:
    lists = flat(array)
    ends = np.repeat(lists.starts + lists.lengths - 1, lists.lengths)
    within = np.arange(len(ends)) - np.repeat(lists.starts, lists.lengths)
    return lists.lists(ends - within, lists.lengths)


def part(array: pa.Array, offset: int, length: int | None) -> pa.Array:
    """So many elements from `offset` on, which counts from the end when it is negative.

    >>> part(pa.array([[1, 2, 3], [4]]), -2, 1).to_pylist()
    [[2], []]
    """
    lists = flat(array)
    first = offset if offset >= 0 else lists.lengths + offset
    last = lists.lengths if length is None else np.minimum(first + length, lists.lengths)
    first = np.minimum(np.maximum(first, 0), lists.lengths)
    lengths = np.maximum(last - first, 0)
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return lists.lists(np.repeat(lists.starts + first, lengths) + within, lengths)


def join(array: pa.Array, separator: str) -> pa.Array:
    """The texts of each list as one, nulls left out.

    >>> join(pa.array([["a", None, "b"], []]), "-").to_pylist()
    ['a-b', '']
    """
    return pc.binary_join(drop_nulls(array), separator)


def drop_nulls(array: pa.Array) -> pa.Array:
    """The elements that are not null.

    >>> drop_nulls(pa.array([["a", None], None])).to_pylist()
    [['a'], None]
    """
    if not array.flatten().null_count:
        return array
    lists = flat(array)
    valid: Bools = lists.items.is_valid().to_numpy(zero_copy_only=False)
    return lists.lists(np.flatnonzero(valid), np.bincount(lists.rows[valid], minlength=len(array)))
