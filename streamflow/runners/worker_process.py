"""One worker of a job as a process: what the coordinator starts, and what it tells it on standard input.

It builds the flow anew and says how it came out; told to, it connects to the other workers, and then its engine's
`Worker` and the sockets have their turns. It ends with its coordinator, whatever happens to that.
"""

from __future__ import annotations

import io
import os
import select
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from streamflow.engine.clock import SystemClock
from streamflow.engine.control import Deploy, Failed, Finished, FromWorker, Joined
from streamflow.engine.worker import Worker, Written
from streamflow.errors import EngineError, Retryable, StreamflowError, UserError
from streamflow.flow.flow import Flow
from streamflow.plan.fingerprint import fingerprint
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise
from streamflow.runners.bell import Bell
from streamflow.runners.handshake import Refused
from streamflow.runners.lifeline import ORPHANED, Lifeline
from streamflow.runners.orders import Orders, named_by
from streamflow.runners.sockets import Connection, Listener, Lost, connect
from streamflow.runners.spilling import SpillFiles
from streamflow.runners.terminal import prepare_process
from streamflow.state.memory import Memory
from streamflow.state.stores import open_store

PEERS = 30.0
"""Seconds in which all workers of an attempt are connected."""

_IDLE = 100
"""The longest sleep, in milliseconds."""
_REPORT = 200_000
_WRITABLE = select.POLLOUT | select.POLLIN


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whether Ctrl-C ends the job is up to the coordinator
    orders = Orders.from_json(sys.stdin.read())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # several workers print: whole lines
    prepare_process()
    try:
        connection = connect(orders.coordinator, bytes.fromhex(orders.secret), orders.name("control"), orders.tcp)
    except (Retryable, Refused):
        os._exit(ORPHANED)
    lifeline = Lifeline(connection, orders.lease)
    with ExitStack() as closing:
        try:
            process = _Process(orders, lifeline)
            closing.callback(process.close)
            process.run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the coordinator is to know
            lifeline.say([Failed(told(error))])
            lifeline.flush(5)
    os._exit(1)  # not by way of threads that write a checkpoint, or of users' that never end


class _Process:
    """The worker, the connections, and whose turn it is."""

    def __init__(self, orders: Orders, lifeline: Lifeline) -> None:
        self._orders = orders
        self._lifeline = lifeline
        self._clock = SystemClock()
        self._peers: dict[int, Connection] = {}
        self._arrived: SimpleQueue[Connection] = SimpleQueue()
        self._ready = select.poll()
        self._by_fileno: dict[int, int] = {}
        self._writing: set[int] = set()
        self._next_report = 0
        self._lost_at: int | None = None
        flow = _built(orders)
        writes = flow.graph()
        text = fingerprint(writes, name=flow.name, max_errors=flow.max_errors)
        graph = place(
            optimise(writes),
            name=flow.name,
            workers=orders.workers,
            key_groups=orders.key_groups,
            max_errors=flow.max_errors,
        )
        spilled = SpillFiles(orders.spill_dir)
        self._store = open_store(orders.store)
        self._worker = Worker(
            graph,
            orders.number,
            store=self._store,
            clock=self._clock,
            memory=Memory(orders.memory // orders.workers, spilled),
            spilled=lambda: spilled.written,
        )
        self._listener = Listener(
            bytes.fromhex(orders.secret),
            self._arrived.put,
            folder=Path(orders.folder),
            name=f"{orders.attempt}-{orders.number}",
            tcp=orders.tcp,
        )
        self._writer = _Writer()
        self._ready.register(lifeline.bell, select.POLLIN)
        self._ready.register(self._writer.bell, select.POLLIN)
        lifeline.say([Joined(text, self._listener.address)])

    def run(self) -> None:
        """Until the coordinator ends it, or an error does."""
        while True:
            self._lifeline.check()
            while self._lifeline.inbox:
                message = self._lifeline.inbox.popleft()
                if isinstance(message, Deploy):
                    self._meet(message.peers)
                self._worker.on_message(message)
            worked = self._worker.step()
            self._pass_on()
            self._wait(0 if worked else self._idle())

    def close(self) -> None:
        """Let go of what the user's functions, sources and sinks hold; their errors come behind the first one."""
        with suppress(Exception):
            self._worker.close()

    # -- the other workers

    def _meet(self, addresses: Mapping[int, str]) -> None:
        """Connect to the workers before this one, and wait for those behind it."""
        orders = self._orders
        secret = bytes.fromhex(orders.secret)
        for peer in range(orders.number):
            self._peers[peer] = connect(addresses[peer], secret, orders.name("data"), orders.tcp)
        until = self._clock.monotonic() + int(PEERS * 1e6)
        while len(self._peers) < orders.workers - 1:
            left = (until - self._clock.monotonic()) / 1e6
            missing = [number for number in range(orders.number + 1, orders.workers) if number not in self._peers]
            try:
                arrived = self._arrived.get(timeout=max(left, 0))
            except Empty:
                raise Retryable(f"worker {missing[0]} has not connected to worker {orders.number}") from None
            peer_or_none = named_by(arrived.name, "data", orders.attempt)
            if peer_or_none in missing:
                self._peers[peer_or_none] = arrived
            else:
                arrived.close()
        self._listener.close()
        for peer, connection in self._peers.items():
            self._by_fileno[connection.fileno()] = peer
            self._ready.register(connection, select.POLLIN)

    def _receive(self, peer: int) -> None:
        connection = self._peers[peer]
        try:
            while data := connection.receive():
                self._worker.on_data(peer, data)
        except Lost:
            self._lose(peer)

    def _send(self, peer: int) -> None:
        connection = self._peers[peer]
        try:
            connection.send(self._worker.links.outgoing(peer))
        except Lost:
            self._lose(peer)
            return
        if connection.unsent != (peer in self._writing):
            self._writing ^= {peer}
            self._ready.modify(connection, _WRITABLE if connection.unsent else select.POLLIN)

    def _lose(self, peer: int) -> None:
        """The other worker has ended, well or badly: what follows from that the coordinator knows first."""
        connection = self._peers.pop(peer)
        self._ready.unregister(connection)
        del self._by_fileno[connection.fileno()]
        connection.close()
        if self._worker.running and self._lost_at is None:
            self._lost_at = self._clock.monotonic()

    # -- turns

    def _pass_on(self) -> None:
        """What the worker has for others."""
        self._writer.take(self._worker.writes)
        self._worker.writes.clear()
        for peer in list(self._peers):
            self._send(peer)
        if said := self._worker.taken():
            self._say(said)
        if (now := self._clock.monotonic()) >= self._next_report:
            self._next_report = now + _REPORT
            self._lifeline.report = self._worker.report()
            if self._lost_at is not None and now - self._lost_at > self._orders.lease:
                raise Retryable("the connection with another worker is lost")

    def _say(self, said: list[FromWorker]) -> None:
        for message in said:
            match message:
                case Failed(error):
                    raise error
                case Finished():
                    self._worker.close()  # before it counts as finished: what a function raises then is the job's error
                case _:
                    pass
            self._lifeline.say([message])

    def _idle(self) -> float:
        """How long nothing can be done unless something comes, in milliseconds."""
        self._worker.turns += 1
        due = self._worker.wakes_at()
        return _IDLE if due is None else min(_IDLE, max(0.0, (due - self._clock.monotonic()) / 1000))

    def _wait(self, milliseconds: float) -> None:
        filenos = self._worker.filenos() if milliseconds else []
        for fileno in filenos:
            self._ready.register(fileno, select.POLLIN)
        found = self._ready.poll(milliseconds)
        for fileno in filenos:
            self._ready.unregister(fileno)
        for fileno, _ in found:
            if (peer := self._by_fileno.get(fileno)) is not None:
                self._receive(peer)
            elif fileno == self._lifeline.bell.fileno():
                self._lifeline.bell.clear()
            elif fileno == self._writer.bell.fileno():
                for written in self._writer.done():
                    self._worker.on_written(written)
            else:
                self._worker.on_readable(fileno)


def _built(orders: Orders) -> Flow:
    try:
        return orders.target.build()
    except StreamflowError:
        raise
    except Exception as error:
        raise UserError(f"worker {orders.number} cannot build the flow: {type(error).__name__}: {error}") from error


class _Writer:
    """Writes checkpoints in a thread of its own, one after the other."""

    def __init__(self) -> None:
        self.bell = Bell()
        self._jobs: SimpleQueue[Any] = SimpleQueue()
        self._done: deque[Written | Exception] = deque()
        threading.Thread(target=self._run, name="streamflow-checkpoints", daemon=True).start()

    def take(self, jobs: list[Any]) -> None:
        for job in jobs:
            self._jobs.put(job)

    def done(self) -> list[Written]:
        """What came of the writes that are done; what one raised."""
        self.bell.clear()
        found = []
        while self._done:
            one = self._done.popleft()
            if isinstance(one, Exception):
                raise one
            found.append(one)
        return found

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                self._done.append(job())
            except Exception as error:  # noqa: BLE001 - it is raised where it is seen
                self._done.append(error)
            self.bell.ring()


def told(error: Exception) -> StreamflowError:
    """The error as the coordinator is to hear it: with the traceback of what a user's function raised."""
    if not isinstance(error, StreamflowError):
        lines = "".join(traceback.format_exception(error)).rstrip()
        return EngineError(f"{type(error).__name__}: {error}\n{lines}")
    origin = _origin(error)
    if origin is not None:
        error.message += "\n" + "".join(traceback.format_exception(origin)).rstrip()
    return error


def _origin(error: BaseException) -> BaseException | None:
    """The first error behind one of ours that is not."""
    seen = set()
    found: BaseException | None = error
    while isinstance(found, StreamflowError) and id(found) not in seen:
        seen.add(id(found))
        found = found.__context__ if found.__cause__ in (None, found) else found.__cause__
    return None if isinstance(found, StreamflowError) else found


if __name__ == "__main__":
    main()
