"""The log of one job: who runs it, and which checkpoints are complete (rules 21, 22).

Entries `log/<k>` are JSON, written only by `create` at the writer's last seen k + 1: a claim opens an attempt, a
manifest completes a checkpoint. Whoever finds another's entry there is fenced. Old entries can be deleted, and then a
zombie could create one in the gap and not notice; so `log/horizon` names the entry below which all may be gone, a
manifest whose commits are confirmed. It is raised before anything below it is deleted and looked at after every create:
who has created below it is fenced, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from streamflow.errors import EngineError, Fatal, Retryable, StreamflowError
from streamflow.state.store import AlreadyExists, CheckpointStore, NotFound

LOG_VERSION = 1
HORIZON = "log/horizon"
_TRIES = 5

JsonObject: TypeAlias = "dict[str, Any]"


class Fenced(StreamflowError):
    """Another attempt of the job has taken over: stop, and touch nothing of it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, remedy="the job goes on elsewhere; to run it here, stop it there and start it again")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the log. `body`: of a manifest what it holds, of a claim the checkpoint that it starts from."""

    number: int
    kind: str
    attempt: int
    nonce: str
    body: Mapping[str, Any]


class JobLog:
    """One writer of a job's log: an attempt, from its claim on.

    `nonce`: unique to this writer. `confirmed`: what the manifest that `claim` gave had prepared is committed. `Fenced`
    from any method: another attempt has begun.

    >>> from streamflow.testing.stores import MemoryStore
    >>> store = MemoryStore()
    >>> first = JobLog(store, "a")
    >>> first.claim(), first.attempt
    (None, 1)
    >>> first.complete({"checkpoint": 1})
    >>> second = JobLog(store, "b")
    >>> second.claim(), second.attempt
    ({'checkpoint': 1}, 2)
    >>> first.complete({"checkpoint": 2})
    Traceback (most recent call last):
    ...
    streamflow.cluster.job_log.Fenced: attempt 1 was taken over by attempt 2
      remedy: the job goes on elsewhere; to run it here, stop it there and start it again
    """

    def __init__(self, store: CheckpointStore, nonce: str) -> None:
        self._store = store
        self._nonce = nonce
        self._last = 0
        self.attempt = 0
        self.confirmed = False
        self._claimed = False

    def latest(self) -> Mapping[str, Any] | None:
        """The body of the latest manifest, None where there is none. Takes nothing over."""
        return self._seek()

    def claim(self) -> Mapping[str, Any] | None:
        """Open the next attempt; the body of the latest manifest before it, None where there is none."""
        for _ in range(_TRIES):
            manifest = self._seek()
            self.attempt += 1
            base = None if manifest is None else manifest["checkpoint"]
            try:
                self._create("claim", {"base": base})
            except Fenced:  # somebody claimed at the same time: go behind them
                continue
            self._claimed = True
            return manifest
        raise Retryable("other attempts of the job start again and again while this one tries to")

    def complete(self, manifest: Mapping[str, Any]) -> None:
        """Save the manifest of a checkpoint: from here on it is complete, and its commits may run."""
        if not self._claimed:
            raise EngineError("a manifest is saved by an attempt that has claimed the log")
        self._create("manifest", manifest)

    def confirm(self) -> None:
        """What the manifest saved last had prepared is committed: the entries before it are not needed any more."""
        self._patiently(lambda: self._store.put(HORIZON, str(self._last).encode()))
        for path in self._store.list("log"):
            name = path.removeprefix("log/")
            if name.isdigit() and int(name) < self._last:
                self._store.delete(path)

    # -- reading

    def _seek(self) -> Mapping[str, Any] | None:
        """Go to the log's end, probing forward entry by entry; the latest manifest's body."""
        horizon = self._read_horizon()
        number, manifest, saved_at, self.attempt = max(horizon, 1), None, 0, 0
        while True:
            entry = self._read(number)
            if entry is not None:
                self.attempt = entry.attempt
                if entry.kind == "manifest":
                    manifest, saved_at = entry.body, number
                number += 1
                continue
            now = self._read_horizon()
            if now == horizon:
                break
            horizon = number = now  # deleted while we looked
        if horizon and self.attempt == 0:
            raise Fatal(f"the entry {horizon} of the job's log is gone, though the log begins there")
        self.confirmed = saved_at == horizon
        self._last = number - 1
        return manifest

    def _read(self, number: int) -> Entry | None:
        try:
            data = self._patiently(lambda: self._store.read(f"log/{number}"))
        except NotFound:
            return None
        return _decoded(number, data)

    def _read_horizon(self) -> int:
        try:
            return int(self._patiently(lambda: self._store.read(HORIZON)))
        except NotFound:
            return 0

    # -- writing

    def _create(self, kind: str, body: Mapping[str, Any]) -> None:
        number = self._last + 1
        data = _encoded(kind, self.attempt, self._nonce, body)
        for _ in range(_TRIES):
            try:
                self._store.create(f"log/{number}", data)
            except (AlreadyExists, Retryable) as error:
                found = self._read(number)  # an answer may be lost: the nonce says whose entry it is
                if found is None:
                    if isinstance(error, AlreadyExists) and self._read_horizon() > number:
                        raise Fenced(f"attempt {self.attempt} was taken over") from None
                    continue
                if found.nonce != self._nonce:
                    raise Fenced(f"attempt {self.attempt} was taken over by attempt {found.attempt}") from None
            break
        else:
            raise Retryable(f"the entry {number} of the job's log could not be written in {_TRIES} tries")
        if self._read_horizon() > number:
            raise Fenced(f"attempt {self.attempt} was taken over: the log has moved on")
        self._last = number

    def _patiently(self, call: Callable[[], Any]) -> Any:
        for last in range(_TRIES):
            try:
                return call()
            except Retryable:
                if last == _TRIES - 1:
                    raise
        raise AssertionError


def _encoded(kind: str, attempt: int, nonce: str, body: Mapping[str, Any]) -> bytes:
    entry = {"version": LOG_VERSION, "kind": kind, "attempt": attempt, "nonce": nonce, "body": dict(body)}
    return json.dumps(entry, separators=(",", ":")).encode()


def _decoded(number: int, data: bytes) -> Entry:
    try:
        entry = json.loads(data)
        version = entry["version"]
        if version == LOG_VERSION:
            return Entry(number, entry["kind"], int(entry["attempt"]), str(entry["nonce"]), dict(entry["body"]))
    except (ValueError, KeyError, TypeError) as error:
        raise Fatal(f"the entry {number} of the job's log is damaged: {error!r}") from error
    raise Fatal(
        f"the entry {number} of the job's log has version {version}, this streamflow reads {LOG_VERSION}",
        remedy="run the job with the version of streamflow that wrote it",
    )
