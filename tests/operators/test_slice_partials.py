from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.kernels.aggregate import AggregateSpec
from streamflow.kernels.windows import SlidingSlices
from streamflow.operators.events import TIME_TYPE
from streamflow.operators.preaggregate import Layout, RowInput
from streamflow.operators.slice_partials import SlicePartials, _cover

SCHEMA = pa.schema({"k": pa.int64(), "_time": TIME_TYPE})
LAYOUT = Layout.of(("k",), (AggregateSpec("count", None, None, "n"),), SCHEMA)


class Fed:
    """Slice partials that are fed rows of (time, key)."""

    def __init__(self, window: SlidingSlices) -> None:
        self.partials = SlicePartials(LAYOUT, window)
        self._input = RowInput(LAYOUT, window, SCHEMA)

    def add(self, *rows: tuple[int, int]) -> None:
        self.add_arrays(np.array([time for time, _ in rows]), np.array([key for _, key in rows]))

    def add_arrays(self, times: np.ndarray, keys: np.ndarray) -> None:
        arrays = [pa.array(keys), pa.array(times).view(TIME_TYPE)]
        batch = pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)
        self.partials.append(self._input.reduce(self._input.columns(batch)))

    def counts(self, window: int) -> Counter[int]:
        result: Counter[int] = Counter()
        for chunk in self.partials.of_window(window):
            for row in chunk.rows.to_pylist():
                result[row["k"]] += row["~n.count"]
        return result


rows_strategy = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2)), min_size=1, max_size=5)


@settings(deadline=None)
@given(st.lists(rows_strategy, min_size=1, max_size=6), st.lists(st.integers(-300, 400), min_size=1, max_size=6))
def test_a_window_of_many_slices_counts_what_came_before_and_after_it_was_first_read(
    batches: list[list[tuple[int, int]]], windows: list[int]
) -> None:
    fed, seen = Fed(SlidingSlices(300, 1)), []
    for batch in batches:
        fed.add(*batch)
        seen += batch
        for window in windows:
            assert fed.counts(window) == Counter(key for time, key in seen if window <= time < window + 300)


@given(st.integers(-5000, 5000), st.integers(0, 5000))
def test_blocks_cover_a_range_exactly_and_are_few(start: int, length: int) -> None:
    blocks = list(_cover(range(start, start + length)))
    covered = sorted(number for level, index in blocks for number in range(index * 16**level, (index + 1) * 16**level))
    assert covered == list(range(start, start + length))
    assert len(blocks) <= 2 * 15 * 4


def test_a_slice_of_many_chunks_is_compacted() -> None:
    fed = Fed(SlidingSlices(10, 10))
    for _ in range(100):
        fed.add((1, 7), (2, 8))
    assert len(fed.partials.log.read(0)) < 64
    assert fed.counts(0) == {7: 100, 8: 100}


def test_a_slice_of_many_rows_is_compacted_before_it_holds_a_key_very_often() -> None:
    fed = Fed(SlidingSlices(10, 10))
    keys = np.arange(60_000)
    for _ in range(12):
        fed.add_arrays(np.zeros(len(keys), np.int64), keys)
    assert sum(chunk.num_rows for chunk in fed.partials.log.read(0)) < 6 * len(keys)


@pytest.mark.parametrize("window", [SlidingSlices(10, 5), SlidingSlices(300, 1)])
def test_slices_are_kept_until_their_last_window_is_closed(window: SlidingSlices) -> None:
    fed = Fed(window)
    fed.add((0, 1), (window.size, 1))
    fed.partials.drop_closed(-1)
    assert fed.counts(0) == {1: 1}
    fed.partials.drop_closed(0)
    assert fed.partials.log.namespaces() == [window.slice_of(window.size)]
