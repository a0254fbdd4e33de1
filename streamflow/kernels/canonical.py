"""Keys in one form: equal keys have equal bits (rule 16)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import raw_values


def canonical_key(array: pa.Array) -> pa.Array:
    """A column of canonical type, equal keys made the same bits: -0.0 as 0.0, every NaN as one (rule 16).

    Only floats change: others, and floats that need no change, come back as they are.

    >>> canonical_key(pa.array([-0.0, 1.0])).to_pylist()
    [0.0, 1.0]
    """
    if not pa.types.is_floating(array.type) or len(array) == array.null_count:
        return array
    values = raw_values(array)
    dtype = values.dtype
    with np.errstate(invalid="ignore"):  # a signalling NaN
        canonical = values + dtype.type(0)
    nan = np.isnan(canonical)
    if nan.any():
        canonical[nan] = np.nan
    bits = np.dtype(f"u{dtype.itemsize}")
    if np.array_equal(canonical.view(bits), values.view(bits)):
        return array
    mask = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    return pa.array(canonical, mask=mask)
