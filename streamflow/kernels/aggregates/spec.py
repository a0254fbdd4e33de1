"""What one aggregate is: its kind, the columns it takes, its options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Int64s
from streamflow.kernels.grouping import Groups

Kind: TypeAlias = Literal[
    "count",
    "sum",
    "mean",
    "std",
    "var",
    "min",
    "max",
    "any",
    "all",
    "min_by",
    "max_by",
    "quantile",
    "approx_quantile",
    "n_unique",
    "approx_n_unique",
    "first",
    "last",
    "list",
    "custom",
]
Option: TypeAlias = "int | float | str | bool | None"
Column: TypeAlias = "pa.Array | np.ndarray[Any, np.dtype[Any]]"


class Aggregator(Protocol):
    """An aggregate of the user's own: vectorised over rows and groups, in three steps.

    `ids` names the group of each row, in 0..`count`-1; a group may have no row. Every step gives one entry per group:
    `partial` and `merge` the columns of `partials` by name, `finish` the results, as Arrow or numpy arrays. Which rows
    meet in one `partial`, and which partials in one `merge`, means nothing: any cut must give the same result.
    """

    @property
    def partials(self) -> Mapping[str, pa.DataType]:
        """The columns of a partial: what is kept per group, sent between workers and written to snapshots."""
        ...

    @property
    def result(self) -> pa.DataType:
        """The type of the results."""
        ...

    @property
    def partial(self) -> Callable[..., Mapping[str, Column]]:
        """The method `partial(ids, count, *columns)`: rows to partials.

        `columns` are those that the aggregate was given, one entry per row, nulls included.
        """
        ...

    def merge(self, ids: Int64s, count: int, partials: Mapping[str, pa.Array]) -> Mapping[str, Column]:
        """Partials to partials."""
        ...

    def finish(self, partials: Mapping[str, pa.Array]) -> Column:
        """Partials to results."""
        ...


@dataclass(frozen=True, slots=True)
class AggregateSpec:
    """One aggregate: `kind` of `column` (None: count rows), whose type is `type`, as output column `name`.

    `more`: further columns that it takes, with their types. `filter`: a column of bools; only rows where it is true
    count. `custom`: what a kind "custom" runs.
    """

    kind: Kind
    column: str | None
    type: pa.DataType | None
    name: str
    more: tuple[tuple[str, pa.DataType], ...] = ()
    filter: str | None = None
    options: tuple[tuple[str, Option], ...] = ()
    custom: Aggregator | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that it needs of the rows."""
        first = () if self.column is None else (self.column,)
        last = () if self.filter is None else (self.filter,)
        return (*first, *(name for name, _ in self.more), *last)

    def option(self, name: str) -> Any:
        return dict(self.options)[name]


@dataclass(frozen=True, slots=True)
class Family:
    """How the aggregates of some kinds are computed.

    `result`: the type of the results; raises `ValueError` where the columns do not fit. `parts`: the names and types of
    a partial's columns. `partial` takes the columns of rows, `merge` those of partials; both give a partial.
    `merge_pairs`: a faster `merge` of two partials for each group, without nulls; None: there is none.
    """

    result: Callable[[AggregateSpec], pa.DataType]
    parts: Callable[[AggregateSpec], Sequence[tuple[str, pa.DataType]]]
    partial: Callable[[AggregateSpec, Sequence[pa.Array], Groups], list[pa.Array]]
    merge: Callable[[AggregateSpec, Sequence[pa.Array], Groups], list[pa.Array]]
    finish: Callable[[AggregateSpec, Sequence[pa.Array]], pa.Array]
    merge_pairs: Callable[[Sequence[pa.Array], Sequence[pa.Array]], list[pa.Array]] | None = None


def input_type(spec: AggregateSpec) -> pa.DataType:
    """The type of the column. Raises `ValueError` where there is none."""
    if spec.type is None:
        raise ValueError(f"{spec.kind} needs a column")
    return spec.type


def require_numbers(spec: AggregateSpec) -> pa.DataType:
    """The type of the column, which is one of numbers. Raises `ValueError`."""
    types, type_ = pa.types, input_type(spec)
    if not (types.is_integer(type_) or types.is_floating(type_) or types.is_decimal128(type_)):
        raise ValueError(f"{spec.kind} takes numbers, not {type_}")
    return type_


def is_comparable(type_: pa.DataType) -> bool:
    """Do its values have an order?"""
    types = pa.types
    return bool(
        types.is_integer(type_)
        or types.is_floating(type_)
        or types.is_boolean(type_)
        or types.is_temporal(type_)
        or types.is_decimal(type_)
        or types.is_string(type_)
        or types.is_binary(type_)
        or types.is_null(type_)
    )
