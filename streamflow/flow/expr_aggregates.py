"""The aggregates among the methods of an expression, and aggregates of the user's own."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from streamflow.errors import UserError
from streamflow.flow.calls import explains_calls
from streamflow.flow.location import users_line
from streamflow.plan.logical.contract import Aggregator, Kind, Option, canonical_schema
from streamflow.plan.logical.terms import AggregateCall

if TYPE_CHECKING:
    from streamflow.flow.expr import ColumnLike, Expr
    from streamflow.plan.logical import terms

Interpolation = Literal["nearest", "lower", "higher", "midpoint", "linear"]


@explains_calls
class Aggregates:
    """Many rows to one value. They stand in `agg(...)`, and arithmetic between them is allowed.

    Nulls are skipped, and an aggregate of no value is null (a count of none is 0), as in SQL. `filter=` counts only the
    rows for which a condition is true; values of other rows are not even computed.

    >>> from streamflow.flow.expr import col
    >>> col("fare").sum(filter=col("city") == "Berlin")
    col('fare').sum(filter=col('city') == 'Berlin')
    """

    __slots__ = ()

    if TYPE_CHECKING:
        node: terms.Expr
        _name: str | None

    def sum(self, *, filter: ColumnLike | None = None) -> Expr:  # noqa: A002
        """Integers and decimals exactly; a result that does not fit is an error. Integers: int64, or uint64."""
        return self._aggregate("sum", filter)

    def min(self, *, filter: ColumnLike | None = None) -> Expr:  # noqa: A002
        return self._aggregate("min", filter)

    def max(self, *, filter: ColumnLike | None = None) -> Expr:  # noqa: A002
        """The greatest value; NaN is above all numbers."""
        return self._aggregate("max", filter)

    def mean(self, *, filter: ColumnLike | None = None) -> Expr:  # noqa: A002
        return self._aggregate("mean", filter)

    def var(self, *, ddof: int = 1, filter: ColumnLike | None = None) -> Expr:  # noqa: A002
        """The variance in float64: squared distances from the mean, divided by the number of values - `ddof`.

        Null for `ddof` values and fewer. It does not lose digits where the mean is large.

        >>> from streamflow.flow.expr import col
        >>> col("fare").var(ddof=0)
        col('fare').var(ddof=0)
        """
        return self._aggregate("var", filter, ddof=_ddof(ddof))

    def std(self, *, ddof: int = 1, filter: ColumnLike | None = None) -> Expr:  # noqa: A002
        """The standard deviation: the root of `var`.

        >>> from streamflow.flow.expr import col
        >>> col("fare").std() / col("fare").mean()
        col('fare').std() / col('fare').mean()
        """
        return self._aggregate("std", filter, ddof=_ddof(ddof))

    def count(self, *, filter: ColumnLike | None = None) -> Expr:  # noqa: A002
        """The number of values that are not null; `sf.count()` counts rows."""
        return self._aggregate("count", filter)

    def n_unique(self, *, filter: ColumnLike | None = None) -> Expr:  # noqa: A002
        """The number of distinct values. All of them are kept: see `approx_n_unique`."""
        return self._aggregate("n_unique", filter)

    def approx_n_unique(self, *, error: float = 0.02, filter: ColumnLike | None = None) -> Expr:  # noqa: A002
        """About the number of distinct values, with the standard error `error` (relative), in bounded memory.

        Two of three results are nearer than `error`, 19 of 20 than twice as much. Exact up to 1 / error**2 values
        (2,500 as it stands); a group keeps eight bytes for each of so many at most. The same values give the same
        result in every run and on any number of workers.

        >>> from streamflow.flow.expr import col
        >>> col("rider").approx_n_unique()
        col('rider').approx_n_unique(error=0.02)
        """
        return self._aggregate("approx_n_unique", filter, error=_error(error))

    def any(self, *, filter: ColumnLike | None = None) -> Expr:  # noqa: A002
        """Is a condition true for some row? Null where it is null for all.

        >>> from streamflow.flow.expr import col
        >>> (col("fare") > 100).any()
        (col('fare') > 100).any()
        """
        return self._aggregate("any", filter)

    def all(self, *, filter: ColumnLike | None = None) -> Expr:  # noqa: A002
        """Is a condition true for every row that it is not null for? Null where it is null for all.

        >>> from streamflow.flow.expr import col
        >>> (col("fare") > 0).all()
        (col('fare') > 0).all()
        """
        return self._aggregate("all", filter)

    def max_by(self, by: ColumnLike, *, filter: ColumnLike | None = None) -> Expr:  # noqa: A002
        """The value in the row with the greatest `by`, such as the bidder with the highest price (SQL's `arg_max`).

        Rows whose `by` is null do not count; of several with the greatest `by` the one with the least value does, null
        last, so that the result never depends on arrival.

        >>> from streamflow.flow.expr import col
        >>> col("bidder").max_by("price")
        col('bidder').max_by(col('price'))
        """
        return self._aggregate("max_by", filter, by)

    def min_by(self, by: ColumnLike, *, filter: ColumnLike | None = None) -> Expr:  # noqa: A002
        """The value in the row with the least `by`; else as `max_by`.

        >>> from streamflow.flow.expr import col
        >>> col("city").min_by(col("fare") / col("km"))
        col('city').min_by(col('fare') / col('km'))
        """
        return self._aggregate("min_by", filter, by)

    def first(self, *, filter: ColumnLike | None = None) -> Expr:  # noqa: A002
        """The value in the row with the earliest event time; null is a value too.

        Rows of the same event time go by their order in the source: by split, then by row; of a union by input. For the
        results of windows, which have the same time, it is an order by their keys that means nothing and never changes.

        >>> from streamflow.flow.expr import col
        >>> col("fare").first(filter=col("fare") > 10)
        col('fare').first(filter=col('fare') > 10)
        """
        return self._aggregate("first", filter)

    def last(self, *, filter: ColumnLike | None = None) -> Expr:  # noqa: A002
        """The value in the row with the latest event time; else as `first`.

        >>> from streamflow.flow.expr import col
        >>> col("fare").last() - col("fare").first()
        col('fare').last() - col('fare').first()
        """
        return self._aggregate("last", filter)

    def quantile(
        self,
        q: float,
        interpolation: Interpolation = "nearest",
        *,
        filter: ColumnLike | None = None,  # noqa: A002
    ) -> Expr:
        """The value that a part `q` of the values lies below, as float64: of n in order that of rank (n - 1) * q.

        `interpolation` says what a rank between two values gives: one of them, what lies in the middle, or what lies so
        far between them. "nearest" takes the higher one of two that are as near. NaN is above all numbers. All values
        are kept until the window fires: see `approx_quantile`.

        >>> from streamflow.flow.expr import col
        >>> col("fare").quantile(0.95, "linear")
        col('fare').quantile(0.95, interpolation='linear')
        """
        choices = ("nearest", "lower", "higher", "midpoint", "linear")
        if interpolation not in choices:
            raise _wrong(f"interpolation={interpolation!r} is none of {', '.join(map(repr, choices))}")
        return self._aggregate("quantile", filter, q=_part(q), interpolation=interpolation)

    def median(self, *, filter: ColumnLike | None = None) -> Expr:  # noqa: A002
        """The value in the middle, of two the mean: `quantile(0.5, "linear")`.

        >>> from streamflow.flow.expr import col
        >>> col("fare").median()
        col('fare').median()
        """
        return self._aggregate("quantile", filter, q=0.5, interpolation="linear")

    def approx_quantile(
        self,
        q: float,
        *,
        error: float = 0.01,
        filter: ColumnLike | None = None,  # noqa: A002
    ) -> Expr:
        """What `quantile(q)` gives, no further away than `error` times itself, in little memory.

        Values are only counted, by ranges: about 210 for each power of ten as it stands, and 16 bytes for each range
        that holds values. The bound is certain for magnitudes from 2.3e-308; smaller ones count as 0. The same values
        give the same result in every run and on any number of workers.

        >>> from streamflow.flow.expr import col
        >>> col("fare").approx_quantile(0.99)
        col('fare').approx_quantile(0.99, error=0.01)
        """
        return self._aggregate("approx_quantile", filter, q=_part(q), error=_error(error))

    def _aggregate(self, kind: Kind, condition: ColumnLike | None, *more: ColumnLike, **options: Option) -> Expr:
        from streamflow.flow.expr import Expr, to_node

        call = AggregateCall(
            kind,
            self.node,
            tuple(to_node(part) for part in more),
            None if condition is None else to_node(condition),
            tuple(options.items()),
        )
        return Expr(call, self._name)


def count(*, filter: ColumnLike | None = None) -> Expr:  # noqa: A002
    """The number of rows; with `filter` of those for which it is true.

    >>> from streamflow.flow.expr import col
    >>> count(), count(filter=col("fare") > 100)
    (count(), count(filter=col('fare') > 100))
    """
    from streamflow.flow.expr import Expr, to_node

    return Expr(AggregateCall("count", filter=None if filter is None else to_node(filter)))


def aggregate(
    aggregator: Aggregator,
    column: ColumnLike,
    *more: ColumnLike,
    filter: ColumnLike | None = None,  # noqa: A002
) -> Expr:
    """An aggregate of your own: an object with `partials`, `result`, `partial`, `merge` and `finish` (`sf.Aggregator`).

    It sees whole columns, nulls included, and numbers of groups; what it keeps per group are Arrow columns that it
    declares. A frozen dataclass counts by its fields, so that equal ones are the same aggregate.

    >>> import numpy as np, pyarrow as pa
    >>> class LogMean:
    ...     "The geometric mean."
    ...     partials = {"logs": pa.float64(), "n": pa.int64()}
    ...     result = pa.float64()
    ...     def partial(self, ids, count, fares):
    ...         logs = np.log(fares.fill_null(1).to_numpy())
    ...         n = np.bincount(ids, weights=fares.is_valid().to_numpy(False), minlength=count)
    ...         return {"logs": np.bincount(ids, weights=logs, minlength=count), "n": n.astype(int)}
    ...     def merge(self, ids, count, partials):
    ...         return {name: np.bincount(ids, weights=part.to_numpy(), minlength=count).astype(part.to_numpy().dtype)
    ...                 for name, part in partials.items()}
    ...     def finish(self, partials):
    ...         return np.exp(partials["logs"].to_numpy() / np.maximum(partials["n"].to_numpy(), 1))
    >>> aggregate(LogMean(), "fare").alias("typical")
    (aggregate(LogMean(), col('fare'))).alias('typical')
    """
    from streamflow.flow.expr import Expr, to_node

    _check(aggregator)
    call = AggregateCall(
        "custom",
        to_node(column),
        tuple(to_node(part) for part in more),
        None if filter is None else to_node(filter),
        custom=aggregator,
    )
    return Expr(call)


def _wrong(message: str, remedy: str | None = None) -> UserError:
    return UserError(message, location=users_line(), remedy=remedy)


def _check(aggregator: object) -> None:
    """Everything that can be seen of an aggregator before it runs. Raises UserError."""
    name = type(aggregator).__name__
    missing = [part for part in ("partials", "result", "partial", "merge", "finish") if not hasattr(aggregator, part)]
    if missing:
        raise _wrong(f"{name} is no aggregate: it has no {', '.join(missing)}", remedy="see sf.Aggregator")
    partials, result = aggregator.partials, aggregator.result  # type: ignore[attr-defined]
    if not isinstance(result, pa.DataType):
        raise _wrong(f"{name}.result is {result!r}, not a type of Arrow", remedy="result = pa.float64()")
    if not isinstance(partials, dict) or not partials or not all(isinstance(t, pa.DataType) for t in partials.values()):
        raise _wrong(
            f"{name}.partials does not say the columns that are kept", remedy='partials = {"total": pa.float64()}'
        )
    for what, type_ in [*partials.items(), ("result", result)]:
        canonical = canonical_schema(pa.schema([pa.field("x", type_)])).field(0).type
        if canonical != type_:
            raise _wrong(f"{name}: {what} is {type_}, which does not travel in a stream", remedy=f"use {canonical}")
    if not isinstance(aggregator, Hashable):
        raise _wrong(f"{name} cannot be hashed", remedy="make it a frozen dataclass")


def _part(q: object) -> float:
    if isinstance(q, bool) or not isinstance(q, int | float) or not 0 <= q <= 1:
        raise _wrong(f"quantile({q!r}): q is a part, from 0 to 1", remedy="quantile(0.95) is the 95th percentile")
    return float(q)


def _ddof(ddof: object) -> int:
    if isinstance(ddof, bool) or not isinstance(ddof, int) or ddof < 0:
        raise _wrong(f"ddof={ddof!r} is no number of degrees of freedom", remedy="ddof=1 for a sample, 0 for all")
    return ddof


def _error(error: object) -> float:
    if isinstance(error, bool) or not isinstance(error, int | float) or not 0.001 <= error <= 0.5:
        raise _wrong(f"error={error!r} is no relative error from 0.001 to 0.5", remedy="0.01 is one in a hundred")
    return float(error)
