"""What an expression gives for a few values, without a flow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from streamflow.connect.canonical import canonical_batch, canonical_schema
from streamflow.flow.arguments import named_columns
from streamflow.flow.expr import ColumnLike
from streamflow.plan.compile import compile_expr


def evaluate(expression: ColumnLike, /, **columns: Iterable[Any]) -> list[Any]:
    """The value of an expression, or a row function, for each row of these columns.

    >>> from streamflow import col
    >>> evaluate(col("price") * 2, price=[10, None])
    [20, None]
    """
    made = pa.RecordBatch.from_pydict({name: pa.array(values) for name, values in columns.items()})
    schema = canonical_schema(made.schema)
    (named,) = named_columns([expression], {})
    values: list[Any] = compile_expr(named.expr, schema)(canonical_batch(made, schema)).to_pylist()
    return values
