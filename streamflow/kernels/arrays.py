"""The memory of Arrow arrays as numpy sees it."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int64s: TypeAlias = "npt.NDArray[np.int64]"
Bools: TypeAlias = "npt.NDArray[np.bool_]"

_NUMPY_TYPES: dict[int, np.dtype[Any]] = {
    pa.bool_().id: np.dtype(np.bool_),
    **{type_.id: np.dtype(str(type_)) for type_ in (pa.int8(), pa.int16(), pa.int32(), pa.int64())},
    **{type_.id: np.dtype(str(type_)) for type_ in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())},
    pa.float16().id: np.dtype(np.float16),
    pa.float32().id: np.dtype(np.float32),
    pa.float64().id: np.dtype(np.float64),
    **{type_.id: np.dtype(np.int32) for type_ in (pa.date32(), pa.time32("s"))},
    **{type_.id: np.dtype(np.int64) for type_ in (pa.date64(), pa.time64("us"), pa.timestamp("us"), pa.duration("us"))},
}
"""By the id of the Arrow type. (`to_pandas_dtype` would ask for pandas, and gives times their units.)"""


def numpy_type(type_: pa.DataType) -> np.dtype[Any] | None:
    """The numpy form of a type of fixed width, times, dates and durations as integers; None for every other type.

    >>> numpy_type(pa.timestamp("us", "UTC")), numpy_type(pa.date32()), numpy_type(pa.string())
    (dtype('int64'), dtype('int32'), None)
    """
    return _NUMPY_TYPES.get(type_.id)


def view(array: pa.Array, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The values of an array whose elements are as wide as `dtype`, without a copy. What stands at nulls is arbitrary.

    >>> view(pa.array([1.0]), np.dtype(np.int64)) == 0x3FF0 << 48
    array([ True])
    """
    data = array.buffers()[1]
    if data is None or len(array) == 0:
        return np.zeros(len(array), dtype)
    return np.frombuffer(data, dtype, len(array), array.offset * dtype.itemsize)


def raw_values(array: pa.Array) -> npt.NDArray[Any]:
    """The values of a fixed-width array as numpy holds them: times as int64 or int32, bools as int8.

    Zero-copy but for bools. What stands at nulls is arbitrary. Raises `ValueError` for types of another kind.

    >>> raw_values(pa.array([1, 2], pa.timestamp("us", "UTC")))
    array([1, 2])
    """
    dtype = numpy_type(array.type)
    if dtype is None:
        raise ValueError(f"numpy cannot see the values of a column of type {array.type}")
    if dtype == np.bool_:
        return view(array.cast(pa.int8()), np.dtype(np.int8))
    return view(array, dtype)


def validity(array: pa.Array) -> Bools | None:
    """True where a value stands; None if there is no null."""
    if array.null_count == 0:
        return None
    valid: Bools = array.is_valid().to_numpy(zero_copy_only=False)
    return valid


def pick(column: pa.Array, rows: Int64s) -> pa.Array:
    """The values at these rows: what `take` gives, for numbers and times without nulls at half of its cost.

    >>> pick(pa.array([7, 8, 9]), np.array([2, 0])).to_pylist()
    [9, 7]
    """
    dtype = numpy_type(column.type)
    if dtype is None or dtype == np.bool_ or column.null_count:
        return column.take(pa.array(rows))
    picked = pa.array(view(column, dtype)[rows])
    return picked if picked.type == column.type else picked.view(column.type)


def interleaved(one: pa.Array, other: pa.Array) -> pa.Array:
    """The values of two arrays of one type and length in turns.

    >>> interleaved(pa.array([1, 2]), pa.array([8, 9])).to_pylist()
    [1, 8, 2, 9]
    """
    dtype = numpy_type(one.type)
    if dtype is None or dtype == np.bool_ or one.null_count or other.null_count:
        places = np.arange(2 * len(one)).reshape(2, -1).T.ravel()
        return pa.concat_arrays([one, other]).take(pa.array(places))
    values = np.empty((len(one), 2), dtype)
    values[:, 0], values[:, 1] = view(one, dtype), view(other, dtype)
    array = pa.array(values.ravel())
    return array if array.type == one.type else array.view(one.type)


def least_and_greatest(column: pa.Array) -> tuple[int, int]:
    """Of a column of integers or times, at least one, none null.

    What was asked last is remembered: each step asks this of a batch's event times again.

    >>> least_and_greatest(pa.array([3, 1, 2]))
    (1, 3)
    """
    for known, found in _last_asked:
        if _is_same(known, column):
            return found
    values = raw_values(column)
    found = int(np.minimum.reduce(values)), int(np.maximum.reduce(values))
    _last_asked[:] = [(column, found)]
    return found


def _is_same(one: pa.Array, other: pa.Array) -> bool:
    """Whether two arrays are of one type and the same memory, which never changes while one of them lives."""
    return (
        len(one) == len(other)
        and one.offset == other.offset
        and one.buffers()[1].address == other.buffers()[1].address
        and one.type == other.type
    )


_last_asked: list[tuple[pa.Array, tuple[int, int]]] = []
"""At most one entry, replaced as a whole, so that threads may ask at once. While it holds an array its memory stays."""
