from __future__ import annotations

import pyarrow as pa
import pytest

from streamflow.operators.events import TIME_TYPE, Watermark
from streamflow.operators.union import Union

RIDES = pa.schema([("id", pa.int64()), ("city", pa.string()), ("_time", TIME_TYPE)])


def test_a_batch_of_any_port_passes_untouched() -> None:
    batch = pa.record_batch([[1], ["Oslo"], pa.array([3], TIME_TYPE)], schema=RIDES)
    [passed] = Union([RIDES, RIDES], RIDES).on_batch(1, batch)
    assert passed is batch


def test_the_watermark_passes() -> None:
    union = Union([RIDES, RIDES], RIDES)
    assert list(union.on_watermark(Watermark(5, idle=True))) == [Watermark(5, idle=True)]
    assert list(union.flush()) == []
    assert union.state() == {}


@pytest.mark.parametrize(
    "other",
    [
        pa.schema([("id", pa.string()), ("city", pa.string()), ("_time", TIME_TYPE)]),
        pa.schema([("city", pa.string()), ("id", pa.int64()), ("_time", TIME_TYPE)]),
        pa.schema([("id", pa.int64()), ("_time", TIME_TYPE)]),
    ],
)
def test_an_input_with_other_columns_is_refused(other: pa.Schema) -> None:
    with pytest.raises(ValueError, match="input 1 of a union"):
        Union([RIDES, other], RIDES)
