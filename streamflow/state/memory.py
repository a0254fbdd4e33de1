"""The memory that one worker's state may take, and where the rest of it goes.

Containers count what they hold and move the part that is touched least into files of a `SpillStore`, which the host
gives them; rows come back when they are read. Nothing here is a checkpoint: a file is the worker's own, its name means
nothing after it, and a snapshot holds what was spilled like everything else.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
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


class RowSizes:
    """How many bytes rows of a schema take, but for their null bitmaps.

    `nbytes` asks every buffer of every column, 7 us a column, however few rows: too much for a call with every batch.

    >>> rows = pa.record_batch({"n": [1, 2], "word": ["ab", ""]})
    >>> RowSizes(rows.schema).of(rows)
    26
    """

    def __init__(self, schema: pa.Schema) -> None:
        widths = [_bits(type_) for type_ in schema.types]
        self._bits = sum(width for width in widths if width is not None)
        self._others = [place for place, width in enumerate(widths) if width is None]

    def of(self, rows: pa.RecordBatch) -> int:
        size: int = (rows.num_rows * self._bits + 7) // 8
        return size + sum(rows.column(place).nbytes for place in self._others) if self._others else size


def _bits(type_: pa.DataType) -> int | None:
    """What a value takes; None where they differ."""
    try:
        width: int = type_.bit_width
    except ValueError:
        return None
    return width


class SpillBuffers:
    """A `SpillStore` of files that are kept in memory: for jobs that touch no disk.

    >>> store = SpillBuffers()
    >>> number = store.put(pa.record_batch({"n": [1, 2]}))
    >>> store.get(number).num_rows, store.written > 0
    (2, True)
    """

    def __init__(self) -> None:
        self.written = 0
        self._files: dict[int, pa.Buffer] = {}
        self._numbers = itertools.count()

    def put(self, rows: pa.RecordBatch) -> int:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, rows.schema) as writer:
            writer.write_batch(rows)
        number = next(self._numbers)
        self._files[number] = sink.getvalue()
        self.written += self._files[number].size
        return number

    def get(self, number: int) -> pa.RecordBatch:
        with pa.ipc.open_file(self._files[number]) as reader:
            return reader.get_batch(0)

    def free(self, number: int) -> None:
        del self._files[number]


class Memory:
    """A budget that the containers of one worker's tasks share: `limit` in bytes, and where the rest goes.

    Tasks call `settle` after each event: above the limit the largest containers spill, down to three quarters of the
    limit, so that not every batch spills a little.
    """

    def __init__(self, limit: int, store: SpillStore) -> None:
        self._limit = limit
        self._store = store
        self._containers: list[Spillable] = []

    def add(self, containers: Iterable[Container]) -> None:
        """Look after those that can spill; before anything else is done with them."""
        for container in containers:
            if isinstance(container, Spillable):
                container.attach(self._store)
                self._containers.append(container)

    @property
    def resident(self) -> int:
        return sum(container.resident for container in self._containers)

    def settle(self) -> None:
        excess = -self._limit
        for container in self._containers:  # at every batch: no call but those of the containers
            excess += container.resident
        if excess <= 0:
            return
        excess += self._limit // 4
        for container in sorted(self._containers, key=lambda one: one.resident, reverse=True):
            if excess <= 0:
                return
            before = container.resident
            container.spill(min(excess, before))
            excess -= before - container.resident
