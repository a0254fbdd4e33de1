"""A sink like those of files: rows are staged, published by a commit, and swept away where nobody names them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from streamflow.connect.sink import Committable, SinkContext
from streamflow.errors import Fatal
from streamflow.testing.simulation.process import Scene


@dataclass(slots=True)
class Piece:
    """Rows that were prepared together. `at`: the true time at which they were."""

    step: str
    attempt: int
    rows: list[pa.RecordBatch]
    at: int


@dataclass(slots=True)
class Warehouse:
    """What all sinks of a simulation hold, by job and name. It outlives every crash."""

    scene: Scene | None = None
    staged: dict[tuple[str, str], Piece] = field(default_factory=dict)
    published: dict[tuple[str, str], Piece] = field(default_factory=dict)

    def moment(self, what: str, *, done: bool | None) -> None:
        assert self.scene is not None
        assert self.scene.acting is not None
        self.scene.acting.moment(what, done=done)

    @property
    def now(self) -> int:
        return 0 if self.scene is None else self.scene.time.now

    def left_over(self, job: str, before: int) -> list[str]:
        """What is staged, of before a time."""
        return [name for (of, name), piece in self.staged.items() if of == job and piece.at < before]

    def set_up(self, scene: Scene) -> None:
        """Empty, for a run."""
        self.scene = scene
        self.staged.clear()
        self.published.clear()

    def rows(self, step: str) -> list[pa.RecordBatch]:
        """What has been published, in the order in which it was."""
        return [batch for piece in self.published.values() if piece.step == step for batch in piece.rows]


@dataclass(frozen=True, eq=False)
class WarehouseSink:
    """A `TransactionalSink` of rows and of changes."""

    warehouse: Warehouse = field(repr=False)

    @property
    def changelog(self) -> bool:
        return True

    def open(self, who: SinkContext) -> WarehouseWriter:
        return WarehouseWriter(self.warehouse, who)

    def committer(self, job: str) -> WarehouseCommitter:
        return WarehouseCommitter(self.warehouse, job)


class WarehouseWriter:
    """Its pieces are named by step, worker, attempt and a number."""

    def __init__(self, warehouse: Warehouse, who: SinkContext) -> None:
        self._warehouse = warehouse
        self._who = who
        self._count = 0
        self._rows: list[pa.RecordBatch] = []

    def write(self, batch: pa.RecordBatch) -> None:
        self._rows.append(batch)

    def flush(self) -> None:
        """Nothing is staged before `prepare`."""

    def prepare(self, checkpoint: int, *, final: bool) -> Sequence[Committable]:
        if not self._rows:
            return []
        who = self._who
        name = f"{who.step}-w{who.worker}-a{who.attempt}-{self._count}"
        self._warehouse.moment(f"prepare {name}", done=None)
        self._warehouse.staged[who.job, name] = Piece(who.step, who.attempt, self._rows, self._warehouse.now)
        self._count += 1
        self._rows = []
        self._warehouse.moment(f"prepare {name}, staged", done=None)
        return [{"id": name}]

    def close(self) -> None:
        self._rows = []


@dataclass(frozen=True, slots=True)
class WarehouseCommitter:
    warehouse: Warehouse
    job: str

    def commit(self, committables: Sequence[Committable]) -> None:
        for one in committables:
            key = self.job, str(one["id"])
            self.warehouse.moment(f"commit {key[1]}", done=False)
            if key in self.warehouse.staged:
                self.warehouse.published[key] = self.warehouse.staged.pop(key)
            elif key not in self.warehouse.published:
                raise Fatal(f"the prepared piece {key[1]} is neither staged nor published: its rows are lost")
            self.warehouse.moment(f"commit {key[1]}, published", done=True)

    def discard_unknown(self, keep: Collection[str], before_attempt: int) -> None:
        for key, piece in list(self.warehouse.staged.items()):
            if key[0] == self.job and piece.attempt < before_attempt and key[1] not in keep:
                self.warehouse.moment(f"discard {key[1]}", done=False)
                self.warehouse.staged.pop(key, None)
