"""From the arguments of a method to terms: positional and keyword columns, orders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from streamflow.errors import UserError
from streamflow.flow.expr import ColumnLike, Expr, Order, output_name, to_node
from streamflow.plan.logical.expr import Column, show
from streamflow.plan.logical.nodes import Named, SortKey

By: TypeAlias = "str | Expr | Order | Sequence[str | Expr | Order]"
"""What rows are ordered by: a column, largest first; `.asc()` of one, smallest first; several, the later ones for
ties.
"""


def named_columns(positional: Iterable[ColumnLike], keyword: Mapping[str, ColumnLike]) -> list[Named]:
    """Each with its name: the keyword, the alias, or that of the first column in it."""
    columns = [Named(output_name(_single(value)), to_node(value)) for value in positional]
    return columns + [Named(name, to_node(_single(value))) for name, value in keyword.items()]


def _single(value: ColumnLike) -> ColumnLike:
    if isinstance(value, list | tuple | set | dict):
        raise UserError(
            f"a {type(value).__name__} is not a column", remedy="write the columns one by one, without brackets"
        )
    return value


def sort_keys(by: By) -> tuple[SortKey, ...]:
    """Columns with their directions, largest first where nothing is said."""
    parts = [by] if isinstance(by, str | Expr | Order) else list(by)
    return tuple(_sort_key(part) for part in parts)


def _sort_key(part: str | Expr | Order) -> SortKey:
    descending = part.descending if isinstance(part, Order) else True
    node = to_node(part.expr if isinstance(part, Order) else part)
    if not isinstance(node, Column):
        raise UserError(
            f"by= orders by columns, and {show(node)} is computed",
            remedy=f"add it before: .with_columns(rank={show(node)})",
        )
    return SortKey(node.name, descending)
