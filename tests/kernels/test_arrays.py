"""Arrow's memory as numpy sees it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from streamflow.kernels.arrays import numpy_type, raw_values, validity, view


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
