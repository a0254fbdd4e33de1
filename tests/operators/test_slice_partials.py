from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.kernels.aggregate import AggregateSpec
from streamflow.kernels.windows import SlidingSlices
from streamflow.operators import slice_partials
from streamflow.operators.base import Pause
from streamflow.operators.events import TIME_TYPE, Watermark
from streamflow.operators.preaggregate import Layout, RowInput
from streamflow.operators.slice_partials import SlicePartials, _cover
from streamflow.operators.window_aggregate import WindowAggregate
from streamflow.state.parts import Chunk

SCHEMA = pa.schema({"k": pa.int64(), "_time": TIME_TYPE})
LAYOUT = Layout.of(("k",), (AggregateSpec("count", None, None, "n"),), SCHEMA)


def chunks_of(partials: SlicePartials, window: int) -> tuple[list[Chunk], int]:
    """The chunks of a window, and the pauses before they were there."""
    steps, pauses = partials.of_window(window), 0
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value, pauses
        pauses += 1


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
        list(self.partials.append(self._input.reduce(self._input.columns(batch))))

    def counts(self, window: int) -> Counter[int]:
        result: Counter[int] = Counter()
        for chunk in chunks_of(self.partials, window)[0]:
            for row in chunk.rows.to_pylist():
                result[row["k"]] += row["~n.count"]
        return result


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 60), st.sampled_from([0, 1, 2, 3, 10**9])), min_size=1), max_size=6))
def test_what_stands_in_tables_and_what_was_logged_is_one(batches: list[list[tuple[int, int]]]) -> None:
    fed = Fed(SlidingSlices(20, 5))
    for number, batch in enumerate(batches):
        fed.add(*batch)
        if number % 3 == 2:
            list(fed.partials.settle())
    rows = [row for batch in batches for row in batch]
    for window in range(-3, 13):
        assert fed.counts(window) == Counter(key for time, key in rows if window * 5 <= time < window * 5 + 20)
    assert fed.partials.slices() == sorted({time // 5 for time, _ in rows})


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
        list(fed.partials.settle())
    assert len(fed.partials.log.read(0)) < 64
    assert fed.counts(0) == {7: 100, 8: 100}


def test_a_slice_of_many_rows_is_compacted_before_it_holds_a_key_very_often() -> None:
    fed = Fed(SlidingSlices(10, 10))
    keys = np.arange(60_000)
    for _ in range(12):
        fed.add_arrays(np.zeros(len(keys), np.int64), keys)
        list(fed.partials.settle())
    assert sum(chunk.num_rows for chunk in fed.partials.log.read(0)) < 6 * len(keys)


@pytest.mark.parametrize("window", [SlidingSlices(10, 5), SlidingSlices(300, 1)])
def test_slices_are_kept_until_their_last_window_is_closed(window: SlidingSlices) -> None:
    fed = Fed(window)
    fed.add((0, 1), (window.size, 1))
    fed.partials.drop_closed(-1)
    assert fed.counts(0) == {1: 1}
    fed.partials.drop_closed(0)
    assert fed.partials.slices() == [window.slice_of(window.size)]


@pytest.mark.parametrize("seed", range(4))
def test_a_large_slice_is_compacted_and_a_large_window_fired_in_parts_between_pauses(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"LARGE": 200, "PART": 64, "_ROWS": 400}.items():
        monkeypatch.setattr(slice_partials, name, value)
    merged: list[int] = []
    merge = SlicePartials._merged

    def counted(partials: SlicePartials, chunks: list[pa.RecordBatch]) -> pa.RecordBatch:
        merged.append(sum(chunk.num_rows for chunk in chunks))
        return merge(partials, chunks)

    monkeypatch.setattr(SlicePartials, "_merged", counted)
    rng = np.random.default_rng(seed)
    schema = pa.schema({"k": pa.int64(), "v": pa.int64(), "_time": TIME_TYPE})
    operator = WindowAggregate(
        ("k",),
        SlidingSlices(1000, 500),
        (AggregateSpec("count", None, None, "n"), AggregateSpec("max", "v", pa.int64(), "m")),
        schema,
    )
    wanted: dict[tuple[int, int], tuple[int, int]] = {}
    pauses = 0
    for _ in range(12):
        keys, times = rng.integers(0, 600, 300) * 7**9, rng.integers(0, 1000, 300)
        values = rng.integers(0, 99, 300)
        arrays = [pa.array(keys), pa.array(values), pa.array(times).view(TIME_TYPE)]
        outputs = [*operator.on_batch(0, pa.RecordBatch.from_arrays(arrays, schema=schema)), *operator.flush()]
        assert all(isinstance(output, Pause) for output in outputs)
        pauses += len(outputs)
        for key, time, value in zip(keys.tolist(), times.tolist(), values.tolist(), strict=True):
            for end in (500, 1000, 1500):
                if end - 1000 <= time < end:
                    n, m = wanted.get((end, key), (0, 0))
                    wanted[end, key] = (n + 1, max(m, value))
    assert pauses > 10
    assert max(merged) <= 400
    found: dict[tuple[int, int], tuple[int, int]] = {}
    between = 0
    for output in operator.on_watermark(Watermark(1500)):
        if isinstance(output, Pause):
            between = 0
        elif isinstance(output, pa.RecordBatch):
            between += output.num_rows
            assert between <= 200
            ends = output.column("window_end").cast(pa.int64()).to_pylist()
            columns = [output.column(name).to_pylist() for name in ("k", "n", "m")]
            for end, key, n, m in zip(ends, *columns, strict=True):
                assert (end, key) not in found
                found[end, key] = (n, m)
    assert found == wanted


def test_a_large_block_of_slices_is_made_between_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LARGE": 200, "PART": 64}.items():
        monkeypatch.setattr(slice_partials, name, value)
    merged: list[int] = []
    merge = SlicePartials._merged

    def counted(partials: SlicePartials, chunks: list[pa.RecordBatch]) -> pa.RecordBatch:
        merged.append(sum(chunk.num_rows for chunk in chunks))
        return merge(partials, chunks)

    monkeypatch.setattr(SlicePartials, "_merged", counted)
    fed = Fed(SlidingSlices(300, 1))
    rng, expected = np.random.default_rng(2), Counter[int]()
    for _ in range(10):
        keys = rng.permutation(1000)[:500]
        fed.add_arrays(rng.integers(0, 40, len(keys)), keys)
        expected.update(keys.tolist())
    chunks, pauses = chunks_of(fed.partials, 0)
    assert pauses > 20
    assert max(merged) <= 200
    assert fed.counts(0) == expected
    merged.clear()
    assert chunks_of(fed.partials, 0)[1] == 0
    assert not merged
    assert sum(chunk.rows.num_rows for chunk in chunks) < 5000


def test_a_window_of_a_million_keys_is_fired_some_ten_thousands_at_a_time() -> None:
    schema = pa.schema({"k": pa.int64(), "_time": TIME_TYPE})
    operator = WindowAggregate(("k",), SlidingSlices(1000, 1000), LAYOUT.aggregates, schema)
    keys = np.random.default_rng(1).permutation(1_000_000)
    for start in range(0, len(keys), 50_000):
        part = keys[start : start + 50_000]
        arrays = [pa.array(part), pa.array(np.zeros(len(part), np.int64)).view(TIME_TYPE)]
        list(operator.on_batch(0, pa.RecordBatch.from_arrays(arrays, schema=schema)))
    pieces = [0]
    for output in operator.on_watermark(Watermark(1000)):
        if isinstance(output, Pause):
            pieces.append(0)
        elif isinstance(output, pa.RecordBatch):
            pieces[-1] += output.num_rows
    assert sum(pieces) == 1_000_000
    assert max(pieces) < 80_000
