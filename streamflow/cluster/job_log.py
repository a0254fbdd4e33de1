"""The log of one job: who runs it, and which checkpoints are complete (rules 21, 22).

Entries `log/<k>` are JSON, written only by `create` at the writer's last seen k + 1: a claim opens an attempt, a
manifest completes a checkpoint. Whoever finds another's entry there is fenced.

Old entries are deleted, and then a zombie could create one in the gap and not notice. So every `BLOCK`th stays for
ever, empty in the end, and entries go only when a whole block of them is older than what is kept: below one that is
gone, the next `BLOCK`th stands, and who has created there looks for it. It is also how the end of the log is found,
without a listing and without reading all of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from streamflow.errors import EngineError, Fatal, Retryable, StreamflowError
from streamflow.state.store import AlreadyExists, CheckpointStore, NotFound

LOG_VERSION = 1
BLOCK = 256
CONFIRMED = "log/confirmed"
"""The number of the last manifest that somebody has confirmed. A zombie may set it back: then some are committed again,
which does no harm."""
_TRIES = 5

JsonObject: TypeAlias = "dict[str, Any]"


class Fenced(StreamflowError):
    """Another attempt of the job has taken over: stop, and touch nothing of it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, remedy="the job goes on elsewhere; to run it here, stop it there and start it again")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the log. `body`: of a manifest what it holds, of a claim the number of the manifest before it."""

    number: int
    kind: str
    attempt: int
    nonce: str
    body: Mapping[str, Any]


class JobLog:
    """One writer of a job's log. `nonce`: unique to it. `Fenced` from any method: another attempt has begun.

    `attempt`: the one that it has claimed. `last`: the number of the latest entry that it knows; `base`: of the latest
    manifest, 0 where there is none. `confirmed`: what that one had prepared is committed everywhere.

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
        self.last = 0
        self.base = 0
        self.attempt = 0
        self.confirmed = False
        self._cleared = 0
        self._claimed = False

    def latest(self) -> Mapping[str, Any] | None:
        """The body of the latest manifest, None where there is none. Takes nothing over."""
        return self._look()

    def claim(self) -> Mapping[str, Any] | None:
        """Open the next attempt; the body of the latest manifest before it, None where there is none.

        The first time whoever runs the job is taken over. From then on the job is this writer's until another takes it
        over: its further attempts follow on its own entries, or are fenced.
        """
        if self._claimed:
            manifest = self._look_on()
            self._open()
            return manifest
        for _ in range(_TRIES):
            manifest = self._look()
            try:
                self._open()
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
        self.base, self.confirmed = self.last, False

    def confirm(self, oldest: int) -> None:
        """What the latest manifest had prepared is committed. Entries below `oldest` are not needed any more."""
        self._patiently(lambda: self._store.put(CONFIRMED, str(self.base).encode()))
        self.confirmed = True
        start = oldest // BLOCK * BLOCK
        if start <= self._cleared:
            return
        for path in self._store.list("log"):
            name = path.removeprefix("log/")
            if name.isdigit() and int(name) < start and int(name) % BLOCK:
                self._store.delete(path)
        if start > BLOCK:
            self._store.put(f"log/{start - BLOCK}", b"")
        self._cleared = start

    def manifests(self, most: int) -> list[tuple[int, Mapping[str, Any]]]:
        """The latest manifests that are still there, each with its number, the oldest first."""
        found: list[tuple[int, Mapping[str, Any]]] = []
        number = self.base
        while number and len(found) < most:
            entry = self._read(number)
            if entry is None or entry.kind == "gone":
                break
            if entry.kind == "manifest":
                found.append((number, entry.body))
                number -= 1
            else:
                number = int(entry.body["base"])
        return found[::-1]

    # -- reading

    def _look(self) -> Mapping[str, Any] | None:
        """Find the end of the log; the latest manifest's body."""
        block = _greatest(lambda block: self._exists(block * BLOCK))
        self.last = block * BLOCK + _greatest(lambda offset: offset < BLOCK and self._exists(block * BLOCK + offset))
        self.base = self.attempt = 0
        if self.last == 0:
            return None
        entry = self._needed(self.last)
        self.attempt = entry.attempt
        self.base = self.last if entry.kind == "manifest" else int(entry.body["base"])
        if not self.base:
            return None
        self.confirmed = self._confirmed() == self.base
        return self._needed(self.base).body

    def _look_on(self) -> Mapping[str, Any] | None:
        """Take in what this writer has written without knowing that it had; the latest manifest's body."""
        while (entry := self._read(self.last + 1)) is not None:
            if entry.nonce != self._nonce:
                raise Fenced(f"attempt {self.attempt} was taken over by attempt {entry.attempt}")
            self.last, self.attempt = self.last + 1, entry.attempt
            if entry.kind == "manifest":
                self.base, self.confirmed = self.last, False
        if not self.base:
            return None
        entry = self._read(self.base)
        if entry is None or entry.kind == "gone":
            raise Fenced(f"attempt {self.attempt} was taken over: the log has moved on")
        return entry.body

    def _needed(self, number: int) -> Entry:
        entry = self._read(number)
        if entry is None or entry.kind == "gone":
            raise Fatal(f"the entry {number} of the job's log is gone")
        return entry

    def _read(self, number: int) -> Entry | None:
        try:
            data = self._patiently(lambda: self._store.read(f"log/{number}"))
        except NotFound:
            return None
        return _decoded(number, data)

    def _exists(self, number: int) -> bool:
        try:
            self._patiently(lambda: self._store.read(f"log/{number}"))
        except NotFound:
            return False
        return True

    def _confirmed(self) -> int:
        try:
            return int(self._patiently(lambda: self._store.read(CONFIRMED)))
        except (NotFound, ValueError):
            return 0

    # -- writing

    def _open(self) -> None:
        self.attempt += 1
        self._create("claim", {"base": self.base})

    def _create(self, kind: str, body: Mapping[str, Any]) -> None:
        number = self.last + 1
        data = _encoded(kind, self.attempt, self._nonce, body)
        for _ in range(_TRIES):
            try:
                self._store.create(f"log/{number}", data)
            except (AlreadyExists, Retryable):
                found = self._read(number)  # an answer may be lost: the nonce says whose entry it is
                if found is None:
                    continue
                if found.nonce != self._nonce:
                    raise Fenced(f"attempt {self.attempt} was taken over by attempt {found.attempt}") from None
                if found != _decoded(number, data):
                    raise Retryable(f"the entry {number} of the job's log is of a call that seemed to fail") from None
            break
        else:
            raise Retryable(f"the entry {number} of the job's log could not be written in {_TRIES} tries")
        if self._exists((number // BLOCK + 1) * BLOCK):
            raise Fenced(f"attempt {self.attempt} was taken over: the log has moved on")
        self.last = number

    def _patiently(self, call: Callable[[], Any]) -> Any:
        for last in range(_TRIES):
            try:
                return call()
            except Retryable:
                if last == _TRIES - 1:
                    raise
        raise AssertionError


def _greatest(holds: Callable[[int], bool]) -> int:
    """The greatest number for which it holds, if it does for all smaller ones above 0; 0 if it does for none."""
    high = 1
    while holds(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _encoded(kind: str, attempt: int, nonce: str, body: Mapping[str, Any]) -> bytes:
    entry = {"version": LOG_VERSION, "kind": kind, "attempt": attempt, "nonce": nonce, "body": dict(body)}
    return json.dumps(entry, separators=(",", ":")).encode()


def _decoded(number: int, data: bytes) -> Entry:
    if not data:
        return Entry(number, "gone", 0, "", {})
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
