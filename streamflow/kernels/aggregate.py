"""Aggregates in three steps, each from arrays to arrays: rows to partials, partials to partials, partials to results.

A partial is one or more columns with one entry per group. Partials merge in any order and any grouping to the same
result (exactly, but for sums, means and variances of floats), so rows may be aggregated per batch, per slice, per
worker, and again at a merge.

The semantics are SQL's (rule 16): nulls are skipped; an aggregate of no value is null, a count of none is 0; NaN is the
greatest number; -0.0 equals 0.0 and comes out as 0.0.

How a kind is computed stands in its family's module, `streamflow.kernels.aggregates`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from streamflow.kernels.aggregates import chosen, custom, distinct, extremes, moments, ordered, quantiles, sums
from streamflow.kernels.aggregates.custom import CustomError
from streamflow.kernels.aggregates.spec import AggregateSpec, Aggregator, Family, Kind, Option
from streamflow.kernels.arrays import raw_values, validity
from streamflow.kernels.grouping import Groups, group

__all__ = [
    "KEEPS_NULLS",
    "ORDERED",
    "AggregateSpec",
    "Aggregator",
    "CustomError",
    "Kind",
    "Option",
    "finish",
    "group",
    "merge",
    "merge_pairs",
    "partial",
    "partial_fields",
    "partial_of_rows",
    "result_of",
    "result_type",
]

_FAMILIES: dict[Kind, Family] = {
    "count": sums.COUNT,
    "sum": sums.SUM,
    "mean": sums.MEAN,
    "std": moments.STD,
    "var": moments.VAR,
    "min": extremes.MIN,
    "max": extremes.MAX,
    "any": extremes.ANY,
    "all": extremes.ALL,
    "min_by": chosen.BY,
    "max_by": chosen.BY,
    "quantile": quantiles.EXACT,
    "approx_quantile": quantiles.APPROXIMATE,
    "n_unique": distinct.EXACT,
    "approx_n_unique": distinct.APPROXIMATE,
    "first": ordered.END,
    "last": ordered.END,
    "list": ordered.LIST,
    "custom": custom.CUSTOM,
}
ORDERED: frozenset[Kind] = frozenset({"first", "last", "list"})
"""Kinds that go by the time of rows and their order: their specs have both as the last of `more`."""

KEEPS_NULLS: frozenset[Kind] = frozenset({"first", "last", "list", "custom"})
"""Kinds to which a null is a value."""


def result_of(spec: AggregateSpec) -> pa.DataType:
    """The type of the aggregate's results. Raises `ValueError` saying what fits, where the columns' types do not."""
    family = _FAMILIES.get(spec.kind)
    if family is None:
        raise ValueError(f"no aggregate is called {spec.kind}")
    return family.result(spec)


def result_type(kind: Kind, input_type: pa.DataType | None) -> pa.DataType:
    """The type that an aggregate of one column of `input_type` has. Raises `ValueError` saying what fits.

    >>> result_type("sum", pa.int32()), result_type("mean", pa.int32()), result_type("max", pa.string())
    (DataType(int64), DataType(double), DataType(string))
    >>> result_type("sum", pa.string())
    Traceback (most recent call last):
    ...
    ValueError: sum takes numbers, not string
    """
    return result_of(AggregateSpec(kind, None, input_type, ""))


def partial_fields(spec: AggregateSpec) -> list[pa.Field]:
    """The columns of the aggregate's partial, named `~<name>.<part>`.

    >>> [field.name for field in partial_fields(AggregateSpec("mean", "x", pa.int64(), "m"))]
    ['~m.sum0', '~m.sum1', '~m.count']
    """
    return [pa.field(f"~{spec.name}.{part}", type_) for part, type_ in _FAMILIES[spec.kind].parts(spec)]


def partial(
    spec: AggregateSpec, values: pa.Array | None, groups: Groups, more: Sequence[pa.Array] = ()
) -> list[pa.Array]:
    """Aggregate rows: the partial of each group. `values` has one entry per row of `groups`; None only to count rows.

    `more`: the other columns that the aggregate takes (`spec.more`).

    >>> groups = group([pa.array(["a", "b", "a"])], 3)
    >>> total = AggregateSpec("sum", "x", pa.int64(), "total")
    >>> finish(total, partial(total, pa.array([1, 2, 4]), groups)).to_pylist()
    [5, 2]
    """
    if values is None and spec.kind != "count":
        raise ValueError(f"{spec.kind} needs a column")
    return _FAMILIES[spec.kind].partial(spec, [*([] if values is None else [values]), *more], groups)


def partial_of_rows(spec: AggregateSpec, column: Callable[[str], pa.Array], groups: Groups) -> list[pa.Array]:
    """As `partial`, with the columns of the rows by name; rows for which the aggregate's filter is not true are left
    out.
    """
    columns = [column(name) for name in spec.columns]
    if spec.filter is not None:
        *columns, condition = columns
        valid, kept = validity(condition), raw_values(condition).view(np.bool_)
        kept = kept if valid is None else kept & valid
        groups = Groups(groups.ids[kept], groups.count, groups.first)
        columns = [values.filter(pa.array(kept)) for values in columns]
    return _FAMILIES[spec.kind].partial(spec, columns, groups)


def merge(spec: AggregateSpec, parts: Sequence[pa.Array], groups: Groups) -> list[pa.Array]:
    """Aggregate partials: `parts` are the columns of `partial_fields`, with one entry per row of `groups`."""
    return _FAMILIES[spec.kind].merge(spec, parts, groups)


def merge_pairs(spec: AggregateSpec, parts: Sequence[pa.Array], others: Sequence[pa.Array]) -> list[pa.Array]:
    """`merge` of two partials for each group, where both have one entry per group.

    >>> total = AggregateSpec("sum", "x", pa.float64(), "total")
    >>> merge_pairs(total, [pa.array([1.0, 2.0])], [pa.array([0.5, None])])[0].to_pylist()
    [1.5, 2.0]
    """
    pairs = _FAMILIES[spec.kind].merge_pairs
    if pairs is not None and not any(part.null_count for part in (*parts, *others)):
        return pairs(parts, others)
    ids = np.arange(len(parts[0]))
    both = [pa.concat_arrays(two) for two in zip(parts, others, strict=True)]
    return merge(spec, both, Groups(np.concatenate([ids, ids]), len(ids), ids))


def finish(spec: AggregateSpec, parts: Sequence[pa.Array]) -> pa.Array:
    """The results of partials, of type `result_of`. Raises `OverflowError` for an exact sum that does not fit it."""
    return _FAMILIES[spec.kind].finish(spec, parts)
