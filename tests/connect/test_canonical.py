from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from streamflow.connect.canonical import (
    canonical_array,
    canonical_batch,
    canonical_schema,
    canonical_type,
    cast_array,
    cast_batch,
)

US = pa.timestamp("us", "UTC")
CASES: list[tuple[pa.Array, pa.Array]] = [
    (pa.array(["a", None, "a"]).dictionary_encode(), pa.array(["a", None, "a"])),
    (pc.run_end_encode(pa.array(["x", "a", "a", None])).slice(1), pa.array(["a", "a", None])),
    (pa.array(["a", None], pa.large_string()), pa.array(["a", None])),
    (pa.array(["a", None], pa.string_view()), pa.array(["a", None])),
    (pa.array([b"a", None], pa.large_binary()), pa.array([b"a", None])),
    (pa.array([b"a", None], pa.binary_view()), pa.array([b"a", None])),
    (pa.array([b"ab", None], pa.binary(2)), pa.array([b"ab", None])),
    (pa.array([1, None], pa.timestamp("s")), pa.array([1_000_000, None], US)),
    (pa.array([-1, 1999, None], pa.timestamp("ns")), pa.array([-1, 1, None], US)),
    (pa.array([7], pa.timestamp("us", "Europe/Berlin")), pa.array([7], US)),
    (pa.array([86_400_000], pa.date64()), pa.array([1], pa.date32())),
    (pa.array([5], pa.time32("ms")), pa.array([5000], pa.time64("us"))),
    (pa.array([5999], pa.time64("ns")), pa.array([5], pa.time64("us"))),
    (pa.array([-1], pa.duration("ns")), pa.array([-1], pa.duration("us"))),
    (pa.array([2], pa.duration("s")), pa.array([2_000_000], pa.duration("us"))),
    (pa.array([1.5, None], pa.float16()), pa.array([1.5, None], pa.float32())),
    (pa.array([Decimal("1.5")], pa.decimal64(9, 2)), pa.array([Decimal("1.5")], pa.decimal128(9, 2))),
    (pa.array([[1, 2], None, []], pa.large_list(pa.int64())), pa.array([[1, 2], None, []])),
    (pa.array([[1, 2], None, []], pa.list_view(pa.int64())), pa.array([[1, 2], None, []])),
    (pa.array([[1], [2, 3]], pa.large_list_view(pa.int64())).slice(1), pa.array([[2, 3]])),
    (pa.array([[1, 2], None], pa.list_(pa.int64(), 2)), pa.array([[1, 2], None])),
    (
        pa.array([["x"], ["a"], None], pa.list_(pa.large_string())).slice(1),
        pa.array([["a"], None], pa.list_(pa.string())),
    ),
    (
        pa.array([{"a": "x"}, {"a": "y"}, None], pa.struct({"a": pa.large_string()})).slice(1),
        pa.array([{"a": "y"}, None], pa.struct({"a": pa.string()})),
    ),
    (
        pa.array([[("a", 1)], [("b", 2)], None], pa.map_(pa.large_string(), pa.int64())).slice(1),
        pa.array([[("b", 2)], None], pa.map_(pa.string(), pa.int64())),
    ),
    (
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"a" * 16], pa.binary(16))),
        pa.array([b"a" * 16], pa.binary()),
    ),
]


@pytest.mark.parametrize(("array", "expected"), CASES, ids=lambda array: str(array.type))
def test_values_take_their_canonical_form(array: pa.Array, expected: pa.Array) -> None:
    result = canonical_array(array)
    result.validate(full=True)
    assert result.equals(expected), result
    assert result.type == canonical_type(array.type)
    assert canonical_array(result) is result


@pytest.mark.parametrize(("array", "expected"), CASES, ids=lambda array: str(array.type))
def test_values_inside_a_list_take_their_canonical_form(array: pa.Array, expected: pa.Array) -> None:
    nested = pa.ListArray.from_arrays(pa.array([0, len(array)], pa.int32()), array)
    result = canonical_array(nested)
    result.validate(full=True)
    assert result.to_pylist() == [expected.to_pylist()]


def test_a_time_out_of_range_is_an_error() -> None:
    with pytest.raises(pa.ArrowInvalid, match="out of bounds"):
        canonical_array(pa.array([10**16], pa.timestamp("s")))


def test_types_without_equality_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot travel in a stream"):
        canonical_type(pa.month_day_nano_interval())


def test_a_canonical_schema_is_its_own_and_a_canonical_batch_is_not_copied() -> None:
    schema = pa.schema({"a": pa.int64(), "b": pa.list_(pa.string())})
    assert canonical_schema(schema).equals(schema)
    batch = pa.record_batch([pa.array([1]), pa.array([["x"]])], schema=schema)
    assert canonical_batch(batch, schema) is batch


def test_metadata_and_odd_types_leave_the_schema() -> None:
    schema = pa.schema([pa.field("t", pa.timestamp("ns"), metadata={"a": "b"})], metadata={"pandas": "{}"})
    assert canonical_schema(schema).equals(pa.schema({"t": US}), check_metadata=True)


def test_a_batch_is_fitted_by_column_name() -> None:
    schema = pa.schema({"a": pa.string(), "t": US})
    batch = pa.record_batch(
        {"t": pa.array([dt.datetime(1970, 1, 1, tzinfo=dt.UTC)]), "a": pa.array(["x"]).dictionary_encode()}
    )
    expected = pa.record_batch([pa.array(["x"]), pa.array([0], US)], schema=schema)
    assert canonical_batch(batch, schema).equals(expected)


def test_a_batch_that_does_not_fit_says_which_column() -> None:
    schema = pa.schema({"a": pa.string(), "b": pa.int64()})
    with pytest.raises(ValueError, match="column 'b' is missing: there are a"):
        canonical_batch(pa.record_batch({"a": pa.array(["x"])}), schema)
    with pytest.raises(ValueError, match="column 'b' is double, not int64"):
        canonical_batch(pa.record_batch({"a": pa.array(["x"]), "b": pa.array([1.0])}), schema)


def test_null_columns_of_any_type_can_be_cast() -> None:
    for given in (pa.large_string(), pa.dictionary(pa.int8(), pa.string()), pa.list_view(pa.int8()), pa.uuid()):
        canonical = canonical_type(given)
        assert cast_array(pa.nulls(2, given), canonical) == pa.nulls(2, canonical)


def test_a_time_that_leaves_the_range_of_microseconds_is_an_error() -> None:
    with pytest.raises(pa.ArrowInvalid, match="out of bounds"):
        cast_array(pa.array([2**62], pa.timestamp("s")), pa.timestamp("us", "UTC"))


def test_columns_that_fit_are_shared_not_copied() -> None:
    batch = pa.record_batch({"a": pa.array([1, 2]), "b": pa.array(["x", "y"], pa.large_string())})
    cast = cast_batch(batch, canonical_schema(batch.schema))
    assert cast.column(0).buffers()[1].address == batch.column(0).buffers()[1].address
    assert cast_batch(cast, cast.schema) is cast


def test_metadata_and_non_null_marks_are_left_out() -> None:
    schema = pa.schema([pa.field("a", pa.int64(), nullable=False)], metadata={"pandas": "{}"})
    assert canonical_schema(schema).equals(pa.schema({"a": pa.int64()}), check_metadata=True)
