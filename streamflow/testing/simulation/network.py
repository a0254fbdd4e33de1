"""Connections: what is written on one arrives later, in its order, cut anywhere; between connections in any order.

Nothing arrives twice: a connection that breaks is not mended, it ends the attempt, so nothing is sent again on another.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Generic, TypeVar

from streamflow.testing.simulation.clocks import Time

Message = TypeVar("Message")


class Pipe:
    """One direction of a connection of bytes. It takes in only so much before somebody reads."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._capacity = rng.choice([1, 64, 4096, 65_536])
        self._cut = rng.choice([1, 16, 1024, 1 << 20])
        self._data = bytearray()

    @property
    def has_room(self) -> bool:
        return len(self._data) < self._capacity

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        self._data += piece

    def __len__(self) -> int:
        return len(self._data)

    def read(self) -> bytes:
        """Some of what has come in, from its beginning."""
        size = min(len(self._data), self._rng.randint(self._cut, max(self._cut, len(self._data))))
        data = bytes(self._data[:size])
        del self._data[:size]
        return data


class Connection:
    """Of two workers: a pipe each way, by who reads it. `broken`: both are yet to notice."""

    def __init__(self, rng: random.Random, ends: tuple[int, int]) -> None:
        self.into = {end: Pipe(rng) for end in ends}
        self.broken = False


class Line(Generic[Message]):
    """One direction of a connection of messages, each of which takes `lag`.

    `closed`: nothing more is written, what is under way still arrives. `held_until`: nothing arrives before that time.
    """

    def __init__(self, time: Time, lag: int) -> None:
        self._time = time
        self._lag = lag
        self._under_way: deque[tuple[int, Message]] = deque()
        self.closed = False
        self.held_until = 0

    def put(self, message: Message) -> None:
        if not self.closed:
            self._under_way.append((self._time.now + self._lag, message))

    def take(self) -> Message | None:
        """What has arrived; None: the end."""
        return self._under_way.popleft()[1] if self._under_way else None

    def arrives_at(self) -> int | None:
        """When the next message, or the end, is there; None: nobody knows."""
        if self._under_way:
            return max(self._under_way[0][0], self.held_until)
        return self.held_until if self.closed else None
