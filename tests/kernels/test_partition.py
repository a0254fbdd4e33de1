from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.kernels.partition import split


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1)))))
@settings(max_examples=100, deadline=None)
def test_every_row_reaches_its_destination_in_order(drawn: tuple[int, list[int]]) -> None:
    n, destinations = drawn
    batch = pa.record_batch(
        {"row": pa.array(range(len(destinations)), pa.int64()), "to": pa.array(destinations, pa.int64())}
    )
    parts = split(batch, np.array(destinations, dtype=np.int64), n)
    assert [destination for destination, _ in parts] == sorted(set(destinations))
    for destination, part in parts:
        assert part["row"].to_pylist() == [row for row, to in enumerate(destinations) if to == destination]
        assert part.schema == batch.schema


def test_a_batch_for_one_destination_is_passed_on_as_it_is() -> None:
    batch = pa.record_batch({"x": [1, 2]})
    [(destination, part)] = split(batch, np.array([3, 3]), 8)
    assert destination == 3
    assert part is batch


def test_a_destination_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="destination 4 is not below 4"):
        split(pa.record_batch({"x": [1, 2]}), np.array([0, 4]), 4)


def test_more_destinations_than_fit_sixteen_bits() -> None:
    batch = pa.record_batch({"x": [1, 2, 3]})
    parts = split(batch, np.array([70_000, 0, 70_000]), 70_001)
    assert [(to, part["x"].to_pylist()) for to, part in parts] == [(0, [2]), (70_000, [1, 3])]
