"""Where a split of a read stands, as data: part of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streamflow.connect.source import Position
from streamflow.engine.split_time import SplitTime


@dataclass(frozen=True, slots=True)
class SplitState:
    """A split at a barrier. `position` None: not started. `times`: how far it has come, by step (rule 27).

    `number`: its own among the read's splits, for ever; `rows`: how many have been read (rule 13).
    """

    position: Position | None = None
    times: Mapping[str, SplitTime] = field(default_factory=dict)
    ended: bool = False
    number: int = 0
    rows: int = 0
