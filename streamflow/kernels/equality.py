"""Whether two columns hold equal values, row by row, as keys are: null = null, NaN = NaN, -0.0 = 0.0 (rule 16)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.kernels.arrays import Bools


def equal_rows(left: pa.Array, right: pa.Array) -> Bools:
    """For each row, whether both columns, of one plain type and one length, hold the same value. Never null.

    >>> equal_rows(pa.array([1.0, None, float("nan")]), pa.array([1.0, None, 2.0])).tolist()
    [True, True, False]
    """
    if pa.types.is_null(left.type):
        return np.ones(len(left), dtype=np.bool_)
    equal = pc.equal(left, right)
    if pa.types.is_floating(left.type):
        equal = pc.or_(equal, pc.and_(pc.is_nan(left), pc.is_nan(right)))
    if equal.null_count:
        both_null = pc.and_(pc.is_null(left), pc.is_null(right))
        equal = pc.or_(pc.fill_null(equal, False), both_null)
    result: Bools = equal.to_numpy(zero_copy_only=False)
    return result
