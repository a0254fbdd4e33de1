"""A worker's process: the edge around `streamflow.engine.worker.Worker`, as the simulation has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias, cast

from streamflow.engine.control import Deploy, Failed, FromWorker, Joined, Renewed, ToWorker, decode, encode
from streamflow.engine.wire import Bytes
from streamflow.engine.worker import Worker, Written
from streamflow.errors import Retryable
from streamflow.testing.simulation.network import Connection, Line
from streamflow.testing.simulation.process import Option, Process, Scene
from streamflow.testing.simulation.trouble import Kind

LEASE = 2_000_000
"""Microseconds on its own clock after which a worker that hears nothing of its coordinator exits (rule 36)."""
BEAT = 200_000

Connections: TypeAlias = "dict[tuple[int, int], Connection]"
"""Those between the workers of an attempt, by both their numbers, the lower first."""


class WorkerProcess(Process):
    """`down` and `up`: its connection with the coordinator.

    It ends when that connection closes or its lease lapses. Its loop, its heartbeat and the writing of its state have
    a thread each.
    """

    def __init__(
        self,
        scene: Scene,
        name: str,
        number: int,
        *,
        connections: Connections,
        make: Callable[[WorkerProcess], Worker],
        graph: str,
    ) -> None:
        super().__init__(scene, name)
        self.number = number
        lag = scene.rng.choice([0, 0, 0, 20_000])
        self.down: Line[bytes] = Line(scene.time, lag)
        self.up: Line[bytes] = Line(scene.time, lag)
        self._connections = connections
        self._peers: dict[int, Connection] = {}
        self._pieces: dict[int, Iterator[Bytes]] = {}
        self._says: list[FromWorker] = [Joined(graph, name)]
        self._results: list[Written] = []
        self._idle = False
        self._beats_at = self.clock.monotonic() + BEAT
        self._lapses_at = self.clock.monotonic() + LEASE
        self.worker = make(self)

    def options(self) -> list[Option]:
        found: list[Option] = []
        now = self.clock.monotonic()
        if self._says:
            found.append(("loop", self._say))
        if (at := self.down.arrives_at()) is not None and at <= self.scene.time.now:
            found.append(("loop", self._hear))
        if now >= min(self._beats_at, self._lapses_at):
            found.append(("beat", self._beat))
        if self._results:
            found.append(("loop", self._take_result))
        if self.worker.writes:
            found.append(("write", self._write))
        for peer, connection in self._peers.items():
            if connection.broken:
                found.append(("loop", partial(self._lose, peer)))
                continue
            if connection.into[self.number]:
                found.append(("loop", partial(self._read, peer)))
            if peer in self._pieces and connection.into[peer].has_room:
                found.append(("loop", partial(self._send, peer)))
        if self.worker.running and (not self._idle or self._is_due(now)):
            found.append(("loop", self._step))
        return found

    def _is_due(self, now: int) -> bool:
        due = self.worker.wakes_at()
        return due is not None and due <= now

    def wakes_at(self) -> int:
        until = min(self._beats_at, self._lapses_at)
        if self.worker.running and (due := self.worker.wakes_at()) is not None:
            until = min(until, due)
        at = self.scene.time.now + self.clock.until(until)
        heard = self.down.arrives_at()
        return at if heard is None else min(at, heard)

    def die(self) -> None:
        super().die()
        self.up.closed = True
        self.up.held_until = self.scene.time.now + self.scene.rng.choice([0, 0, 50_000])
        for connection in self._peers.values():
            connection.broken = True

    def cut(self, kind: Kind) -> None:
        """Its connections break, or nothing passes on that with its coordinator for a while."""
        rng = self.scene.rng
        if kind == "cut":
            self.down.closed = self.up.closed = True
            for connection in self._peers.values():
                connection.broken = True
        else:
            self.down.held_until = self.scene.time.now + rng.randrange(2 * LEASE)
            self.up.held_until = self.scene.time.now + rng.randrange(2 * LEASE)

    # -- with the coordinator

    def _say(self) -> None:
        message = self._says.pop(0)
        self.up.put(encode(message))
        if isinstance(message, Failed):
            self.die()

    def _hear(self) -> None:
        data = self.down.take()
        if data is None:
            self._exit("its coordinator is gone")
            return
        match cast("ToWorker", decode(data)):
            case Renewed():
                self._lapses_at = self.clock.monotonic() + LEASE
            case Deploy() as message:
                for peer in message.peers:
                    if peer != self.number:
                        ends = min(peer, self.number), max(peer, self.number)
                        self._peers[peer] = self._connections.setdefault(ends, Connection(self.scene.rng, ends))
                self.worker.on_message(message)
            case message:
                self.worker.on_message(message)
        self._go_on()

    def _beat(self) -> None:
        now = self.clock.monotonic()
        if now >= self._lapses_at:
            self._exit("its lease has lapsed")
        else:
            self._beats_at = now + BEAT
            self._says.append(self.worker.report())

    def _exit(self, why: str) -> None:
        self.scene.trouble.story.append(f"{self.name} exits: {why}")
        self.die()

    # -- its work

    def _step(self) -> None:
        if self.worker.step():
            self._go_on()
        else:
            self._idle = True

    def _write(self) -> None:
        self._results.append(self.worker.writes.pop(0)())

    def _take_result(self) -> None:
        self.worker.on_written(self._results.pop(0))
        self._go_on()

    def _go_on(self) -> None:
        """Something has changed: there may be something to say, to send and to do."""
        self._idle = False
        self._says += self.worker.taken()
        for peer, connection in self._peers.items():
            if not connection.broken:
                self._send(peer)

    # -- with other workers

    def _send(self, peer: int) -> None:
        """Write what may be sent, as long as the connection takes it."""
        pipe = self._peers[peer].into[peer]
        while pipe.has_room:
            pieces = self._pieces.setdefault(peer, self.worker.links.outgoing(peer))
            piece = next(pieces, None)
            if piece is None:
                del self._pieces[peer]
                return
            pipe.write(piece)
            self._idle = False

    def _read(self, peer: int) -> None:
        self.worker.on_data(peer, self._peers[peer].into[self.number].read())
        self._go_on()

    def _lose(self, peer: int) -> None:
        del self._peers[peer]
        self.worker.fail(Retryable(f"the connection with worker {peer} is lost"))
        self._go_on()
