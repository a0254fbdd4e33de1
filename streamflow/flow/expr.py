"""Expressions as users write them: `col("price") * 0.9 > 100`.

An expression is immutable and computes nothing: it wraps a term of the plan (`.node`) that is checked when a stream
takes it. A text right of an operator is a value, where a column is expected it is a column's name.

>>> col("price") * 0.9 > 100
col('price') * 0.9 > 100
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias

import numpy as np
import pyarrow as pa

from streamflow.errors import UserError
from streamflow.flow.calls import explains_calls
from streamflow.flow.expr_aggregates import Aggregates
from streamflow.flow.expr_functions import Functions
from streamflow.flow.instead import LATER
from streamflow.flow.instead_expr import EXPR
from streamflow.flow.location import Building, users_line
from streamflow.flow.records import cast_type, row_function
from streamflow.plan.logical import expr as terms
from streamflow.plan.logical.expr import AggregateCall, Call, Case, Cast, Column, default_name, show

if TYPE_CHECKING:
    from streamflow.flow.expr_list import Lists
    from streamflow.flow.expr_struct import Struct
    from streamflow.flow.expr_text import Text
    from streamflow.flow.expr_time import Time

Value: TypeAlias = "bool | int | float | str | bytes | date | datetime | timedelta | Decimal | None"
Operand: TypeAlias = "Expr | Value | np.generic | Callable[..., Any]"
"""What may stand right of an operator."""
ColumnLike: TypeAlias = "str | Expr | Callable[..., Any]"
"""What may stand where a column is expected."""
Name: TypeAlias = str
PythonType: TypeAlias = type[Any]
Option: TypeAlias = int | str | bool | None


def wrong(message: str, remedy: str | None = None) -> UserError:
    """An expression that cannot be: the error names the user's line, which may be far from the step that takes it."""
    return UserError(message, location=users_line(), remedy=remedy)


class NoSuchMethod(UserError, AttributeError):
    """A method that expressions do not have; the remedy names the one that does it."""


@explains_calls
class Expr(Aggregates, Functions):
    """A value per row, computed from columns."""

    __slots__ = ("_name", "node")

    __array_ufunc__ = None
    """Lets a numpy scalar on the left leave the operator to us."""

    def __init__(self, node: terms.Expr, name: str | None = None) -> None:
        self.node = node
        self._name = name

    def __repr__(self) -> str:
        return show(self.node) if self._name is None else f"({show(self.node)}).alias({self._name!r})"

    def alias(self, name: Name) -> Expr:
        """Names the column that it makes.

        >>> output_name((col("price") * 0.9).alias("net"))
        'net'
        """
        return Expr(self.node, name)

    # Arithmetic: // and % round to the floor and are null for integers divided by 0; / is true division.

    def __add__(self, other: Operand) -> Expr:
        return _binary("add", self, other)

    def __radd__(self, other: Operand) -> Expr:
        return _binary("add", other, self)

    def __sub__(self, other: Operand) -> Expr:
        return _binary("sub", self, other)

    def __rsub__(self, other: Operand) -> Expr:
        return _binary("sub", other, self)

    def __mul__(self, other: Operand) -> Expr:
        return _binary("mul", self, other)

    def __rmul__(self, other: Operand) -> Expr:
        return _binary("mul", other, self)

    def __truediv__(self, other: Operand) -> Expr:
        return _binary("div", self, other)

    def __rtruediv__(self, other: Operand) -> Expr:
        return _binary("div", other, self)

    def __floordiv__(self, other: Operand) -> Expr:
        return _binary("floordiv", self, other)

    def __rfloordiv__(self, other: Operand) -> Expr:
        return _binary("floordiv", other, self)

    def __mod__(self, other: Operand) -> Expr:
        return _binary("mod", self, other)

    def __rmod__(self, other: Operand) -> Expr:
        return _binary("mod", other, self)

    def __pow__(self, other: Operand) -> Expr:
        return _binary("pow", self, other)

    def __rpow__(self, other: Operand) -> Expr:
        return _binary("pow", other, self)

    def __neg__(self) -> Expr:
        return self._call("neg")

    def __pos__(self) -> Expr:
        return self

    def __abs__(self) -> Expr:
        return self.abs()

    def __round__(self, decimals: int = 0) -> Expr:
        return self.round(decimals)

    # Comparison

    def __eq__(self, other: Operand) -> Expr:  # type: ignore[override]
        if other is None:
            raise wrong("a comparison with None is never true", remedy="write .is_null()")
        return _binary("eq", self, other)

    def __ne__(self, other: Operand) -> Expr:  # type: ignore[override]
        if other is None:
            raise wrong("a comparison with None is never true", remedy="write .is_not_null()")
        return _binary("ne", self, other)

    __hash__ = None  # type: ignore[assignment]

    def __lt__(self, other: Operand) -> Expr:
        return _binary("lt", self, other)

    def __le__(self, other: Operand) -> Expr:
        return _binary("le", self, other)

    def __gt__(self, other: Operand) -> Expr:
        return _binary("gt", self, other)

    def __ge__(self, other: Operand) -> Expr:
        return _binary("ge", self, other)

    def eq_missing(self, other: Operand) -> Expr:
        """Are they equal, or both null? Never null.

        >>> evaluate(col("a").eq_missing(col("b")), a=[1, 1, None], b=[1, None, None])
        [True, False, True]
        """
        return self._call("eq_missing", other)

    def ne_missing(self, other: Operand) -> Expr:
        """Do they differ, null from a value too? Never null.

        >>> evaluate(col("a").ne_missing(1), a=[1, 2, None])
        [False, True, True]
        """
        return ~self.eq_missing(other)

    def is_between(
        self,
        low: Operand,
        high: Operand,
        closed: Literal["both", "left", "right", "none"] = "both",
    ) -> Expr:
        """Low <= value <= high; `closed` says which ends count.

        >>> col("price").is_between(10, 20, closed="left")
        col('price').is_between(10, 20, 'left')
        """
        if closed not in ("both", "left", "right", "none"):
            raise wrong(f"closed={closed!r} is none of 'both', 'left', 'right', 'none'")
        return self._call("between", low, high, closed=closed)

    def is_in(self, values: Iterable[Value]) -> Expr:
        """Is the value one of these?

        >>> col("state").is_in(["OR", "ID", "CA"])
        col('state').is_in(['OR', 'ID', 'CA'])
        """
        if isinstance(values, str | bytes | Expr):
            raise wrong("is_in takes a list of values", remedy="write .is_in(['a', 'b'])")
        listed = list(values)
        if any(value is None for value in listed):
            raise wrong("null is in no list", remedy="write expr.is_in([...]) | expr.is_null()")
        return self._call("is_in", *listed)

    # Logic

    def __and__(self, other: Operand) -> Expr:
        return _binary("and", self, other)

    def __rand__(self, other: Operand) -> Expr:
        return _binary("and", other, self)

    def __or__(self, other: Operand) -> Expr:
        return _binary("or", self, other)

    def __ror__(self, other: Operand) -> Expr:
        return _binary("or", other, self)

    def __invert__(self) -> Expr:
        return self._call("not")

    def __xor__(self, other: object) -> NoReturn:
        raise wrong("expressions have no ^", remedy="write a != b for conditions, a ** b for powers")

    __rxor__ = __xor__

    # Nulls and types

    def is_null(self) -> Expr:
        return self._call("is_null")

    def is_not_null(self) -> Expr:
        return self._call("is_not_null")

    def fill_null(self, value: Operand) -> Expr:
        """Another value where it is null.

        >>> col("city").fill_null("unknown")
        col('city').fill_null('unknown')
        """
        return self._call("coalesce", value)

    def cast(self, type: pa.DataType | PythonType, *, strict: bool = True) -> Expr:  # noqa: A002
        """As another type, a pyarrow or a Python one. A value that does not fit is an error, with `strict=False` null.

        A float becomes an integer by dropping its fraction, an integer becomes the nearest float.

        >>> col("price").cast(float)
        col('price').cast('double')
        """
        with Building("cast"):
            return Expr(Cast(self.node, cast_type(type), strict), self._name)

    # Numbers

    def abs(self) -> Expr:
        return self._call("abs")

    def round(self, decimals: int = 0) -> Expr:
        """To so many decimals; halves go away from zero."""
        return self._call("round", decimals=decimals)

    def floor(self) -> Expr:
        return self._call("floor")

    def ceil(self) -> Expr:
        return self._call("ceil")

    # Namespaces

    @property
    def str(self) -> Text:
        """Functions of text: `.str.to_lowercase()`, `.str.contains("x")`, ..."""
        from streamflow.flow.expr_text import Text

        return Text(self)

    @property
    def dt(self) -> Time:
        """Functions of dates and times: `.dt.hour()`, `.dt.truncate("1h")`, ..."""
        from streamflow.flow.expr_time import Time

        return Time(self)

    @property
    def list(self) -> Lists:
        """Functions of lists: `.list.len()`, `.list.get(0)`, ..."""
        from streamflow.flow.expr_list import Lists

        return Lists(self)

    @property
    def struct(self) -> Struct:
        """Fields of records: `.struct.field("city")`."""
        from streamflow.flow.expr_struct import Struct

        return Struct(self)

    # Order

    def asc(self) -> Order:
        """Smallest first, in `top(n, by=...)`; nulls last.

        >>> col("fare").asc()
        col('fare').asc()
        """
        return Order(self, descending=False)

    def desc(self) -> Order:
        """Largest first, in `top(n, by=...)`, as without it; nulls last."""
        return Order(self, descending=True)

    # What Python would do with it, and must not

    def __bool__(self) -> NoReturn:
        raise wrong(
            f"{self!r} is a condition on every row, not one truth",
            remedy="write & | ~ with parentheses for and, or, not; "
            ".is_in([...]) for in; .is_between(a, b) for a < x < b",
        )

    def __iter__(self) -> NoReturn:
        raise wrong(f"{self!r} cannot be iterated", remedy="lists in a column become rows with stream.explode(...)")

    def __contains__(self, value: object) -> NoReturn:
        raise wrong(f"'in' does not work on {self!r}", remedy="write .is_in([...]), or .str.contains(...) for text")

    def __len__(self) -> NoReturn:
        raise wrong(f"{self!r} has no length", remedy="write .str.len_chars() for text, sf.count() for rows")

    def __getitem__(self, key: object) -> NoReturn:
        raise wrong(f"{self!r} cannot be indexed", remedy="write .str.slice(offset, length) for text")

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise no_such_method("an expression", type(self), name, EXPR)

    def _call(self, function: Name, *operands: Operand, **options: Option) -> Expr:
        args = tuple(to_node(operand, text="value") for operand in operands)
        return Expr(Call(function, (self.node, *args), tuple(options.items())), self._name)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Order:
    """A direction to order rows in: `.asc()` or `.desc()` of an expression."""

    expr: Expr
    descending: bool

    def __repr__(self) -> str:
        return f"{self.expr!r}.{'desc' if self.descending else 'asc'}()"


def no_such_method(what: str, owner: type[Any], name: str, instead: Mapping[str, str]) -> AttributeError:
    """The error for a method that does not exist, with the one that is meant."""
    if name.startswith("_"):
        return AttributeError(name)
    remedy = instead.get(name)
    if remedy is None and name in LATER:
        return NoSuchMethod(
            f"{what} has no method .{name}: it is not in this version",
            location=users_line(),
            remedy=LATER[name] or None,
        )
    if remedy is None:
        public = [method for method in dir(owner) if not method.startswith("_")]
        close = difflib.get_close_matches(name, public, n=3)
        remedy = f"did you mean {' or '.join(f'.{match}' for match in close)}?" if close else None
    return NoSuchMethod(f"{what} has no method .{name}", location=users_line(), remedy=remedy)


def _binary(function: str, left: Operand, right: Operand) -> Expr:
    name = left._name if isinstance(left, Expr) else None
    return Expr(Call(function, (to_node(left, text="value"), to_node(right, text="value"))), name)


def to_node(value: object, *, text: Literal["column", "value"] = "column") -> terms.Expr:
    """The term of an expression, a column's name, a value or a row function. `text`: what a str stands for.

    >>> to_node("price"), to_node("price", text="value")
    (Column(name='price'), Literal(value='price', type=None))
    """
    match value:
        case Expr():
            return value.node
        case str() if text == "column":
            return Column(value)
        case np.generic():
            return to_node(value.item(), text="value")
        case bool() | int() | float() | str() | bytes() | date() | timedelta() | Decimal() | None:
            return terms.Literal(value)
        case Column() | terms.Literal() | Call() | Cast() | Case() | terms.RowFunction() | AggregateCall():
            return value
        case Callable():
            _check_called(value)
            return row_function(value)
        case _:
            raise wrong(
                f"a {type(value).__name__} is not an expression",
                remedy="write a column's name, an expression of col(...), a value or a function",
            )


def _check_called(function: object) -> None:
    """A method of an expression without its parentheses is not a row function. Raises UserError."""
    if not str(getattr(function, "__module__", "")).startswith("streamflow.flow.expr"):
        return
    name = getattr(function, "__qualname__", "")
    owner, _, method = name.rpartition(".")
    prefix = (
        "sf."
        if not owner
        else {"Text": ".str.", "Time": ".dt.", "Struct": ".struct.", "Lists": ".list."}.get(owner, ".")
    )
    raise wrong(f"{prefix}{method} stands without its parentheses", remedy=f"call it: {prefix}{method}()")


def output_name(value: object) -> str:
    """The name of the column that it makes: its alias, else the first column in it, or what the function is called."""
    if isinstance(value, Expr) and value._name is not None:
        return value._name
    return default_name(to_node(value))


def col(name: str) -> Expr:
    """A column, by its name.

    >>> col("price") > 100
    col('price') > 100
    """
    if not isinstance(name, str):
        raise wrong(f"col({name!r}): a column has a name", remedy='write col("price"); a value is lit(...)')
    return Expr(Column(name))


def lit(value: Value) -> Expr:
    """A constant: for text where a column would be expected, and to start an expression with.

    >>> when(col("price") > 100).then(lit("high")).otherwise(lit("low"))
    when(col('price') > 100).then(lit('high')).otherwise(lit('low'))
    """
    return Expr(to_node(value, text="value"))


def from_epoch(column: ColumnLike, unit: Literal["s", "ms", "us", "ns"] = "s") -> Expr:
    """Integers since 1970 as times.

    >>> from_epoch("ts", "ms")
    from_epoch(col('ts'), 'ms')
    """
    if unit not in ("s", "ms", "us", "ns"):
        raise wrong(f"{unit!r} is no unit of time", remedy="write 's', 'ms', 'us' or 'ns'")
    name = column._name if isinstance(column, Expr) else None
    return Expr(Call("from_epoch", (to_node(column),), (("unit", unit),)), name)


class When:
    """A condition that waits for `.then(...)`."""

    __slots__ = ("_branches", "_condition")

    def __init__(self, branches: tuple[tuple[terms.Expr, terms.Expr], ...], condition: terms.Expr) -> None:
        self._branches = branches
        self._condition = condition

    def then(self, value: Operand) -> Then:
        """The value where the condition is true; a text is a column's name."""
        return Then((*self._branches, (self._condition, to_node(value))))


class Then(Expr):
    """Branches so far; null where no condition is true, unless `.otherwise(...)` follows."""

    __slots__ = ("_branches",)

    def __init__(self, branches: tuple[tuple[terms.Expr, terms.Expr], ...]) -> None:
        super().__init__(Case(branches, terms.Literal(None)))
        self._branches = branches

    def when(self, condition: ColumnLike) -> When:
        """The next condition, where all before are not true."""
        return When(self._branches, to_node(condition))

    def otherwise(self, value: Operand) -> Expr:
        """The value where no condition is true; a text is a column's name."""
        return Expr(Case(self._branches, to_node(value)))


def when(condition: ColumnLike) -> When:
    """The first condition that is true decides.

    >>> when(col("delay") > 60).then(2).when(col("delay") > 15).then(1).otherwise(0)
    when(col('delay') > 60).then(2).when(col('delay') > 15).then(1).otherwise(0)
    """
    return When((), to_node(condition))
