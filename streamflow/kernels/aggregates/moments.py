"""Variance and standard deviation, merged as Chan, Golub and LeVeque do ("Updating formulae", 1979, section 2).

A partial is (n, origin, shift, spread): the mean is origin + shift, the origin one of the group's own values, and
spread the sum of the squared distances from the mean. As everything is measured from an origin, neither a large mean
nor large values cancel, a mean is kept to more digits than a float64 has, and a constant column has the variance 0
exactly. Integers and decimals count as float64, as in polars and DuckDB. Infinite values and NaN give NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamflow.kernels.aggregates.grouped import Floats, array, sum_floats, sum_int64, valid_floats
from streamflow.kernels.aggregates.spec import AggregateSpec, Family, require_numbers
from streamflow.kernels.arrays import Bools, Int64s, raw_values
from streamflow.kernels.grouping import Groups


def _type(spec: AggregateSpec) -> pa.DataType:
    require_numbers(spec)
    return pa.float64()


def _partial(spec: AggregateSpec, columns: Sequence[pa.Array], groups: Groups) -> list[pa.Array]:
    values, ids = valid_floats(columns[0], groups.ids)
    nothing = np.zeros(len(values))
    return _combined([np.ones(len(values), np.int64), values, nothing, nothing], ids, groups.count)


def _merge(spec: AggregateSpec, parts: Sequence[pa.Array], groups: Groups) -> list[pa.Array]:
    columns = [raw_values(part) for part in parts]
    some = columns[0] > 0
    if some.all():
        return _combined(columns, groups.ids, groups.count)
    return _combined([column[some] for column in columns], groups.ids[some], groups.count)


def _combined(columns: Sequence[npt.NDArray[Any]], ids: Int64s, count: int) -> list[pa.Array]:
    """The partial of each group of partials; a row is the partial (1, its value, 0, 0)."""
    numbers, origins, shifts, spreads = columns
    total = sum_int64(numbers, ids, count)
    origin = np.zeros(count)
    origin[ids] = origins
    with np.errstate(invalid="ignore", over="ignore"):
        away = origins - origin[ids] + shifts
        shift = sum_floats(away * (numbers / total[ids]), ids, count)
        away -= shift[ids]
        spread = sum_floats(away * away * numbers + spreads, ids, count)
    return [pa.array(total), pa.array(origin), pa.array(shift), pa.array(spread)]


def _variance(spec: AggregateSpec, parts: Sequence[pa.Array]) -> tuple[Floats, Bools]:
    numbers, spreads = raw_values(parts[0]), raw_values(parts[3])
    degrees = numbers - spec.option("ddof")
    defined = degrees > 0
    return spreads / np.where(defined, degrees, 1), defined


def _finish_var(spec: AggregateSpec, parts: Sequence[pa.Array]) -> pa.Array:
    return array(*_variance(spec, parts))


def _finish_std(spec: AggregateSpec, parts: Sequence[pa.Array]) -> pa.Array:
    variance, defined = _variance(spec, parts)
    return array(np.sqrt(variance), defined)


_PARTS = [("n", pa.int64()), ("origin", pa.float64()), ("shift", pa.float64()), ("spread", pa.float64())]

VAR = Family(result=_type, parts=lambda spec: _PARTS, partial=_partial, merge=_merge, finish=_finish_var)
STD = Family(result=_type, parts=lambda spec: _PARTS, partial=_partial, merge=_merge, finish=_finish_std)
