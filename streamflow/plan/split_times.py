"""What is known of a split's event times: the watermark that its rows make, and its least time before it is opened."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from streamflow.connect.source import Source, TimedSource
from streamflow.operators.marks import ColumnMarks, GeneratorMarks, Marks
from streamflow.plan.compile import compile_expr
from streamflow.plan.logical.expr import Call, Column, Expr
from streamflow.plan.logical.windows import BoundedOutOfOrderness, FromColumn, Generated, WatermarkStrategy


def marks_of(strategy: WatermarkStrategy, schema: pa.Schema) -> Marks | None:
    match strategy:
        case FromColumn(expr):
            return ColumnMarks(compile_expr(expr, schema))
        case Generated(generator):
            return GeneratorMarks(generator)
        case BoundedOutOfOrderness():
            return None


def min_time_of(source: Source | None, expr: Expr, schema: pa.Schema) -> Callable[[str], int | None]:
    """How to know a split's least event time before it is opened: only where the time is a column, or its epoch."""
    match expr:
        case Column(name) | Call("from_epoch", (Column(name),)) if isinstance(source, TimedSource):
            convert = compile_expr(expr, schema)
            timed, field = source, schema.field(name)

            def min_time(split: str) -> int | None:
                least = timed.min_value(split, name)
                if least is None or not least.is_valid or pa.types.is_string(least.type):
                    return None  # the least text, "10", need not be the least number, 9
                row = {f.name: pa.nulls(1, f.type) for f in schema} | {name: pa.repeat(least.cast(field.type), 1)}
                value = convert(pa.RecordBatch.from_pydict(row, schema=schema))[0]
                return value.value if value.is_valid else None

            return min_time
        case _:
            return lambda split: None
