"""The memory that one worker's state may take, and where the rest of it goes.

Containers count what they hold and move the part that is touched least into files of a `SpillStore`, which the host
gives them; rows come back when they are read. Nothing here is a checkpoint: a file is the worker's own, its name means
nothing after it, and a snapshot holds what was spilled like everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import pyarrow as pa

from streamflow.state.container import Container


class SpillStore(Protocol):
    """Arrow files of one worker, by a number. Raises Fatal, naming the folder, where they cannot be written."""

    def put(self, rows: pa.RecordBatch) -> int:
        """Write rows to a new file."""
        ...

    def get(self, number: int) -> pa.RecordBatch:
        """The rows of a file, mapped: what is not touched is not read. They stay valid after `free`."""
        ...

    def free(self, number: int) -> None:
        """The file is not needed any more."""
        ...


@runtime_checkable
class Spillable(Container, Protocol):
    """A container that can do with less memory."""

    @property
    def resident(self) -> int:
        """About how many bytes it keeps in memory; cheap to ask after every batch."""
        ...

    def attach(self, store: SpillStore) -> None:
        """Where its rows may go; called once, before anything else. Without it, it spills nothing."""
        ...

    def spill(self, wanted: int) -> None:
        """Move about so many bytes out of memory, those first that are needed last; less where there is less."""
        ...


class Memory:
    """A budget that a worker's containers share. `limit` in bytes.

    The host calls `settle` after each event: above the limit the largest containers spill, down to three quarters of
    the limit, so that not every batch spills a little.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._containers: list[Spillable] = []

    def add(self, containers: Sequence[Spillable]) -> None:
        self._containers += containers

    @property
    def resident(self) -> int:
        return sum(container.resident for container in self._containers)

    def settle(self) -> None:
        excess = self.resident - self._limit
        if excess <= 0:
            return
        excess += self._limit // 4
        for container in sorted(self._containers, key=lambda one: one.resident, reverse=True):
            if excess <= 0:
                return
            before = container.resident
            container.spill(min(excess, before))
            excess -= before - container.resident
