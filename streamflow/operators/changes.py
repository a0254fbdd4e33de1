"""A changelog shown as plain rows, with what happened as a word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from streamflow.operators.base import Output
from streamflow.operators.events import CHANGE, CHANGE_NAMES, RESERVED, Batch, Watermark
from streamflow.state.container import Container

COLUMN = "change"


class ShowChanges:
    """Takes a changelog of `schema`; sends append-only rows with a string column `change` behind the visible columns.

    ValueError if `schema` is no changelog's or has a column of that name.

    >>> changelog = pa.record_batch({"n": [1], "_change": pa.array([0], pa.int8())})
    >>> [rows] = ShowChanges(changelog.schema).on_batch(0, changelog)
    >>> rows.to_pylist()
    [{'n': 1, 'change': 'insert'}]
    """

    def __init__(self, schema: pa.Schema) -> None:
        if CHANGE not in schema.names:
            raise ValueError(f"these rows are no changelog: they have no column {CHANGE!r}")
        if COLUMN in schema.names:
            raise ValueError(f"there is a column {COLUMN!r} already: rename it first")
        self.late = 0
        kept = [field for field in schema if field.name != CHANGE]
        visible = [field for field in kept if field.name not in RESERVED]
        hidden = [field for field in kept if field.name in RESERVED]
        self.output_schema = pa.schema([*visible, pa.field(COLUMN, pa.string()), *hidden])
        self._sources = [field.name for field in self.output_schema]
        self._words = pa.array(CHANGE_NAMES)

    def on_batch(self, port: int, batch: Batch) -> Iterable[Output]:
        words = self._words.take(batch.column(CHANGE))
        columns = [words if name == COLUMN else batch.column(name) for name in self._sources]
        return (pa.RecordBatch.from_arrays(columns, schema=self.output_schema),)

    def on_watermark(self, watermark: Watermark) -> Iterable[Output]:
        return (watermark,)

    def flush(self) -> Iterable[Output]:
        return ()

    def state(self) -> Mapping[str, Container]:
        return {}
