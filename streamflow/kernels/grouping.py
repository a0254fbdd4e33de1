"""Which rows have the same key: the kernel below every keyed step.

Keys are equal as in SQL (rule 16): null = null, NaN = NaN, -0.0 = 0.0, strings byte for byte. Each column becomes
integer codes, several columns become one code in a mixed radix, and the codes are numbered densely. The data choose the
way:

- codes that span a range near the number of rows: a table indexed by code, no sort (100-200 M rows/s);
- a wider range: the row number is packed below the code and one sort does both (25-60 M rows/s);
- strings, binary, decimals: Arrow's dictionary encoding (15-35 M rows/s).

Nothing here loops over rows in Python. Scratch memory is a few int64 arrays of the number of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int64s: TypeAlias = "npt.NDArray[np.int64]"

_WIDEST = 1 << 62
"""Codes stay below this bound, so that neither they nor their sums with a radix can overflow int64."""
_TABLE = 12
"""A table may have so many slots a row; beyond, clearing it costs more than sorting the rows."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows numbered by group.

    `ids`: the group of each row, in 0..count-1. `first`: for each group the index of one of its rows.
    """

    ids: Int64s
    count: int
    first: Int64s


def group(keys: Sequence[pa.Array], length: int) -> Groups:
    """Number the rows by the values of all `keys`; without keys all rows are one group.

    Groups are numbered in ascending order of the first key where that is an integer or time column without nulls; else
    the numbering is arbitrary, but the same for the same input. Raises `ValueError` for types that cannot be keys.

    >>> groups = group([pa.array([7, 5, 7, None])], 4)
    >>> groups.count, groups.ids.tolist()
    (3, [2, 1, 2, 0])
    >>> group([pa.array([0.0, -0.0, float("nan"), float("nan")])], 4).count
    2
    """
    if not keys:
        return Groups(np.zeros(length, np.int64), min(length, 1), np.zeros(min(length, 1), np.int64))
    if length == 0:
        nothing = np.zeros(0, np.int64)
        return Groups(nothing, 0, nothing)
    codes, bound = _codes(keys[0])
    for key in keys[1:]:
        digit, radix = _codes(key)
        if bound * radix > _WIDEST:
            codes, bound = _compact(codes, bound)
        if bound * radix > _WIDEST:
            digit, radix = _compact(digit, radix)
        codes, bound = codes * radix + digit, bound * radix
    return number(codes, bound)


def number(codes: Int64s, bound: int) -> Groups:
    """Number the rows by codes in 0..bound-1, in ascending order of the codes.

    >>> number(np.array([30, 10, 30]), 31).ids.tolist()
    [1, 0, 1]
    """
    if bound <= _TABLE * len(codes) + 256:
        return _number_by_table(codes, bound)
    return _number_by_sort(codes, bound)


def raw_values(array: pa.Array) -> npt.NDArray[Any]:
    """The values of a fixed-width array as numpy holds them: times as int64 or int32, bools as int8.

    Zero-copy but for bools. What stands at nulls is arbitrary.

    >>> raw_values(pa.array([1, 2], pa.timestamp("us", "UTC")))
    array([1, 2])
    """
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    dtype = _dtype(array.type)
    data = array.buffers()[1]
    if data is None or len(array) == 0:
        return np.zeros(len(array), dtype)
    return np.frombuffer(data, dtype, len(array), array.offset * dtype.itemsize)


def validity(array: pa.Array) -> npt.NDArray[np.bool_] | None:
    """True where a value stands; None if there is no null."""
    if array.null_count == 0:
        return None
    valid: npt.NDArray[np.bool_] = array.is_valid().to_numpy(zero_copy_only=False)
    return valid


def _dtype(type_: pa.DataType) -> np.dtype[Any]:
    if pa.types.is_temporal(type_):
        return np.dtype(np.int32 if type_.bit_width == 32 else np.int64)
    dtype: np.dtype[Any] = np.dtype(type_.to_pandas_dtype())
    return dtype


def _codes(key: pa.Array) -> tuple[Int64s, int]:
    """Codes in 0..bound-1, equal where the values are, and the bound; 0 is null's where there are nulls."""
    type_ = key.type
    if pa.types.is_null(type_):
        return np.zeros(len(key), np.int64), 1
    if pa.types.is_floating(type_):
        return _shift_nulls(key, *_integer_codes(_filled(key, _canonical_bits(raw_values(key)))))
    if pa.types.is_integer(type_) or pa.types.is_boolean(type_) or pa.types.is_temporal(type_):
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
    """The distance from the least value, or dense numbers where the range is too wide for that."""
    low = int(values.min())
    bound = int(values.max()) - low + 1
    if bound > _WIDEST:
        groups = _number_sorted(np.argsort(values), values)
        return groups.ids, groups.count
    if values.dtype == np.uint64:
        return (values - np.uint64(low)).view(np.int64), bound
    return values.astype(np.int64, copy=False) - low, bound


def _dictionary_codes(key: pa.Array) -> tuple[Int64s, int]:
    try:
        encoded = key.dictionary_encode(null_encoding="encode")
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError, AttributeError) as error:
        raise ValueError(f"a column of type {key.type} cannot be a key") from error
    return raw_values(encoded.indices).astype(np.int64), len(encoded.dictionary)


def _compact(codes: Int64s, bound: int) -> tuple[Int64s, int]:
    groups = number(codes, bound)
    return groups.ids, groups.count


def _number_by_table(codes: Int64s, bound: int) -> Groups:
    row_of = np.full(bound, -1, np.int32)
    row_of[codes] = np.arange(len(codes), dtype=np.int32)
    present = np.flatnonzero(row_of >= 0)
    first = row_of[present].astype(np.int64)
    if len(present) == bound:
        return Groups(codes, bound, first)
    row_of[present] = np.arange(len(present), dtype=np.int32)
    return Groups(row_of[codes].astype(np.int64), len(present), first)


def _number_by_sort(codes: Int64s, bound: int) -> Groups:
    bits = max(1, (len(codes) - 1).bit_length())
    if (bound - 1).bit_length() + bits > 63:
        return _number_sorted(np.argsort(codes), codes)
    packed = (codes << bits) | np.arange(len(codes))
    packed.sort()
    return _number_runs(packed & ((1 << bits) - 1), packed >> bits)


def _number_sorted(order: npt.NDArray[np.intp], values: npt.NDArray[Any]) -> Groups:
    return _number_runs(order.astype(np.int64, copy=False), values[order])


def _number_runs(order: Int64s, ordered: npt.NDArray[Any]) -> Groups:
    """Groups are the runs of equal values; `order[i]` is the row that `ordered[i]` came from."""
    starts = np.empty(len(ordered), np.bool_)
    starts[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=starts[1:])
    ids = np.empty(len(ordered), np.int64)
    ids[order] = np.cumsum(starts) - 1
    first = order[starts]
    return Groups(ids, len(first), first)
