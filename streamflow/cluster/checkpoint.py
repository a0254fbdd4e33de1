"""A checkpoint as data: where every read stands and what every operator holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streamflow.engine.split_state import SplitState
from streamflow.state.container import Snapshot
from streamflow.state.files import decode


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

    def snapshots(self) -> dict[str, list[Snapshot]]:
        """The state, to be restored. Fatal where a file is damaged."""
        return {address: [decode(data) for data in parts] for address, parts in self.state.items()}
