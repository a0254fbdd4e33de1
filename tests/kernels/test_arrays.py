"""Arrow's memory as numpy sees it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from streamflow.kernels.arrays import interleaved, least_and_greatest, numpy_type, pick, raw_values, validity, view


@pytest.mark.parametrize(
    ("array", "values", "dtype"),
    [
        (pa.array([1, 2], pa.int8()), [1, 2], "int8"),
        (pa.array([1, 2], pa.uint64()), [1, 2], "uint64"),
        (pa.array([True, False]), [1, 0], "int8"),
        (pa.array([1.5, 2.5], pa.float32()), [1.5, 2.5], "float32"),
        (pa.array([1, 2], pa.date32()), [1, 2], "int32"),
        (pa.array([1, 2], pa.time64("us")), [1, 2], "int64"),
        (pa.array([-1, 2], pa.timestamp("us", "UTC")), [-1, 2], "int64"),
        (pa.array([-1, 2], pa.duration("us")), [-1, 2], "int64"),
    ],
)
def test_values_are_seen_as_numbers(array: pa.Array, values: list[Any], dtype: str) -> None:
    seen = raw_values(array)
    assert seen.tolist() == values
    assert seen.dtype == np.dtype(dtype)


def test_a_slice_begins_at_its_offset() -> None:
    array = pa.array([1, 2, 3, 4]).slice(1, 2)
    assert raw_values(array).tolist() == [2, 3]
    assert raw_values(pa.array([True, False, True]).slice(1)).tolist() == [0, 1]


def test_an_empty_array_has_no_values() -> None:
    assert raw_values(pa.array([], pa.timestamp("us"))).dtype == np.int64
    assert raw_values(pa.array([1]).slice(1)).tolist() == []


def test_the_memory_is_shared() -> None:
    array = pa.array([1, 2, 3])
    assert raw_values(array).ctypes.data == array.buffers()[1].address
    assert view(array, np.dtype(np.uint64)).ctypes.data == array.buffers()[1].address


@pytest.mark.parametrize("array", [pa.array(["a"]), pa.array([Decimal("1.5")]), pa.array([[1]]), pa.nulls(1)])
def test_other_types_have_no_numpy_form(array: pa.Array) -> None:
    assert numpy_type(array.type) is None
    with pytest.raises(ValueError, match="numpy cannot see"):
        raw_values(array)


def test_validity_is_true_where_a_value_stands() -> None:
    assert validity(pa.array([1, 2])) is None
    valid = validity(pa.array([1, None, 3]).slice(1))
    assert valid is not None
    assert valid.tolist() == [False, True]


def test_the_least_and_greatest_of_each_array_are_its_own() -> None:
    values = pa.array([5, 1, 9, 3])
    assert least_and_greatest(values) == least_and_greatest(values) == (1, 9)
    assert least_and_greatest(values.slice(0, 2)) == (1, 5)
    assert least_and_greatest(values.slice(2, 2)) == (3, 9)
    assert least_and_greatest(values.view(pa.timestamp("us", "UTC"))) == (1, 9)
    assert least_and_greatest(pa.array([-1], pa.int8())) == (-1, -1)


def test_picked_rows_are_those_of_take() -> None:
    rows = np.array([2, 0, 2])
    for column in (
        pa.array([1, 2, 3], pa.int16()),
        pa.array([1, None, 3]),
        pa.array([True, False, True]),
        pa.array([1, 2, 3], pa.timestamp("us", "UTC")).slice(0),
        pa.array(["a", "b", "c"]),
        pa.array([9, 1, 2, 3], pa.date32()).slice(1),
    ):
        assert pick(column, rows).equals(column.take(pa.array(rows)))


@pytest.mark.parametrize(
    "type_", [pa.int8(), pa.float64(), pa.timestamp("us", "UTC"), pa.bool_(), pa.string(), pa.list_(pa.int8())], ids=str
)
@pytest.mark.parametrize("nulls", [False, True])
def test_two_arrays_are_interleaved(type_: pa.DataType, nulls: bool) -> None:
    column = pa.array([[0], [1], [1], [0]]) if pa.types.is_list(type_) else pa.array([0, 1, 1, 0]).cast(pa.int8())
    one = column.cast(pa.int64()).cast(type_) if pa.types.is_timestamp(type_) else column.cast(type_)
    one, other = one.slice(1, 2), (pa.nulls(2, type_) if nulls else one.slice(2, 2))
    mixed = interleaved(one, other)
    assert mixed.type == type_
    assert mixed.to_pylist() == [v for two in zip(one.to_pylist(), other.to_pylist(), strict=True) for v in two]
