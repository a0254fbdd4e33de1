"""Raw rows that wait: found by their keys, whatever the batches that they came in."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.operators.events import MAX_TIME, TIME_TYPE
from streamflow.operators.unmerged import Unmerged

GAP = 10
Row = tuple[str | None, int]


def batch(rows: list[Row]) -> pa.RecordBatch:
    users, times = zip(*rows, strict=True)
    return pa.record_batch({"user": pa.array(users, pa.string()), "_time": pa.array(times, TIME_TYPE)})


def add(held: Unmerged, rows: list[Row]) -> None:
    held.add(batch(rows), np.array([time for _, time in rows]) + GAP)


def like(held: Unmerged, *users: str | None) -> list[Row]:
    keys, times = held.like([pa.array(users, pa.string())], len(users))
    return list(zip(keys[0].to_pylist(), times.tolist(), strict=True))


ROWS = st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 99)), min_size=1, max_size=9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(ROWS, st.booleans()), min_size=1, max_size=9))
def test_all_rows_of_a_key_are_found_between_and_after_others_come(batches: list[tuple[list[Row], bool]]) -> None:
    held, known = Unmerged(1), []
    for rows, asked in batches:
        add(held, rows)
        known += rows
        if asked:
            assert sorted(like(held, "a")) == sorted(row for row in known if row[0] == "a")
    assert sorted(map(repr, like(held, None, "b"))) == sorted(repr(row) for row in known if row[0] != "a")
    assert held.count == len(known)
    assert held.end == min(time for _, time in known) + GAP
    assert sum(rows.num_rows for rows in held.take(4)) == len(known)
    assert (held.count, held.end, held.take(4)) == (0, MAX_TIME, [])


def test_they_are_taken_in_batches_of_about_a_size_and_in_order() -> None:
    held = Unmerged(1)
    for start in range(0, 10, 2):
        add(held, [("a", start), ("a", start + 1)])
    taken = [rows.column("_time").cast(pa.int64()).to_pylist() for rows in held.take(3)]
    assert taken == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
