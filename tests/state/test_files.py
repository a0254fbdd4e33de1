from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.errors import Fatal
from streamflow.state import files
from streamflow.state.container import Snapshot
from streamflow.state.files import decode, encode


def example() -> Snapshot:
    rows = pa.record_batch(
        {
            "key.k": pa.array(["a", None, "ü" * 300]),
            "value.n": pa.array([1, None, 3], pa.timestamp("us", "UTC")),
            "value.l": pa.array([[1], None, []], pa.list_(pa.int64())),
        }
    )
    return Snapshot(rows, np.array([0, 1, 1, 3]), {"hash_version": 1, "name": "x"})


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


@given(st.integers(0, 10_000))
@settings(max_examples=100, deadline=None)
def test_a_truncated_file_is_an_error_that_says_so(length: int) -> None:
    data = encode(example())
    with pytest.raises(Fatal, match=r"cut short|damaged"):
        decode(data[: length % len(data)])


@given(st.integers(0, 10_000), st.integers(0, 7))
@settings(max_examples=200, deadline=None)
def test_one_flipped_bit_is_an_error_that_says_so(at: int, bit: int) -> None:
    data = bytearray(encode(example()))
    data[at % len(data)] ^= 1 << bit
    with pytest.raises(Fatal, match=r"cut short|damaged"):
        decode(bytes(data))


def test_rows_that_look_like_the_checksum_do_no_harm() -> None:
    rows = pa.record_batch({"key.k": pa.array(['{"checksum": "00000000"'] * 3)})
    snapshot = Snapshot(rows, np.array([0, 3]))
    assert decode(encode(snapshot)).rows.equals(rows)


def test_rows_grouped_by_another_version_of_the_hash_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as other:
        other.setattr(files, "HASH_VERSION", 2)
        data = encode(example())
    with pytest.raises(Fatal, match="version 2 of the key hash, not 1"):
        decode(data)


def test_another_format_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FORMAT_VERSION", 2)
    data = encode(example())
    monkeypatch.undo()
    with pytest.raises(Fatal, match="format version 2, this streamflow reads 1"):
        decode(data)
