from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.kernels.hashing import groups_of_worker, hash_columns, key_groups
from streamflow.state.chunk_log import ChunkLog

SCHEMA = pa.schema({"key": pa.string(), "n": pa.int64()})
GROUPS = 16
Row = tuple[int, str | None, int]


def chunk(rows: list[Row]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array([key for _, key, _ in rows], pa.string()), pa.array([n for _, _, n in rows], pa.int64())],
        schema=SCHEMA,
    )


def filled(rows: list[Row]) -> ChunkLog:
    log = ChunkLog(("key",), SCHEMA)
    for row in rows:
        log.append(row[0], chunk([row]))
    return log


def contents(log: ChunkLog) -> list[Row]:
    return [
        (namespace, row["key"], row["n"])
        for namespace in log.namespaces()
        for piece in log.read(namespace)
        for row in piece.to_pylist()
    ]


rows_of_some_namespaces = st.lists(
    st.tuples(
        st.sampled_from([-(2**63), -7, 0, 1, 2**63 - 1]),
        st.none() | st.sampled_from(["", "a", "b", "é", "x" * 300]),
        st.integers(-9, 9),
    ),
    max_size=30,
)


@given(rows_of_some_namespaces, st.integers(1, 4), st.integers(1, 20))
def test_a_snapshot_of_some_workers_restores_onto_any_number(rows: list[Row], before: int, after: int) -> None:
    snapshots = [filled(rows[worker::before]).snapshot(GROUPS) for worker in range(before)]
    restored: list[Row] = []
    for worker in range(after):
        log, own = ChunkLog(("key",), SCHEMA), groups_of_worker(worker, GROUPS, after)
        log.restore(snapshots, own)
        found = contents(log)
        keys = pa.array([key for _, key, _ in found], pa.string())
        assert all(int(group) in own for group in key_groups(hash_columns([keys], len(found)), GROUPS))
        restored += found
    assert sorted(restored, key=repr) == sorted(rows, key=repr)


def test_a_snapshot_does_not_show_what_comes_after_it() -> None:
    log = filled([(1, "a", 1), (2, "b", 2)])
    snapshot = log.snapshot(GROUPS)
    log.append(1, chunk([(1, "c", 3)]))
    log.drop(2)
    restored = ChunkLog(("key",), SCHEMA)
    restored.restore([snapshot], range(GROUPS))
    assert sorted(contents(restored), key=repr) == [(1, "a", 1), (2, "b", 2)]


def test_replace_puts_one_chunk_in_the_place_of_all() -> None:
    log = filled([(1, "a", 1), (1, "a", 2)])
    log.replace(1, chunk([(1, "a", 3)]))
    assert contents(log) == [(1, "a", 3)]


def test_a_dropped_or_unknown_namespace_is_empty() -> None:
    log = filled([(1, "a", 1)])
    log.drop(1)
    log.drop(5)
    assert log.namespaces() == []
    assert log.read(1) == []


def test_without_keys_all_rows_are_in_one_group() -> None:
    log = ChunkLog((), SCHEMA)
    log.append(0, chunk([(0, "a", 1), (0, "b", 2)]))
    offsets = log.snapshot(GROUPS).offsets
    assert sorted(set(offsets.tolist())) == [0, 2]


def test_the_namespace_column_is_its_own() -> None:
    with pytest.raises(ValueError, match="~namespace"):
        ChunkLog((), pa.schema({"~namespace": pa.int64()}))
