from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.state.rows_by_time import RowsByTime

SCHEMA = pa.schema([("k", pa.string()), ("at", pa.int64())])
GROUPS = 8


def batch(rows: list[tuple[str, int]]) -> pa.RecordBatch:
    return pa.record_batch({"k": [k for k, _ in rows], "at": [at for _, at in rows]}, schema=SCHEMA)


def taken(held: RowsByTime, time: int) -> list[tuple[str, int]]:
    return sorted(zip(*(column.to_pylist() for column in held.take_before(time).columns), strict=True))


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-5, 20)), max_size=8), st.integers(-5, 20)),
        max_size=8,
    ),
    st.booleans(),
)
def test_every_row_is_taken_once_by_the_first_time_above_its_own(
    turns: list[tuple[list[tuple[str, int]], int]], restored: bool
) -> None:
    held = RowsByTime(SCHEMA, keys=[0])
    left: list[tuple[str, int]] = []
    for rows, time in turns:
        held.append(batch(rows))
        left += rows
        assert taken(held, time) == sorted(row for row in left if row[1] < time)
        left = [row for row in left if row[1] >= time]
        if restored:
            old, held = held, RowsByTime(SCHEMA, keys=[0])
            held.restore([old.snapshot(GROUPS)], range(GROUPS))
    assert taken(held, 100) == sorted(left)


def test_a_restore_takes_over_only_its_key_groups() -> None:
    held = RowsByTime(SCHEMA, keys=[0])
    held.append(batch([(str(k), k) for k in range(20)]))
    parts = [RowsByTime(SCHEMA, keys=[0]) for _ in range(2)]
    snapshot = held.snapshot(GROUPS)
    for number, part in enumerate(parts):
        part.restore([snapshot], range(4 * number, 4 * number + 4))
    first, second = (taken(part, 100) for part in parts)
    assert first
    assert second
    assert sorted(first + second) == taken(held, 100)
