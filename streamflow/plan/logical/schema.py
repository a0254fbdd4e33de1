"""From a stream's type to the schemas that expressions and operators see."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from streamflow.operators.events import CHANGE, CHANGE_TYPE, ORDER, TIME, TIME_TYPE
from streamflow.operators.order import order_type
from streamflow.plan.logical.nodes import StreamType


def expression_schema(kind: StreamType) -> pa.Schema:
    """What an expression may name: the visible columns, then `_time` and `_change` where the stream has them."""
    schema = kind.schema
    if kind.event_time:
        schema = schema.append(pa.field(TIME, TIME_TYPE))
    if kind.changelog is not None:
        schema = schema.append(pa.field(CHANGE, CHANGE_TYPE))
    return schema


def physical_schema(kind: StreamType) -> pa.Schema:
    """The columns of a batch on an edge: the same, in the same order; `_order` after the visible ones, where it is."""
    schema = expression_schema(kind)
    return schema.insert(len(kind.schema), pa.field(ORDER, order_type(kind.order))) if kind.order else schema


def timer_schema(keys: Sequence[str], schema: pa.Schema) -> pa.Schema:
    """What the method of a keyed function's timer may name: its keys, and `_time`, which is the timer's."""
    return pa.schema([*(schema.field(key) for key in keys), pa.field(TIME, TIME_TYPE)])
