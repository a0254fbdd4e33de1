from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.kernels.hashing import groups_of_worker, hash_columns, key_groups
from streamflow.state import chunk_log
from streamflow.state.chunk_log import ChunkLog
from streamflow.state.memory import SpillBuffers

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


# -- beyond memory


def summed(chunks: list[pa.RecordBatch]) -> pa.RecordBatch:
    """One row per key."""
    table = pa.Table.from_batches(chunks).group_by("key", use_threads=False).aggregate([("n", "sum")])
    columns = [column.combine_chunks() for column in (table["key"], table["n_sum"])]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


class Files(SpillBuffers):
    """Knows how many are in use."""

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


def totals(log: ChunkLog) -> Counter[tuple[int, str | None]]:
    """By namespace and key, read part by part; each key must be whole in one part."""
    found: Counter[tuple[int, str | None]] = Counter()
    for namespace in log.namespaces():
        seen: set[str | None] = set()
        for group in log.by_parts(log.chunks(namespace)):
            rows = [row for chunk in group for row in chunk.to_pylist()]
            keys = {row["key"] for row in rows}
            assert rows
            assert not keys & seen
            seen |= keys
            for row in rows:
                found[namespace, row["key"]] += row["n"]
    return found


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    """Everything that is made for many rows is done with few."""
    with patch.multiple(chunk_log, _SORTED=4, _FILE=200, PART_ROWS=3, _SPILLS=3):
        yield


actions = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "append", "spill", "spill", "compact", "drop", "derive"]),
        st.integers(0, 3),
        st.lists(
            st.tuples(st.sampled_from([None, "a", "b", "c", "d", "e" * 50]), st.integers(1, 9)), min_size=1, max_size=12
        ),
    ),
    max_size=25,
)


@given(actions, st.booleans())
def test_a_log_that_spills_holds_what_one_in_memory_holds(
    actions: list[tuple[str, int, list[tuple[str | None, int]]]], merging: bool
) -> None:
    files, kept = Files(), ChunkLog(("key",), SCHEMA)
    log = ChunkLog(("key",), SCHEMA, summed if merging else None)
    log.attach(files)
    derived = log.derive()
    for action, namespace, pairs in actions:
        rows = chunk([(namespace, key, n) for key, n in pairs])
        if action == "append":
            log.append(namespace, rows)
            kept.append(namespace, rows)
        elif action == "derive":
            derived.append(namespace, rows)
        elif action == "spill":
            before = log.resident
            log.spill(wanted := 1 + sum(n for _, n in pairs))
            assert log.resident == 0 or log.resident <= before - wanted
        elif action == "compact" and log.loaded(namespace):
            log.replace(namespace, summed(log.loaded(namespace)))
        elif action == "drop":
            log.drop(namespace)
            kept.drop(namespace)
        assert log.namespaces() == kept.namespaces()
        assert totals(log) == totals(kept)
    restored = ChunkLog(("key",), SCHEMA, summed if merging else None)
    restored.restore([log.snapshot(GROUPS)], range(GROUPS))
    assert totals(restored) == totals(kept)
    for namespace in range(4):
        log.drop(namespace)
        derived.drop(namespace)
    assert log.resident == 0
    assert files.used == set()


def test_what_fires_last_spills_first() -> None:
    log = ChunkLog(("key",), SCHEMA)
    log.attach(SpillBuffers())
    for namespace in (1, 3, 2):
        log.append(namespace, chunk([(namespace, "a", 1)]))
    log.spill(1)
    assert [bool(log.loaded(namespace)) for namespace in (1, 2, 3)] == [True, True, False]


def test_keys_that_come_again_and_again_do_not_fill_the_disk() -> None:
    files = Files()
    log = ChunkLog(("key",), SCHEMA, summed)
    log.attach(files)
    for _ in range(200):
        log.append(0, chunk([(0, key, 1) for key in "abcdefgh"]))
        log.spill(1)
    assert totals(log) == Counter({(0, key): 200 for key in "abcdefgh"})
    assert sum(rows.num_rows for rows in log.read(0)) <= 16 * 8


def test_what_was_read_stays_valid_when_it_is_spilled_and_dropped() -> None:
    log = ChunkLog(("key",), SCHEMA)
    log.attach(SpillBuffers())
    log.append(0, chunk([(0, "a", 1), (0, "b", 2)]))
    log.spill(1)
    rows = log.read(0)
    log.drop(0)
    assert rows[0].to_pylist() == [{"key": "a", "n": 1}, {"key": "b", "n": 2}]
