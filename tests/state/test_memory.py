"""What rows take in memory."""

from __future__ import annotations

import pyarrow as pa

from streamflow.state.memory import RowSizes


def test_rows_of_fixed_width_are_reckoned_without_a_look_at_them() -> None:
    rows = pa.record_batch({"n": pa.array([1, 2, 3], pa.int32()), "known": [True, False, True]})
    assert RowSizes(rows.schema).of(rows) == 13  # 3 * 4 bytes and 3 bits


def test_text_and_lists_take_what_they_hold() -> None:
    rows = pa.record_batch({"n": [1, 2], "word": ["ab", "c" * 100], "all": [[1], [2, 3]]})
    assert RowSizes(rows.schema).of(rows) == rows.nbytes


def test_a_slice_takes_its_own_rows_only() -> None:
    rows = pa.record_batch({"n": [1, 2, 3, 4], "word": ["ab", "c", "d" * 100, "e"]})
    assert RowSizes(rows.schema).of(rows.slice(0, 2)) == rows.slice(0, 2).nbytes
