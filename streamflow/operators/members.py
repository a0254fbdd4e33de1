"""The rows of tops that came as lists: one by one, and of a changelog only those that changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.kernels.arrays import Int64s
from streamflow.kernels.equality import equal_rows
from streamflow.operators.base import Output
from streamflow.operators.events import CHANGE, DELETE, INSERT, UPDATE_AFTER, UPDATE_BEFORE, Batch, Watermark
from streamflow.state.container import Container

LIST = "~rows"
RANK = "rank"


class Members:
    """Takes rows with a list of records in the column `~rows`, and sends the records' fields beside the other columns.

    Of a changelog also `rank`, from 1: the row of a rank is inserted, updated or deleted, and what is the same after an
    update as before is not sent. An update's two rows stand next to each other, in what comes and in what goes.
    """

    late = 0

    def __init__(self, schema: pa.Schema) -> None:
        self.output_schema = schema
        self._ranked = CHANGE in schema.names

    def on_batch(self, port: int, batch: Batch) -> Iterable[Output]:
        lists = batch.column(LIST)
        lengths = pc.list_value_length(lists).fill_null(0).to_numpy().astype(np.int64)
        owner = np.repeat(np.arange(batch.num_rows), lengths)
        rows = lists.flatten()
        fields = dict(zip((field.name for field in rows.type), rows.flatten(), strict=True))
        if not self._ranked:
            return self._batch(batch, owner, fields, {})
        rank = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1
        kind = batch.column(CHANGE).to_numpy()
        return self._changes(batch, owner, fields, rank, kind)

    def on_watermark(self, watermark: Watermark) -> Iterable[Output]:
        return (watermark,)

    def flush(self) -> Iterable[Output]:
        return ()

    def state(self) -> Mapping[str, Container]:
        return {}

    def _changes(
        self, batch: Batch, owner: Int64s, fields: dict[str, pa.Array], rank: Int64s, kind: Int64s
    ) -> Iterable[Output]:
        update = np.cumsum(kind != UPDATE_AFTER)[owner]  # the rows before and after it have one number
        kind = kind[owner]
        order = np.lexsort((kind, rank, update))
        update, rank, kind = update[order], rank[order], kind[order]
        before = np.flatnonzero((update[1:] == update[:-1]) & (rank[1:] == rank[:-1]))
        old, new = pa.array(order[before]), pa.array(order[before + 1])
        same = np.ones(len(before), np.bool_)
        for values in fields.values():
            same &= equal_rows(values.take(old), values.take(new))
        alone = np.ones(len(order), np.bool_)
        alone[before] = alone[before + 1] = False
        kind = np.where(alone & (kind == UPDATE_BEFORE), DELETE, np.where(alone & (kind == UPDATE_AFTER), INSERT, kind))
        sent = np.ones(len(order), np.bool_)
        sent[before[same]] = sent[before[same] + 1] = False
        rows = pa.array(order[sent])
        chosen = {name: values.take(rows) for name, values in fields.items()}
        computed = {RANK: pa.array(rank[sent]), CHANGE: pa.array(kind[sent].astype(np.int8))}
        return self._batch(batch, owner[order[sent]], chosen, computed)

    def _batch(
        self, batch: Batch, owner: Int64s, fields: dict[str, pa.Array], computed: dict[str, pa.Array]
    ) -> Iterable[Output]:
        if not len(owner):
            return ()
        taken = pa.array(owner)
        beside = {
            name: batch.column(name).take(taken) for name in self.output_schema.names if name in batch.schema.names
        }
        columns = {**fields, **beside, **computed}
        arrays = [columns[name] for name in self.output_schema.names]
        return (pa.RecordBatch.from_arrays(arrays, schema=self.output_schema),)
