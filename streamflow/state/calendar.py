"""The bounds of calendar windows, kept with the state of the step that uses them (rule 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import raw_values
from streamflow.state.container import Container, Snapshot

_SCHEMA = pa.schema({"window": pa.int64(), "start": pa.int64()})


class Calendar(Protocol):
    """See `streamflow.kernels.calendar.CalendarSlices`."""

    def known(self) -> Mapping[int, int]: ...

    def learn(self, starts: Mapping[int, int]) -> None: ...


class CalendarBounds(Container):
    """A `Container` of the starts of the windows that a calendar knows.

    They belong to no key: each key group carries all of them, so that whoever takes over a group has them.
    """

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._groups: range | None = None

    def capture(self, groups: int) -> Snapshot:
        own = range(groups) if self._groups is None else self._groups
        known = sorted(self._calendar.known().items())
        offsets = np.zeros(groups + 1, np.int64)
        offsets[own.start + 1 : own.stop + 1] = len(known)
        pairs = np.tile(np.array(known, np.int64).reshape(-1, 2), (len(own), 1))
        arrays = [pa.array(np.ascontiguousarray(pairs[:, column])) for column in range(2)]
        return Snapshot(pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA), np.cumsum(offsets))

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        self._groups = groups
        for part in parts:
            windows, starts = (raw_values(column) for column in part.slice(groups).columns)
            self._calendar.learn(dict(zip(windows.tolist(), starts.tolist(), strict=True)))
