from __future__ import annotations

import numpy as np
import pyarrow as pa

from streamflow.kernels.hashing import hash_columns, key_groups
from streamflow.state.window_table import WindowTable

KEYS, VALUES = pa.schema({"k": pa.string()}), pa.schema({"n": pa.int64(), "words": pa.list_(pa.string())})


def filled() -> WindowTable:
    table = WindowTable(KEYS, VALUES)
    slots, new = table.lookup_or_insert(np.array([1, 1, 2, 2]), [pa.array(["a", None, "a", "b"])])
    assert new.all()
    table.put("n", slots, pa.array([10, 11, 20, 21]))
    table.put("words", slots, pa.array([["x"], None, [], ["y", "z"]]))
    return table


def rows(table: WindowTable) -> set[tuple[object, ...]]:
    slots = np.arange(len(table))
    columns = [*table.keys(slots), table.get("n", slots), table.get("words", slots)]
    values = [[str(value) for value in column.to_pylist()] for column in columns]
    return set(zip(table.windows().tolist(), *values, strict=True))


def test_a_pair_of_window_and_key_is_found_again() -> None:
    table = filled()
    slots, new = table.lookup_or_insert(np.array([2, 3]), [pa.array(["b", "b"])])
    assert new.tolist() == [False, True]
    assert table.get("n", slots[:1]).to_pylist() == [21]


def test_windows_are_forgotten() -> None:
    table = filled()
    table.keep(table.windows() > 1)
    assert rows(table) == {(2, "a", "20", "[]"), (2, "b", "21", "['y', 'z']")}
    table.keep(np.zeros(len(table), np.bool_))
    assert len(table) == 0


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
