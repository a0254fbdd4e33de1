"""What a step's state is, in words: equal for two flows where one may go on from the other's (rule 33).

Whatever decides which rows, columns and window numbers its containers hold is in it; what only decides what happens to
later rows (filters, the expressions that are aggregated, names of other steps) is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass

import pyarrow as pa

from streamflow.plan.logical.nodes import Aggregate, Dedup, Named, Node, Process, Top
from streamflow.plan.logical.schema import physical_schema
from streamflow.plan.logical.terms import AggregateCall, Expr, children
from streamflow.plan.logical.typecheck import type_of


def signature(node: Node) -> str:
    """The words for a step that keeps state by key; "" for others."""
    match node:
        case Aggregate():
            calls = "; ".join(_calls(node.aggregates, physical_schema(node.input.type)))
            return f"aggregate by {_keys(node, node.keys)} in {_shape(node.window)}: {calls}"
        case Top():
            by = ", ".join(map(_shape, node.by))
            return f"top {node.n} by {_keys(node, node.keys)} in {_shape(node.window)}: {by}; {_columns(node)}"
        case Dedup():
            return f"dedup by {_keys(node, node.keys)}, {node.keep}; {_columns(node)}"
        case Process():
            clocked = {name for name, _ in node.function.clock_timers}
            cells = ", ".join(
                f"{field.name}: {field.type}{' by the clock' if field.name in clocked else ''}"
                for field in node.function.state
            )
            waiting = f"; {_columns(node)}" if node.ordered else ""
            return f"process by {_keys(node, node.keys)}: {cells}{waiting}"
        case _:
            return ""


def _keys(node: Aggregate | Top | Dedup | Process, keys: Sequence[str]) -> str:
    schema = physical_schema(node.input.type)
    return ", ".join(f"{key}: {schema.field(key).type}" for key in keys) or "nothing"


def _columns(node: Top | Dedup | Process) -> str:
    """The rows that it holds."""
    return "rows of " + ", ".join(f"{field.name}: {field.type}" for field in node.input.type.schema)


def _calls(aggregates: Sequence[Named], schema: pa.Schema) -> Iterator[str]:
    for named in aggregates:
        parts = []
        for call in _leaves(named.expr):
            types = [str(type_of(part, schema)) for part in (call.argument, *call.more) if part is not None]
            own = [] if call.custom is None else [type(call.custom).__qualname__]
            parts.append(f"{call.kind}({', '.join([*types, *own, *(f'{k}={v}' for k, v in call.options)])})")
        yield f"{named.name} = {', '.join(parts)}"


def _leaves(expr: Expr) -> Iterator[AggregateCall]:
    if isinstance(expr, AggregateCall):
        yield expr
    else:
        for part in children(expr):
            yield from _leaves(part)


def _shape(value: object) -> str:
    """A window, or what one is made of, in words that are the same in every process."""
    if value is None:
        return "no window"
    if is_dataclass(value) and not isinstance(value, type):
        parts = (f"{field.name}={_shape(getattr(value, field.name))}" for field in fields(value))
        return f"{type(value).__name__}({', '.join(parts)})"
    if isinstance(value, bool | int | float | str):
        return repr(value)
    return type(value).__qualname__
