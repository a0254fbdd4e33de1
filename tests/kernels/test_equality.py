from __future__ import annotations

import math
from decimal import Decimal

import pyarrow as pa
import pytest

from streamflow.kernels.equality import equal_rows


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (pa.array([1, None, 3, None]), pa.array([1, None, None, 4]), [True, True, False, False]),
        (
            pa.array([0.0, math.nan, 1.0, math.nan]),
            pa.array([-0.0, math.nan, math.nan, None]),
            [True, True, False, False],
        ),
        (pa.array(["a", "a\0", None]), pa.array(["a", "a", None]), [True, False, True]),
        (pa.array([Decimal("1.5"), None]), pa.array([Decimal("1.5"), None]), [True, True]),
        (pa.array([True, False]), pa.array([True, True]), [True, False]),
        (pa.nulls(2), pa.nulls(2), [True, True]),
        (
            pa.array([[1.0], [], None, [1.0, 2.0], [None], [math.nan], [9.0]]),
            pa.array([[1.0], None, None, [2.0, 1.0], [None], [math.nan], [9.0, 9.0]]),
            [True, False, True, False, True, True, False],
        ),
        (
            pa.array([{"a": [1]}, {"a": None}, None, {"a": [0]}])[1:],
            pa.array([{"a": [2]}, None, None, {"a": [0]}])[1:],
            [False, True, True],
        ),
        (
            pa.array([[("a", 1)], [("a", 1)], None], pa.map_(pa.string(), pa.int64())),
            pa.array([[("a", 1)], [("a", 2)], None], pa.map_(pa.string(), pa.int64())),
            [True, False, True],
        ),
        (pa.array([1, 2, 3])[1:], pa.array([2, 4]), [True, False]),
    ],
)
def test_rows_are_equal_as_keys_are(left: pa.Array, right: pa.Array, equal: list[bool]) -> None:
    assert equal_rows(left, right).tolist() == equal
