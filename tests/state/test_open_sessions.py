from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.kernels.hashing import groups_of_worker
from streamflow.state import open_sessions
from streamflow.state.memory import SpillBuffers
from streamflow.state.open_sessions import OpenSessions

SCHEMA = pa.schema([("key", pa.string()), ("end", pa.int64())])
KEYS = st.sampled_from(["a", "b", "c", None])
Row = tuple[str | None, int]
STEPS = st.lists(
    st.lists(st.tuples(KEYS, st.integers(0, 20)), max_size=6)
    | st.tuples(st.just("spill"), st.integers(1, 300))
    | st.tuples(st.just("take"), st.lists(KEYS, max_size=2), st.integers(-1, 20)),
    max_size=20,
)


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


def batch(rows: list[Row]) -> pa.RecordBatch:
    columns = [pa.array([row[0] for row in rows], pa.string()), pa.array([row[1] for row in rows], pa.int64())]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def rows_of(taken: pa.RecordBatch) -> list[Row]:
    return sorted(((row["key"], row["end"]) for row in taken.to_pylist()), key=repr)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.integers(1, 3), st.sampled_from([1, 1 << 26]), st.booleans())
def test_what_is_taken_is_what_a_plain_list_gives_up(steps: list[Any], workers: int, file: int, in_files: bool) -> None:
    table, model, files = OpenSessions(SCHEMA, [0], [1]), list[Row](), Files()
    table.attach(files)
    for step in steps:
        match step:
            case ("take", keys, time):
                expected = [row for row in model if row[0] in keys or row[1] <= time]
                model = [row for row in model if row not in expected]
                found = table.take_touched([pa.array(keys, pa.string())], len(keys), time, in_files=in_files)
                assert in_files is False or not list(table.take_due(time))
                due = [row for rows in table.take_due(time) for row in rows_of(rows)]
                assert sorted(rows_of(found) + due, key=repr) == sorted(expected, key=repr)
            case ("spill", wanted):
                before = table.resident
                with patch.object(open_sessions, "_FILE", file):
                    table.spill(wanted)
                assert table.resident <= max(0, before - wanted)
                assert table.spilled or not before
            case rows:
                table.append(batch(rows))
                model += rows
        assert table.count == len(model)
        assert table.earliest() == min((end for _, end in model), default=2**63 - 1)
    snapshot, restored = table.snapshot(5), list[Row]()
    for worker in range(workers):
        part = OpenSessions(SCHEMA, [0], [1])
        part.restore([snapshot], groups_of_worker(worker, 5, workers))
        restored += rows_of(part.take())
    assert sorted(restored, key=repr) == rows_of(table.take()) == sorted(model, key=repr)
    assert table.count == table.resident == 0
    assert not files.used


def test_an_end_at_the_end_of_time_is_found_by_key() -> None:
    table = OpenSessions(SCHEMA, [0], [1])
    table.append(batch([("a", 2**63 - 1), ("b", 5)]))
    assert rows_of(table.take_touched([pa.array(["x"])], 1, 5)) == [("b", 5)]
    assert rows_of(table.take_touched([pa.array(["a"])], 1, 5)) == [("a", 2**63 - 1)]
