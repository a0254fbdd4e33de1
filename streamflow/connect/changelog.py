"""How a changelog looks to a sink that shows it: the hidden `_change` becomes a first column `change` of words."""

from __future__ import annotations

import pyarrow as pa

HIDDEN = "_change"
VISIBLE = "change"
_WORDS = ["insert", "update_before", "update_after", "delete"]


def visible_schema(schema: pa.Schema) -> pa.Schema:
    """`schema` as it is shown; without `_change` it is shown as it is."""
    index = schema.get_field_index(HIDDEN)
    return schema if index < 0 else schema.set(index, pa.field(VISIBLE, pa.string()))


def visible_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """`batch` as it is shown.

    >>> visible_batch(pa.record_batch({"_change": pa.array([0, 3], pa.int8()), "x": [1, 1]})).to_pydict()
    {'change': ['insert', 'delete'], 'x': [1, 1]}
    """
    index = batch.schema.get_field_index(HIDDEN)
    if index < 0:
        return batch
    return batch.set_column(index, pa.field(VISIBLE, pa.string()), pa.array(_WORDS).take(batch.column(index)))
