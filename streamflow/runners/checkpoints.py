"""A job's checkpoints in a store: what it goes on from, how one is saved, and what of the old ones is deleted.

The order is the protocol (rules 21-26): an attempt claims the log before it touches anything; the files of a checkpoint
are durable before its manifest is saved; only then do sinks commit; only after that does what was there before go.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from streamflow.cluster.checkpoint import Checkpoint
from streamflow.cluster.job_log import JobLog
from streamflow.cluster.manifest import Manifest, StateFile, from_json, to_json
from streamflow.connect.sink import Committable
from streamflow.connect.units import parse_duration
from streamflow.errors import Fatal, UserError
from streamflow.state.local_store import LocalStore
from streamflow.state.store import CheckpointStore, NotFound, require_fence


@dataclass(frozen=True, slots=True, init=False)
class Checkpoints:
    """Where a job keeps its checkpoints, and how often it takes one.

    `location`: a folder of the job's own, local or mounted. `every`: the time from one checkpoint to the next, as
    "10s". `allow_dropped_state`: start a changed flow although it has no step any more for some of the state.

    A job that is started again with the same folder goes on from its latest checkpoint, whether it was stopped or was
    killed; files that its sinks publish hold each result exactly once. One that had come to its end starts anew. Two
    processes that use one folder at once do not harm each other: the later one takes over, the earlier one stops.

    >>> import tempfile, pyarrow as pa, streamflow as sf
    >>> from streamflow_connectors import memory
    >>> flow = sf.Flow("copy")
    >>> flow.read("n", memory.Source(pa.table({"n": [1, 2]}))).write("out", memory.Sink())
    >>> sf.run(flow, checkpoint=sf.Checkpoints(tempfile.mkdtemp(), every="1s")).rows_out
    2
    """

    location: str
    every: int
    allow_dropped_state: bool

    def __init__(
        self,
        location: str | os.PathLike[str],
        every: str | timedelta = "10s",
        *,
        allow_dropped_state: bool = False,
    ) -> None:
        path = os.fspath(location)
        if "://" in path:
            raise UserError(
                f"checkpoints cannot be kept at {path!r} in this version", remedy="give a local or mounted folder"
            )
        interval = parse_duration(every)
        if interval <= 0:
            raise UserError(f"every={every!r} is no interval", remedy='write every="10s"')
        object.__setattr__(self, "location", path)
        object.__setattr__(self, "every", interval)
        object.__setattr__(self, "allow_dropped_state", allow_dropped_state)


class CheckpointedJob:
    """One attempt of a job whose checkpoints are stored. `Fenced` from its methods: another attempt has begun.

    `job`: its uuid, `attempt`: counts from 1; `base`: the manifest to go on from, None for a fresh start; `first`: the
    number of the first checkpoint; `every`: microseconds between checkpoints; `new`: a uuid that nobody has used, for
    this attempt and, where it starts afresh, for the job.
    """

    def __init__(
        self, store: CheckpointStore, flow: str, new: str, every: int, *, allow_dropped_state: bool = False
    ) -> None:
        self._store = store
        self._flow = flow
        self.every = every
        self._allow_dropped_state = allow_dropped_state
        self._log = JobLog(store, new)
        require_fence(store, f"probe/{new}")
        body = self._log.claim()
        manifest = None if body is None else from_json(body)
        if manifest is not None and manifest.flow != flow:
            raise UserError(
                f"the checkpoints in {store!r} are of the flow {manifest.flow!r}, not of {flow!r}",
                remedy="give each job a folder of its own",
            )
        self.attempt = self._log.attempt
        self.base = manifest if manifest is not None and not manifest.completed else None
        self.job = new if self.base is None else self.base.job
        self.first = 1 if manifest is None else manifest.checkpoint + 1
        self._previous: Manifest | None = None
        self._latest = manifest
        self._sweep()

    def checkpoint(self) -> Checkpoint | None:
        """What `base` holds, read and checked. `Fatal`, naming the file, where one is missing or damaged (rule 24)."""
        if self.base is None:
            return None
        return Checkpoint(
            number=self.base.checkpoint,
            key_groups=self.base.key_groups,
            splits=self.base.splits,
            state={a: tuple(self._read(file) for file in files) for a, files in self.base.state.items()},
        )

    def check_addresses(self, addresses: Collection[str], reads: Collection[str]) -> None:
        """Refuse a flow that has no place any more for some of the state, or for rows that wait to be published."""
        assert self.base is not None
        dropped = {f"the state {address}" for address in self.base.state if address not in addresses}
        dropped |= {f"the positions of the read {read}" for read in self.base.splits if read not in reads}
        if dropped and not self._allow_dropped_state:
            raise UserError(
                f"the flow {self._flow!r} has changed: its checkpoint holds {', '.join(sorted(dropped))}, "
                "which no step takes over",
                remedy="give steps the names that they had, or pass allow_dropped_state=True to go on without these",
            )

    def unconfirmed(self) -> Mapping[str, Sequence[Committable]]:
        """By the sink's step, what `base` prepared and nobody has confirmed as committed: to be committed again."""
        return {} if self.base is None or self._log.confirmed else self.base.committables

    def save(
        self, checkpoint: Checkpoint, committables: Mapping[str, Sequence[Committable]], *, completed: bool
    ) -> None:
        """Make the checkpoint complete: from here on it is what the next attempt goes on from."""
        manifest = Manifest(
            job=self.job,
            flow=self._flow,
            checkpoint=checkpoint.number,
            key_groups=checkpoint.key_groups,
            completed=completed,
            splits=checkpoint.splits,
            state=self._write(checkpoint),
            committables=committables,
        )
        self._log.complete(to_json(manifest))
        self._previous, self._latest = self._latest, manifest

    def confirm(self) -> None:
        """The latest checkpoint is committed everywhere: what was there before it is not needed any more (rule 26)."""
        assert self._latest is not None
        self._log.confirm()
        if self._previous is not None:
            for path in sorted(self._previous.paths() - self._latest.paths()):
                self._store.delete(path)

    def _write(self, checkpoint: Checkpoint) -> dict[str, list[StateFile]]:
        """The files of a checkpoint; one that has not changed since the latest is not written again (rule 30)."""
        folder = f"state/{self.attempt}-{checkpoint.number}"
        written: dict[str, list[StateFile]] = {}
        number = 0
        for address, parts in checkpoint.state.items():
            before = (
                {} if self._latest is None else {(f.size, f.checksum): f for f in self._latest.state.get(address, ())}
            )
            for data in parts:
                checksum = zlib.crc32(data)
                file = before.get((len(data), checksum))
                if file is None:
                    file = StateFile(f"{folder}-{number}.arrow", len(data), checksum)
                    number += 1
                    self._store.put(file.path, data)
                written.setdefault(address, []).append(file)
        return written

    def _read(self, file: StateFile) -> bytes:
        remedy = "bring the file back, or delete the folder of checkpoints to start the job from its beginning"
        try:
            data = self._store.read(file.path)
        except NotFound as error:
            raise Fatal(f"{error.message}, though the job's latest checkpoint names it", remedy=remedy) from None
        if len(data) != file.size or zlib.crc32(data) != file.checksum:
            raise Fatal(f"{file.path} in {self._store!r} is damaged: its checksum does not fit", remedy=remedy)
        return data

    def _sweep(self) -> None:
        """Delete what earlier attempts left: files that no manifest names."""
        named = set() if self._latest is None else self._latest.paths()
        for path in self._store.list("state"):
            if path not in named:
                self._store.delete(path)


def open_job(checkpoints: Checkpoints, flow: str, new: str) -> CheckpointedJob:
    """Begin an attempt of the flow's job in its folder. `new`: see `CheckpointedJob`."""
    store = LocalStore(checkpoints.location)
    return CheckpointedJob(store, flow, new, checkpoints.every, allow_dropped_state=checkpoints.allow_dropped_state)
