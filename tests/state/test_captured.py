"""Parts of checkpoints: whatever was changed, captured, completed or not, what they hold is what a dictionary held."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamflow as sf
from streamflow.kernels.hashing import groups_of_worker
from streamflow.state import captured as parts_of
from streamflow.state.captured import Captured, Lineage, PartFiles
from streamflow.state.chains import resolved
from streamflow.state.chunk_log import ChunkLog
from streamflow.state.container import Capture, Container, Snapshot
from streamflow.state.files import decode
from streamflow.state.keyed_objects import KeyedObjects
from streamflow.state.keyed_table import KeyedTable
from streamflow.state.memory import SpillBuffers
from streamflow.state.progress import Progress

GROUPS = 8
KEYS = pa.schema([("k", pa.string())])


class Table:
    """A keyed table that is driven as a dictionary."""

    def __init__(self) -> None:
        self.container = KeyedTable(KEYS, pa.schema([("n", pa.int64()), ("text", pa.string())]))
        self.container.attach(SpillBuffers())

    def put(self, rows: Mapping[str, int]) -> None:
        keys = pa.array(list(rows), pa.string())
        slots, _ = self.container.lookup_or_insert([keys], len(keys))
        values = pa.array(list(rows.values()), pa.int64())
        self.container.put("n", slots, values)
        self.container.put("text", slots, values.cast(pa.string()))

    def remove(self, keys: Sequence[str]) -> None:
        self.container.retain(["key.k"], lambda column: np.array([key not in keys for key in column.to_pylist()], bool))

    def spill(self, part: int) -> None:
        self.container.spill(self.container.resident // part)

    def rows(self) -> dict[str, int]:
        rows = self.container.snapshot(1).rows
        texts = rows.column("value.text").cast(pa.int64())
        assert texts.equals(rows.column("value.n"))
        return dict(zip(rows.column("key.k").to_pylist(), texts.to_pylist(), strict=True))


class Count(sf.KeyedFunction):
    n = sf.cell(int, default=0)
    seen = sf.list_cell(int)


class Objects:
    """Objects of keys that are driven as a dictionary."""

    def __init__(self) -> None:
        cells: list[Any] = [vars(Count)["n"], vars(Count)["seen"]]
        self.container = KeyedObjects(KEYS, Count(), cells, [])

    def put(self, rows: Mapping[str, int]) -> None:
        for owner, n in zip(self._of(list(rows)), rows.values(), strict=True):
            owner.n = n
            owner.seen[:] = [n]

    def remove(self, keys: Sequence[str]) -> None:
        for owner in self._of(keys):
            owner.n = 0
            del owner.n, owner.seen[:]

    def spill(self, part: int) -> None:
        self.container.forget(part)

    def rows(self) -> dict[str, int]:
        rows = self.container.snapshot(1).rows
        found = zip(rows.column("key.k").to_pylist(), rows.column("cell.seen").to_pylist(), strict=True)
        return {key: seen[0] for key, seen in found}

    def _of(self, keys: Sequence[str]) -> list[Any]:
        return self.container.at(self.container.slots([pa.array(keys, pa.string())], len(keys)))


class Log:
    """A chunk log that is driven as a dictionary: a namespace for each key, whose rows add up to its value."""

    def __init__(self) -> None:
        self.container = ChunkLog(("part",), pa.schema({"part": pa.int64(), "n": pa.int64()}), merge=_added)
        self.container.attach(SpillBuffers())
        self._put = 0

    def put(self, rows: Mapping[str, int]) -> None:
        held = self.rows()
        for key, n in rows.items():
            namespace = int(key.removeprefix("key "))
            for part, value in enumerate([n, 5, -5 - held.get(key, 0)]):
                self.container.append(namespace, pa.record_batch({"part": [part], "n": [value]}))
            self._put += 1
            if self._put % 3 == 0:
                self.container.replace(namespace, _added(self.container.loaded(namespace)))

    def remove(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.container.drop(int(key.removeprefix("key ")))

    def spill(self, part: int) -> None:
        self.container.spill(self.container.resident // part)

    def rows(self) -> dict[str, int]:
        read = {namespace: self.container.read(namespace) for namespace in self.container.namespaces()}
        return {f"key {number}": sum(sum(c["n"].to_pylist()) for c in chunks) for number, chunks in read.items()}


def _added(chunks: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    total = pa.Table.from_batches(chunks).group_by("part").aggregate([("n", "sum")])
    return pa.record_batch([total["part"].combine_chunks(), total["n_sum"].combine_chunks()], names=["part", "n"])


KINDS: dict[str, Callable[[], Table | Objects | Log]] = {"table": Table, "objects": Objects, "log": Log}
names = st.sampled_from([f"key {i}" for i in range(12)])
puts = st.tuples(st.just("put"), st.dictionaries(names, st.integers(1, 9), min_size=1, max_size=3))
removes = st.tuples(st.just("remove"), st.lists(names, min_size=1, max_size=2, unique=True))
spills = st.tuples(st.just("spill"), st.integers(1, 3))
captures = st.tuples(st.just("capture"), st.sampled_from(["complete", "complete", "lost", "unknown"]))
steps = st.lists(puts | removes | spills | captures, min_size=1, max_size=25)


def restored(kind: str, parts: Sequence[Snapshot], workers: int) -> dict[str, int]:
    """What workers have that took over these parts."""
    found: dict[str, int] = {}
    for worker in range(workers):
        groups = groups_of_worker(worker, GROUPS, workers)
        made = KINDS[kind]()
        made.container.restore(resolved(parts, groups), groups)
        own = made.rows()
        assert kind == "log" or not found.keys() & own.keys()
        found |= {key: found.get(key, 0) + n for key, n in own.items()}
    return found


@pytest.mark.parametrize("kind", KINDS)
@given(steps, st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_parts_hold_what_a_dictionary_held(kind: str, steps: list[tuple[str, Any]], workers: int) -> None:
    table, kept = KINDS[kind](), {f"key {i}": 3 for i in range(12)}
    table.put(kept)
    lineage, files = Lineage(0, "step/rows"), PartFiles[bytes]()
    checkpoint = completed = 0
    for step, given_ in steps:
        match step:
            case "put":
                table.put(given_)
                kept |= given_
            case "remove":
                table.remove(given_)
                kept = {key: n for key, n in kept.items() if key not in given_}
            case "spill":
                table.spill(given_)
            case _:
                checkpoint += 1
                captured = lineage.capture(table.container, GROUPS, checkpoint, completed)
                if given_ == "lost":
                    continue
                named = files.name({"step/rows": captured}, bytes)["step/rows"]
                if given_ == "complete":
                    completed = checkpoint
                assert restored(kind, [decode(data) for data in named], workers) == kept
    assert table.rows() == kept


@pytest.mark.parametrize("kind", KINDS)
def test_a_capture_does_not_show_what_changes_later(kind: str) -> None:
    table = KINDS[kind]()
    table.put({f"key {i}": i + 1 for i in range(100)})
    captured = table.container.capture(GROUPS)
    assert isinstance(captured, Capture)
    table.put({f"key {i}": 1_000 for i in range(50, 200)})
    table.remove([f"key {i}" for i in range(50)])
    assert restored(kind, [captured.snapshot()], 1) == {f"key {i}": i + 1 for i in range(100)}


@pytest.mark.parametrize("kind", KINDS)
def test_another_thread_encodes_while_rows_flow_on(kind: str) -> None:
    table, lineage = KINDS[kind](), Lineage(0, "step/rows")
    kept: dict[str, int] = {}
    expected: list[dict[str, int]] = []
    encoding = []
    with ThreadPoolExecutor(1) as pool:
        for checkpoint in range(1, 21):
            rows = {f"key {(checkpoint * 97 + i) % 500}": checkpoint for i in range(100)}
            table.put(rows)
            kept |= rows
            encoding.append(pool.submit(lineage.capture(table.container, GROUPS, checkpoint, checkpoint - 1).encode))
            expected.append(dict(kept))
    chain: list[Snapshot] = []
    for done, held in zip(encoding, expected, strict=True):
        data = done.result()
        assert data is not None
        part = decode(data)
        chain = [part] if part.gone is None else [*chain, part]
        assert restored(kind, chain, 2) == held


def captured_of(lineage: Lineage, table: Table, checkpoint: int, completed: int) -> Captured:
    return lineage.capture(table.container, GROUPS, checkpoint, completed)


def checkpoints_of(captured: Captured) -> list[int]:
    return [part.checkpoint for part in captured.parts]


def test_only_what_has_changed_is_written_and_nothing_where_nothing_has() -> None:
    table, lineage = Table(), Lineage(0, "step/rows")
    table.put({f"key {i}": 1 for i in range(100)})
    captured_of(lineage, table, 1, 0)
    table.put({"key 7": 2})
    second = captured_of(lineage, table, 2, 1)
    third = captured_of(lineage, table, 3, 2)
    data = second.encode()
    assert data is not None
    assert decode(data).rows.to_pylist() == [{"key.k": "key 7", "value.n": 2, "value.text": "2"}]
    assert (checkpoints_of(second), checkpoints_of(third), third.encode()) == ([1, 2], [1, 2], None)


def test_what_a_checkpoint_that_did_not_complete_held_is_in_the_next() -> None:
    table, lineage = Table(), Lineage(0, "step/rows")
    table.put({f"key {i}": 1 for i in range(100)})
    captured_of(lineage, table, 1, 0)
    table.put({"key 7": 2})
    captured_of(lineage, table, 2, 1)
    table.put({"key 8": 3})
    third = captured_of(lineage, table, 3, 1)
    data = third.encode()
    assert data is not None
    assert decode(data).rows.num_rows == 2
    assert checkpoints_of(third) == [1, 3]


def test_many_changes_or_many_parts_make_a_new_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_of, "MOST", 3)
    table, lineage = Table(), Lineage(0, "step/rows")
    table.put({f"key {i}": 1 for i in range(100)})
    captured_of(lineage, table, 1, 0)
    table.put({f"key {i}": 2 for i in range(51)})
    assert checkpoints_of(captured_of(lineage, table, 2, 1)) == [2]
    found = []
    for checkpoint in range(3, 8):
        table.put({"key 1": checkpoint})
        found.append(checkpoints_of(captured_of(lineage, table, checkpoint, checkpoint - 1)))
    assert found == [[2, 3], [2, 3, 4], [2, 3, 4, 5], [6], [6, 7]]


def test_a_small_container_is_written_again_when_it_has_changed() -> None:
    progress, lineage = Progress(), Lineage(0, "step/progress")
    found = []
    for checkpoint, watermark in enumerate([5, 5, 7], 1):
        progress.advance(watermark)
        found.append(checkpoints_of(lineage.capture(progress, GROUPS, checkpoint, checkpoint - 1)))
    assert found == [[1], [1], [3]]


def test_containers_without_a_history_are_captured_whole() -> None:
    class Plain(Container):
        def capture(self, groups: int) -> Capture:
            rows = pa.record_batch({"n": [1]})
            return Capture(1, lambda: Snapshot(rows, np.array([0, 1])))

        def restore(self, parts: Sequence[Snapshot], groups: range) -> None: ...

    lineage = Lineage(0, "step/rows")
    assert [checkpoints_of(lineage.capture(Plain(), 1, n, n - 1)) for n in (1, 2)] == [[1], [2]]
