"""What a checkpoint is made of, and its form as JSON: where splits stand, files of state, what sinks have prepared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from streamflow.connect.sink import Committable
from streamflow.engine.split_state import SplitState
from streamflow.engine.split_time import SplitTime
from streamflow.state.store import StateFile

Splits: TypeAlias = "Mapping[str, Mapping[str, SplitState]]"
"""By the read's step and the split's name."""
Files: TypeAlias = "Mapping[str, Sequence[StateFile]]"
"""By `step/container`, the files of its state."""
Committables: TypeAlias = "Mapping[str, Sequence[Committable]]"
"""By the sink's step."""


def splits_to_json(splits: Splits) -> dict[str, Any]:
    return {read: {name: _split_to_json(state) for name, state in own.items()} for read, own in splits.items()}


def splits_from_json(found: Mapping[str, Any]) -> Splits:
    return {read: {name: _split_from_json(state) for name, state in own.items()} for read, own in found.items()}


def files_to_json(files: Files) -> dict[str, Any]:
    return {address: [[file.path, file.size, file.checksum] for file in parts] for address, parts in files.items()}


def files_from_json(found: Mapping[str, Any]) -> Files:
    return {
        address: [StateFile(str(path), int(size), int(checksum)) for path, size, checksum in parts]
        for address, parts in found.items()
    }


def committables_to_json(committables: Committables) -> dict[str, Any]:
    return {step: [dict(one) for one in parts] for step, parts in committables.items()}


def committables_from_json(found: Mapping[str, Any]) -> Committables:
    return {str(step): [dict(one) for one in parts] for step, parts in found.items()}


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
