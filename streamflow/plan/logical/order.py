"""Where rows have an order among those of one event time (rule 13), and of how many parts it is."""

from __future__ import annotations

from streamflow.errors import UserError
from streamflow.kernels.aggregate import ORDERED
from streamflow.plan.logical.expr import aggregate_calls, show
from streamflow.plan.logical.nodes import (
    Aggregate,
    Assign,
    Dedup,
    Explode,
    Filter,
    FlatMap,
    Hold,
    MapBatches,
    MapRows,
    Named,
    Node,
    Partition,
    Peek,
    Project,
    Read,
    Union,
    WithEventTime,
    inputs,
)
from streamflow.plan.logical.windows import ProcessingTime


def order_parts(node: Node) -> int | None:
    """Of how many parts the order of a node's rows is; None where they have none.

    Changes, panes, windows of processing time and the rows of a top have none: which come, and in which batch, depends
    on the cuts of the input.
    """
    match node:
        case Read():
            return 1
        case Aggregate(window=window):
            again = window is None or isinstance(window, ProcessingTime)
            return None if again or node.lateness or node.trigger is not None else 1
        case (
            Filter() | Project() | Partition() | Hold() | Assign() | MapRows() | WithEventTime() | Peek() | MapBatches()
        ):
            return order_parts(node.input)
        case Dedup(keep="first"):
            return order_parts(node.input)
        case Dedup(keep="last", within=within):
            return None if within is None else 1
        case FlatMap() | Explode():
            parts = order_parts(node.input)
            return None if parts is None else parts + 1
        case Union():
            all_parts = [order_parts(upstream) for upstream in inputs(node)]
            known = [parts for parts in all_parts if parts is not None]
            return 1 + max(known) if len(known) == len(all_parts) else None
        case _:
            return None


def goes_by_order(aggregates: tuple[Named, ...]) -> str | None:
    """The first aggregate that depends on the order of rows, as it is written."""
    calls = (call for named in aggregates for call in aggregate_calls(named.expr))
    return next((show(call) for call in calls if call.kind in ORDERED), None)


def require_order(aggregates: tuple[Named, ...], node: Node) -> None:
    """Raise UserError for an aggregate that goes by the order of rows which have none."""
    ordered = goes_by_order(aggregates)
    if ordered is None:
        return
    if not node.type.event_time:
        raise UserError(
            f"{ordered} goes by event time, and the rows have none",
            remedy="read(..., event_time=...) or .with_event_time(...) before it",
        )
    if order_parts(node) is None:
        raise UserError(
            f"{ordered} goes by event time, and these rows have no order where it is the same",
            remedy="choose by a column: .max_by(...), .min_by(...); or aggregate the rows from which these were made",
        )
