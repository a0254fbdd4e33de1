"""Carries out what the master of a job wants of the checkpoint store and of the outside.

The order is the protocol (rules 21 to 26): an attempt claims the log before it touches anything; the files of a
checkpoint are durable before its manifest is saved; only then do sinks commit; only after that does what is older go.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from streamflow.cluster.events import (
    Claim,
    Claimed,
    Commit,
    Committed,
    Confirm,
    Confirmed,
    Copied,
    CopySavepoint,
    Discover,
    Discovered,
    NotDone,
    Performed,
    PerformerEvent,
    Recover,
    Recovered,
    Save,
    Saved,
)
from streamflow.cluster.job_log import BLOCK, JobLog
from streamflow.cluster.manifest import Manifest, from_json, to_json
from streamflow.connect.sink import Committer, TransactionalSink
from streamflow.engine.parts import Committables, Splits
from streamflow.engine.reading import discover_all
from streamflow.engine.writing import at_sink
from streamflow.errors import EngineError, Fatal, StreamflowError
from streamflow.plan.physical import PhysicalGraph, PhysicalNode
from streamflow.runners.checkpoints import Checkpoints
from streamflow.runners.savepoints import adopt_savepoint, write_savepoint
from streamflow.state.files import read_file
from streamflow.state.store import CheckpointStore, require_fence
from streamflow.state.stores import open_store

_FILE = re.compile(r"state/(\d+)-(\d+)-.*")


class Performer:
    """One coordinator's hands. `perform` is called from one thread at a time, in the order of the instructions.

    `new`: a uuid that nobody has used: this coordinator's in the log, and the job's where it starts afresh. `keep`: so
    many checkpoints stay in the store. `savepoint`: where one is that the job starts from, if the store holds no
    checkpoint. `allow_duplicates`: where a file of the latest checkpoint is damaged go on from one before it, though
    what came after that is published already. `opened`: gives the store of a savepoint's folder.
    """

    def __init__(
        self,
        store: CheckpointStore,
        graph: PhysicalGraph,
        new: str,
        *,
        keep: int = 1,
        savepoint: CheckpointStore | None = None,
        allow_duplicates: bool = False,
        opened: Callable[[str], CheckpointStore] = open_store,
    ) -> None:
        self.store = store
        self._graph = graph
        self._new = new
        self._keep = keep
        self._savepoint = savepoint
        self._allow_duplicates = allow_duplicates
        self._opened = opened
        self._log = JobLog(store, new)
        self._claimed: Claimed | None = None
        self._kept: list[tuple[int, Manifest]] = []
        """The latest checkpoints, each with its number in the log, the oldest first."""

    def perform(self, instruction: Performed) -> PerformerEvent:
        """Carry it out. Raises nothing: what goes wrong is `NotDone`."""
        try:
            return self._perform(instruction)
        except StreamflowError as error:
            return NotDone(instruction, error)
        except Exception as error:  # noqa: BLE001 - a bug must not kill the thread that everything waits for
            return NotDone(instruction, EngineError(f"{type(error).__name__}: {error}"))

    def _perform(self, instruction: Performed) -> PerformerEvent:
        match instruction:
            case Claim():
                return self.claim()
            case Recover(attempt):
                self.recover()
                return Recovered(attempt)
            case Discover(attempt):
                return Discovered(attempt, self.discover())
            case Save(attempt, manifest):
                self.save(manifest)
                return Saved(attempt, manifest.checkpoint)
            case Commit(attempt, checkpoint, committables):
                self.commit(committables)
                return Committed(attempt, checkpoint)
            case Confirm(attempt, checkpoint):
                self.confirm()
                return Confirmed(attempt, checkpoint)
            case CopySavepoint(request, checkpoint, folder):
                self.copy_savepoint(checkpoint, folder)
                return Copied(request)
            case other:
                assert_never(other)

    # -- the beginning of an attempt

    def claim(self) -> Claimed:
        """Open the next attempt. Whoever ran the job before is fenced from here on (rule 21)."""
        first = self._claimed is None
        if first:
            require_fence(self.store, f"probe/{self._new}")
        self._log.claim()
        attempt = self._log.attempt
        most = BLOCK if self._allow_duplicates else self._keep
        self._kept = [(number, from_json(body)) for number, body in self._log.manifests(most)]
        if not self._kept and self._savepoint is not None:
            self.save(adopt_savepoint(self._savepoint, self.store, job=self._new, attempt=attempt))
            self._log.confirm(self._log.base)
        base = self._base(first)
        self._claimed = Claimed(
            attempt=attempt,
            job=self._new if base is None else base.job,
            base=base,
            first=1 + (self._kept[-1][1].checkpoint if self._kept else 0),
            waits=first and attempt > 1 and not self._ended_well(),
        )
        self._sweep(attempt, 0)
        return self._claimed

    def _base(self, first: bool) -> Manifest | None:
        """The checkpoint to go on from; of a job that was over when this coordinator began, none."""
        if not self._kept:
            return None
        latest = self._kept[-1][1]
        if self._allow_duplicates:
            latest = next((m for _, m in reversed(self._kept) if self._is_whole(m)), latest)
        if latest is self._kept[-1][1] and self._log.confirmed:
            latest = replace(latest, committables={})
        return None if first and latest.completed and not latest.committables else latest

    def _is_whole(self, manifest: Manifest) -> bool:
        try:
            for files in manifest.state.values():
                for file in files:
                    read_file(self.store, file)
        except Fatal:
            return False
        return True

    def _ended_well(self) -> bool:
        """The coordinator before saw the last of its workers' rows: nothing of the job moves any more."""
        return bool(self._kept) and self._kept[-1][1].final and self._kept[-1][0] == self._log.last - 1

    def recover(self) -> None:
        """Commit what the checkpoint prepared and nobody has confirmed; what else earlier attempts staged goes."""
        base = self._attempt().base
        if base is None:
            self._discard_unknown({})
            return
        self.commit(base.committables)
        self._discard_unknown(base.committables)
        if base.committables and base == self._kept[-1][1]:
            self._log.confirm(self._kept[0][0])

    def discover(self) -> Splits:
        """The splits of every read: those that there are now, and those that the checkpoint knows."""
        base = self._attempt().base
        return discover_all(self._graph, {} if base is None else base.splits)

    # -- checkpoints

    def save(self, manifest: Manifest) -> None:
        """Make a checkpoint complete: from here on it is what the next attempt goes on from."""
        self._log.complete(to_json(manifest))
        self._kept.append((self._log.base, manifest))

    def commit(self, committables: Committables) -> None:
        """Let the sinks publish, in the order in which it was prepared; again is harmless."""
        publish(self._graph, self._attempt().job, committables)

    def confirm(self) -> None:
        """The latest checkpoint is published: what earlier attempts staged meanwhile goes (rule 23), and old files."""
        before = self._kept[-2][1].checkpoint if len(self._kept) > 1 else 0
        latest = self._kept[-1][1]
        self._discard_unknown(latest.committables)
        left = self._kept[-self._keep :]
        self._log.confirm(left[0][0])
        gone, self._kept = self._kept[: -self._keep], left
        named = self._named()
        for path in sorted({path for _, manifest in gone for path in manifest.paths()} - named):
            self.store.delete(path)
        if latest.checkpoint != before + 1:  # some were given up, and their files are named nowhere
            self._sweep(self._attempt().attempt, latest.checkpoint)

    def copy_savepoint(self, checkpoint: int, folder: str) -> None:
        """Copy the latest checkpoint, which is confirmed."""
        manifest = self._kept[-1][1]
        if manifest.checkpoint != checkpoint:
            raise EngineError(f"checkpoint {checkpoint} is to be copied, and {manifest.checkpoint} is the latest")
        write_savepoint(manifest, self.store, self._opened(folder))

    # -- what they have in common

    def _attempt(self) -> Claimed:
        if self._claimed is None:
            raise EngineError("the job's log is claimed first")
        return self._claimed

    def _discard_unknown(self, committables: Committables) -> None:
        claimed = self._attempt()
        for node, committer in _committers(self._graph, claimed.job):
            keep = {str(one["id"]) for one in committables.get(node.step, ())}
            at_sink(node, committer.discard_unknown, keep, claimed.attempt)

    def _named(self) -> set[str]:
        return {path for _, manifest in self._kept for path in manifest.paths()}

    def _sweep(self, attempt: int, checkpoint: int) -> None:
        """Delete files of earlier attempts, and of this one's checkpoints before `checkpoint`, that nothing names."""
        named = self._named()
        for path in self.store.list("state"):
            found = _FILE.fullmatch(path)
            old = found is not None and (int(found[1]) < attempt or int(found[2]) < checkpoint)
            if old and path not in named:
                self.store.delete(path)


def publish(graph: PhysicalGraph, job: str, committables: Committables) -> None:
    """Let the sinks of a job commit what was prepared, in this order. Of several, those before one that fails stay
    published.
    """
    for node, committer in _committers(graph, job):
        at_sink(node, committer.commit, committables.get(node.step, ()))


def _committers(graph: PhysicalGraph, job: str) -> list[tuple[PhysicalNode, Committer]]:
    return [
        (graph.nodes[number], work.sink.committer(job))
        for number, work in graph.sinks().items()
        if isinstance(work.sink, TransactionalSink)
    ]


def open_job(checkpoints: Checkpoints, graph: PhysicalGraph, new: str) -> Performer:
    """What performs for the job that has its checkpoints there. Nothing is claimed yet. `new`: see `Performer`."""
    savepoint = checkpoints.savepoint
    return Performer(
        open_store(checkpoints.location),
        graph,
        new,
        keep=checkpoints.keep,
        savepoint=None if savepoint is None else open_store(savepoint),
        allow_duplicates=checkpoints.allow_duplicates,
    )
