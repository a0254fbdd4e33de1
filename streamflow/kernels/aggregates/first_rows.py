"""The first n rows of each group as an aggregate: a list of records, in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.kernels.arrays import Int64s
from streamflow.kernels.ordering import top_rows

_ROWS = "rows"


@dataclass(frozen=True)
class FirstRows:
    """An `Aggregator` of columns `names` of these `types`. `by`: places of columns, the first one deciding first, and
    whether they descend; together they leave no tie but between equal rows.

    >>> first = FirstRows(("x",), (pa.int64(),), ((0, True),), 2)
    >>> first.partial(np.array([0, 0, 1, 0]), 2, pa.array([5, 9, 7, 8]))["rows"].to_pylist()
    [[{'x': 9}, {'x': 8}], [{'x': 7}]]
    """

    names: tuple[str, ...]
    types: tuple[pa.DataType, ...]
    by: tuple[tuple[int, bool], ...]
    n: int

    @property
    def partials(self) -> Mapping[str, pa.DataType]:
        return {_ROWS: self.result}

    @property
    def result(self) -> pa.DataType:
        return pa.list_(pa.struct(list(map(pa.field, self.names, self.types))))

    def partial(self, ids: Int64s, count: int, *columns: pa.Array) -> Mapping[str, pa.Array]:
        kept = np.zeros(0, np.int64)
        if len(ids):
            kept = top_rows([columns[place] for place, _ in self.by], [down for _, down in self.by], self.n, ids)
        taken = pa.array(kept)
        rows = pa.StructArray.from_arrays(
            [column.take(taken) for column in columns], fields=list(self.result.value_type)
        )
        offsets = np.zeros(count + 1, np.int32)
        np.cumsum(np.bincount(ids[kept], minlength=count), out=offsets[1:])
        return {_ROWS: pa.ListArray.from_arrays(pa.array(offsets), rows, type=self.result)}

    def merge(self, ids: Int64s, count: int, partials: Mapping[str, pa.Array]) -> Mapping[str, pa.Array]:
        lists = partials[_ROWS]
        lengths = pc.list_value_length(lists).fill_null(0).to_numpy()
        return self.partial(np.repeat(ids, lengths), count, *lists.flatten().flatten())

    def finish(self, partials: Mapping[str, pa.Array]) -> pa.Array:
        return partials[_ROWS]
