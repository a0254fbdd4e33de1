"""Total, deterministic orders over Arrow columns, and the first n rows of each group under them (rules 13 and 16).

The order of one column, ascending: numbers by value with -0.0 = 0.0 and NaN above all others; false before true; times,
dates and durations by value; decimals by value; strings and binaries byte for byte; lists element by element, a prefix
first; structs field by field; maps as lists of (key, value) in their stored order. Descending is the reverse, but nulls
are last in both directions, also inside structs.

Every fixed-width value becomes a uint64 *code* whose unsigned order is the order of the column: sorting sorts integers.
Ties are resolved column by column and only among tied rows: a column that breaks no tie is never read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.kernels.arrays import Bools, Int64s, numpy_type, pick, raw_values, view

Codes: TypeAlias = "npt.NDArray[np.uint64]"

LAST = np.uint64(2**64 - 1)
"""The greatest code: what a null has where null is not told apart from the last value."""

_SIGN = np.uint64(2**63)


def packed_argsort(keys: Int64s) -> tuple[Int64s, Int64s]:
    """The stable order of `keys` and the keys in that order.

    The row number is packed into the low bits of the key and the result sorted, which is several times as fast as a
    stable argsort; where key and row number do not fit in 64 bits it is that argsort.

    >>> order, keys = packed_argsort(np.array([30, 10, 30, -5]))
    >>> order.tolist(), keys.tolist()
    ([3, 1, 0, 2], [-5, 10, 30, 30])
    """
    order = argsort_pairs(None, signed_codes(keys))
    return order, keys[order]


def argsort_pairs(major: Int64s | None, minor: Codes) -> Int64s:
    """The stable order by `major` (None: all equal), then `minor`.

    >>> argsort_pairs(np.array([1, 0, 1]), np.array([5, 9, 2], np.uint64)).tolist()
    [1, 2, 0]
    """
    length = len(minor)
    if length < 2:
        return np.arange(length)
    row_bits = (length - 1).bit_length()
    minor_low = minor.min()
    minor_bits = int(minor.max() - minor_low).bit_length()
    major_low = 0 if major is None else int(major.min())
    major_bits = 0 if major is None else (int(major.max()) - major_low).bit_length()
    if row_bits + minor_bits + major_bits > 64:
        return np.argsort(minor, kind="stable") if major is None or not major_bits else np.lexsort((minor, major))
    packed = (minor - minor_low) << np.uint64(row_bits)
    if major is not None and major_bits:
        packed |= (major - major_low).view(np.uint64) << np.uint64(row_bits + minor_bits)
    packed |= np.arange(length, dtype=np.uint64)
    packed.sort()
    packed &= np.uint64((1 << row_bits) - 1)
    rows: Int64s = packed.view(np.int64)
    return rows


def signed_codes(values: Int64s) -> Codes:
    """Codes of int64 values: unsigned order = signed order.

    >>> signed_codes(np.array([-(2**63), -1, 0])).tolist() == [0, 2**63 - 1, 2**63]
    True
    """
    return values.view(np.uint64) ^ _SIGN


def fixed_codes(column: pa.Array, descending: bool, rows: Int64s | None = None) -> Codes | None:
    """Codes that can be compared between batches, with null = `LAST`; None for a type of variable width.

    `rows`: those asked for; None for all. A null and the very last value share a code, so codes may only be used to
    leave out rows that are certainly worse.

    >>> fixed_codes(pa.array([3, None, 2**63 - 1]), descending=True).argsort().tolist()
    [2, 0, 1]
    """
    if rows is not None:
        column = pick(column, rows)
    codes = _fixed(column)
    if codes is None:
        return None
    if descending:
        np.invert(codes, out=codes)
    if column.null_count:
        codes[_nulls(column)] = LAST
    return codes


def no_later(column: pa.Array, descending: bool, code: np.uint64) -> Bools:
    """Which rows' `fixed_codes` are at most `code`. Integers are compared as they are: one pass, which writes little.

    >>> no_later(pa.array([5, 9, 7]), True, fixed_codes(pa.array([7]), True)[0]).tolist()
    [False, True, True]
    """
    dtype = numpy_type(column.type)
    if column.null_count == 0 and dtype in (np.int64, np.uint64):
        signed = dtype == np.int64
        bits = int(code) ^ (int(LAST) if descending else 0)
        bound = bits - 2**63 if signed else bits
        values = raw_values(column)
        compared: Bools = values >= bound if descending else values <= bound
        return compared
    codes = fixed_codes(column, descending)
    if codes is None:
        raise ValueError(f"a column of type {column.type} has no codes")
    return codes <= code


def earliest(column: pa.Array, descending: bool) -> np.uint64:
    """The least of the column's `fixed_codes`, at least one. Of integers it is found in one pass.

    >>> int(earliest(pa.array([5, 9, 7]), True)) == int(fixed_codes(pa.array([9]), True)[0])
    True
    """
    dtype = numpy_type(column.type)
    if column.null_count == 0 and dtype in (np.int64, np.uint64):
        values = raw_values(column)
        bits = int(values.max() if descending else values.min()) + (2**63 if dtype == np.int64 else 0)
        return np.uint64(bits ^ (int(LAST) if descending else 0))
    codes = fixed_codes(column, descending)
    if codes is None:
        raise ValueError(f"a column of type {column.type} has no codes")
    least: np.uint64 = codes.min()
    return least


def order(columns: Sequence[pa.Array], descending: Sequence[bool]) -> Int64s:
    """All rows in the order of the columns, the first one deciding first; rows that are equal in all keep their order.

    Raises ValueError for a type that has no order here (interval, dictionary, view, large and run-end types).

    >>> order([pa.array([1.0, None, float("nan"), -0.0, 0.0])], [False]).tolist()
    [3, 4, 0, 2, 1]
    >>> order([pa.array(["b", "a", "b"]), pa.array([1, 2, 3])], [False, True]).tolist()
    [1, 2, 0]
    """
    _require(columns, descending)
    return _arrange(columns, descending, None, None)


def top_rows(columns: Sequence[pa.Array], descending: Sequence[bool], n: int, groups: Int64s | None = None) -> Int64s:
    """The indices of the first `n` rows of each group, groups ascending, the first row first.

    `groups`: a group id >= 0 per row; None: all rows are one group. Rows that cannot be among the first n are left out
    by the first column before anything is sorted.

    >>> top_rows([pa.array([5, 9, 7, 9])], [True], 2).tolist()
    [1, 3]
    >>> top_rows([pa.array([5, 9, 7, 9])], [True], 1, np.array([1, 0, 1, 0])).tolist()
    [1, 2]
    """
    _require(columns, descending)
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}")
    length = len(columns[0])
    rows = np.arange(length)
    if length > n and (n == 1 or groups is None):
        codes = fixed_codes(columns[0], descending[0])
        if codes is not None:
            rows = np.flatnonzero(codes <= _worst(codes, n, groups))
            if len(rows) == 1:
                return rows
            columns = [pick(column, rows) for column in columns]
            groups = None if groups is None else groups[rows]
    return rows[_arrange(columns, descending, groups, n)]


def _worst(codes: Codes, n: int, groups: Int64s | None) -> Any:
    """The n-th lowest code of all rows, or for n = 1 per row that of its group."""
    if groups is None:
        return np.partition(codes, n - 1)[n - 1] if n > 1 else codes.min()
    best = np.full(int(groups.max()) + 1, LAST)
    np.minimum.at(best, groups, codes)
    return best[groups]


def _require(columns: Sequence[pa.Array], descending: Sequence[bool]) -> None:
    if not columns or len(columns) != len(descending):
        raise ValueError(f"{len(columns)} columns and {len(descending)} directions: at least one and as many of each")


def _arrange(
    columns: Sequence[pa.Array], descending: Sequence[bool], groups: Int64s | None, limit: int | None
) -> Int64s:
    """The rows by group and then key by key, each key only within runs of rows that are tied so far.

    `run[i]` is the position at which the run of equal rows that holds position i starts.
    """
    length = len(columns[0])
    place = np.arange(length)
    keys = _keys(columns, descending)
    codes = _codes(next(keys), None)
    rows = argsort_pairs(groups, codes)
    starts = _changes(codes[rows])
    ranks = place
    if groups is not None:
        groups = groups[rows]
        begins = _changes(groups)
        starts |= begins
        ranks = place - _spread(place, begins)
    run = _spread(place, starts)
    for key in keys:
        tied = np.flatnonzero(np.bincount(run, minlength=length)[run] > 1)
        if limit is not None:
            tied = tied[ranks[run[tied]] < limit]
        if not len(tied):
            break
        codes = _codes(key, rows[tied])
        perm = argsort_pairs(run[tied], codes)
        rows[tied] = rows[tied[perm]]
        run[tied] = _spread(tied, _changes(codes[perm]) | _changes(run[tied]))
    return rows if limit is None else rows[ranks < limit]


def _changes(values: npt.NDArray[Any]) -> Bools:
    """Where a value differs from the one before; the first one does."""
    changed = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=changed[1:])
    return changed


def _spread(values: Int64s, starts: Bools) -> Int64s:
    """Each run's first value, for every position of the run."""
    spread: Int64s = values[starts][np.cumsum(starts) - 1]
    return spread


@dataclass(frozen=True, slots=True)
class _Key:
    """One comparison of a chain: which rows of `column` are null (`nulls`), or its values with nulls all alike."""

    column: pa.Array
    descending: bool
    nulls: bool


def _keys(columns: Sequence[pa.Array], descending: Sequence[bool]) -> Iterator[_Key]:
    for column, reverse in zip(columns, descending, strict=True):
        if column.null_count:
            yield _Key(column, reverse, nulls=True)
        if pa.types.is_struct(column.type):
            children = column.flatten()
            yield from _keys(children, [reverse] * len(children))
        yield _Key(column, reverse, nulls=False)


def _codes(key: _Key, rows: Int64s | None) -> Codes:
    column = key.column if rows is None else pick(key.column, rows)
    if key.nulls:
        return _nulls(column).astype(np.uint64)
    codes = _fixed(column)
    if codes is None:
        codes = _ranks(column)
    if key.descending:
        np.invert(codes, out=codes)
    if column.null_count:
        codes[_nulls(column)] = 0
    return codes


def _nulls(column: pa.Array) -> Bools:
    mask: Bools = column.is_null().to_numpy(zero_copy_only=False)
    return mask


_FLOATS = {pa.float16(): np.float16, pa.float32(): np.float32, pa.float64(): np.float64}


def _fixed(column: pa.Array) -> Codes | None:
    """Ascending codes, fresh memory, with anything where the column is null; None for a type of variable width."""
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
        kind = column.type
    if pa.types.is_unsigned_integer(kind):
        return view(column, np.dtype(f"u{kind.bit_width // 8}")).astype(np.uint64)
    if pa.types.is_signed_integer(kind) or (pa.types.is_temporal(kind) and not pa.types.is_interval(kind)):
        return signed_codes(view(column, np.dtype(f"i{kind.bit_width // 8}")).astype(np.int64, copy=False))
    if kind in _FLOATS:
        values = view(column, np.dtype(_FLOATS[kind])) + np.float64(0.0)
        values[np.isnan(values)] = np.nan
        bits = values.view(np.int64)
        return (bits ^ ((bits >> 63) | np.int64(-(2**63)))).view(np.uint64)
    if pa.types.is_null(kind) or pa.types.is_struct(kind):
        return np.zeros(len(column), np.uint64)
    return None


def _ranks(column: pa.Array) -> Codes:
    """Codes of a type of variable width, decimals included: dense ranks among these rows, nulls last."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _rank_array(column)
    if pa.types.is_decimal(kind):
        return _rank_array(column)
    if pa.types.is_fixed_size_list(kind):
        return _ranks(column.cast(pa.list_(kind.value_field)))
    if pa.types.is_map(kind):
        return _rank_lists(column, pa.StructArray.from_arrays([column.keys, column.items], ["key", "value"]))
    if pa.types.is_list(kind):
        return _rank_lists(column, column.values)
    raise ValueError(f"rows cannot be ordered by a column of type {kind}")


def _rank_array(column: pa.Array) -> Codes:
    ranks = pc.rank(column, sort_keys="ascending", tiebreaker="dense")
    return np.array(ranks.to_numpy(), dtype=np.uint64)


def _rank_lists(column: pa.Array, values: pa.Array) -> Codes:
    """Lists as byte strings of their elements' ranks, eight bytes each, high byte first: byte order = list order."""
    found = _arrange([values], [False], None, None) if len(values) else np.zeros(0, np.int64)
    ranks = np.zeros(len(values), ">u8")
    ranks[found] = np.cumsum(_distinct(values, found))
    offsets = column.offsets.to_numpy().astype(np.int64) * 8
    parts = [None, pa.py_buffer(offsets), pa.py_buffer(ranks.tobytes())]
    return _rank_array(pa.Array.from_buffers(pa.large_binary(), len(column), parts))


def _distinct(values: pa.Array, rows: Int64s) -> Bools:
    """Where a row, in this order, differs from the one before."""
    changed = np.zeros(len(rows), np.bool_)
    for key in _keys([values], [False]):
        changed |= _changes(_codes(key, rows))
    return changed
