"""A complete checkpoint as it stands in a job's log: JSON that names the files of its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamflow.cluster.coordinator import Complete
from streamflow.engine.parts import (
    Committables,
    Files,
    Splits,
    committables_from_json,
    committables_to_json,
    files_from_json,
    files_to_json,
    splits_from_json,
    splits_to_json,
)
from streamflow.errors import Fatal
from streamflow.state.store import StateFile

MANIFEST_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a job goes on from.

    `job`: its uuid. `final`: nothing was read behind it, the job was stopped or had ended. `completed`: its reads had
    ended, so that there is nothing to go on with. `splits`: by the read's step. `state`: by `step/container`.
    `committables`: by the sink's step, what was prepared for this checkpoint.
    """

    job: str
    flow: str
    checkpoint: int
    key_groups: int
    completed: bool
    splits: Splits
    state: Files
    committables: Committables = field(default_factory=dict)
    signatures: Mapping[str, str] = field(default_factory=dict)
    final: bool = False

    def paths(self) -> set[str]:
        """The files that it names."""
        return {file.path for files in self.state.values() for file in files}


def manifest_of(
    complete: Complete[StateFile], job: str, flow: str, key_groups: int, signatures: Mapping[str, str]
) -> Manifest:
    """The manifest of a checkpoint that all have acknowledged. `job`: the job's uuid."""
    barrier, part = complete.barrier, complete.part
    return Manifest(
        job=job,
        flow=flow,
        checkpoint=barrier.checkpoint,
        key_groups=key_groups,
        final=barrier.final,
        completed=barrier.final and complete.ended,
        splits=part.splits,
        state=part.state,
        committables=part.committables,
        signatures=signatures,
    )


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
        "final": manifest.final,
        "completed": manifest.completed,
        "splits": splits_to_json(manifest.splits),
        "state": files_to_json(manifest.state),
        "committables": committables_to_json(manifest.committables),
        "signatures": dict(manifest.signatures),
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
            final=bool(found["final"]),
            completed=bool(found["completed"]),
            splits=splits_from_json(found["splits"]),
            state=files_from_json(found["state"]),
            committables=committables_from_json(found["committables"]),
            signatures={str(step): str(words) for step, words in found["signatures"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Fatal(f"the checkpoint's manifest is damaged: {error!r}") from error
