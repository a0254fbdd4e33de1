"""A worker's channels: to itself a queue each, to every other worker over the wire, all on one connection per pair.

What waits on a channel is bounded in time, not in rows (rule 34): every `INTERVAL` the receiver allows about as many
bytes as it took in the last one, and twice as many where it had to wait for rows. A stage whose outgoing channels hold
more than they may send has no room, and is to be given nothing until it has.

Watermarks wait a moment before they go, for each costs its receiver about as much as a small batch: a later one takes
the place of those before it. Rows may overtake one, for so they only come earlier than it says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from streamflow.engine.outputs import Channel, Port
from streamflow.engine.wire import FIRST, Arrived, Bytes, Granted, Receiver, Sender
from streamflow.operators.events import Event, Watermark
from streamflow.plan.physical import Edge, PhysicalGraph

INTERVAL = 100_000
"""Microseconds."""
LEAST = 32 * 1024
MOST = 8 * 1024 * 1024
"""The bytes of a channel that may be under way."""
LINGER = 5_000
"""Microseconds for which a watermark may wait."""
OWN = 4
"""Batches that may wait on a channel from a worker to itself."""


@dataclass(slots=True)
class _Inlet:
    """What has come in on a channel and was not taken."""

    port: Port
    peer: int
    number: int
    limit: int
    least: int
    queue: deque[Arrived] = field(default_factory=deque)
    taken: int = 0
    starved: bool = False
    since: int | None = None

    def adjust(self, now: int) -> None:
        """A new limit, if it is time for one."""
        if self.since is None:
            self.since = now
        passed = now - self.since
        if passed >= INTERVAL:
            wanted = 2 * self.limit if self.starved else self.taken * INTERVAL // passed
            self.limit = min(max(wanted, self.least), MOST)
            self.since, self.taken, self.starved = now, 0, False


class Links:
    """The channels of worker `worker`, by which its tasks' events travel. Time is monotonic, in microseconds.

    `first`: the bytes of a channel that may be under way at first; `least`: that may always be.
    """

    def __init__(self, graph: PhysicalGraph, worker: int, *, first: int = FIRST, least: int = LEAST) -> None:
        self._graph = graph
        self._worker = worker
        peers = [peer for peer in range(graph.workers) if peer != worker]
        self._numbers: dict[Port, int] = {}
        self._schemas: dict[int, pa.Schema] = {}
        self._inlets: dict[Channel, _Inlet] = {}
        self._of_stage: list[list[_Inlet]] = [[] for _ in range(graph.stages)]
        self._exits: list[list[Port]] = [[] for _ in range(graph.stages)]
        for number, (port, edge) in enumerate(crossing(graph)):
            self._numbers[port] = number
            self._exits[graph.nodes[edge.source].stage].append(port)
            senders = [worker]
            if edge.exchange is not None:
                senders += peers
                self._schemas[number] = graph.nodes[edge.source].schema
            for sender in senders:
                inlet = _Inlet(port, sender, number, first, least)
                self._inlets[Channel(port, sender)] = inlet
                self._of_stage[graph.nodes[port[0]].stage].append(inlet)
        self._held: dict[tuple[Port, int], Watermark] = {}
        self._held_since = 0
        self._by_number = {(inlet.peer, inlet.number): inlet for inlet in self._inlets.values()}
        self._senders = {peer: Sender(self._schemas, first) for peer in peers}
        self._receivers = {peer: Receiver(self._schemas, 2 * MOST) for peer in peers}

    # -- towards the others

    def send(self, port: Port, worker: int, event: Event, now: int) -> None:
        """Put an event on the channel from this worker into `port` of `worker`."""
        if isinstance(event, Watermark) and not event.idle:
            if not self._held:
                self._held_since = now
            self._held[port, worker] = event
            return
        if not isinstance(event, pa.RecordBatch):
            held = self._held.pop((port, worker), None)
            if held is not None:
                self._put(port, worker, held)
        self._put(port, worker, event)

    def _put(self, port: Port, worker: int, event: Event) -> None:
        if worker == self._worker:
            self._inlets[Channel(port, worker)].queue.append(Arrived(self._numbers[port], event))
        else:
            self._senders[worker].put(self._numbers[port], event)

    def release(self, now: int | None) -> bool:
        """Let watermarks go that have waited long enough at `now`; all, where it is None. Whether there were any."""
        if not self._held or (now is not None and now - self._held_since < LINGER):
            return False
        for (port, worker), held in self._held.items():
            self._put(port, worker, held)
        self._held.clear()
        return True

    def outgoing(self, peer: int) -> Iterator[Bytes]:
        """All that may be sent to a worker now, as pieces to be written to its connection one after the other."""
        return self._senders[peer].frames()

    def has_room(self, stage: int) -> bool:
        """Whether the stage may be given work: what it sent before is, or may be, on its way."""
        for port in self._exits[stage]:
            if len(self._inlets[Channel(port, self._worker)].queue) > OWN:
                return False
            number = self._numbers[port]
            if number in self._schemas and any(sender.queued(number) for sender in self._senders.values()):
                return False
        return True

    # -- from the others

    def feed(self, peer: int, data: Bytes) -> None:
        """What was read from a worker's connection, cut anywhere. WireError: it is to be closed."""
        for one in self._receivers[peer].feed(data):
            if isinstance(one, Granted):
                self._senders[peer].granted(one)
            else:
                self._by_number[peer, one.channel].queue.append(one)

    def waiting(self, stage: int) -> Iterator[Channel]:
        """The channels of a stage on which something waits, each in its turn."""
        return (Channel(inlet.port, inlet.peer) for inlet in self._of_stage[stage] if inlet.queue)

    def take(self, channel: Channel, now: int) -> Event:
        """The next event of a channel on which one waits."""
        inlet = self._inlets[channel]
        inlets = self._of_stage[self._graph.nodes[channel.port[0]].stage]
        inlets.remove(inlet)
        inlets.append(inlet)  # the others come first now
        arrived = inlet.queue.popleft()
        if arrived.size:
            inlet.taken += arrived.size
            inlet.starved = inlet.starved or not inlet.queue
            inlet.adjust(now)
            self._senders[inlet.peer].grant(inlet.number, self._receivers[inlet.peer].consumed(arrived), inlet.limit)
        return arrived.event


def crossing(graph: PhysicalGraph) -> list[tuple[Port, Edge]]:
    """The edges between stages, each with the port that it leads to, in the same order on every worker."""
    return [
        ((node.id, edge.port), edge)
        for node in graph.nodes
        for edge in node.edges
        if graph.nodes[edge.source].stage != node.stage
    ]
