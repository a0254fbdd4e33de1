"""Which worker gets which row: by the key group of its key (rules 19, 31)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamflow.kernels.hashing import hash_columns, key_groups, worker_of_group
from streamflow.kernels.partition import split
from streamflow.operators.events import Batch


class Router:
    """Splits the batches of one exchange edge. No keys: all rows go to the worker of the one key's group."""

    def __init__(self, keys: tuple[str, ...], schema: pa.Schema, groups: int, workers: int) -> None:
        self._columns = [schema.get_field_index(key) for key in keys]
        self._groups = groups
        self._workers = workers
        owner = worker_of_group(np.arange(groups), groups, workers)
        self._owner: npt.NDArray[Any] = owner.astype(np.uint8) if workers < 256 else owner

    def split(self, batch: Batch) -> list[tuple[int, Batch]]:
        """(worker, rows) for every worker that gets any; rows keep their order."""
        hashes = hash_columns([batch.column(i) for i in self._columns], batch.num_rows)
        return split(batch, self._owner.take(key_groups(hashes, self._groups)), self._workers)
