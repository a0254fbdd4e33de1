"""What all tests share: no deadline for Hypothesis, for machines are shared, and names for the flow API's examples."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import settings
from streamflow_connectors import memory

import streamflow as sf

settings.register_profile("streamflow", deadline=None)
settings.load_profile("streamflow")


@pytest.fixture(autouse=True)
def _names_of_examples(request: pytest.FixtureRequest) -> None:
    if not isinstance(request.node, pytest.DoctestItem) or "streamflow/flow" not in str(request.node.path):
        return
    names: dict[str, Any] = request.getfixturevalue("doctest_namespace")
    schema = pa.schema(
        {
            "at": pa.timestamp("us", "UTC"),
            "city": pa.string(),
            "fare": pa.float64(),
            "tags": pa.list_(pa.string()),
        }
    )
    flow = sf.Flow("rides")
    rides = flow.read("rides", memory.Source(schema.empty_table()), event_time="at")
    names.update(
        sf=sf, pa=pa, col=sf.col, memory=memory, rides=rides, evaluate=sf.testing.evaluate, datetime=datetime.datetime
    )
