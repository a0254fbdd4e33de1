"""The operators of steps that take a row or a batch at a time and keep nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from streamflow.operators.assign_windows import AssignWindows
from streamflow.operators.base import Operator
from streamflow.operators.changes import ShowChanges
from streamflow.operators.hold import HoldWatermark
from streamflow.operators.members import Members as ListMembers
from streamflow.operators.stateless import (
    ApplyBatches,
    Compute,
    ExplodeList,
    FlatMapRecords,
    MapRecords,
    PeekRows,
    Where,
)
from streamflow.plan.compile import compile_expr, compile_predicate, compile_records
from streamflow.plan.logical.expr import Column, show
from streamflow.plan.logical.nodes import (
    Assign,
    Changes,
    Explode,
    Filter,
    FlatMap,
    Hold,
    MapBatches,
    MapRows,
    Members,
    Node,
    Peek,
    Project,
    inputs,
)
from streamflow.plan.logical.schema import physical_schema
from streamflow.plan.logical.show import duration


def row_by_row(node: Node) -> tuple[str, Callable[[], Operator]]:
    """Label and operator of the nodes that keep no state."""
    schema_in, schema = physical_schema(inputs(node)[0].type), physical_schema(node.type)
    match node:
        case Filter():
            return f"filter {show(node.predicate)}", partial(Where, compile_predicate(node.predicate, schema_in))
        case Project():
            columns = [
                (c.name, schema_in.get_field_index(c.expr.name))
                if isinstance(c.expr, Column)
                else (c.name, compile_expr(c.expr, schema_in))
                for c in node.columns
            ]
            changed = ", ".join(
                c.name if c.expr == Column(c.name) else f"{c.name}={show(c.expr)}" for c in node.columns
            )
            return f"project {changed}", partial(Compute, columns, schema)
        case MapRows():
            return f"map {show(node.function)}", partial(MapRecords, compile_records(node.function, schema_in), schema)
        case FlatMap():
            return (
                f"flat_map {show(node.function)}",
                partial(FlatMapRecords, compile_records(node.function, schema_in), schema),
            )
        case Assign():
            name = type(node.assigner).__name__
            return f"rows with their windows of {name}", partial(AssignWindows, node.assigner, schema_in, schema)
        case Explode():
            return f"explode {node.column}", partial(ExplodeList, node.column, schema)
        case MapBatches():
            label = f"map_batches {getattr(node.function, '__qualname__', node.function)}"
            return label, partial(ApplyBatches, node.function, schema, node.max_rows, node.form)
        case Peek():
            return f"peek {node.rows}", partial(PeekRows, node.name or "peek", node.rows)
        case Members():
            return "members of tops", partial(ListMembers, schema)
        case Hold():
            what = "event times and watermark" if node.moves_rows else "watermark"
            make = partial(HoldWatermark, node.by, moves_rows=node.moves_rows)
            return f"{what} held back by {duration(node.by)}", make
        case Changes():
            return "changes", partial(ShowChanges, schema_in)
        case _:
            raise TypeError(f"{type(node).__name__} is not a row-by-row node")
