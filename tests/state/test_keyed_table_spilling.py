from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.kernels.arrays import Bools, raw_values
from streamflow.kernels.hashing import Hashes, hash_columns
from streamflow.state import frozen_rows, keyed_table
from streamflow.state.keyed_table import KeyedTable
from streamflow.state.memory import Memory, SpillBuffers

VALUES = pa.schema({"n": pa.int64(), "text": pa.string(), "list": pa.list_(pa.int8())})
ints = st.none() | st.integers(-5, 60) | st.integers(-(2**63), 2**63 - 1)
texts = st.none() | st.text("abü", max_size=3)
KEYS: dict[str, tuple[pa.Schema, st.SearchStrategy[Any]]] = {
    "int64": (pa.schema({"a": pa.int64()}), st.tuples(ints)),
    "float": (
        pa.schema({"a": pa.float64()}),
        st.tuples(st.none() | st.sampled_from([0.0, -0.0, float("nan"), -1.5]) | st.floats()),
    ),
    "bool": (pa.schema({"a": pa.bool_()}), st.tuples(st.none() | st.booleans())),
    "text": (pa.schema({"a": pa.string()}), st.tuples(texts)),
    "decimal": (
        pa.schema({"a": pa.decimal128(5, 1)}),
        st.tuples(st.none() | st.integers(-40, 40).map(lambda tenths: Decimal(tenths) / 10)),
    ),
    "several": (
        pa.schema({"a": pa.int32(), "b": pa.string(), "c": pa.float32()}),
        st.tuples(st.none() | st.integers(0, 3), texts, st.sampled_from([None, 0.0, -0.0, float("nan"), 0.5])),
    ),
    "none": (pa.schema([]), st.tuples()),
}


def canonical(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Python's key for a key: NaN equals itself only by identity, and -0.0 prints in its own way."""
    return tuple(repr(x + 0.0) if isinstance(x, float) else x for x in row)


def arrays(schema: pa.Schema, rows: Sequence[tuple[Any, ...]]) -> list[pa.Array]:
    return [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(schema)]


def constant(keys: Sequence[pa.Array], length: int) -> Hashes:
    return np.full(length, 2**64 - 3, np.uint64)


def two_bits(keys: Sequence[pa.Array], length: int) -> Hashes:
    return hash_columns(keys, length) & np.uint64(3)


class Spilling:
    """A table and the dict that it should be."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.expected: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self.files = SpillBuffers()
        self.table = self.made()

    def made(self) -> KeyedTable:
        table = KeyedTable(self.schema, VALUES)
        table.attach(self.files)
        return table

    def write(self, rows: list[tuple[Any, ...]], number: int) -> None:
        names = [canonical(row) for row in rows]
        slots, new = self.table.lookup_or_insert(arrays(self.schema, rows), len(rows))
        assert new.tolist() == [name not in self.expected for name in names]
        known = [self.expected[name] for name in names if name in self.expected]
        for column, values in zip(VALUES.names, zip(*known, strict=True), strict=bool(known)):
            assert self.table.get(column, slots[~new]).to_pylist() == list(values)
        keys = self.table.keys(slots)
        assert [canonical(key) for key in zip(*(k.to_pylist() for k in keys), strict=True)] == (names if keys else [])
        for i, name in enumerate(names):
            n = number * 100 + i
            self.expected[name] = (n, None if n % 5 == 0 else str(n), [n % 7] * (n % 3))
        for column, values in zip(VALUES, zip(*map(self.expected.__getitem__, names), strict=True), strict=True):
            self.table.put(column.name, slots, pa.array(values, column.type))

    def undo(self, rows: list[tuple[Any, ...]]) -> None:
        """Ask for rows, and take back that they came."""
        slots, new = self.table.lookup_or_insert(arrays(self.schema, rows), len(rows))
        self.table.forget_new(slots[new])

    def spill(self, wanted: int) -> None:
        before = self.table.resident
        self.table.spill(wanted)
        assert self.table.resident <= before

    def retain(self, divisor: int) -> None:
        self.table.retain(["value.n"], lambda n: raw_values(n) % divisor > 0)
        self.expected = {name: values for name, values in self.expected.items() if values[0] % divisor}

    def select(self, divisor: int) -> None:
        def chosen(n: pa.Array) -> Bools:
            divisible: Bools = (raw_values(n) % divisor == 0) & (raw_values(n) >= 0)
            return divisible

        found = []
        for slots in self.table.select(["value.n"], chosen):
            numbers = raw_values(self.table.get("n", slots))
            found += numbers.tolist()
            self.table.put("n", slots, pa.array(-1 - numbers))
            self.table.spill(len(found) * 50)
        assert sorted(found) == sorted(n for n, _, _ in self.expected.values() if n >= 0 and n % divisor == 0)
        for name, (n, text, numbers) in self.expected.items():
            if n >= 0 and n % divisor == 0:
                self.expected[name] = (-1 - n, text, numbers)

    def move(self, in_memory: int) -> None:
        """To another table, by way of a snapshot."""
        snapshot = self.table.snapshot(4)
        before = repr(snapshot.rows.to_pylist())
        self.table.spill(1)
        self.table = self.made()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(keyed_table, "_RESTORED", in_memory)
            self.table.restore([snapshot], range(4))
        assert repr(snapshot.rows.to_pylist()) == before

    def check(self) -> None:
        assert len(self.table) == len(self.expected)
        columns = [column.to_pylist() for column in self.table.snapshot(1).rows.columns]
        width = len(self.schema)
        rows = list(zip(*columns, strict=True))
        assert {canonical(row[:width]): row[width:] for row in rows} == self.expected
        assert len(rows) == len(self.expected)


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("hasher", [hash_columns, two_bits, constant])
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_table_that_spills_is_a_dict(
    kind: str, hasher: Callable[[Sequence[pa.Array], int], Hashes], data: st.DataObject
) -> None:
    schema, row = KEYS[kind]
    if hasher is not hash_columns and kind in ("int64", "float", "bool"):
        return  # their hash is a permutation and cannot collide
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyed_table, "hash_columns", hasher)
        patch.setattr(frozen_rows, "_FILE_ROWS", data.draw(st.sampled_from([1, 7, 1 << 18])))
        patch.setattr(frozen_rows, "_FEW", 4)
        spilling = Spilling(schema)
        for number in range(data.draw(st.integers(1, 8))):
            rows = data.draw(st.lists(row, min_size=1, max_size=30, unique_by=canonical))
            if data.draw(st.booleans()):
                spilling.undo(data.draw(st.lists(row, min_size=1, max_size=9, unique_by=canonical)))
            spilling.write(rows, number)
            match data.draw(st.sampled_from(["spill", "spill all", "retain", "select", "move", "none"])):
                case "spill":
                    spilling.spill(data.draw(st.integers(1, 3000)))
                case "spill all":
                    spilling.spill(1 << 40)
                case "retain":
                    spilling.retain(data.draw(st.integers(1, 5)))
                case "select":
                    spilling.select(data.draw(st.integers(1, 5)))
                case "move":
                    spilling.move(data.draw(st.sampled_from([0, 5, 1 << 18])))
        spilling.check()


def test_memory_is_near_the_budget_and_keys_that_are_asked_for_stay() -> None:
    limit, keys, batch = 4_000_000, 200_000, 4096
    store = SpillBuffers()
    memory = Memory(limit, store)
    table = KeyedTable(pa.schema({"k": pa.string()}), pa.schema({"n": pa.int64()}))
    memory.add([table])
    rng = np.random.default_rng(7)
    for start in range(0, keys, batch):
        hot, cold = np.arange(100), np.arange(100 + start, 100 + start + batch)
        for part in (hot, cold):
            slots, _ = table.lookup_or_insert([pa.array(part).cast(pa.string())], len(part))
            table.put("n", slots, pa.array(part))
            memory.settle()
            assert table.resident <= limit
    assert len(table) == 100 + -(-keys // batch) * batch
    written = store.written
    table.lookup_or_insert([pa.array(np.arange(100)).cast(pa.string())], 100)
    assert table._count + len(table._frozen or ()) == len(table)
    asked = np.unique(rng.integers(0, keys, 2000))
    slots, new = table.lookup_or_insert([pa.array(asked).cast(pa.string())], len(asked))
    assert not new.any()
    assert table.get("n", slots).to_pylist() == asked.tolist()
    assert store.written == written


def test_without_a_store_nothing_leaves() -> None:
    table = KeyedTable(pa.schema({"k": pa.int64()}), pa.schema({"n": pa.int64()}))
    slots, _ = table.lookup_or_insert([pa.array([1, 2])], 2)
    table.put("n", slots, pa.array([10, 20]))
    before = table.resident
    table.spill(1 << 40)
    assert table.resident == before
