"""Functions of real numbers, extremes across columns, clipping and mapping, over the pairs of `kernels.compute`.

Null in, null out, where nothing else is said. Cost: one to three numpy passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.kernels.compute import Binary, Numbers, Unary, comparison


def real(function: Callable[[Any], Any]) -> Unary:
    """A ufunc of floats as IEEE 754 has it: no error, but inf and NaN.

    >>> real(np.sqrt)((np.array([4.0, -1.0]), None))[0]
    array([ 2., nan])
    """

    def compute(a: Numbers) -> Numbers:
        with np.errstate(all="ignore"):
            return function(a[0]), a[1]

    return compute


def logarithm(base: float) -> Unary:
    """The logarithm to any base above 0 but 1; exact powers of 2 and 10 are exact."""
    if base in (2, 10):
        return real(np.log2 if base == 2 else np.log10)
    if base == math.e:
        return real(np.log)
    return real(lambda values: np.log(values) / values.dtype.type(math.log(base)))


def fill_nan(a: Numbers, b: Numbers) -> Numbers:
    """The second where the first is NaN, and not null."""
    nan = np.isnan(a[0]) if a[1] is None else np.isnan(a[0]) & ~a[1]
    if not nan.any():
        return a
    nulls = None
    if a[1] is not None or b[1] is not None:
        own = np.False_ if a[1] is None else a[1]
        nulls = np.where(nan, np.False_ if b[1] is None else b[1], own)
    return np.where(nan, b[0], a[0]), nulls


def extreme(function: str, *, floating: bool) -> Binary:
    """The greater ("max_horizontal") or the lesser of two values; null only where both are; NaN is the greatest."""
    wins = comparison("ge" if function == "max_horizontal" else "le", floating=floating)

    def compute(a: Numbers, b: Numbers) -> Numbers:
        first, _ = wins((a[0], None), (b[0], None))
        if a[1] is None and b[1] is None:
            return np.where(first, a[0], b[0]), None
        null_a = np.False_ if a[1] is None else a[1]
        null_b = np.False_ if b[1] is None else b[1]
        return np.where((first | null_b) & ~null_a, a[0], b[0]), null_a & null_b

    return compute


def clip(function: str) -> Binary:
    """The value, or the bound that it is "above" or "below" of; a null bound does not bind, NaN stays NaN."""
    ufunc = np.maximum if function == "above" else np.minimum

    def compute(a: Numbers, bound: Numbers) -> Numbers:
        values = ufunc(a[0], bound[0])
        return values if bound[1] is None else np.where(bound[1], a[0], values), a[1]

    return compute


def found(array: pa.Array, keys: pa.Array) -> pa.Array:
    """Where each value stands among `keys`, null where it does not; null stands there too if it is one of the keys.

    >>> found(pa.array([1, None, 0]), pa.array([0, 1])).to_pylist()
    [1, None, 0]
    """
    if pa.types.is_floating(array.type):
        zero = pa.scalar(0.0, array.type)
        array, keys = pc.add(array, zero), pc.add(keys, zero)  # -0.0 is 0.0
    return pc.index_in(array, value_set=keys)


def replaced(array: pa.Array, keys: pa.Array, values: pa.Array) -> pa.Array:
    """The values of a mapping in the place of its keys; everything else as it is."""
    places = found(array, keys)
    return pc.if_else(places.is_valid(), values.take(places), array)


def mapped(array: pa.Array, keys: pa.Array, values: pa.Array, default: Any) -> pa.Array:
    """The values of a mapping. `default`: for what is no key and not null; without one that is a ValueError."""
    places = found(array, keys)
    missing = pc.and_(places.is_null(), array.is_valid())
    if default is not None:
        return pc.if_else(missing, default, values.take(places))
    if pc.any(missing).as_py():
        raise ValueError(f"{array.filter(missing)[0].as_py()!r} has no replacement")
    return values.take(places)
