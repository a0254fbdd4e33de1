"""A worker's connection with its coordinator, in a thread of its own, which a slow function does not hold up.

The thread tells the coordinator every second that the worker lives and how far it is. And it ends the process, at
once, when that connection closes, or when no report that was sent within the time of the lease has been answered: then
the coordinator may have given the worker up, and another attempt may run in its place (rule 36).
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType

from streamflow.engine.clock import SystemClock
from streamflow.engine.control import (
    Completed,
    ControlError,
    Deploy,
    Drain,
    Finish,
    FromWorker,
    Renewed,
    Report,
    ToWorker,
    Trigger,
)
from streamflow.engine.control import decode as decoded
from streamflow.engine.control import encode as encoded
from streamflow.runners.bell import Bell
from streamflow.runners.sockets import Connection, Frames, Lost, frame

EVERY = 1_000_000
"""Microseconds between two reports."""
ORPHANED = 3
"""The exit code of a worker that has lost its coordinator."""

_OURS = str(Path(__file__).parents[1])


class Lifeline:
    """`inbox`: what the coordinator said, in order; `bell` rings when there is something. `lease`: in microseconds.

    `report`: what to tell of the worker every second.
    """

    def __init__(self, connection: Connection, lease: int) -> None:
        self.inbox: deque[ToWorker] = deque()
        self.bell = Bell()
        self.report = Report(turns=0)
        self._connection = connection
        self._lease = lease
        self._clock = SystemClock()
        self._until = self._clock.monotonic() + lease
        self._next_report = self._clock.monotonic()
        self._reported: deque[int] = deque()
        """When the reports were sent that are not answered."""
        self._told = -1
        self._outbox: deque[bytes] = deque()
        self._poked = Bell()
        self._sent = threading.Condition()
        self._queued = self._under_way = self._gone = 0
        self._host = threading.main_thread().ident
        self._frames = Frames()
        threading.Thread(target=self._run, name="streamflow-lifeline", daemon=True).start()

    def say(self, messages: Iterable[FromWorker]) -> None:
        """Send these to the coordinator, in order."""
        for message in messages:
            self._put(message)
        self._poked.ring()

    def flush(self, seconds: float) -> None:
        """Wait until all that was said is sent, so long at most."""
        with self._sent:
            queued = self._queued
            self._sent.wait_for(lambda: self._gone >= queued, seconds)

    def check(self) -> None:
        """End the process if its lease is over: what a process does that was stopped for a while and goes on."""
        if self._clock.monotonic() > self._until:
            _end("its coordinator has not answered for the time of its lease")

    # -- the thread

    def _run(self) -> None:
        try:
            while True:
                self._wait()
                self.check()
                self._listen()
                self._speak()
        except Lost:
            os._exit(ORPHANED)
        except BaseException as error:  # noqa: BLE001 - a worker without this thread would live on unseen
            _end(f"{type(error).__name__}: {error}")

    def _wait(self) -> None:
        waiting = select.poll()
        waiting.register(self._connection, select.POLLIN | (select.POLLOUT if self._connection.unsent else 0))
        waiting.register(self._poked, select.POLLIN)
        now = self._clock.monotonic()
        waiting.poll(max(0.0, (min(self._next_report, self._until) - now) / 1000) + 1)
        self._poked.clear()

    def _listen(self) -> None:
        while data := self._connection.receive():
            for message in self._frames.feed(data):
                said = _for_worker(message)
                if isinstance(said, Renewed):
                    self._until = self._reported.popleft() + self._lease
                else:
                    self.inbox.append(said)
                    self.bell.ring()

    def _speak(self) -> None:
        now = self._clock.monotonic()
        if now >= self._next_report:
            self._next_report = now + EVERY
            self._put(self._sign_of_life())
        taken = 0

        def pieces() -> Iterator[bytes]:
            nonlocal taken
            while self._outbox:
                taken += 1
                yield self._outbox.popleft()

        self._connection.send(pieces())
        with self._sent:
            self._under_way += taken
            if not self._connection.unsent:
                self._gone += self._under_way
                self._under_way = 0
                self._sent.notify_all()

    def _put(self, message: FromWorker) -> None:
        data = frame(encoded(message))
        with self._sent:
            if isinstance(message, Report):
                self._reported.append(self._clock.monotonic())
            self._queued += 1
            self._outbox.append(data)

    def _sign_of_life(self) -> Report:
        report = self.report
        if report.turns == self._told:
            report = replace(report, where=_where(sys._current_frames().get(self._host or 0)))
        self._told = report.turns
        return report


def _for_worker(message: bytes) -> ToWorker:
    found = decoded(message)
    if isinstance(found, Deploy | Trigger | Completed | Finish | Drain | Renewed):
        return found
    raise ControlError(f"{type(found).__name__} is not for a worker")


def _where(frame_: FrameType | None) -> str | None:
    """The line at which the user's code is, or else ours."""
    inner = frame_
    while frame_ is not None:
        code = frame_.f_code
        if not code.co_filename.startswith((_OURS, "<")) and "site-packages" not in code.co_filename:
            return f"{code.co_filename}:{frame_.f_lineno}, in {code.co_name}"
        frame_ = frame_.f_back
    return None if inner is None else f"{inner.f_code.co_filename}:{inner.f_lineno}, in {inner.f_code.co_name}"


def _end(why: str) -> None:
    os.write(2, f"streamflow: worker process {os.getpid()} ends: {why}\n".encode())
    os._exit(ORPHANED)
