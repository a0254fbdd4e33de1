"""How many rows each step skipped or sent to the dead letters: part of a checkpoint, so that none counts twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from streamflow.state.container import Container, Snapshot

_SCHEMA = pa.schema([("step", pa.string()), ("skipped", pa.int64()), ("dead", pa.int64())])


class Rejections(Container):
    """The counts of one task. They belong to no key, so a snapshot keeps them in group 0.

    >>> counts = Rejections()
    >>> counts.add("label", 2, dead=False)
    >>> counts.skipped, counts.dead, counts.total
    ({'label': 2}, {}, 2)
    """

    def __init__(self) -> None:
        self._skipped: dict[str, int] = {}
        self._dead: dict[str, int] = {}
        self.total = 0

    @property
    def skipped(self) -> Mapping[str, int]:
        return self._skipped

    @property
    def dead(self) -> Mapping[str, int]:
        return self._dead

    def add(self, step: str, rows: int, *, dead: bool) -> None:
        counts = self._dead if dead else self._skipped
        counts[step] = counts.get(step, 0) + rows
        self.total += rows

    def capture(self, groups: int) -> Snapshot:
        steps = sorted({*self._skipped, *self._dead})
        columns = [steps, [self._skipped.get(s, 0) for s in steps], [self._dead.get(s, 0) for s in steps]]
        arrays = [pa.array(column, type_) for column, type_ in zip(columns, _SCHEMA.types, strict=True)]
        offsets = np.full(groups + 1, len(steps), np.int64)
        offsets[0] = 0
        return Snapshot(pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA), offsets)

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        for part in parts:
            for row in part.slice(groups).to_pylist():
                for name, dead in (("skipped", False), ("dead", True)):
                    if row[name]:
                        self.add(row["step"], row[name], dead=dead)
