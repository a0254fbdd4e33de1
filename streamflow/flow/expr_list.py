"""`.list`: functions of lists. A null list gives null."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from streamflow.flow.expr import ColumnLike, Expr, Operand, no_such_method
from streamflow.flow.instead_expr import LISTS


class Lists:
    __slots__ = ("_expr",)

    def __init__(self, expr: Expr) -> None:
        self._expr = expr

    def __call__(self, *, filter: ColumnLike | None = None) -> Expr:  # noqa: A002
        """The aggregate: all values by event time, nulls among them; null for no row. Of the same time as `first`.

        >>> col("city").list()
        col('city').list()
        """
        return self._expr._aggregate("list", filter)

    def len(self) -> Expr:
        """The number of elements.

        >>> evaluate(col("x").list.len(), x=[["a", None], [], None])
        [2, 0, None]
        """
        return self._expr._call("list.len")

    def get(self, index: Operand) -> Expr:
        """The element at this place, counted from 0, from the end when it is negative; null where there is none.

        >>> evaluate(col("x").list.get(-1), x=[[1, 2], []])
        [2, None]
        """
        return self._expr._call("list.get", index)

    def first(self) -> Expr:
        """The first element; null where there is none."""
        return self.get(0)

    def last(self) -> Expr:
        """The last element; null where there is none."""
        return self.get(-1)

    def contains(self, value: Operand) -> Expr:
        """Is this value among the elements? Null where the value is.

        >>> evaluate(col("x").list.contains("b"), x=[["a", "b"], [None]])
        [True, False]
        """
        return self._expr._call("list.contains", value)

    def count_matches(self, value: Operand) -> Expr:
        """How many elements have this value. Null where the value is.

        >>> evaluate(col("x").list.count_matches("b"), x=[["b", "a", "b"], [None]])
        [2, 0]
        """
        return self._expr._call("list.count_matches", value)

    def any(self) -> Expr:
        """Is one of the conditions true? Nulls are left out; null where there are none, as in SQL.

        >>> evaluate(col("x").list.any(), x=[[False, True], [False, None], []])
        [True, False, None]
        """
        return self._expr._call("list.any")

    def all(self) -> Expr:
        """Are all conditions true? Nulls are left out; null where there are none, as in SQL.

        >>> evaluate(col("x").list.all(), x=[[False, True], [True, None], []])
        [False, True, None]
        """
        return self._expr._call("list.all")

    def sum(self) -> Expr:
        """The sum of the elements, null where there are none, as in SQL.

        >>> evaluate(col("x").list.sum(), x=[[1, None, 2], []])
        [3, None]
        """
        return self._expr._call("list.sum")

    def min(self) -> Expr:
        """The least element."""
        return self._expr._call("list.min")

    def max(self) -> Expr:
        """The greatest element; NaN is the greatest number."""
        return self._expr._call("list.max")

    def mean(self) -> Expr:
        """The mean of the elements that are not null.

        >>> evaluate(col("x").list.mean(), x=[[1, 2], [None]])
        [1.5, None]
        """
        return self._expr._call("list.mean")

    def std(self, ddof: int = 1) -> Expr:
        """The standard deviation of the elements that are not null; null where there are no more than `ddof`.

        >>> evaluate(col("x").list.std(), x=[[1, 3, 5], [1]])
        [2.0, None]
        """
        return self._expr._call("list.std", ddof=ddof)

    def var(self, ddof: int = 1) -> Expr:
        """The variance of the elements that are not null; null where there are no more than `ddof`."""
        return self._expr._call("list.var", ddof=ddof)

    def drop_nulls(self) -> Expr:
        """The elements that are not null.

        >>> evaluate(col("x").list.drop_nulls(), x=[[1, None, 2], [None]])
        [[1, 2], []]
        """
        return self._expr._call("list.drop_nulls")

    def n_unique(self) -> Expr:
        """The number of distinct values that are not null."""
        return self._expr._call("list.n_unique")

    def join(self, separator: str) -> Expr:
        """The texts as one; nulls are left out.

        >>> evaluate(col("x").list.join("-"), x=[["a", None, "b"], []])
        ['a-b', '']
        """
        return self._expr._call("list.join", separator=separator)

    def sort(self, *, descending: bool = False) -> Expr:
        """The elements in order, nulls last.

        >>> evaluate(col("x").list.sort(), x=[[3, None, 1]])
        [[1, 3, None]]
        """
        return self._expr._call("list.sort", descending=descending)

    def unique(self) -> Expr:
        """Each value once, in the order in which they come first.

        >>> evaluate(col("x").list.unique(), x=[["b", "a", "b"]])
        [['b', 'a']]
        """
        return self._expr._call("list.unique")

    def reverse(self) -> Expr:
        """From the last element to the first.

        >>> evaluate(col("x").list.reverse(), x=[[1, 2, 3]])
        [[3, 2, 1]]
        """
        return self._expr._call("list.reverse")

    def slice(self, offset: int, length: int | None = None) -> Expr:
        """So many elements from `offset` on, which counts from the end when it is negative.

        >>> evaluate(col("x").list.slice(1, 2), x=[[1, 2, 3, 4], [5]])
        [[2, 3], []]
        """
        return self._expr._call("list.slice", offset=offset, length=length)

    def head(self, n: int = 5) -> Expr:
        """The first `n` elements."""
        return self.slice(0, n)

    def tail(self, n: int = 5) -> Expr:
        """The last `n` elements.

        >>> evaluate(col("x").list.tail(2), x=[[1, 2, 3], [4]])
        [[2, 3], [4]]
        """
        return self.slice(-n, n)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise no_such_method(".list", Lists, name, LISTS)
