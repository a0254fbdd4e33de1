"""A complete checkpoint as it stands in a job's log: JSON that names the files of its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamflow.connect.sink import Committable
from streamflow.engine.split_state import SplitState
from streamflow.engine.split_time import SplitTime
from streamflow.errors import Fatal
from streamflow.state.store import StateFile

MANIFEST_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a job goes on from.

    `job`: its uuid. `completed`: its reads had ended, so that there is nothing to go on with. `splits`: by the read's
    step. `state`: by `step/container`. `committables`: by the sink's step, what was prepared for this checkpoint.
    """

    job: str
    flow: str
    checkpoint: int
    key_groups: int
    completed: bool
    splits: Mapping[str, Mapping[str, SplitState]]
    state: Mapping[str, Sequence[StateFile]]
    committables: Mapping[str, Sequence[Committable]] = field(default_factory=dict)

    def paths(self) -> set[str]:
        """The files that it names."""
        return {file.path for files in self.state.values() for file in files}


def to_json(manifest: Manifest) -> dict[str, Any]:
    """The manifest as a JSON object; `from_json` gives it back.

    >>> manifest = Manifest(job="j", flow="f", checkpoint=1, key_groups=128, completed=False, splits={}, state={})
    >>> from_json(to_json(manifest)) == manifest
    True
    """
    return {
        "version": MANIFEST_VERSION,
        "job": manifest.job,
        "flow": manifest.flow,
        "checkpoint": manifest.checkpoint,
        "key_groups": manifest.key_groups,
        "completed": manifest.completed,
        "splits": {
            read: {name: _split_to_json(state) for name, state in splits.items()}
            for read, splits in manifest.splits.items()
        },
        "state": {
            address: [[file.path, file.size, file.checksum] for file in files]
            for address, files in manifest.state.items()
        },
        "committables": {step: [dict(one) for one in parts] for step, parts in manifest.committables.items()},
    }


def from_json(found: Mapping[str, Any]) -> Manifest:
    """The manifest in a JSON object. `Fatal` where it is of another version, or no manifest."""
    version = found.get("version")
    if version != MANIFEST_VERSION:
        raise Fatal(
            f"the checkpoint's manifest has version {version}, this streamflow reads {MANIFEST_VERSION}",
            remedy="run the job with the version of streamflow that wrote it",
        )
    try:
        return Manifest(
            job=str(found["job"]),
            flow=str(found["flow"]),
            checkpoint=int(found["checkpoint"]),
            key_groups=int(found["key_groups"]),
            completed=bool(found["completed"]),
            splits={
                read: {name: _split_from_json(state) for name, state in splits.items()}
                for read, splits in found["splits"].items()
            },
            state={
                address: [StateFile(str(path), int(size), int(checksum)) for path, size, checksum in files]
                for address, files in found["state"].items()
            },
            committables={step: list(map(dict, parts)) for step, parts in found["committables"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Fatal(f"the checkpoint's manifest is damaged: {error!r}") from error


def _split_to_json(state: SplitState) -> dict[str, Any]:
    return {
        "position": state.position,
        "times": {step: [time.greatest, time.watermark, time.state] for step, time in state.times.items()},
        "ended": state.ended,
        "number": state.number,
        "rows": state.rows,
    }


def _split_from_json(found: Mapping[str, Any]) -> SplitState:
    return SplitState(
        position=found["position"],
        times={step: SplitTime(int(of[0]), int(of[1]), of[2]) for step, of in found["times"].items()},
        ended=bool(found["ended"]),
        number=int(found["number"]),
        rows=int(found["rows"]),
    )
