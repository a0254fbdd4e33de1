from __future__ import annotations

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Bools
from streamflow.kernels.hashing import hash_columns, key_groups
from streamflow.state.columns import Slots
from streamflow.state.memory import SpillBuffers, SpillStore
from streamflow.state.window_table import WindowTable

KEYS, VALUES = pa.schema({"k": pa.string()}), pa.schema({"n": pa.int64(), "words": pa.list_(pa.string())})


def filled(store: SpillStore | None = None) -> WindowTable:
    table = WindowTable(KEYS, VALUES)
    if store is not None:
        table.attach(store)
    slots, new = table.lookup_or_insert(np.array([1, 1, 2, 2]), [pa.array(["a", None, "a", "b"])])
    assert new.all()
    table.put("n", slots, pa.array([10, 11, 20, 21]))
    table.put("words", slots, pa.array([["x"], None, [], ["y", "z"]]))
    return table


def rows(table: WindowTable, slots: Slots | None = None) -> set[tuple[object, ...]]:
    slots = np.arange(len(table)) if slots is None else slots
    columns = [*table.keys(slots), table.get("n", slots), table.get("words", slots)]
    values = [[str(value) for value in column.to_pylist()] for column in columns]
    return set(zip(table.windows(slots).tolist(), *values, strict=True))


def test_a_pair_of_window_and_key_is_found_again() -> None:
    table = filled()
    slots, new = table.lookup_or_insert(np.array([2, 3]), [pa.array(["b", "b"])])
    assert new.tolist() == [False, True]
    assert table.get("n", slots[:1]).to_pylist() == [21]


def test_windows_are_forgotten() -> None:
    table = filled()
    table.retain([], lambda windows: windows > 1)
    assert rows(table) == {(2, "a", "20", "[]"), (2, "b", "21", "['y', 'z']")}
    table.retain(["n"], lambda windows, n: np.zeros(len(windows), np.bool_))
    assert len(table) == 0


def test_what_spilled_is_selected_forgotten_and_snapshot() -> None:
    store = SpillBuffers()
    table = filled(store)
    table.spill(1 << 30)
    assert len(table) == 4
    assert table.snapshot(1).rows.num_rows == 4
    chosen = np.concatenate(list(table.select(["k"], lambda windows, k: (windows == 2) & is_a(k))))
    assert rows(table, chosen) == {(2, "a", "20", "[]")}
    table.retain(["k"], lambda windows, k: ~is_a(k))
    assert rows(table, np.concatenate(list(table.select([], lambda windows: windows > 0)))) == {
        (1, "None", "11", "None"),
        (2, "b", "21", "['y', 'z']"),
    }


def is_a(keys: pa.Array) -> Bools:
    same: Bools = np.array([key == "a" for key in keys.to_pylist()], np.bool_)
    return same


def test_windows_of_a_key_are_in_the_keys_group() -> None:
    groups = 16
    snapshot = filled().snapshot(groups)
    of_row = key_groups(hash_columns([snapshot.rows["key.k"]], 4), groups)
    assert of_row.tolist() == np.repeat(np.arange(groups), np.diff(snapshot.offsets)).tolist()


def test_groups_are_taken_over_from_all() -> None:
    parts = [filled().snapshot(16)]
    halves = []
    for groups in (range(8), range(8, 16)):
        half = WindowTable(KEYS, VALUES)
        half.restore(parts, groups)
        halves.append(half)
    assert rows(halves[0]) | rows(halves[1]) == rows(filled())
    assert len(halves[0]) + len(halves[1]) == 4
    whole = WindowTable(KEYS, VALUES)
    whole.restore([half.snapshot(16) for half in halves], range(16))
    assert rows(whole) == rows(filled())
