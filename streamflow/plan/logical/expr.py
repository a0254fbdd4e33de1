"""Expressions: their terms, and what the planner asks of them.

>>> import pyarrow as pa
>>> price = Column("price")
>>> high = Call("gt", (price, Literal(100)))
>>> show(high), sorted(columns_of(high)), default_name(high)
("col('price') > 100", ['price'], 'price')
>>> type_of(high, pa.schema([("price", pa.int64())]))
DataType(bool)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain

from streamflow.plan.logical.show import show
from streamflow.plan.logical.terms import (
    AggregateCall,
    Call,
    Case,
    Cast,
    Column,
    Expr,
    Literal,
    Parameter,
    RowFunction,
    Value,
    children,
    with_children,
)
from streamflow.plan.logical.typecheck import column_type, elaborate, type_of

__all__ = [
    "AggregateCall",
    "Call",
    "Case",
    "Cast",
    "Column",
    "Expr",
    "Literal",
    "Parameter",
    "RowFunction",
    "Value",
    "aggregate_calls",
    "children",
    "column_type",
    "columns_of",
    "default_name",
    "elaborate",
    "replace_aggregates",
    "row_functions",
    "show",
    "substitute",
    "takes_all_columns",
    "type_of",
    "walk",
    "with_children",
]


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and all terms in it, from left to right, each before its parts."""
    yield expr
    yield from chain.from_iterable(map(walk, children(expr)))


def columns_of(expr: Expr) -> frozenset[str]:
    """The columns it names. A row function with `**row` reads all others too: see `takes_all_columns`."""
    names: set[str] = set()
    for term in walk(expr):
        match term:
            case Column(name):
                names.add(name)
            case RowFunction(parameters=parameters):
                names.update(parameter.name for parameter in parameters)
            case _:
                pass
    return frozenset(names)


def takes_all_columns(expr: Expr) -> bool:
    """Does a row function in it take `**row`? Then no column of its input may be pruned or renamed beneath it."""
    return any(function.rest for function in row_functions(expr))


def default_name(expr: Expr) -> str:
    """The name of the column it makes when the user gives none: the first column in it, else what it does.

    >>> default_name(Call("add", (Literal(1), Column("a")))), default_name(AggregateCall("count"))
    ('a', 'count')
    """
    for term in walk(expr):
        match term:
            case Column(name):
                return name
            case RowFunction(name=name):
                return name
            case AggregateCall(kind="count", argument=None):
                return "count"
            case _:
                pass
    return "literal"


def rewrite(expr: Expr, change: Callable[[Expr], Expr | None]) -> Expr:
    """The expression with every term for which `change` gives another replaced by it; the outermost wins."""
    changed = change(expr)
    if changed is not None:
        return changed
    parts = children(expr)
    return with_children(expr, tuple(rewrite(part, change) for part in parts)) if parts else expr


def substitute(expr: Expr, columns: Mapping[str, Expr]) -> Expr:
    """Columns replaced by what makes them. Row functions keep their columns: their parameters are names.

    >>> show(substitute(Call("mul", (Column("a"), Literal(2))), {"a": Call("add", (Column("x"), Literal(1)))}))
    "(col('x') + 1) * 2"
    """
    return rewrite(expr, lambda term: columns.get(term.name) if isinstance(term, Column) else None)


def aggregate_calls(expr: Expr) -> tuple[AggregateCall, ...]:
    """The distinct aggregates in it, in order.

    >>> total, rows = AggregateCall("sum", Column("a")), AggregateCall("count")
    >>> aggregate_calls(Call("div", (total, Call("add", (rows, total))))) == (total, rows)
    True
    """
    return tuple(dict.fromkeys(term for term in walk(expr) if isinstance(term, AggregateCall)))


def replace_aggregates(expr: Expr, by: Mapping[AggregateCall, Expr]) -> Expr:
    """Aggregates replaced, by the columns that hold their results for example."""
    return rewrite(expr, lambda term: by.get(term) if isinstance(term, AggregateCall) else None)


def row_functions(expr: Expr) -> tuple[RowFunction, ...]:
    """The row functions in it, in order."""
    return tuple(term for term in walk(expr) if isinstance(term, RowFunction))
