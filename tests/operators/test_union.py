from __future__ import annotations

import pyarrow as pa
import pytest

from streamflow.operators.events import TIME_TYPE, Watermark
from streamflow.operators.union import Union

RIDES = pa.schema([("id", pa.int64()), ("city", pa.string()), ("_time", TIME_TYPE)])
FARES = pa.schema([("fare", pa.float64()), ("id", pa.int64()), ("_time", TIME_TYPE)])
BOTH = pa.schema([("id", pa.int64()), ("city", pa.string()), ("fare", pa.float64()), ("_time", TIME_TYPE)])


def test_columns_are_aligned_by_name_and_missing_ones_are_null() -> None:
    union = Union([RIDES, FARES], BOTH)
    [batch] = union.on_batch(1, pa.record_batch([[2.5], [7], pa.array([3], TIME_TYPE)], schema=FARES))
    assert isinstance(batch, pa.RecordBatch)
    assert batch.schema == BOTH
    assert batch.drop_columns("_time").to_pylist() == [{"id": 7, "city": None, "fare": 2.5}]
    assert batch.column("_time").cast(pa.int64()).to_pylist() == [3]


def test_a_batch_that_has_the_schema_passes_untouched() -> None:
    batch = pa.record_batch([[1], ["Oslo"], pa.array([3], TIME_TYPE)], schema=RIDES)
    [passed] = Union([RIDES, RIDES], RIDES).on_batch(1, batch)
    assert passed is batch


def test_the_watermark_passes() -> None:
    union = Union([RIDES, FARES], BOTH)
    assert list(union.on_watermark(Watermark(5, idle=True))) == [Watermark(5, idle=True)]
    assert list(union.flush()) == []
    assert union.state() == {}


def test_a_column_of_another_type_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'id' \(string\) of input 1"):
        Union([RIDES, pa.schema([("id", pa.string())])], BOTH)
