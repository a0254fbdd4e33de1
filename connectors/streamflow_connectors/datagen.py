"""Rows made up by a recipe, for demos, tests and load: typed columns, as many rows as wanted, at a given rate.

Every value is a function of the seed, the column's name and the row's number, so rows do not depend on how they are cut
into batches, on the number of splits, or on which columns are read.

>>> source = Source(
...     {
...         "id": sequence(),
...         "user": zipf(1000),
...         "amount": uniform(1, 100),
...         "kind": choice(["card", "cash"], weights=[3, 1]),
...         "at": timestamps("2026-03-01T12:00:00Z", every="10ms", disorder="1s"),
...     },
...     rows=100,
... )
>>> source.schema().field("kind").type
DataType(string)
>>> [(split, batch)] = source.project(["id", "amount"]).open({"0": None}).poll(3)
>>> batch.to_pydict() == source.project(["id", "amount"]).open({"0": None}).poll(5)[0][1].slice(0, 3).to_pydict()
True
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from streamflow.connect import (
    Position,
    UserError,
    canonical_type,
    cast_array,
    parse_duration,
    set_fields,
    with_fields,
)
from streamflow_connectors._numbered import NumberedReader, PacedReader, strides
from streamflow_connectors._random import Ints, random_text, random_words

if TYPE_CHECKING:
    import numpy.typing as npt

_TIME = pa.timestamp("us", "UTC")
_MOST_RANKS = 10_000_000
"""A table of so many cumulative shares takes 80 MB."""


class Column(Protocol):
    """How the values of a column are made. Frozen; its repr says all that it was given."""

    @property
    def type(self) -> pa.DataType: ...

    def make(self, rows: Ints, seed: int, name: str) -> pa.Array:
        """The values of the rows with these numbers."""
        ...


@dataclass(frozen=True, init=False, repr=False)
class Source:
    """Makes rows.

    `columns`: by name, made by the functions of this module: `sequence`, `uniform`, `zipf`, `choice`, `text`,
    `timestamps`, `constant`, `nullable`. `rows`: how many; None for a stream without end. `rate`: rows a second (of all
    splits together) by the engine's clock; None for as fast as they are taken. Pacing does not change the rows. `seed`:
    another one gives other rows. `splits`: rows are dealt to so many in turn.
    """

    _columns: tuple[tuple[str, Column], ...]
    _rows: int | None
    _rate: float | None
    _seed: int
    _splits: int

    def __init__(
        self,
        columns: Mapping[str, Column],
        rows: int | None = None,
        *,
        rate: float | None = None,
        seed: int = 1,
        splits: int = 1,
    ) -> None:
        if splits < 1 or (rows is not None and rows < 0) or (rate is not None and not 0 < rate < math.inf):
            raise UserError(f"datagen cannot make {rows=}, {rate=}, {splits=}", remedy="use positive numbers")
        if not columns:
            raise UserError("rows without columns", remedy='give columns, as in {"id": datagen.sequence()}')
        for name, column in columns.items():
            if not hasattr(column, "make"):
                raise UserError(
                    f"column {name!r}: {column!r} does not say how its values are made",
                    remedy="use datagen.sequence, uniform, zipf, choice, text, timestamps, constant or nullable",
                )
        set_fields(self, _columns=tuple(columns.items()), _rows=rows, _rate=rate, _seed=seed, _splits=splits)

    def __repr__(self) -> str:
        columns = ", ".join(f"{name}={column!r}" for name, column in self._columns)
        return (
            f"datagen.Source({columns}, rows={self._rows}, rate={self._rate}, seed={self._seed}, splits={self._splits})"
        )

    @property
    def bounded(self) -> bool:
        return self._rows is not None

    def schema(self) -> pa.Schema:
        return pa.schema([(name, column.type) for name, column in self._columns])

    def project(self, columns: Sequence[str]) -> Source:
        made = dict(self._columns)
        return with_fields(self, _columns=tuple((name, made[name]) for name in columns))

    def splits(self) -> list[str]:
        return [str(number) for number in range(self._splits)]

    def row_count(self) -> int | None:
        return self._rows

    def min_value(self, split: str, column: str) -> pa.Scalar | None:
        """Timestamps start at their start less the disorder; nothing is known of other columns."""
        made = dict(self._columns).get(column)
        return pa.scalar(made.start - made.disorder, _TIME) if isinstance(made, _Timestamps) else None

    def open(self, splits: Mapping[str, Position | None]) -> NumberedReader:
        def make(rows: Ints) -> list[pa.Array]:
            return [column.make(rows, self._seed, name) for name, column in self._columns]

        parts = strides(splits, self._splits, self._rows)
        if self._rate is None:
            return NumberedReader(make, self.schema(), parts)
        return PacedReader(make, self.schema(), parts, self._rate / self._splits)


def sequence(start: int = 0, step: int = 1) -> Column:
    """`start`, `start + step`, ...: int64 that wraps around at its end."""
    return _Sequence(start, step)


def uniform(low: float, high: float) -> Column:
    """Every value between the two as likely: int64 from `low` to `high`, both included, if both are int; else float64
    from `low` to just below `high`.
    """
    if isinstance(low, int) and isinstance(high, int):
        if not -(2**63) <= low <= high < 2**63:
            raise UserError(f"uniform({low}, {high}) holds no int64", remedy="give the lower bound first")
        return _Integers(low, high)
    if not (math.isfinite(low) and math.isfinite(high) and low < high and math.isfinite(high - low)):
        raise UserError(f"uniform({low}, {high}) holds no number", remedy="give the lower bound first")
    return _Floats(float(low), float(high))


def zipf(values: int, exponent: float = 1.0, first: int = 0) -> Column:
    """int64 `first` to `first + values - 1`: the k-th of them in a share of 1 / k ** exponent, as popularity goes.

    `exponent` 0 makes all as likely; at 1 the first of a million comes in 7 of 100 rows.
    """
    if not 1 <= values <= _MOST_RANKS or not 0 <= exponent < math.inf:
        raise UserError(
            f"zipf({values}, {exponent}) cannot be made", remedy=f"use 1 to {_MOST_RANKS} values and an exponent from 0"
        )
    return _Zipf(values, float(exponent), first)


def choice(values: Sequence[Any], weights: Sequence[float] | None = None) -> Column:
    """One of these values (of one type, None among them allowed), all as likely or by weight."""
    shares = (1.0,) * len(values) if weights is None else tuple(map(float, weights))
    if not values or len(shares) != len(values) or min(shares) < 0 or not 0 < sum(shares) < math.inf:
        raise UserError(
            f"cannot choose among {len(values)} values by the weights {weights}",
            remedy="give at least one value, and a weight from 0 for each",
        )
    made = _Choice(tuple(values), shares)
    try:
        made.type  # noqa: B018 - asked for here, so that a mistake is found where it stands
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise UserError(f"the values of a choice are not of one type: {error}", remedy="give values of one") from error
    return made


def text(shortest: int, longest: int) -> Column:
    """Strings of `shortest` to `longest` small letters."""
    if not 0 <= shortest <= longest:
        raise UserError(f"text({shortest}, {longest}) has no length", remedy="give the shorter length first")
    return _Text(shortest, longest)


def timestamps(
    start: str | datetime = "1970-01-01T00:00:00Z",
    *,
    every: str | timedelta | int = "1ms",
    disorder: str | timedelta | int = "0s",
) -> Column:
    """A row's time is `start` plus `every` times its number, less a random time from zero to `disorder`.

    So a watermark of `bounded_out_of_orderness(disorder)` finds no late rows. Without an offset, `start` is UTC.
    """
    at = datetime.fromisoformat(start) if isinstance(start, str) else start
    since = (at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    interval, spread = parse_duration(every), parse_duration(disorder)
    if interval < 0 or spread < 0:
        raise UserError(f"timestamps({every=}, {disorder=}) go back", remedy="use positive durations")
    return _Timestamps(parse_duration(since), interval, spread)


def constant(value: Any, type_: pa.DataType | None = None) -> Column:
    """The same in every row."""
    return _Constant(value, type_)


def nullable(column: Column, share: float = 0.1) -> Column:
    """The other column with null in a random `share` (0 to 1) of the rows."""
    if not 0 <= share <= 1:
        raise UserError(f"a share of {share} is not possible", remedy="give a number from 0 to 1")
    return _Nullable(column, float(share))


def _fractions(rows: Ints, seed: int, what: str) -> npt.NDArray[np.float64]:
    """For each row a number from 0 to just below 1."""
    return (random_words(rows, seed, what) >> np.uint64(11)).astype(np.float64) * 2.0**-53


@dataclass(frozen=True, slots=True)
class _Sequence:
    start: int
    step: int

    @property
    def type(self) -> pa.DataType:
        return pa.int64()

    def make(self, rows: Ints, seed: int, name: str) -> pa.Array:
        return pa.array(rows * np.int64(self.step) + np.int64(self.start))


@dataclass(frozen=True, slots=True)
class _Integers:
    low: int
    high: int

    @property
    def type(self) -> pa.DataType:
        return pa.int64()

    def make(self, rows: Ints, seed: int, name: str) -> pa.Array:
        words = random_words(rows, seed, name)
        span = self.high - self.low + 1
        if span < 2**64:
            words %= np.uint64(span)
        # Unsigned arithmetic wraps around, so that the sum is right for every bound.
        words += np.uint64(self.low % 2**64)
        return pa.array(words.view(np.int64))


@dataclass(frozen=True, slots=True)
class _Floats:
    low: float
    high: float

    @property
    def type(self) -> pa.DataType:
        return pa.float64()

    def make(self, rows: Ints, seed: int, name: str) -> pa.Array:
        values = _fractions(rows, seed, name) * (self.high - self.low) + self.low
        return pa.array(np.minimum(values, np.nextafter(self.high, self.low)))


@dataclass(frozen=True, slots=True)
class _Zipf:
    values: int
    exponent: float
    first: int

    @property
    def type(self) -> pa.DataType:
        return pa.int64()

    def make(self, rows: Ints, seed: int, name: str) -> pa.Array:
        ranks = np.searchsorted(_zipf_shares(self.values, self.exponent), _fractions(rows, seed, name), side="right")
        return pa.array(ranks.astype(np.int64) + self.first)


@lru_cache(maxsize=8)
def _zipf_shares(values: int, exponent: float) -> npt.NDArray[np.float64]:
    return _cumulated(np.arange(1, values + 1, dtype=np.float64) ** -exponent)


def _cumulated(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The sums of all shares up to each but the last, of a whole of 1: what `searchsorted` looks fractions up in."""
    sums = np.cumsum(shares)
    return np.asarray(sums[:-1] / sums[-1])


@dataclass(frozen=True, slots=True)
class _Choice:
    values: tuple[Any, ...]
    weights: tuple[float, ...]

    @property
    def type(self) -> pa.DataType:
        return self._array().type

    def _array(self) -> pa.Array:
        return _canonical(pa.array(self.values))

    def make(self, rows: Ints, seed: int, name: str) -> pa.Array:
        shares = _cumulated(np.array(self.weights))
        return self._array().take(pa.array(np.searchsorted(shares, _fractions(rows, seed, name), side="right")))


@dataclass(frozen=True, slots=True)
class _Text:
    shortest: int
    longest: int

    @property
    def type(self) -> pa.DataType:
        return pa.string()

    def make(self, rows: Ints, seed: int, name: str) -> pa.Array:
        return random_text(rows, seed, name, self.shortest, self.longest)


@dataclass(frozen=True, slots=True)
class _Timestamps:
    start: int
    every: int
    disorder: int

    @property
    def type(self) -> pa.DataType:
        return _TIME

    def make(self, rows: Ints, seed: int, name: str) -> pa.Array:
        times = rows * self.every + self.start
        if self.disorder:
            times -= (_fractions(rows, seed, name) * (self.disorder + 1)).astype(np.int64)
        return pa.array(times).view(_TIME)


@dataclass(frozen=True, slots=True)
class _Constant:
    value: Any
    declared: pa.DataType | None

    @property
    def type(self) -> pa.DataType:
        return self._scalar().type

    def _scalar(self) -> pa.Scalar:
        return _canonical(pa.array([self.value], self.declared))[0]

    def make(self, rows: Ints, seed: int, name: str) -> pa.Array:
        return pa.repeat(self._scalar(), len(rows))


@dataclass(frozen=True, slots=True)
class _Nullable:
    column: Column
    share: float

    @property
    def type(self) -> pa.DataType:
        return self.column.type

    def make(self, rows: Ints, seed: int, name: str) -> pa.Array:
        import pyarrow.compute as pc

        nulls = _fractions(rows, seed, f"{name} is null") < self.share
        return pc.if_else(pa.array(nulls), pa.scalar(None, self.type), self.column.make(rows, seed, name))


def _canonical(array: pa.Array) -> pa.Array:
    return cast_array(array, canonical_type(array.type))
