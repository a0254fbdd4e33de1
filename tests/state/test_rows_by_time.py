from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.state import rows_by_time
from streamflow.state.memory import SpillBuffers
from streamflow.state.rows_by_time import RowsByTime

SCHEMA = pa.schema([("k", pa.string()), ("at", pa.int64())])
GROUPS = 8


class Files(SpillBuffers):
    """Knows which are in use."""

    def __init__(self) -> None:
        super().__init__()
        self.used: set[int] = set()

    def put(self, rows: pa.RecordBatch) -> int:
        number = super().put(rows)
        self.used.add(number)
        return number

    def free(self, number: int) -> None:
        super().free(number)
        self.used.remove(number)


def batch(rows: list[tuple[str, int]]) -> pa.RecordBatch:
    return pa.record_batch({"k": [k for k, _ in rows], "at": [at for _, at in rows]}, schema=SCHEMA)


def taken(held: RowsByTime, time: int) -> list[tuple[str, int]]:
    """Sorted; batches must come by time."""
    found: list[tuple[str, int]] = []
    for rows in held.take_before(time):
        new = sorted(zip(*(column.to_pylist() for column in rows.columns), strict=True))
        assert new
        assert max((at for _, at in found), default=-100) < min(at for _, at in new)
        found += new
    return sorted(found)


@pytest.fixture(autouse=True, scope="module", params=[2, 1 << 18])
def few(request: pytest.FixtureRequest) -> Iterator[None]:
    """What is done for many rows is done with few."""
    with patch.multiple(rows_by_time, TAKEN=request.param, _FILE=100):
        yield


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-5, 20)), max_size=8), st.integers(-5, 20)),
        max_size=8,
    ),
    st.booleans(),
    st.integers(0, 200),
)
def test_every_row_is_taken_once_by_the_first_time_above_its_own(
    turns: list[tuple[list[tuple[str, int]], int]], restored: bool, wanted: int
) -> None:
    held, files = RowsByTime(SCHEMA, keys=[0]), Files()
    held.attach(files)
    left: list[tuple[str, int]] = []
    for rows, time in turns:
        held.append(batch(rows))
        left += rows
        if wanted and held.resident:
            before = held.resident
            held.spill(wanted)
            assert held.resident < before
        assert taken(held, time) == sorted(row for row in left if row[1] < time)
        left = [row for row in left if row[1] >= time]
        if restored:
            old, held = held, RowsByTime(SCHEMA, keys=[0])
            held.attach(files)
            held.restore([old.snapshot(GROUPS)], range(GROUPS))
    assert taken(held, 100) == sorted(left)
    assert held.resident == 0
    assert restored or not files.used


@patch.object(rows_by_time, "_FILE", 1 << 20)
def test_the_soonest_rows_stay() -> None:
    held, files = RowsByTime(SCHEMA, keys=[0]), Files()
    held.attach(files)
    for _ in range(10):
        held.append(batch([("a", at) for at in range(100)]))
    held.spill(held.resident // 2)
    (file,) = files.used
    assert files.get(file).column("at").to_pylist() == [at for at in range(50, 100) for _ in range(10)]
    assert taken(held, 50) == [("a", at) for at in range(50) for _ in range(10)]
    assert files.used == {file}


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
