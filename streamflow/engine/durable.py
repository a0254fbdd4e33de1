"""State of one worker in the checkpoint store: its files of a checkpoint."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from streamflow.engine.parts import Files
from streamflow.state.captured import Captured, PartFiles
from streamflow.state.files import write_state
from streamflow.state.store import CheckpointStore, StateFile


class StateWriter:
    """Writes the files of one worker in one attempt.

    `write` may run beside the worker, one call at a time, in the order of the checkpoints; the rest is the worker's.
    """

    def __init__(self, store: CheckpointStore, attempt: int, worker: int) -> None:
        self._store = store
        self._name = (attempt, worker)
        self._files: PartFiles[StateFile] = PartFiles()
        self.complete = 0
        """The latest checkpoint that the worker was told is complete."""

    def write(self, checkpoint: int, captured: Iterable[Mapping[str, Captured]]) -> Files:
        """Make what the worker's tasks captured durable; what the acknowledgement names. Raises what the store raises.

        What stands in a checkpoint that the worker was told is complete is named again, and not written (rule 30).
        """
        attempt, worker = self._name
        numbers = itertools.count()

        def put(data: bytes) -> StateFile:
            return write_state(self._store, f"state/{attempt}-{checkpoint}-{worker}-{next(numbers)}.arrow", data)

        files: dict[str, list[StateFile]] = {}
        for of_task in captured:
            for address, named in self._files.name(of_task, put).items():
                files.setdefault(address, []).extend(named)
        return files

    def completed(self, checkpoint: int) -> None:
        """The worker is told: what was written for this checkpoint stands in a manifest."""
        self.complete = max(self.complete, checkpoint)
