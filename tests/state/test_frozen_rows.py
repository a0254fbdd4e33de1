from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from streamflow.kernels.arrays import Int64s
from streamflow.kernels.hashing import hash_columns
from streamflow.state import frozen_rows
from streamflow.state.frozen_rows import FrozenRows
from streamflow.state.memory import SpillBuffers

SCHEMA = pa.schema({"key": pa.int64(), "value": pa.string()})


def frozen(store: SpillBuffers) -> FrozenRows:
    return FrozenRows(store, SCHEMA, 1, hash_decides=True)


def add(rows: FrozenRows, keys: Int64s) -> None:
    column = pa.array(keys)
    texts = column.cast(pa.string())
    rows.add(hash_columns([column], len(keys)), 40, lambda places: [c.take(pa.array(places)) for c in (column, texts)])


def take_out(rows: FrozenRows, keys: Int64s) -> dict[int, str]:
    column = pa.array(keys)
    found, values = rows.take_out(hash_columns([column], len(keys)), [column])
    return dict(zip(keys[found].tolist(), values[0].to_pylist() if values else [], strict=True))


def test_rows_come_out_once() -> None:
    rows = frozen(SpillBuffers())
    add(rows, np.arange(100))
    assert take_out(rows, np.array([7, 3, 500])) == {7: "7", 3: "3"}
    assert take_out(rows, np.array([3, 8])) == {8: "8"}
    assert len(rows) == 97


def test_a_file_goes_with_its_last_row() -> None:
    store = SpillBuffers()
    rows = frozen(store)
    add(rows, np.arange(5))
    take_out(rows, np.arange(5))
    assert len(rows) == 0
    assert rows.resident == 0
    assert store._files == {}


def test_files_stay_few_and_garbage_is_no_more_than_what_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen_rows, "_FILE_ROWS", 1000)
    store = SpillBuffers()
    rows = frozen(store)
    rng = np.random.default_rng(5)
    for _ in range(300):  # of 10,000 keys 100 leave memory, 100 others come back
        keys = rng.choice(10_000, 100, replace=False)
        take_out(rows, keys)
        add(rows, keys)
    assert len(rows) > 9_000
    assert len(rows._files) <= len(rows) // 500 + 9
    held = sum(store.get(number).num_rows for number in store._files)
    assert held <= 2 * len(rows) + 8_000
    assert rows.resident == 2 * held
    assert store.written < 300 * 100 * 40 * 12


def test_what_is_chosen_is_forgotten_or_given_back() -> None:
    rows = frozen(SpillBuffers())
    add(rows, np.arange(10))
    rows.forget([0], lambda keys: keys.to_numpy() % 2 == 0)
    pulled = [columns for _, columns in rows.pull([1], lambda texts: texts.to_numpy(zero_copy_only=False) > "4")]
    assert sorted(pulled[0][0].to_pylist()) == [5, 7, 9]
    assert sorted(take_out(rows, np.arange(10))) == [1, 3]
