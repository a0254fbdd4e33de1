"""State of one worker in the checkpoint store: its files of a checkpoint, written and read."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

from streamflow.engine.parts import Files
from streamflow.errors import Fatal
from streamflow.state.container import Snapshot
from streamflow.state.files import decode, encode
from streamflow.state.store import CheckpointStore, NotFound, StateFile


class StateWriter:
    """Writes the files of one worker in one attempt.

    A file that has not changed since a checkpoint of which the worker was told that it is complete is named again and
    not written (rule 30). `write` may run beside the worker, one call at a time; the rest is the worker's.
    """

    def __init__(self, store: CheckpointStore, attempt: int, worker: int) -> None:
        self._store = store
        self._name = (attempt, worker)
        self._written: dict[int, Files] = {}
        self._complete: Files = {}

    def write(self, checkpoint: int, parts: Mapping[str, Sequence[Snapshot]]) -> Files:
        """Make state durable; what the acknowledgement names. Raises what the store raises."""
        attempt, worker = self._name
        complete = self._complete
        files: dict[str, list[StateFile]] = {}
        number = 0
        for address, snapshots in parts.items():
            before = {(file.size, file.checksum): file for file in complete.get(address, ())}
            for snapshot in snapshots:
                data = encode(snapshot)
                checksum = zlib.crc32(data)
                file = before.get((len(data), checksum))
                if file is None:
                    file = StateFile(f"state/{attempt}-{checkpoint}-{worker}-{number}.arrow", len(data), checksum)
                    number += 1
                    self._store.put(file.path, data)
                files.setdefault(address, []).append(file)
        return files

    def written(self, checkpoint: int, files: Files) -> None:
        """The acknowledgement of a checkpoint names these."""
        self._written[checkpoint] = files

    def completed(self, checkpoint: int) -> None:
        """A manifest names what was written for this checkpoint."""
        self._complete = self._written.get(checkpoint, self._complete)
        self._written = {number: files for number, files in self._written.items() if number > checkpoint}


def read_state(store: CheckpointStore, files: Files) -> dict[str, list[Snapshot]]:
    """The state in these files. `Fatal`, naming the file, where one is missing or damaged (rule 24)."""
    return {address: [decode(read_file(store, file)) for file in parts] for address, parts in files.items()}


def read_file(store: CheckpointStore, file: StateFile) -> bytes:
    """A file of a checkpoint. `Fatal`, naming it, where it is missing or damaged (rule 24)."""
    remedy = "bring the file back, or delete the folder of checkpoints to start the job from its beginning"
    try:
        data = store.read(file.path)
    except NotFound as error:
        raise Fatal(f"{error.message}, though the job's latest checkpoint names it", remedy=remedy) from None
    if len(data) != file.size or zlib.crc32(data) != file.checksum:
        raise Fatal(f"{file.path} in {store!r} is damaged: its checksum does not fit", remedy=remedy)
    return data
