"""A checkpoint as data: where every read stands and what every operator holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streamflow.connect.source import Position
from streamflow.engine.split_time import SplitTime
from streamflow.state.container import Snapshot
from streamflow.state.files import decode


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


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a job starts again from.

    `splits`: by the read's step, every split that is known, started or not (rule 28), in the order in which they open.
    `state`: by `step/container`, one snapshot file (`state.files`) per worker that had one.
    """

    number: int
    key_groups: int
    splits: Mapping[str, Mapping[str, SplitState]]
    state: Mapping[str, tuple[bytes, ...]]
    final: bool = False

    def snapshots(self) -> dict[str, list[Snapshot]]:
        """The state, to be restored. Fatal where a file is damaged."""
        return {address: [decode(data) for data in parts] for address, parts in self.state.items()}
