"""Batches in the forms that functions of users take and give. Libraries are imported only when one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt


def _to_polars(batch: pa.RecordBatch) -> Any:
    import polars

    return polars.from_arrow(batch)


def _to_pandas(batch: pa.RecordBatch) -> Any:
    return batch.to_pandas()


def _to_numpy(batch: pa.RecordBatch) -> dict[str, Any]:
    """Null numbers are NaN, other nulls None or NaT; times are datetime64, texts objects."""
    return {name: batch.column(name).to_numpy(zero_copy_only=False) for name in batch.schema.names}


TO_FORM: Mapping[str, Callable[[pa.RecordBatch], Any]] = {
    "arrow": lambda batch: batch,
    "polars": _to_polars,
    "pandas": _to_pandas,
    "numpy": _to_numpy,
}


def to_batch(made: Any, schema: pa.Schema) -> pa.RecordBatch:
    """What a function gave as one Arrow batch, its types as they come. TypeError for what is none of the forms.

    NaN is null in pandas, and in numpy's arrays for columns that are not floats in `schema`. A column of nothing but
    nulls, or of no row, may have no type of its own: it takes that of `schema`.

    >>> to_batch({"a": np.array([1.0, np.nan])}, pa.schema({"a": pa.int64()})).column("a").null_count
    1
    """
    if isinstance(made, dict):
        arrays = [_from_numpy(values, schema, name) for name, values in made.items()]
        return _settled(pa.RecordBatch.from_arrays(arrays, names=list(made)), schema, whole=True)
    if type(made).__module__.partition(".")[0] == "pandas" and type(made).__name__ == "DataFrame":
        return _settled(pa.RecordBatch.from_pandas(made, preserve_index=False), schema, whole=True)
    if isinstance(made, pa.RecordBatch):
        return _settled(made, schema)
    if not hasattr(made, "__arrow_c_stream__"):
        raise TypeError(f"a {type(made).__name__} is no batch")
    table = made if isinstance(made, pa.Table) else pa.table(made)
    arrays = [column.combine_chunks() for column in table.columns]
    return _settled(pa.RecordBatch.from_arrays(arrays, schema=table.schema), schema)


def _from_numpy(values: Any, schema: pa.Schema, name: str) -> pa.Array:
    place = schema.get_field_index(name)
    floating = place >= 0 and pt.is_floating(schema.field(place).type)
    return pa.array(np.asarray(values), from_pandas=not floating)


def _settled(batch: pa.RecordBatch, schema: pa.Schema, *, whole: bool = False) -> pa.RecordBatch:
    """With the types of `schema` where the form could not say them. `whole`: whole floats stand for integers."""
    for place, field in enumerate(batch.schema):
        at = schema.get_field_index(field.name)
        type_ = field.type if at < 0 else schema.field(at).type
        if pt.is_null(field.type) or (whole and pt.is_floating(field.type) and pt.is_integer(type_)):
            batch = batch.set_column(place, field.name, batch.column(place).cast(type_))
    return batch
