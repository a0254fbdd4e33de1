from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.errors import EngineError
from streamflow.kernels.hashing import Hashes, groups_of_worker, hash_columns, key_groups
from streamflow.state import keyed_table
from streamflow.state.container import Snapshot
from streamflow.state.keyed_table import KeyedTable

VALUES = pa.schema({"n": pa.int64(), "text": pa.string()})
KEYS: dict[str, tuple[pa.Schema, st.SearchStrategy[Any]]] = {
    "int64": (
        pa.schema({"a": pa.int64()}),
        st.tuples(st.none() | st.integers(-5, 40) | st.integers(-(2**63), 2**63 - 1)),
    ),
    "float": (pa.schema({"a": pa.float64()}), st.tuples(st.none() | st.floats())),
    "string": (pa.schema({"a": pa.string()}), st.tuples(st.none() | st.text(max_size=12))),
    "int and string": (
        pa.schema({"a": pa.int32(), "b": pa.string()}),
        st.tuples(st.none() | st.integers(0, 3), st.none() | st.text("ab", max_size=3)),
    ),
    "none": (pa.schema([]), st.tuples()),
}


def arrays(schema: pa.Schema, rows: Sequence[tuple[Any, ...]]) -> list[pa.Array]:
    return [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(schema)]


def canonical(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Python's key for a key: NaN equals itself only by identity."""
    return tuple("nan" if isinstance(x, float) and math.isnan(x) else x for x in row)


def contents(table: KeyedTable) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    rows = table.snapshot(1).rows
    columns = [column.to_pylist() for column in rows.columns]
    keys = rows.num_columns - len(VALUES)
    return {canonical(row[:keys]): row[keys:] for row in zip(*columns, strict=True)}


def constant(keys: Sequence[pa.Array], length: int) -> Hashes:
    return np.full(length, 2**64 - 3, np.uint64)


def two_bits(keys: Sequence[pa.Array], length: int) -> Hashes:
    return hash_columns(keys, length) & np.uint64(3)


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("hasher", [hash_columns, two_bits, constant])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_table_is_a_dict_even_if_all_hashes_collide(
    kind: str, hasher: Callable[[Sequence[pa.Array], int], Hashes], data: st.DataObject
) -> None:
    if hasher is not hash_columns and kind in ("int64", "float"):
        return  # their hash is a permutation and cannot collide
    schema, row = KEYS[kind]
    table = KeyedTable(schema, VALUES)
    expected: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyed_table, "hash_columns", hasher)
        for batch in range(data.draw(st.integers(1, 5))):
            rows = data.draw(st.lists(row, min_size=1, max_size=30, unique_by=canonical))
            slots, new = table.lookup_or_insert(arrays(schema, rows), len(rows))
            assert new.tolist() == [canonical(r) not in expected for r in rows]
            known = slots[~new]
            assert table.get("n", known).to_pylist() == [
                expected[canonical(r)][0] for r in rows if canonical(r) in expected
            ]
            values = [batch * 100 + i for i in range(len(rows))]
            table.put("n", slots, pa.array(values))
            table.put("text", slots, pa.array([str(v) for v in values]))
            expected.update({canonical(r): (v, str(v)) for r, v in zip(rows, values, strict=True)})
        assert len(table) == len(expected)
        assert contents(table) == expected


def test_many_keys_keep_dense_slots_while_the_table_grows() -> None:
    table = KeyedTable(pa.schema({"k": pa.int64()}), pa.schema({"n": pa.int64()}))
    keys = np.arange(100_000, dtype=np.int64) * 0x1E3779B97F4A7C15
    for start in range(0, len(keys), 7_001):
        part = pa.array(keys[start : start + 7_001])
        slots, new = table.lookup_or_insert([part], len(part))
        assert new.all()
        table.put("n", slots, part)
    slots, new = table.lookup_or_insert([pa.array(keys)], len(keys))
    assert not new.any()
    assert np.array_equal(np.sort(slots), np.arange(len(keys)))
    assert table.get("n", slots).equals(pa.array(keys))


def test_a_null_is_not_the_integer_whose_hash_it_shares() -> None:
    twin = next_with_hash_of_null()
    table = KeyedTable(pa.schema({"k": pa.int64()}), pa.schema({"n": pa.int64()}))
    slots, _ = table.lookup_or_insert([pa.array([twin])], 1)
    table.put("n", slots, pa.array([1]))
    slots, new = table.lookup_or_insert([pa.array([None, twin], pa.int64())], 2)
    assert new.tolist() == [True, False]
    assert table.get("n", slots[1:]).to_pylist() == [1]


def next_with_hash_of_null() -> int:
    """The integer that the hash, a permutation of int64, sends to the hash of null."""
    x = int(hash_columns([pa.nulls(1, pa.int64())], 1)[0])
    for factor in (0xD6E8FEB86659FD93, 0x9E3779B97F4A7C15):
        x ^= x >> 32
        x = x * pow(factor, -1, 2**64) % 2**64
    value = x - 2**64 if x >= 2**63 else x
    assert hash_columns([pa.array([value])], 1)[0] == hash_columns([pa.nulls(1, pa.int64())], 1)[0]
    return value


def filled(rows: int) -> KeyedTable:
    table = KeyedTable(pa.schema({"a": pa.int64(), "b": pa.string()}), VALUES)
    keys = [pa.array([None if i % 50 == 0 else i for i in range(rows)]), pa.array([f"k{i}" for i in range(rows)])]
    slots, _ = table.lookup_or_insert(keys, rows)
    table.put("n", slots, pa.array(range(rows), pa.int64()))
    table.put("text", slots, pa.array([None if i % 3 == 0 else f"v{i}" for i in range(rows)]))
    return table


def test_a_snapshot_is_sorted_by_key_group() -> None:
    snapshot = filled(1000).snapshot(16)
    assert snapshot.rows.schema.names == ["key.a", "key.b", "value.n", "value.text"]
    assert snapshot.offsets.tolist()[0] == 0
    assert snapshot.offsets.tolist()[-1] == 1000
    for group in range(16):
        part = snapshot.slice(range(group, group + 1))
        hashes = hash_columns(part.columns[:2], part.num_rows)
        assert set(key_groups(hashes, 16).tolist()) <= {group}


@pytest.mark.parametrize("before", [1, 2, 3])
@pytest.mark.parametrize("after", [1, 2, 7])
def test_state_moves_onto_any_number_of_workers(before: int, after: int) -> None:
    groups = 128
    whole = filled(1000)
    first = [restored([whole.snapshot(groups)], groups_of_worker(w, groups, before)) for w in range(before)]
    snapshots = [table.snapshot(groups) for table in first]
    second = [restored(snapshots, groups_of_worker(w, groups, after)) for w in range(after)]
    assert sum(len(table) for table in second) == 1000
    together: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for table in second:
        together |= contents(table)
    assert together == contents(whole)


def restored(parts: list[Snapshot], groups: range) -> KeyedTable:
    table = KeyedTable(pa.schema({"a": pa.int64(), "b": pa.string()}), VALUES)
    table.restore(parts, groups)
    return table


def test_a_snapshot_does_not_see_later_changes() -> None:
    table = filled(10)
    snapshot = table.snapshot(4)
    before = snapshot.rows.to_pylist()
    slots, _ = table.lookup_or_insert([pa.array([1, 77]), pa.array(["k1", "k77"])], 2)
    table.put("n", slots, pa.array([-1, -1]))
    table.put("text", slots, pa.array(["x", "x"]))
    assert snapshot.rows.to_pylist() == before


def test_an_empty_table_snapshots_and_restores() -> None:
    table = restored([filled(0).snapshot(8)], range(8))
    assert len(table) == 0


def test_state_of_another_shape_or_hash_is_refused() -> None:
    snapshot = filled(10).snapshot(4)
    other = KeyedTable(pa.schema({"a": pa.int64()}), VALUES)
    with pytest.raises(EngineError, match="state has columns"):
        other.restore([snapshot], range(4))
    with pytest.raises(EngineError, match="hash version 0, not 1"):
        restored([Snapshot(snapshot.rows, snapshot.offsets, {"hash_version": 0})], range(4))
    with pytest.raises(EngineError, match="more than one snapshot"):
        restored([snapshot, snapshot], range(4))


def test_a_nested_key_is_refused() -> None:
    with pytest.raises(ValueError, match="column 'a' of type list<item: int64> cannot be a key"):
        KeyedTable(pa.schema({"a": pa.list_(pa.int64())}), VALUES)


def test_the_new_keys_of_the_last_call_are_forgotten() -> None:
    for asked in (["c", "d"], ["c", "b", "e"], ["a"]):
        table = KeyedTable(pa.schema({"k": pa.string()}), pa.schema({"n": pa.int64()}))
        slots, _ = table.lookup_or_insert([pa.array(["a", "b"])], 2)
        table.put("n", slots, pa.array([1, 2]))
        slots, new = table.lookup_or_insert([pa.array(asked)], len(asked))
        table.forget_new(slots[new])
        assert len(table) == 2
        slots, new = table.lookup_or_insert([pa.array(["c", "a", "b"])], 3)
        assert new.tolist() == [True, False, False]
        assert table.get("n", slots[1:]).to_pylist() == [1, 2]
