"""Which rows have the same key: the kernel below every keyed step.

Keys are equal as in SQL (rule 16): null = null, NaN = NaN, -0.0 = 0.0, strings byte for byte. Each column becomes
integer codes, several columns become one code in a mixed radix, and the codes are numbered densely. The data choose the
way:

- codes that span a range near the number of rows: a table indexed by code (100-200 M rows/s);
- wider ranges, strings, binary, decimals: Arrow's dictionary encoding (ints 30-120 M rows/s, strings 15-40), which
  does not depend on SIMD as numpy's sorts do.

Nothing here loops over rows in Python. Scratch memory is a few int64 arrays of the number of rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamflow.kernels.arrays import Int64s, numpy_type, raw_values, validity

_TABLE = 12
"""A table may have so many slots a row; beyond, clearing it costs more than hashing the rows."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows numbered by group.

    `ids`: the group of each row, in 0..count-1. `first`: for each group the index of one of its rows.
    """

    ids: Int64s
    count: int
    first: Int64s


def group(keys: Sequence[pa.Array], length: int, leading: Int64s | None = None) -> Groups:
    """Number the rows by the values of all `keys`; without keys all rows are one group.

    `leading`: one more key, by which groups are numbered in ascending order. Else the numbering is arbitrary, but the
    same for the same input. Raises `ValueError` for types that cannot be keys.

    >>> groups = group([pa.array([7, 5, 7, None])], 4)
    >>> groups.count, groups.ids.tolist()
    (3, [2, 1, 2, 0])
    >>> group([pa.array([0.0, -0.0, float("nan"), float("nan")])], 4).count
    2
    >>> group([pa.array(["a", "a", "b"])], 3, leading=np.array([9, 8, 9])).ids.tolist()
    [1, 0, 2]
    """
    if length == 0 or (not keys and leading is None):
        one = min(length, 1)
        return Groups(np.zeros(length, np.int64), one, np.zeros(one, np.int64))
    digits = [_codes(key) for key in keys]
    if leading is None:
        return _number(*_combined(digits))
    return _ascending(_number(*_combined([_integer_codes(leading), *digits])), leading)


def runs(values: Int64s) -> list[tuple[int, int]]:
    """Where equal neighbours stand: start and stop of each run.

    >>> runs(np.array([4, 4, 9]))
    [(0, 2), (2, 3)]
    """
    if len(values) == 0:
        return []
    borders = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    return list(itertools.pairwise(borders))


def _codes(key: pa.Array) -> tuple[Int64s, int]:
    """Codes in 0..bound-1, equal where the values are, and the bound; 0 is null's where there are nulls."""
    type_ = key.type
    if pa.types.is_null(type_):
        return np.zeros(len(key), np.int64), 1
    if pa.types.is_floating(type_):
        return _shift_nulls(key, *_integer_codes(_filled(key, _canonical_bits(raw_values(key)))))
    if numpy_type(type_) is not None:
        return _shift_nulls(key, *_integer_codes(_filled(key, raw_values(key))))
    return _dictionary_codes(key)


def _filled(key: pa.Array, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Nulls replaced by some value of the column, so that what stands there does not widen the range."""
    valid = validity(key)
    if valid is None:
        return values
    return np.where(valid, values, values[int(valid.argmax())])


def _shift_nulls(key: pa.Array, codes: Int64s, bound: int) -> tuple[Int64s, int]:
    valid = validity(key)
    if valid is None:
        return codes, bound
    return np.where(valid, codes + 1, 0), bound + 1


def _canonical_bits(values: npt.NDArray[Any]) -> Int64s:
    """The bits of a float64 with one NaN and one zero."""
    numbers = values.astype(np.float64) + 0.0
    numbers[np.isnan(numbers)] = np.nan
    return numbers.view(np.int64)


def _integer_codes(values: npt.NDArray[Any]) -> tuple[Int64s, int]:
    """The distance from the least value, in uint64, where the range is small; else the numbers of a dictionary."""
    low = int(values.min())
    bound = int(values.max()) - low + 1
    if not fits_table(bound, len(values)):
        return _dictionary_codes(pa.array(values))
    if values.dtype == np.uint64:
        return (values - np.uint64(low)).view(np.int64), bound
    return values.astype(np.int64, copy=False) - low, bound


def _dictionary_codes(key: pa.Array) -> tuple[Int64s, int]:
    try:
        encoded = key.dictionary_encode(null_encoding="encode")
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise ValueError(f"a column of type {key.type} cannot be a key") from error
    return raw_values(encoded.indices).astype(np.int64), len(encoded.dictionary)


def fits_table(bound: int, length: int) -> bool:
    """Whether a table of `bound` slots is worth it for so many rows."""
    return bound <= _TABLE * length + 256


def _combined(digits: Sequence[tuple[Int64s, int]]) -> tuple[Int64s, int]:
    """One code of several, in a mixed radix, the first digit the highest; made dense where the range grows wide."""
    codes, bound = digits[0]
    for digit, radix in digits[1:]:
        if not fits_table(bound * radix, len(codes)):
            digit, radix = _dense(digit, radix)
            codes, bound = _dense(codes, bound)
        codes, bound = codes * radix + digit, bound * radix
    return codes, bound


def _dense(codes: Int64s, bound: int) -> tuple[Int64s, int]:
    groups = _number(codes, bound)
    return groups.ids, groups.count


def _number(codes: Int64s, bound: int) -> Groups:
    """Groups of codes in 0..bound-1: in the codes' order where a table does it, else in that of their appearance."""
    if not fits_table(bound, len(codes)):
        codes, bound = _dictionary_codes(pa.array(codes))
    row_of = np.full(bound, -1, np.int32)
    row_of[codes] = np.arange(len(codes), dtype=np.int32)
    present = np.flatnonzero(row_of >= 0)
    first = row_of[present].astype(np.int64)
    if len(present) == bound:
        return Groups(codes, bound, first)
    row_of[present] = np.arange(len(present), dtype=np.int32)
    return Groups(row_of[codes].astype(np.int64), len(present), first)


def _ascending(groups: Groups, leading: Int64s) -> Groups:
    """The same groups, numbered in the order of their `leading` values."""
    values = leading[groups.first]
    if (values[1:] >= values[:-1]).all():
        return groups
    order = np.argsort(values)
    number_of = np.empty(groups.count, np.int64)
    number_of[order] = np.arange(groups.count)
    return Groups(number_of[groups.ids], groups.count, groups.first[order])
