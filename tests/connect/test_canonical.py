from __future__ import annotations

import pyarrow as pa
import pytest

from streamflow.connect import canonical_schema, canonical_type, cast_array, cast_batch


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        (pa.large_string(), pa.string()),
        (pa.string_view(), pa.string()),
        (pa.large_binary(), pa.binary()),
        (pa.binary_view(), pa.binary()),
        (pa.dictionary(pa.int8(), pa.large_string()), pa.string()),
        (pa.run_end_encoded(pa.int32(), pa.int64()), pa.int64()),
        (pa.timestamp("s"), pa.timestamp("us", "UTC")),
        (pa.timestamp("ns", "Europe/Berlin"), pa.timestamp("us", "UTC")),
        (pa.duration("ns"), pa.duration("us")),
        (pa.time32("s"), pa.time64("us")),
        (pa.date64(), pa.date32()),
        (pa.large_list(pa.large_string()), pa.list_(pa.string())),
        (pa.list_view(pa.int8()), pa.list_(pa.int8())),
        (pa.list_(pa.date64(), 2), pa.list_(pa.date32(), 2)),
        (pa.struct({"x": pa.large_string()}), pa.struct({"x": pa.string()})),
        (pa.map_(pa.large_string(), pa.timestamp("s")), pa.map_(pa.string(), pa.timestamp("us", "UTC"))),
        (pa.uuid(), pa.binary(16)),
        (pa.int8(), pa.int8()),
    ],
)
def test_canonical_types_and_that_values_can_be_cast_to_them(given: pa.DataType, canonical: pa.DataType) -> None:
    assert canonical_type(given) == canonical
    assert cast_array(pa.nulls(2, given), canonical) == pa.nulls(2, canonical)


def test_values_survive_the_cast() -> None:
    assert cast_array(pa.array(["x", None, "x"]).dictionary_encode(), pa.string()).to_pylist() == ["x", None, "x"]
    naive = pa.array([-1, 1999], pa.timestamp("ns"))
    assert cast_array(naive, pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist() == [0, 1]


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
