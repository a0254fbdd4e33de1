"""What tasks say to their host, and the channels that they say it about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from streamflow.operators.events import Barrier, Batch, Event

Port: TypeAlias = "tuple[int, int]"
"""A node's input: (node id, port)."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One direction between two tasks: from worker `sender` into one port of a node."""

    port: Port
    sender: int


@dataclass(frozen=True, slots=True)
class Send:
    """Put `event` on the channel from this worker into `port` of worker `worker`."""

    port: Port
    worker: int
    event: Event


@dataclass(frozen=True, slots=True)
class Write:
    """Hand `batch` to the sink of node `node`."""

    node: int
    batch: Batch


@dataclass(frozen=True, slots=True)
class Aligned:
    """The barrier has come in on every input and nothing is buffered: snapshot now, before the next call."""

    barrier: Barrier


@dataclass(frozen=True, slots=True)
class Finished:
    """Every input has ended."""


TaskOutput: TypeAlias = "Send | Write | Aligned | Finished"
