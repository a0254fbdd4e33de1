"""What the API takes from the layers below the plan: the contract with connectors, units, reserved names."""

from __future__ import annotations

from streamflow.connect.canonical import canonical_schema
from streamflow.connect.sink import Sink
from streamflow.connect.source import Source
from streamflow.connect.units import parse_duration
from streamflow.kernels.aggregate import Aggregator, Kind, Option
from streamflow.operators.dead_letters import DEAD_LETTERS
from streamflow.operators.events import CHANGE, CHANGE_NAMES, ORDER, RESERVED, TIME

__all__ = [
    "CHANGE",
    "CHANGE_NAMES",
    "DEAD_LETTERS",
    "ORDER",
    "RESERVED",
    "TIME",
    "Aggregator",
    "Kind",
    "Option",
    "Sink",
    "Source",
    "canonical_schema",
    "parse_duration",
]
