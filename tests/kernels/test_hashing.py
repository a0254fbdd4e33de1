"""The partition hash must never change by accident: its definition written a second time, and literal numbers."""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.kernels.hashing import (
    HASH_VERSION,
    groups_of_worker,
    hash_array,
    hash_columns,
    key_groups,
    worker_of_group,
)

MASK = 2**64 - 1


def mix(x: int) -> int:
    x = x * 0x9E3779B97F4A7C15 & MASK
    x ^= x >> 32
    x = x * 0xD6E8FEB86659FD93 & MASK
    return x ^ (x >> 32)


def reference(value: Any) -> int:
    match value:
        case None:
            return 0xEB44ACCAB455D165
        case bool() | int():
            return mix(value & MASK ^ (0x589965CC75374CC3 if value >= 2**63 else 0))
        case float():
            canonical = math.nan if math.isnan(value) else value + 0.0
            return mix(int.from_bytes(struct.pack("<d", canonical), "little") ^ 0x8EBC6AF09C88C6E3)
        case str():
            return reference(value.encode())
        case bytes():
            words = [int.from_bytes(value[i : i + 8], "little") for i in range(0, len(value), 8)]
            return fold(words, len(value))
        case Decimal():
            top, bottom = value.as_integer_ratio()
            residues = [top * pow(bottom, -1, prime) % prime for prime in (4294967291, 4294967279)]
            return mix(residues[0] << 32 | residues[1])
        case list():
            return fold([reference(element) for element in value], len(value))
    raise AssertionError(value)


def fold(words: list[int], length: int) -> int:
    step = 0xA0761D6478BD642F
    total = sum(mix((word + i * step) & MASK) for i, word in enumerate(words)) & MASK
    return mix(total ^ mix(length + 0x1D8E4E27C47D124F))


GOLDEN: list[tuple[pa.Array, list[int]]] = [
    (
        pa.array([0, 1, -1, 2**63 - 1, -(2**63), None]),
        [
            0,
            1728126539969246250,
            2277438904142409162,
            7813208603319676035,
            12910974371864837833,
            16952864883938283877,
        ],
    ),
    (pa.array([1, 2**63, 2**64 - 1], pa.uint64()), [1728126539969246250, 14687089795027046671, 4915079577997708995]),
    (pa.array([False, True]), [0, 1728126539969246250]),
    (
        pa.array([0.0, -0.0, 1.0, math.nan, math.inf]),
        [
            16241206116120743274,
            16241206116120743274,
            11527826198401386330,
            9435532315714038053,
            8759941344333563838,
        ],
    ),
    (
        pa.array(["", "a", "a\0", "ümlaut", "12345678", "123456789", "x" * 300]),
        [
            7383113877808487579,
            5284032441217043753,
            8249856401979762580,
            4371615063114759950,
            3767974065794196266,
            10892861304742111459,
            249398461979382429,
        ],
    ),
    (
        pa.array([Decimal("0.00"), Decimal("1.50"), Decimal("-1.50")], pa.decimal128(10, 2)),
        [0, 16882103015219965621, 7314141971699618884],
    ),
    (
        pa.array([[], [1], [1, 2], [2, 1], [None]], pa.list_(pa.int64())),
        [
            7383113877808487579,
            7021891788529745053,
            17871905100275938150,
            5555931126985008555,
            2876660487609126592,
        ],
    ),
    (pa.array([{"a": 1, "b": "x"}]), [2077552348567528123]),
    (pa.array([1_000_000], pa.timestamp("us", "UTC")), [4998652115625205975]),
]


@pytest.mark.parametrize(("array", "hashes"), GOLDEN, ids=lambda x: str(x.type) if isinstance(x, pa.Array) else "")
def test_golden_vectors_of_version_1(array: pa.Array, hashes: list[int]) -> None:
    assert HASH_VERSION == 1
    assert hash_columns([array], len(array)).tolist() == hashes


def test_golden_vectors_of_several_columns_and_of_none() -> None:
    columns = [pa.array([1, 2]), pa.array([2, 1])]
    assert hash_columns(columns, 2).tolist() == [5295336487982439841, 10144550612445172006]
    assert hash_columns([], 2).tolist() == [3257665815644502181] * 2


INTS = st.one_of(st.integers(-300, 300), st.integers(-(2**63), 2**63 - 1))
VALUES = st.one_of(
    st.tuples(st.just(pa.int64()), st.lists(st.none() | INTS)),
    st.tuples(st.just(pa.uint64()), st.lists(st.none() | st.integers(0, 2**64 - 1))),
    st.tuples(st.just(pa.float64()), st.lists(st.none() | st.floats())),
    st.tuples(st.just(pa.string()), st.lists(st.none() | st.text(max_size=40))),
    st.tuples(st.just(pa.binary()), st.lists(st.none() | st.binary(max_size=40))),
    st.tuples(st.just(pa.bool_()), st.lists(st.none() | st.booleans())),
    st.tuples(st.just(pa.list_(pa.string())), st.lists(st.none() | st.lists(st.none() | st.text(max_size=12)))),
    st.tuples(
        st.just(pa.decimal128(38, 6)),
        st.lists(st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=6, max_value=10**9)),
    ),
)


@given(VALUES, st.integers(0, 5))
@settings(max_examples=200, deadline=None)
def test_hashes_follow_the_definition_whatever_the_slice(drawn: tuple[pa.DataType, list[Any]], start: int) -> None:
    type_, values = drawn
    array = pa.array(values, type_)
    assert hash_array(array).tolist() == [reference(value) for value in values]
    assert hash_array(array.slice(start)).tolist() == [reference(value) for value in values[start:]]


def test_strings_of_all_lengths_follow_the_definition_in_one_batch() -> None:
    values = ["é" * (i % 7) + "k" * (i % 43) for i in range(2_000)] + ["z" * 70_000]
    assert hash_array(pa.array(values)).tolist() == [reference(value) for value in values]


@pytest.mark.parametrize(
    "type_", [pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
)
def test_an_integer_hashes_by_value_not_by_width(type_: pa.DataType) -> None:
    assert hash_array(pa.array([7, 100], type_)).tolist() == [reference(7), reference(100)]


def test_a_float_is_not_an_integer_but_widths_of_floats_agree() -> None:
    assert hash_array(pa.array([1.5], pa.float32())).tolist() == hash_array(pa.array([1.5])).tolist()
    assert hash_array(pa.array([1.0])).tolist() != hash_array(pa.array([1])).tolist()


def test_every_nan_and_both_zeros_are_one_key() -> None:
    bits = np.array([0x7FF8000000000000, 0xFFF8000000000001, 0x7FF0000000000001], dtype=np.uint64)
    assert len(set(hash_array(pa.array(bits.view(np.float64))).tolist())) == 1
    assert len(set(hash_array(pa.array([0.0, -0.0])).tolist())) == 1


@pytest.mark.parametrize(
    "width", [pa.decimal32(9, 3), pa.decimal64(18, 4), pa.decimal128(38, 20), pa.decimal256(76, 5)]
)
def test_decimals_hash_by_value_not_by_scale(width: pa.DataType) -> None:
    values = [Decimal("-12345.5"), Decimal(0), Decimal(7), None]
    assert hash_array(pa.array(values, width)).tolist() == [reference(value) for value in values]


def test_bytes_under_a_null_do_not_matter() -> None:
    hidden = pa.Array.from_buffers(pa.int64(), 2, [pa.py_buffer(b"\x02"), pa.array([5, 6]).buffers()[1]])
    assert hash_array(hidden).tolist() == [reference(None), reference(6)]


def test_fixed_size_values_hash_as_their_plain_forms() -> None:
    assert hash_array(pa.array([b"abc", b"def"], pa.binary(3))[1:]).tolist() == [reference(b"def")]
    lists = pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2))
    assert hash_array(lists[1:]).tolist() == [reference([3, 4])]


def test_maps_and_sliced_structs_hash() -> None:
    maps = pa.array([[("a", 1)], [("b", 2)]], pa.map_(pa.string(), pa.int64()))
    assert hash_array(maps[1:]).tolist() == hash_array(maps).tolist()[1:]
    structs = pa.array([{"a": 1}, {"a": 2}, None])
    assert hash_array(structs[1:]).tolist() == hash_array(structs).tolist()[1:]
    assert hash_array(structs).tolist() == [reference(1), reference(2), reference(None)]


def test_types_that_are_not_canonical_are_refused() -> None:
    with pytest.raises(ValueError, match="large_string cannot be hashed"):
        hash_array(pa.array(["a"], pa.large_string()))
    with pytest.raises(ValueError, match="canonical in microseconds"):
        hash_array(pa.array([1], pa.timestamp("ns")))


@pytest.mark.parametrize("groups", [1, 2, 7, 128, 1000])
@pytest.mark.parametrize("workers", [1, 2, 3, 7, 200])
def test_groups_are_split_into_contiguous_ranges_that_cover_all(groups: int, workers: int) -> None:
    ranges = [groups_of_worker(worker, groups, workers) for worker in range(workers)]
    assert [group for owned in ranges for group in owned] == list(range(groups))
    owners = worker_of_group(np.arange(groups), groups, workers).tolist()
    assert owners == [worker for worker, owned in enumerate(ranges) for _ in owned]


def test_key_groups_are_even_for_sequential_and_for_strided_keys() -> None:
    for step in (1, 8, 1000, 0x9E3779B97F4A7C15 - 2**64):
        keys = np.arange(128_000, dtype=np.int64) * step
        counts = np.bincount(key_groups(hash_array(pa.array(keys)), 128), minlength=128)
        assert counts.min() > 800
        assert counts.max() < 1200


def test_a_number_of_groups_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="between 1 and"):
        key_groups(np.zeros(1, dtype=np.uint64), 0)
