from __future__ import annotations

import tempfile
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.errors import Fatal
from streamflow.state import files
from streamflow.state.container import Snapshot
from streamflow.state.files import decode, encode, read_state, write_state
from streamflow.state.local_store import LocalStore
from streamflow.state.store import StateFile


def example() -> Snapshot:
    rows = pa.record_batch(
        {
            "key.k": pa.array(["a", None, "ü" * 300]),
            "value.n": pa.array([1, None, 3], pa.timestamp("us", "UTC")),
            "value.l": pa.array([[1], None, []], pa.list_(pa.int64())),
        }
    )
    return Snapshot(rows, np.array([0, 1, 1, 3]), {"hash_version": 1, "name": "x"})


def stored() -> tuple[LocalStore, StateFile]:
    store = LocalStore(tempfile.mkdtemp())
    return store, write_state(store, "state/1.arrow", encode(example()))


def test_a_snapshot_comes_back_as_it_was() -> None:
    snapshot = decode(encode(example()))
    assert snapshot.rows.equals(example().rows, check_metadata=True)
    assert snapshot.offsets.tolist() == [0, 1, 1, 3]
    assert snapshot.offsets.dtype == np.int64
    assert snapshot.meta == {"hash_version": 1, "name": "x"}
    assert snapshot.slice(range(2, 3)).num_rows == 2


def test_a_snapshot_without_rows_comes_back() -> None:
    empty = Snapshot(example().rows.slice(0, 0), np.zeros(4, np.int64))
    assert decode(encode(empty)).rows.equals(empty.rows)


def test_a_slice_writes_only_its_own_rows() -> None:
    rows = pa.record_batch({"value.n": pa.array(range(100_000), pa.int64())}).slice(50_000, 2)
    data = encode(Snapshot(rows, np.array([0, 2])))
    assert len(data) < 2000
    assert decode(data).rows["value.n"].to_pylist() == [50_000, 50_001]


def test_equal_snapshots_give_equal_bytes_whatever_the_order_of_meta() -> None:
    one = Snapshot(example().rows, example().offsets, {"a": 1, "b": 2})
    other = Snapshot(example().rows, example().offsets, {"b": 2, "a": 1})
    assert encode(one) == encode(other)


def test_rows_are_read_without_a_copy() -> None:
    data = pa.py_buffer(encode(example()))
    address = decode(data).rows["value.n"].buffers()[1].address
    assert data.address <= address < data.address + data.size


def test_another_arrow_tool_reads_the_file() -> None:
    with pa.ipc.open_file(pa.py_buffer(encode(example()))) as reader:
        assert reader.read_all().column("value.n").null_count == 1


def test_what_has_changed_comes_back_with_what_is_gone() -> None:
    gone = pa.record_batch({"key.k": pa.array(["x", None])})
    found = decode(encode(replace(example(), gone=gone)))
    assert found.rows.equals(example().rows)
    assert found.gone is not None
    assert found.gone.equals(gone)


def test_another_arrow_tool_sees_what_is_gone() -> None:
    data = encode(replace(example(), gone=pa.record_batch({"key.k": pa.array(["x"])})))
    with pa.ipc.open_file(pa.py_buffer(data)) as reader:
        *_, last = reader.read_all().to_pylist()
    assert last == {"key.k": "x", "value.n": None, "value.l": None, "~gone": True}


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_a_truncated_file_is_an_error_that_names_it(length: int) -> None:
    store, file = stored()
    store.put(file.path, store.read(file.path)[: length % file.size])
    with pytest.raises(Fatal, match=r"state/1\.arrow .* is damaged"):
        read_state(store, file)


@given(st.integers(0, 10_000), st.integers(0, 7))
@settings(max_examples=100, deadline=None)
def test_one_flipped_bit_is_an_error_that_names_the_file(at: int, bit: int) -> None:
    store, file = stored()
    data = bytearray(store.read(file.path))
    data[at % len(data)] ^= 1 << bit
    store.put(file.path, bytes(data))
    with pytest.raises(Fatal, match=r"state/1\.arrow .* is damaged"):
        read_state(store, file)


def test_a_missing_file_is_an_error_that_names_it() -> None:
    store, file = stored()
    store.delete(file.path)
    with pytest.raises(Fatal, match=r"state/1\.arrow"):
        read_state(store, file)


@pytest.mark.parametrize("data", [b"", b"ARROW1", b"x" * 100])
def test_what_is_no_snapshot_is_an_error_that_says_so(data: bytes) -> None:
    with pytest.raises(Fatal, match="no snapshot"):
        decode(data)


def test_rows_grouped_by_another_version_of_the_hash_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as other:
        other.setattr(files, "HASH_VERSION", 2)
        data = encode(example())
    with pytest.raises(Fatal, match="version 2 of the key hash, not 1"):
        decode(data)


def test_another_format_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FORMAT_VERSION", 3)
    data = encode(example())
    monkeypatch.undo()
    with pytest.raises(Fatal, match="format version 3, this streamflow reads 2"):
        decode(data)
