"""Functions of single values of any kind among the methods of an expression, and those of several columns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from streamflow.plan.logical.terms import Call

if TYPE_CHECKING:
    from streamflow.flow.expr import ColumnLike, Expr, Operand, Value

_MISSING: Any = object()


class Functions:
    """Null in, null out, where nothing else is said."""

    __slots__ = ()

    if TYPE_CHECKING:

        def _call(self, function: str, *operands: Operand, **options: Any) -> Expr: ...

    # Numbers

    def sqrt(self) -> Expr:
        """The square root; NaN of a negative number.

        >>> evaluate(col("x").sqrt(), x=[9, 2.25, -1])
        [3.0, 1.5, nan]
        """
        return self._call("sqrt")

    def exp(self) -> Expr:
        """e to this power.

        >>> evaluate(col("x").exp(), x=[0])
        [1.0]
        """
        return self._call("exp")

    def log(self, base: float = math.e) -> Expr:
        """The logarithm; NaN of a negative number, -inf of 0.

        >>> evaluate(col("x").log(10), x=[100, 0])
        [2.0, -inf]
        """
        from streamflow.flow.expr import wrong

        if not base > 0 or base == 1:
            raise wrong(f"log({base!r}): a base is above 0, and not 1")
        return self._call("log", base=None if base == math.e else repr(base))

    def log10(self) -> Expr:
        """The logarithm to the base 10."""
        return self.log(10)

    def cbrt(self) -> Expr:
        """The cube root.

        >>> evaluate(col("x").cbrt(), x=[27, -8])
        [3.0, -2.0]
        """
        return self._call("cbrt")

    def sin(self) -> Expr:
        """The sine of an angle in radians.

        >>> evaluate(col("degrees").radians().sin().round(6), degrees=[30])
        [0.5]
        """
        return self._call("sin")

    def cos(self) -> Expr:
        """The cosine of an angle in radians."""
        return self._call("cos")

    def tan(self) -> Expr:
        """The tangent of an angle in radians."""
        return self._call("tan")

    def arcsin(self) -> Expr:
        """The angle in radians, -pi/2 to pi/2, of a sine; NaN outside of -1 to 1."""
        return self._call("arcsin")

    def arccos(self) -> Expr:
        """The angle in radians, 0 to pi, of a cosine; NaN outside of -1 to 1."""
        return self._call("arccos")

    def arctan(self) -> Expr:
        """The angle in radians, -pi/2 to pi/2, of a tangent."""
        return self._call("arctan")

    def degrees(self) -> Expr:
        """Radians as degrees."""
        return self._call("degrees")

    def radians(self) -> Expr:
        """Degrees as radians.

        >>> evaluate(col("x").radians().cos(), x=[0, 180])
        [1.0, -1.0]
        """
        return self._call("radians")

    def pow(self, exponent: Operand) -> Expr:
        """`x ** exponent`; integers stay integers.

        >>> evaluate(col("x").pow(2), x=[3])
        [9]
        """
        return self._call("pow", exponent)

    def sign(self) -> Expr:
        """-1, 0 or 1.

        >>> evaluate(col("x").sign(), x=[-7, 0, 3])
        [-1, 0, 1]
        """
        return self._call("sign")

    def is_nan(self) -> Expr:
        """Is it the float NaN? Null of null.

        >>> evaluate(col("x").is_nan(), x=[float("nan"), 1.0, None])
        [True, False, None]
        """
        return self._call("is_nan")

    def is_not_nan(self) -> Expr:
        """Is it another number than the float NaN?"""
        return ~self._call("is_nan")

    def is_finite(self) -> Expr:
        """Is it neither NaN nor infinite?

        >>> evaluate(col("x").is_finite(), x=[float("inf"), 1.0])
        [False, True]
        """
        return self._call("is_finite")

    def is_infinite(self) -> Expr:
        """Is it inf or -inf?"""
        return self._call("is_infinite")

    def fill_nan(self, value: Operand) -> Expr:
        """Another value, or None, where it is NaN.

        >>> evaluate(col("x").fill_nan(None), x=[float("nan"), 1.0])
        [None, 1.0]
        """
        return self._call("fill_nan", value)

    def clip(self, lower_bound: Operand = None, upper_bound: Operand = None) -> Expr:
        """Not below the one and not above the other: numbers, dates, times, durations. NaN stays NaN.

        >>> evaluate(col("x").clip(0, 10), x=[-5, 5, 50, None])
        [0, 5, 10, None]
        """
        return self._call("clip", lower_bound, upper_bound)

    # Any value

    def hash(self) -> Expr:
        """A number of 64 bits that depends on the value alone: the same in every run, on every machine.

        It is what streamflow distributes rows by, and no secret. Several columns: `sf.struct("a", "b").hash()`.

        >>> evaluate(col("user").hash() % 100, user=["ada", "bob", "ada"])
        [88, 57, 88]
        """
        return self._call("hash")

    def replace(self, mapping: Mapping[Any, Value]) -> Expr:
        """Other values for these; all the rest stays. None as a key stands for null.

        >>> evaluate(col("city").replace({"NYC": "New York", None: "?"}), city=["NYC", "Rome", None])
        ['New York', 'Rome', '?']
        """
        keys = _keys(mapping, "replace")
        return self._call("replace", *keys, *mapping.values())

    def replace_strict(self, mapping: Mapping[Any, Value], *, default: Operand = _MISSING) -> Expr:
        """The value that a mapping has for each; without a `default` a value that it lacks is an error. Null is null.

        >>> evaluate(col("state").replace_strict({"OR": 1, "ID": 2}, default=0), state=["ID", "TX", None])
        [2, 0, None]
        """
        keys = _keys(mapping, "replace_strict")
        given = default is not _MISSING
        return self._call(
            "replace_strict", default if given else None, *keys, *mapping.values(), default="yes" if given else None
        )


def _keys(mapping: object, function: str) -> list[Any]:
    from streamflow.flow.expr import wrong

    if not isinstance(mapping, Mapping) or len(mapping) == 0:
        raise wrong(f"{function} takes a dict from old to new values", remedy=f"write .{function}({{'old': 'new'}})")
    return list(mapping)


def coalesce(*columns: ColumnLike | Value) -> Expr:
    """The first value that is not null.

    >>> evaluate(sf.coalesce("nick", "name", sf.lit("?")), nick=[None, "Al", None], name=["Bo", "Ed", None])
    ['Bo', 'Al', '?']
    """
    return _of_columns("coalesce", columns)


def max_horizontal(*columns: ColumnLike | Value) -> Expr:
    """The greatest of several columns in each row; nulls are skipped, NaN is the greatest number.

    >>> evaluate(sf.max_horizontal("a", "b", 2), a=[1, None], b=[5, 0])
    [5, 2]
    """
    return _of_columns("max_horizontal", columns)


def min_horizontal(*columns: ColumnLike | Value) -> Expr:
    """The least of several columns in each row; nulls are skipped.

    >>> evaluate(sf.min_horizontal("a", "b"), a=[1, None], b=[5, 0])
    [1, 0]
    """
    return _of_columns("min_horizontal", columns)


def concat_str(*columns: ColumnLike | Value, separator: str = "", ignore_nulls: bool = False) -> Expr:
    """Several columns as one text; null where one is null, unless these are left out.

    >>> evaluate(sf.concat_str("city", "zip", separator=" "), city=["Rome", None], zip=[184, 185])
    ['Rome 184', None]
    """
    return _of_columns("concat_str", columns, separator=separator, ignore_nulls=ignore_nulls)


def struct(*columns: ColumnLike, **named: ColumnLike) -> Expr:
    """A record of several columns.

    >>> evaluate(sf.struct("a", twice=col("a") * 2), a=[1])
    [{'a': 1, 'twice': 2}]
    """
    from streamflow.flow.arguments import named_columns
    from streamflow.flow.expr import Expr, wrong

    fields = named_columns(columns, named)
    names = [field.name for field in fields]
    if not names or len(set(names)) < len(names):
        raise wrong("a struct has fields, each with a name of its own", remedy='write sf.struct("a", b=col("x") * 2)')
    options = tuple((str(number), name) for number, name in enumerate(names))
    return Expr(Call("struct", tuple(field.expr for field in fields), options))


def _of_columns(function: str, columns: tuple[ColumnLike | Value, ...], **options: str | bool) -> Expr:
    from streamflow.flow.expr import Expr, to_node, wrong

    if not columns:
        raise wrong(f"{function}() has no column", remedy=f'write sf.{function}("a", "b")')
    if isinstance(columns[0], list | tuple):
        raise wrong(f"{function} takes columns one by one", remedy=f'write sf.{function}("a", "b"), without brackets')
    nodes = tuple(map(to_node, columns))
    return Expr(Call(function, nodes, tuple(options.items())), _alias(columns[0]))


def _alias(column: object) -> str | None:
    from streamflow.flow.expr import Expr

    return column._name if isinstance(column, Expr) else None
