"""Where a job keeps its checkpoints, and what it would go on from: nothing here takes a job over."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from streamflow.cluster.job_log import JobLog
from streamflow.cluster.manifest import Manifest, from_json
from streamflow.connect.units import parse_duration
from streamflow.errors import UserError
from streamflow.runners.savepoints import adopted, read_savepoint
from streamflow.state.store import CheckpointStore
from streamflow.state.stores import check_location, open_store


@dataclass(frozen=True, slots=True, init=False)
class Checkpoints:
    """Where a job keeps its checkpoints, and how often it takes one.

    `location`: a folder of the job's own, local or mounted, or a place of its own in a bucket, "s3://bucket/prefix",
    with the extra `s3`; credentials, region and endpoint are taken from the environment, as AWS's tools take them.
    `every`: the time from one checkpoint to the next, as "10s". `keep`: so many of the latest ones stay there.
    `savepoint`: the folder of one that the job starts from, if there is no checkpoint at `location` yet; it is then a
    job of its own. `allow_dropped_state`: start a changed flow although it has no step any more for some of the state.
    `allow_duplicates`: where a file of the latest checkpoint is missing or damaged, go on from the latest whole one
    that was kept, though what came after that is published already, and will be again.

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
    keep: int
    savepoint: str | None
    allow_dropped_state: bool
    allow_duplicates: bool

    def __init__(
        self,
        location: str | os.PathLike[str],
        every: str | timedelta = "10s",
        *,
        keep: int = 1,
        savepoint: str | os.PathLike[str] | None = None,
        allow_dropped_state: bool = False,
        allow_duplicates: bool = False,
    ) -> None:
        path = os.fspath(location)
        check_location(path)
        interval = parse_duration(every)
        if interval <= 0:
            raise UserError(f"every={every!r} is no interval", remedy='write every="10s"')
        if keep < 1:
            raise UserError(f"keep={keep}: a job goes on from its latest checkpoint", remedy="keep 1 or more")
        start = None if savepoint is None else os.fspath(savepoint)
        if start is not None:
            check_location(start)
        object.__setattr__(self, "location", path)
        object.__setattr__(self, "every", interval)
        object.__setattr__(self, "keep", keep)
        object.__setattr__(self, "savepoint", start)
        object.__setattr__(self, "allow_dropped_state", allow_dropped_state)
        object.__setattr__(self, "allow_duplicates", allow_duplicates)


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


def base_of(checkpoints: Checkpoints, flow: str) -> Manifest | None:
    """What a job would go on from. Nothing is claimed: a job that runs there with another flow is not disturbed."""
    place = checkpoints.location
    manifest = latest_manifest(open_store(place))
    if manifest is None and checkpoints.savepoint is not None:
        place = checkpoints.savepoint
        manifest = adopted(read_savepoint(open_store(place)))
    if manifest is not None and manifest.flow != flow:
        raise UserError(
            f"the checkpoints in {place} are of the flow {manifest.flow!r}, not of {flow!r}",
            remedy="give each job a folder of its own",
        )
    return _to_go_on_from(manifest)


def _to_go_on_from(manifest: Manifest | None) -> Manifest | None:
    """None where the job is over: it has come to its end, and nothing that it prepared waits to be committed."""
    return None if manifest is None or (manifest.completed and not manifest.committables) else manifest
