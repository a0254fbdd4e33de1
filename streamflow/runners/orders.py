"""What a worker process is told on its standard input, and what it calls itself on its connections."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from streamflow.errors import UserError
from streamflow.runners.sockets import Tcp
from streamflow.runners.target import Target

ORDERS_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a worker process needs to know, first what all of a job are told.

    `lease`: microseconds; `store`: the folder of checkpoints; `memory`: bytes for the state of all workers together.
    `secret`: the job's, as hexadecimal digits; `coordinator`: where that listens; `folder`: for sockets.
    """

    target: Target
    key_groups: int
    store: str
    memory: int
    spill_dir: str | None = None
    lease: int
    tcp: Tcp | None = None
    secret: str = ""
    coordinator: str = ""
    folder: str = ""
    attempt: int = 0
    workers: int = 1
    number: int = 0

    def to_json(self) -> str:
        return json.dumps({"version": ORDERS_VERSION, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Orders:
        found: dict[str, Any] = json.loads(text)
        if (version := found.pop("version")) != ORDERS_VERSION:
            raise UserError(f"a coordinator of another streamflow (orders {version}, not {ORDERS_VERSION})")
        target, tcp = found.pop("target"), found.pop("tcp")
        return cls(
            target=Target(target["place"], target["parameters"], tuple(target["folders"])),
            tcp=None if tcp is None else Tcp(**tcp),
            **found,
        )

    def name(self, role: str) -> bytes:
        """What it calls itself to a listener."""
        return name_of(role, self.attempt, self.number)


def name_of(role: str, attempt: int, worker: int) -> bytes:
    return json.dumps([role, attempt, worker]).encode()


def named_by(name: bytes, role: str, attempt: int) -> int | None:
    """The worker that a connection is from, None if it is none of this role and attempt."""
    try:
        found = json.loads(name)
    except ValueError:
        return None
    match found:
        case [str() as its, int() as of, int() as worker] if (its, of) == (role, attempt):
            return worker
        case _:
            return None
