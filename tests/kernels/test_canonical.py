from __future__ import annotations

import math

import pyarrow as pa
import pytest

from streamflow.kernels.canonical import canonical_key


@pytest.mark.parametrize("type_", [pa.float32(), pa.float64()])
def test_keys_have_one_zero_and_one_nan(type_: pa.DataType) -> None:
    keys = canonical_key(pa.array([1.0, -0.0, -math.nan, None], type_)[1:])
    width = type_.bit_width // 8
    assert keys.null_count == 1
    assert math.copysign(1, keys[0].as_py()) == 1
    assert bytes(keys.buffers()[1])[width : 2 * width] == (pa.array([math.nan], type_).buffers()[1]).to_pybytes()


def test_keys_that_are_canonical_are_not_copied() -> None:
    for array in (pa.array([1.0, math.nan, None]), pa.array(["a"]), pa.array([None], pa.float64())):
        assert canonical_key(array) is array
