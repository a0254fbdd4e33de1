"""What has changed in a table since it was captured, by slot, and the keys that are no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamflow.kernels.arrays import Int64s
from streamflow.state.columns import Slots, grown

Ages: TypeAlias = "npt.NDArray[np.uint8]"
"""By slot: `AGAIN` where it has changed since the last capture, `ONCE` where before that one, which may not stand."""
ONCE, AGAIN = 1, 2


class Changes:
    """Of the slots of a table: `reserve`, `keep` and so on follow what the table does with its own columns.

    >>> changes = Changes(4)
    >>> changes.touch(np.array([1, 3]))
    >>> changes.begin(stands=True)
    >>> changes.touch(np.array([2]))
    >>> changes.slots(4).tolist()
    [1, 3]
    >>> changes.begin(stands=True)
    >>> changes.slots(4).tolist()
    [2]
    """

    def __init__(self, slots: int) -> None:
        self.ages: Ages = np.zeros(slots, np.uint8)
        self._gone: list[tuple[list[pa.Array], int]] = []  # keys, and the same age for all
        self.gone = 0

    def touch(self, slots: Slots | slice) -> None:
        self.ages[slots] = AGAIN

    def bury(self, keys: Sequence[pa.Array]) -> None:
        """These keys, of at least one column, are no more."""
        if len(keys[0]):
            self._gone.append((list(keys), AGAIN))
            self.gone += len(keys[0])

    def begin(self, *, stands: bool) -> None:
        """See `streamflow.state.container.Incremental`."""
        age(self.ages, stands=stands)
        self._gone = [(keys, ONCE) for keys, age in self._gone if age == AGAIN or not stands]
        self.gone = sum(len(keys[0]) for keys, _ in self._gone)

    def slots(self, count: int) -> Int64s:
        """Those of the first `count` that had changed when `begin` was called, if none is touched in between."""
        return np.flatnonzero(self.ages[:count] == ONCE)

    def keys_gone(self, schema: pa.Schema) -> pa.RecordBatch:
        """Those that were gone when `begin` was called; some may stand again, some more than once."""
        batches = [pa.RecordBatch.from_arrays(keys, schema=schema) for keys, age in self._gone if age == ONCE]
        return pa.concat_batches([pa.RecordBatch.from_pylist([], schema=schema), *batches])

    def reserve(self, slots: int) -> None:
        if slots > len(self.ages):
            self.ages = grown(self.ages, slots)

    def keep(self, slots: Slots) -> None:
        self.ages = self.ages.take(slots)


class NumberedChanges:
    """Of chunks that never change and are numbered from 1: which are new since a capture, and which are gone.

    >>> changes = NumberedChanges()
    >>> changes.begin(5, stands=False), changes.bury(3, 100), changes.begin(7, stands=True)
    (False, None, True)
    >>> changes.since, changes.gone(), changes.size_gone
    (5, [3], 100)
    """

    def __init__(self) -> None:
        self.since = 0
        """Chunks up to this number stand."""
        self._captured = 0
        self._gone: list[tuple[int, int, int]] = []  # number, size, age
        self._begun = False

    def bury(self, number: int, size: int) -> None:
        """This chunk is no more."""
        if number <= self._captured:
            self._gone.append((number, size, AGAIN))

    def begin(self, latest: int, *, stands: bool) -> bool:
        """See `streamflow.state.container.Incremental`; False where nothing was captured yet.

        `latest`: the greatest number so far.
        """
        if stands:
            self.since = self._captured
        self._gone = [(number, size, ONCE) for number, size, age in self._gone if age == AGAIN or not stands]
        self._captured = latest
        known, self._begun = self._begun, True
        return known

    def gone(self) -> list[int]:
        """The numbers of chunks that stand, but were gone when `begin` was called."""
        return [number for number, _, _ in self._gone if number <= self.since]

    @property
    def size_gone(self) -> int:
        return sum(size for number, size, _ in self._gone if number <= self.since)


def age(ages: Ages, *, stands: bool) -> None:
    """Make everything a capture older, in place."""
    if stands:
        np.right_shift(ages, 1, out=ages)
    else:
        np.minimum(ages, ONCE, out=ages)
