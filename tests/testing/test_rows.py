from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow.errors import SchemaError, UserError

SCHEMA = pa.schema({"n": pa.int64(), "at": pa.timestamp("us", "UTC")})


def build() -> sf.Flow:
    flow = sf.Flow("numbers")
    flow.read("numbers", memory.Source([], schema=SCHEMA)).write("out", memory.Sink())
    return flow


def test_what_a_row_leaves_out_is_null_and_a_naive_time_is_utc() -> None:
    results = sf.testing.run(build(), {"numbers": [{"n": 1}, {"at": datetime(2026, 3, 1)}]})  # noqa: DTZ001
    assert results["out"].to_pylist() == [{"n": 1, "at": None}, {"n": None, "at": datetime(2026, 3, 1, tzinfo=UTC)}]


def test_without_rows_there_is_an_empty_result() -> None:
    assert sf.testing.run(build(), {"numbers": []})["out"].num_rows == 0


@pytest.mark.parametrize("n", ["one", 2**70, [1]])
def test_a_value_that_does_not_fit_names_the_read_and_its_columns(n: object) -> None:
    with pytest.raises(SchemaError, match="a row for 'numbers' does not fit") as caught:
        sf.testing.run(build(), {"numbers": [{"n": n}]})
    assert caught.value.remedy == "its columns are n: int64, at: timestamp[us, tz=UTC]"


def test_a_column_that_the_source_lacks_is_named() -> None:
    with pytest.raises(SchemaError, match=r"rows for 'numbers' have \['m'\]"):
        sf.testing.run(build(), {"numbers": [{"m": 1}]})


def test_rows_for_a_read_that_is_not_there_name_those_that_are() -> None:
    with pytest.raises(UserError, match="no read named 'number'") as caught:
        sf.testing.run(build(), {"number": []})
    assert caught.value.remedy == "its reads are ['numbers']"
