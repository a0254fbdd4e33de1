"""The worker processes of a job, seen from its coordinator: started, listened to, ended, and always waited for."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeAlias

from streamflow.cluster.events import AllGone, Heard, WorkerGone
from streamflow.engine.control import (
    Acknowledged,
    ControlError,
    Declined,
    Deployed,
    Failed,
    Finished,
    FromWorker,
    Joined,
    ReadEnded,
    Report,
    ToWorker,
    decode,
    encode,
)
from streamflow.runners.bell import Bell
from streamflow.runners.lifeline import ORPHANED
from streamflow.runners.orders import Orders, named_by
from streamflow.runners.sockets import Connection, Frames, Listener, Lost, frame, new_secret

_ROOT = str(Path(__file__).parents[2])
_LONGEST_PATH = 80
"""Of a folder for Unix sockets: the system allows about a hundred characters for a socket's path."""

WorkerEvent: TypeAlias = "Heard | WorkerGone | AllGone"


@dataclass(slots=True)
class _Member:
    """One worker of the attempt. `process` is None where it could not be started."""

    number: int
    process: subprocess.Popen[bytes] | None
    connection: Connection | None = None
    frames: Frames = field(default_factory=Frames)
    outbox: deque[bytes] = field(default_factory=deque)
    gone: bool = False

    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None


class Workers:
    """At most one attempt has workers. `orders`: what all of them are told.

    `bell`: rung by other threads it ends a `wait`.
    """

    def __init__(self, orders: Orders) -> None:
        self.bell = Bell()
        self._folder = Path(_folder())
        self._arrived: SimpleQueue[Connection] = SimpleQueue()
        secret = new_secret()
        self._listener = Listener(secret, self._on_arrival, folder=self._folder, name="c", tcp=orders.tcp)
        self._orders = replace(
            orders, secret=secret.hex(), coordinator=self._listener.address, folder=str(self._folder)
        )
        self._ready = select.poll()
        self._ready.register(self.bell, select.POLLIN)
        self._attempt = 0
        self._members: list[_Member] = []
        self._by_fileno: dict[int, _Member] = {}
        self._ending = False
        self._events: deque[WorkerEvent] = deque()

    # -- what is wanted

    def launch(self, attempt: int, workers: int) -> None:
        """Start the processes of an attempt. One that cannot be started is gone."""
        self._attempt, self._ending = attempt, False
        self._members = [_Member(number, None) for number in range(workers)]
        for member in self._members:
            try:
                member.process = _started(replace(self._orders, attempt=attempt, workers=workers, number=member.number))
            except OSError as error:
                self._lose(member, f"its process cannot be started: {error}")

    def send(self, attempt: int, worker: int, message: ToWorker) -> None:
        """Give a worker this message; nothing happens where it is gone."""
        if attempt == self._attempt and not self._ending:
            member = self._members[worker]
            member.outbox.append(frame(encode(message)))
            self._flush(member)

    def kill(self, attempt: int) -> None:
        """End all at once. `AllGone` comes when every one has been waited for."""
        if attempt != self._attempt:
            self._events.append(AllGone(attempt))
            return
        self._ending = True
        for member in self._members:
            self._kill(member)

    def wait(self, milliseconds: float) -> list[WorkerEvent]:
        """What has happened, or happens within this time."""
        for fileno, _ in self._ready.poll(0 if self._events else milliseconds):
            if fileno == self.bell.fileno():
                self.bell.clear()
            elif (member := self._by_fileno.get(fileno)) is not None:
                self._receive(member)
                self._flush(member)
        self._welcome()
        for member in self._members:
            if not member.gone and member.ended():
                self._receive(member)  # what it said last
                self._lose(member, "")
        if self._ending and all(member.ended() for member in self._members):
            self._ending, self._members = False, []
            self._events.append(AllGone(self._attempt))
        found = list(self._events)
        self._events.clear()
        return found

    def close(self) -> None:
        """End what still lives, and wait for it."""
        for member in self._members:
            self._kill(member)
        for member in self._members:
            if member.process is not None:
                member.process.wait()
        self._listener.close()
        while (left := self._next_arrival()) is not None:
            left.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- connections

    def _on_arrival(self, connection: Connection) -> None:
        self._arrived.put(connection)
        self.bell.ring()

    def _next_arrival(self) -> Connection | None:
        try:
            return self._arrived.get_nowait()
        except Empty:
            return None

    def _welcome(self) -> None:
        while (arrived := self._next_arrival()) is not None:
            number = named_by(arrived.name, "control", self._attempt)
            if number is None or not 0 <= number < len(self._members) or self._ending:
                arrived.close()
                continue
            member = self._members[number]
            if member.gone or member.connection is not None:
                arrived.close()
                continue
            member.connection = arrived
            self._by_fileno[arrived.fileno()] = member
            self._ready.register(arrived, select.POLLIN)
            self._flush(member)

    def _receive(self, member: _Member) -> None:
        try:
            while member.connection is not None and (data := member.connection.receive()):
                for message in member.frames.feed(data):
                    self._events.append(Heard(self._attempt, member.number, _from_worker(message)))
        except Lost as error:
            self._lose(member, error.message)
        except ControlError as error:
            self._lose(member, f"it does not speak as a worker: {error.message}")

    def _flush(self, member: _Member) -> None:
        connection = member.connection
        if connection is None:
            return

        def pieces() -> Iterator[bytes]:
            while member.outbox:
                yield member.outbox.popleft()

        try:
            connection.send(pieces())
        except Lost as error:
            self._receive(member)  # why, if it has said it
            self._lose(member, error.message)
            return
        self._ready.modify(connection, select.POLLIN | (select.POLLOUT if connection.unsent else 0))

    def _lose(self, member: _Member, why: str) -> None:
        if member.gone:
            return
        if member.process is not None:
            with suppress(subprocess.TimeoutExpired):  # then it lives without a connection, of no use to anybody
                why = _exit_text(member.process.wait(0.5))
        self._kill(member)
        if not self._ending:
            self._events.append(WorkerGone(self._attempt, member.number, why))

    def _kill(self, member: _Member) -> None:
        member.gone = True
        if member.process is not None:
            member.process.kill()
        if member.connection is not None:
            self._ready.unregister(member.connection)
            del self._by_fileno[member.connection.fileno()]
            member.connection.close()
            member.connection = None


def _started(orders: Orders) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, *["-O"] * sys.flags.optimize, "-P", "-m", "streamflow.runners.worker_process"],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin as told:  # it may have ended already: that is seen in `wait`
        told.write(orders.to_json().encode())
    return process


def _exit_text(code: int) -> str:
    if code == ORPHANED:
        return "it has not heard of its coordinator for the time of its lease"
    if code >= 0:
        return f"its process ended with exit code {code}"
    try:
        return f"its process was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"its process was ended by signal {-code}"


def _from_worker(message: bytes) -> FromWorker:
    found = decode(message)
    if isinstance(found, Joined | Deployed | ReadEnded | Acknowledged | Declined | Finished | Failed | Report):
        return found
    raise ControlError(f"{type(found).__name__} is not for a coordinator")


def _folder() -> str:
    """A folder that nobody else can look into."""
    made = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="streamflow-", dir=made if len(made) <= _LONGEST_PATH else "/tmp")
