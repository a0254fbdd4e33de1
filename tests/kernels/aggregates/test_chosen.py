"""The value of the row that has the greatest or the least of another column."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamflow.kernels.aggregate import AggregateSpec, result_of

FLOATS = st.sampled_from([None, 0.0, -0.0, math.nan, math.inf, -1.5])


TEXT, FLOAT = pa.string(), pa.float64()


def chosen(kind: Any, value: pa.DataType = TEXT, by: pa.DataType = FLOAT) -> AggregateSpec:
    return AggregateSpec(kind, "x", value, "r", more=(("by", by),))


def place(by: float) -> tuple[bool, float]:
    return math.isnan(by), 0.0 if math.isnan(by) else by


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.sampled_from([None, "", "a", "b"]), FLOATS), min_size=1, max_size=25),
    cuts=st.lists(st.integers(0, 25), max_size=3),
)
def test_any_cut_gives_the_row_of_the_extreme_with_the_least_value(
    in_pieces: Any, rows: list[tuple[int, str | None, float | None]], cuts: list[int]
) -> None:
    keys = [key for key, _, _ in rows]
    columns = {
        "x": pa.array([x for _, x, _ in rows], pa.string()),
        "by": pa.array([by for _, _, by in rows], pa.float64()),
    }
    cuts = sorted(min(cut, len(keys)) for cut in cuts)
    greatest, least = (in_pieces(chosen(kind), keys, columns, cuts) for kind in ("max_by", "min_by"))
    for key in set(keys):
        some = [(place(by), x is None, x) for other, x, by in rows if other == key and by is not None]
        top, bottom = (end((by for by, _, _ in some), default=None) for end in (max, min))
        assert greatest[key] == min(((null, x) for by, null, x in some if by == top), default=(0, None))[1]
        assert least[key] == min(((null, x) for by, null, x in some if by == bottom), default=(0, None))[1]


def test_only_what_has_an_order_is_chosen() -> None:
    with pytest.raises(ValueError, match="max_by chooses by values that have an order, not list"):
        result_of(chosen("max_by", by=pa.list_(pa.int64())))
    with pytest.raises(ValueError, match="min_by chooses of values that have an order, not struct"):
        result_of(chosen("min_by", value=pa.struct({"a": pa.int64()})))
