"""A job's checkpoints in a store: what it goes on from, how one is saved, and what of the old ones is deleted.

The order is the protocol (rules 21-26): an attempt claims the log before it touches anything; the files of a checkpoint
are durable before its manifest is saved; only then do sinks commit; only after that does what was there before go.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from streamflow.cluster.checkpoint import Checkpoint
from streamflow.cluster.coordinator import Part
from streamflow.cluster.job_log import JobLog
from streamflow.cluster.manifest import Manifest, from_json, to_json
from streamflow.connect.sink import Committable
from streamflow.connect.units import parse_duration
from streamflow.errors import Fatal, UserError
from streamflow.state.store import CheckpointStore, NotFound, StateFile, require_fence
from streamflow.state.stores import check_location, open_store


@dataclass(frozen=True, slots=True, init=False)
class Checkpoints:
    """Where a job keeps its checkpoints, and how often it takes one.

    `location`: a folder of the job's own, local or mounted, or a place of its own in a bucket, "s3://bucket/prefix",
    with the extra `s3`; credentials, region and endpoint are taken from the environment, as AWS's tools take them.
    `every`: the time from one checkpoint to the next, as "10s". `allow_dropped_state`: start a changed flow although it
    has no step any more for some of the state.

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
        check_location(path)
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

    def __init__(self, store: CheckpointStore, flow: str, new: str, every: int) -> None:
        self._store = store
        self._flow = flow
        self.every = every
        self._log = JobLog(store, new)
        require_fence(store, f"probe/{new}")
        manifest = _manifest(self._log.claim(), self._log)
        self.attempt = self._log.attempt
        self.base = _to_go_on_from(manifest)
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
            state={a: tuple(read_state(self._store, file) for file in files) for a, files in self.base.state.items()},
        )

    def unconfirmed(self) -> Mapping[str, Sequence[Committable]]:
        """By the sink's step, what `base` prepared and nobody has confirmed as committed: to be committed again."""
        return {} if self.base is None else self.base.committables

    def save(self, checkpoint: int, key_groups: int, part: Part[bytes], *, completed: bool) -> None:
        """Make the checkpoint complete: from here on it is what the next attempt goes on from."""
        manifest = Manifest(
            job=self.job,
            flow=self._flow,
            checkpoint=checkpoint,
            key_groups=key_groups,
            completed=completed,
            splits=part.splits,
            state=self._write(checkpoint, part.state),
            committables=part.committables,
        )
        self._log.complete(to_json(manifest))
        self._previous, self._latest = self._latest, manifest

    def confirm(self) -> None:
        """The latest checkpoint is committed everywhere: what was there before it is not needed any more (rule 26)."""
        assert self._latest is not None
        self._log.confirm(self._log.base)
        if self._previous is not None:
            for path in sorted(self._previous.paths() - self._latest.paths()):
                self._store.delete(path)

    def _write(self, checkpoint: int, state: Mapping[str, Sequence[bytes]]) -> dict[str, list[StateFile]]:
        """The files of a checkpoint; one that has not changed since the latest is not written again (rule 30)."""
        folder = f"state/{self.attempt}-{checkpoint}"
        written: dict[str, list[StateFile]] = {}
        number = 0
        for address, parts in state.items():
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

    def _sweep(self) -> None:
        """Delete what earlier attempts left: files that no manifest names."""
        named = set() if self._latest is None else self._latest.paths()
        for path in self._store.list("state"):
            if path not in named:
                self._store.delete(path)


def latest_manifest(store: CheckpointStore) -> Manifest | None:
    """The latest complete checkpoint of the job in a store, None where there is none. Takes nothing over."""
    log = JobLog(store, "")
    return _manifest(log.latest(), log)


def _manifest(body: Mapping[str, Any] | None, log: JobLog) -> Manifest | None:
    """The manifest in the log, its committables only if nobody has confirmed that they are committed."""
    if body is None:
        return None
    manifest = from_json(body)
    return replace(manifest, committables={}) if log.confirmed else manifest


def read_state(store: CheckpointStore, file: StateFile) -> bytes:
    """A file of a checkpoint. `Fatal`, naming it, where it is missing or damaged (rule 24)."""
    remedy = "bring the file back, or delete the folder of checkpoints to start the job from its beginning"
    try:
        data = store.read(file.path)
    except NotFound as error:
        raise Fatal(f"{error.message}, though the job's latest checkpoint names it", remedy=remedy) from None
    if len(data) != file.size or zlib.crc32(data) != file.checksum:
        raise Fatal(f"{file.path} in {store!r} is damaged: its checksum does not fit", remedy=remedy)
    return data


def base_of(checkpoints: Checkpoints, flow: str) -> Manifest | None:
    """What a job would go on from. Nothing is claimed: a job that runs there with another flow is not disturbed."""
    manifest = latest_manifest(open_store(checkpoints.location))
    if manifest is not None and manifest.flow != flow:
        raise UserError(
            f"the checkpoints in {checkpoints.location} are of the flow {manifest.flow!r}, not of {flow!r}",
            remedy="give each job a folder of its own",
        )
    return _to_go_on_from(manifest)


def _to_go_on_from(manifest: Manifest | None) -> Manifest | None:
    """None where the job is over: it has come to its end, and nothing that it prepared waits to be committed."""
    return None if manifest is None or (manifest.completed and not manifest.committables) else manifest


def check_place(base: Manifest, addresses: Collection[str], steps: Collection[str]) -> None:
    """Refuse a flow that has no place any more for some of the state, or for rows that wait to be published."""
    dropped = {f"the state {address}" for address in base.state if address not in addresses}
    dropped |= {f"the positions of the read {read}" for read in base.splits if read not in steps}
    dropped |= {f"unpublished rows of the write {sink}" for sink in base.committables if sink not in steps}
    if dropped:
        raise UserError(
            f"the flow {base.flow!r} has changed: its checkpoint holds {', '.join(sorted(dropped))}, "
            "which no step takes over",
            remedy="give steps the names that they had, or pass allow_dropped_state=True to go on without these",
        )


def open_job(checkpoints: Checkpoints, flow: str, new: str) -> CheckpointedJob:
    """Begin an attempt of the flow's job in its folder. `new`: see `CheckpointedJob`."""
    return CheckpointedJob(open_store(checkpoints.location), flow, new, checkpoints.every)
