"""How Python values lie in Arrow columns: the shapes that signatures of row functions are made of."""

from __future__ import annotations

import pyarrow as pa

from streamflow.kernels.rows import Entries, Items, Record, Scalar, Shape, arrow_type

__all__ = ["Entries", "Items", "Record", "Scalar", "Shape", "arrow_type", "record_schema"]


def record_schema(record: Record) -> pa.Schema:
    """The columns of a record type, in the order of its fields.

    >>> record_schema(Record(dict, (("a", Scalar(pa.int64())), ("b", Items(Scalar(pa.string()))))))
    a: int64
    b: list<item: string>
      child 0, item: string
    """
    return pa.schema([pa.field(name, arrow_type(shape)) for name, shape in record.fields])
