"""The hidden column `_order`: where a row stood, so that rows of one event time have an order (rule 13).

A read makes it of the split and the row's number in it; what multiplies rows appends an index, a union puts the port in
front, and an aggregate's results go by a hash of their keys, which tells those of one window apart. One part is an
int64, several are a struct of them: compared part by part they give the order, whatever the batches, workers and
restarts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import raw_values
from streamflow.kernels.hashing import hash_columns
from streamflow.operators.base import Output
from streamflow.operators.events import ORDER
from streamflow.operators.stateless import Stateless

_ROW_BITS = 43
_MOST_SPLITS = 1 << (63 - _ROW_BITS)


def order_type(parts: int) -> pa.DataType:
    """The type of `_order` with so many parts.

    >>> order_type(1), order_type(2)
    (DataType(int64), StructType(struct<0: int64, 1: int64>))
    """
    return pa.int64() if parts == 1 else pa.struct([(str(part), pa.int64()) for part in range(parts)])


def order_in_split(split: int, first: int, length: int) -> pa.Array:
    """The order of rows `first`, `first` + 1, ... of the split with this number.

    Row numbers go round after 2**43, so only rows of one event time that are further apart could change places. Raises
    ValueError for a number that is too high.
    """
    if split >= _MOST_SPLITS:
        raise ValueError(f"the rows of more than {_MOST_SPLITS:,} splits cannot be put in order")
    rows = np.arange(first, first + length, dtype=np.int64) & np.int64((1 << _ROW_BITS) - 1)
    return pa.array(rows | np.int64(split << _ROW_BITS))


class OrderCopies(Stateless):
    """Tells apart the rows that one row became: neighbours with the same order get an index."""

    __slots__ = ("_place", "_schema")

    def __init__(self, schema: pa.Schema) -> None:
        """`schema`: that of the result, whose order has a part more than the input's."""
        super().__init__()
        self._schema = schema
        self._place = schema.get_field_index(ORDER)

    def on_batch(self, port: int, batch: pa.RecordBatch) -> Iterable[Output]:
        parts = _parts(batch.column(self._place))
        starts = np.zeros(batch.num_rows, np.bool_)
        starts[0] = True
        for part in map(raw_values, parts):
            starts[1:] |= part[1:] != part[:-1]
        place = np.arange(batch.num_rows)
        index = place - place[starts][np.cumsum(starts) - 1]
        return (_with_order(batch, self._place, self._schema, [*parts, pa.array(index)]),)


class OrderPort(Stateless):
    """Puts the number of a union's input in front, and zeros behind where others have more parts."""

    __slots__ = ("_number", "_place", "_schema")

    def __init__(self, number: int, schema: pa.Schema) -> None:
        super().__init__()
        self._number = number
        self._schema = schema
        self._place = schema.get_field_index(ORDER)

    def on_batch(self, port: int, batch: pa.RecordBatch) -> Iterable[Output]:
        rows = batch.num_rows
        parts = [pa.array(np.full(rows, self._number)), *_parts(batch.column(self._place))]
        missing = self._schema.field(self._place).type.num_fields - len(parts)
        zeros = [pa.array(np.zeros(rows, np.int64))] * missing
        return (_with_order(batch, self._place, self._schema, [*parts, *zeros]),)


class OrderByKeys(Stateless):
    """Gives results an order by the hash of their keys."""

    __slots__ = ("_keys", "_place", "_schema")

    def __init__(self, keys: tuple[str, ...], schema: pa.Schema) -> None:
        """`schema`: that of the result, the input's with the order."""
        super().__init__()
        self._keys = keys
        self._schema = schema
        self._place = schema.get_field_index(ORDER)

    def on_batch(self, port: int, batch: pa.RecordBatch) -> Iterable[Output]:
        hashes = hash_columns([batch.column(key) for key in self._keys], batch.num_rows)
        columns = batch.columns
        columns.insert(self._place, pa.array(hashes.view(np.int64)))
        return (pa.RecordBatch.from_arrays(columns, schema=self._schema),)


def _parts(order: pa.Array) -> list[pa.Array]:
    return order.flatten() if pa.types.is_struct(order.type) else [order]


def _with_order(batch: pa.RecordBatch, place: int, schema: pa.Schema, parts: Sequence[pa.Array]) -> pa.RecordBatch:
    columns = batch.columns
    columns[place] = pa.StructArray.from_arrays(parts, [str(part) for part in range(len(parts))])
    return pa.RecordBatch.from_arrays(columns, schema=schema)
