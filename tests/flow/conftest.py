from __future__ import annotations

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf

RIDES = pa.schema(
    {
        "at": pa.timestamp("us", "UTC"),
        "city": pa.string(),
        "fare": pa.float64(),
        "riders": pa.int64(),
        "tags": pa.list_(pa.string()),
        "epoch": pa.int64(),
        "written": pa.string(),
    }
)


@pytest.fixture
def flow() -> sf.Flow:
    return sf.Flow("rides")


@pytest.fixture
def rides(flow: sf.Flow) -> sf.Stream:
    return flow.read("rides", memory.Source(RIDES.empty_table()), event_time="at")


@pytest.fixture
def untimed(flow: sf.Flow) -> sf.Stream:
    return flow.read("untimed", memory.Source(RIDES.empty_table()))
