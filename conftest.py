"""Names that the examples of the flow API use."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf


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
    names.update(sf=sf, pa=pa, col=sf.col, memory=memory, rides=rides)
