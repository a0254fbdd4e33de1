"""What travels on a channel: `Batch | Watermark | Barrier | End`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

MIN_TIME = -(2**63)
"""No watermark yet: below every event time."""
MAX_TIME = 2**63 - 1
"""Reserved: the end of all time (rule 11). No row may carry it."""

TIME = "_time"
CHANGE = "_change"
ORDER = "_order"
RESERVED = frozenset({TIME, CHANGE, ORDER})

TIME_TYPE = pa.timestamp("us", "UTC")
CHANGE_TYPE = pa.int8()
INSERT, UPDATE_BEFORE, UPDATE_AFTER, DELETE = range(4)
CHANGE_NAMES = ("insert", "update_before", "update_after", "delete")

Batch: TypeAlias = pa.RecordBatch


@dataclass(frozen=True, slots=True)
class Watermark:
    """Every row with event time < `time` has been sent, or is late. `idle`: do not wait for this input (rule 3)."""

    time: int
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Barrier:
    """The line between the rows before and after checkpoint `checkpoint`; `final` on the last one of a bounded job."""

    checkpoint: int
    final: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """Nothing follows: sent after the final checkpoint (rule 29)."""


Event: TypeAlias = "Batch | Watermark | Barrier | End"
