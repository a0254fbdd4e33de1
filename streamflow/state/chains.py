"""Snapshots of what has changed, put together with those before them.

A snapshot that names what is `gone` goes on from the one before it; one that does not begins a chain. The columns in
`gone` identify a row: it is no more where a later snapshot of its chain has a row of the same identity, or names that
among what is gone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Bools
from streamflow.kernels.grouping import group
from streamflow.state.container import Snapshot
from streamflow.state.keyed_table import KeyedTable


def resolved(parts: Sequence[Snapshot], groups: range) -> list[Snapshot]:
    """Snapshots of the rows of these key groups that stand, none of which names what is gone.

    `parts`: of all workers, one chain after another, each in order.

    >>> base = Snapshot(pa.record_batch({"key.k": [1, 2, 3], "value.n": [7, 8, 9]}), np.array([0, 3]))
    >>> later = Snapshot(pa.record_batch({"key.k": [2]
    ... , "value.n": [5]}), np.array([0, 1]), gone=pa.record_batch({"key.k": [1]}))
    >>> [part.rows.to_pylist() for part in resolved([base, later], range(1))]
    [[{'key.k': 3, 'value.n': 9}], [{'key.k': 2, 'value.n': 5}]]
    """
    return [part for chain in _chains(parts) for part in (_standing(chain, groups) if len(chain) > 1 else chain)]


def _chains(parts: Sequence[Snapshot]) -> list[list[Snapshot]]:
    chains: list[list[Snapshot]] = []
    for part in parts:
        if part.gone is None:
            chains.append([])
        chains[-1].append(part)
    return chains


def _standing(chain: Sequence[Snapshot], groups: range) -> list[Snapshot]:
    last = chain[-1].gone
    assert last is not None
    later = _Identities(last.schema)
    found = []
    for part in reversed(chain):
        rows = part.slice(groups)
        stands = later.add([rows.column(name) for name in last.schema.names], rows.num_rows)
        if part.gone is not None:
            later.add(part.gone.columns, part.gone.num_rows)
        found.append(_filtered(part, groups, rows, stands))
    return found[::-1]


def _filtered(part: Snapshot, groups: range, rows: pa.RecordBatch, stands: Bools) -> Snapshot:
    before = np.concatenate([[0], np.cumsum(stands)])
    offsets = before[np.clip(part.offsets - part.offsets[groups.start], 0, len(stands))]
    return Snapshot(rows.filter(pa.array(stands)), offsets, part.meta)


class _Identities:
    """Those that have been seen."""

    def __init__(self, schema: pa.Schema) -> None:
        self._table = KeyedTable(schema, pa.schema([]))

    def add(self, columns: Sequence[pa.Array], length: int) -> Bools:
        """See these, too; which of them are new, where those of one identity are new together."""
        groups = group(columns, length)
        first = pa.array(groups.first)
        _, new = self._table.lookup_or_insert([column.take(first) for column in columns], groups.count)
        found: Bools = new[groups.ids]
        return found
