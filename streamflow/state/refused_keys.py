"""The keys whose present row a sink refused, so that it is not there when it is taken back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamflow.kernels.hashing import Hashes, key_groups
from streamflow.state.container import Container, Snapshot

_SCHEMA = pa.schema([("hash", pa.int64())])


class RefusedKeys(Container):
    """A set of keys, by their hashes: few, as every one of them was an error.

    >>> keys = RefusedKeys()
    >>> keys.add(np.array([7, 9], np.uint64))
    >>> keys.remove(np.array([9], np.uint64))
    >>> keys.among(np.array([5, 7, 9], np.uint64)).tolist()
    [False, True, False]
    """

    def __init__(self) -> None:
        self._hashes: Hashes = np.empty(0, np.uint64)

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, hashes: Hashes) -> None:
        self._hashes = np.union1d(self._hashes, hashes)

    def remove(self, hashes: Hashes) -> None:
        self._hashes = np.setdiff1d(self._hashes, hashes)

    def among(self, hashes: Hashes) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which of these are in it."""
        return np.isin(hashes, self._hashes)

    def capture(self, groups: int) -> Snapshot:
        """The hashes: a key group is a range of them, and they are sorted."""
        offsets = np.searchsorted(key_groups(self._hashes, groups), np.arange(groups + 1))
        return Snapshot(pa.RecordBatch.from_arrays([pa.array(self._hashes.view(np.int64))], schema=_SCHEMA), offsets)

    def restore(self, parts: Sequence[Snapshot], groups: range) -> None:
        for part in parts:
            self.add(part.slice(groups).column(0).to_numpy().view(np.uint64))
