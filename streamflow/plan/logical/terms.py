"""The terms of an expression: frozen dataclasses, equal when their parts are.

A term says what is computed per row and names columns, never arrays. `typecheck.elaborate` finds its types,
`plan.compile` makes the code that runs.

>>> Call("mul", (Column("price"), Literal(2))) == Call("mul", (Column("price"), Literal(2)))
True
>>> Literal(1) == Literal(True)
False
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

import pyarrow as pa

from streamflow.errors import Location
from streamflow.kernels.aggregate import Aggregator, Kind, Option
from streamflow.plan.logical.rows import Record, Shape

Value: TypeAlias = "bool | int | float | str | bytes | date | datetime | timedelta | Decimal | None"


@dataclass(frozen=True, slots=True)
class Column:
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    """A constant. With `type` None it takes the type its neighbours ask for (`typecheck.elaborate`)."""

    value: Value
    type: pa.DataType | None = None

    def _identity(self) -> tuple[str, str, pa.DataType | None]:
        return type(self.value).__name__, repr(self.value), self.type

    def __eq__(self, other: object) -> bool:
        """1, 1.0 and True differ, NaN equals itself: unlike Python's own equality."""
        return isinstance(other, Literal) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())


@dataclass(frozen=True, slots=True)
class Call:
    """One of the functions of `functions.SIGNATURES`; what does not vary by row stands in `options`."""

    function: str
    args: tuple[Expr, ...]
    options: tuple[tuple[str, int | str | bool | None], ...] = ()

    def option(self, name: str) -> Any:
        return dict(self.options)[name]


@dataclass(frozen=True, slots=True)
class Cast:
    """`strict`: a value that does not fit is an error; else it becomes null."""

    arg: Expr
    type: pa.DataType
    strict: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """The first branch whose condition is true (null is not) gives the value."""

    branches: tuple[tuple[Expr, Expr], ...]
    otherwise: Expr


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter that takes a column. `shape`: how a value lies in Python; None: as the column's type gives it."""

    name: str
    shape: Shape | None = None


@dataclass(frozen=True, slots=True)
class RowFunction:
    """A Python function that is called once per row.

    `parameters` are columns by name, passed in this order; `rest`: all other visible columns follow as keywords
    (`**row`); `record`: the only argument is the whole row as this record, and `parameters` are its fields. `returns`
    is what one call gives, `many`: it gives an iterable of these (`flat_map`).
    """

    function: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    returns: Shape
    rest: bool = False
    record: Record | None = None
    many: bool = False
    name: str = ""
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class AggregateCall:
    """An aggregate of a kind of `kernels.aggregate`. Without an argument (count only) it counts rows.

    `more`: what else it takes per row, such as what a maximum is chosen by. `filter`: rows for which it is not true do
    not count. `custom`: what an aggregate of the user's own runs.
    """

    kind: Kind
    argument: Expr | None = None
    more: tuple[Expr, ...] = ()
    filter: Expr | None = None
    options: tuple[tuple[str, Option], ...] = ()
    custom: Aggregator | None = None


Expr: TypeAlias = "Column | Literal | Call | Cast | Case | RowFunction | AggregateCall"


def children(expr: Expr) -> tuple[Expr, ...]:
    """The terms directly below. The columns that a row function takes are not terms of their own."""
    match expr:
        case Call():
            return expr.args
        case Cast():
            return (expr.arg,)
        case Case():
            return (*(part for branch in expr.branches for part in branch), expr.otherwise)
        case AggregateCall(argument=argument, more=more, filter=condition):
            return tuple(part for part in (argument, *more, condition) if part is not None)
        case Column() | Literal() | RowFunction():
            return ()


def with_children(expr: Expr, parts: tuple[Expr, ...]) -> Expr:
    """The same term over other parts, as many as `children` gives."""
    match expr:
        case Call():
            return Call(expr.function, parts, expr.options)
        case Cast():
            return Cast(parts[0], expr.type, expr.strict)
        case Case():
            return Case(tuple(zip(parts[:-1:2], parts[1:-1:2], strict=True)), parts[-1])
        case AggregateCall():
            rest = iter(parts)
            return replace(
                expr,
                argument=None if expr.argument is None else next(rest),
                more=tuple(next(rest) for _ in expr.more),
                filter=None if expr.filter is None else next(rest),
            )
        case Column() | Literal() | RowFunction():
            return expr
