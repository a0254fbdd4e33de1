from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.kernels.hashing import groups_of_worker, hash_columns, key_groups
from streamflow.state.held_rows import HeldRows
from streamflow.state.memory import SpillBuffers

SCHEMA = pa.schema([("n", pa.int64()), ("key", pa.string())])


def held(rows: list[tuple[int, str | None]]) -> HeldRows:
    found = HeldRows(SCHEMA, keys=[1])
    for n, key in rows:
        found.append(pa.record_batch([[n], pa.array([key], pa.string())], schema=SCHEMA))
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(), st.sampled_from(["a", "b", None]))), min_size=1), st.integers(1, 7))
def test_every_row_is_restored_to_the_one_worker_that_owns_its_key_group(
    workers: list[list[tuple[int, str | None]]], count: int
) -> None:
    workers = [[(n % 1000, key) for n, key in rows] for rows in workers]
    parts = [held(rows).snapshot(5) for rows in workers]
    found = []
    for worker in range(count):
        groups = groups_of_worker(worker, 5, count)
        new = held([])
        new.restore(parts, groups)
        rows = new.take()
        assert set(key_groups(hash_columns([rows.column(1)], rows.num_rows), 5).tolist()) <= set(groups)
        found += [(row["n"], row["key"]) for row in rows.to_pylist()]
    assert sorted(found, key=repr) == sorted((row for rows in workers for row in rows), key=repr)


def test_later_changes_do_not_show_in_a_snapshot() -> None:
    rows = held([(1, "a")])
    snapshot = rows.snapshot(4)
    rows.append(pa.record_batch([[2], ["a"]], schema=SCHEMA))
    rows.take()
    assert snapshot.rows.to_pylist() == [{"n": 1, "key": "a"}]
    assert rows.count == 0


def test_without_rows_a_batch_of_the_schema_is_taken() -> None:
    assert held([]).take().schema == SCHEMA
    assert held([]).snapshot(3).offsets.tolist() == [0, 0, 0, 0]


@given(st.lists(st.sampled_from(["append", "spill", "take", "snapshot"]), max_size=20))
def test_rows_that_spilled_are_held_like_others(actions: list[str]) -> None:
    found, expected, store = held([]), list[int](), SpillBuffers()
    found.attach(store)
    for number, action in enumerate(actions):
        match action:
            case "append":
                found.append(pa.record_batch([[number], pa.array(["a"])], schema=SCHEMA))
                expected.append(number)
            case "spill":
                found.spill(1)
                assert found.resident == 0
            case "take":
                assert sorted(found.take().column("n").to_pylist()) == expected
                expected = []
            case "snapshot":
                new = held([])
                new.restore([found.snapshot(4)], range(4))
                assert sorted(new.take().column("n").to_pylist()) == expected
        assert found.count == len(expected)
