"""Aggregates as users write them: what they make, and what is refused while the flow is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest

import streamflow as sf
from streamflow import col
from streamflow.errors import SchemaError, UserError


def hourly(rides: sf.Stream) -> sf.WindowedStream:
    return rides.key_by("city").window(sf.tumbling("1h"))


def test_results_have_the_types_that_they_have_in_polars_and_sql(rides: sf.Stream) -> None:
    made = hourly(rides).agg(
        std=col("riders").std(),
        var=col("fare").var(),
        q=col("riders").quantile(0.5),
        near=col("riders").approx_quantile(0.5),
        some=(col("riders") > 3).any(),
        every=(col("riders") > 3).all(),
        best=col("at").max_by("fare"),
        kinds=col("written").approx_n_unique(),
        up=sf.count(filter=col("fare") > 1),
    )
    assert made.schema.types[3:] == [
        *[pa.float64()] * 4,
        *[pa.bool_()] * 2,
        pa.timestamp("us", "UTC"),
        *[pa.int64()] * 2,
    ]


def test_an_aggregate_is_named_after_its_column(rides: sf.Stream) -> None:
    made = hourly(rides).agg(col("fare").std(), col("riders").max_by("fare"), sf.count(filter=col("fare") > 1))
    assert made.schema.names[3:] == ["fare", "riders", "count"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: col("written").std(), r"col\('written'\)\.std\(\): std takes numbers, not string"),
        (lambda: col("fare").any(), "any takes conditions, not double"),
        (lambda: col("tags").max_by("fare"), "max_by chooses of values that have an order, not list"),
        (lambda: col("tags").approx_n_unique(), "approx_n_unique takes plain values, not list"),
        (lambda: col("fare").sum(filter="riders"), r"the filter col\('riders'\) is no condition"),
        (lambda: col("fare").sum(filter=col("fear") > 1), "no column 'fear'; did you mean 'fare'"),
        (lambda: col("fare").max_by(col("riders").max()), "an aggregate of an aggregate"),
    ],
)
def test_columns_that_do_not_fit_are_refused(rides: sf.Stream, wrong: Callable[[], sf.Expr], words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        hourly(rides).agg(x=wrong())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: col("x").quantile(95), "q is a part, from 0 to 1"),
        (lambda: col("x").quantile(0.5, "near"), "interpolation='near' is none of"),  # type: ignore[arg-type]
        (lambda: col("x").std(ddof=-1), "ddof=-1"),
        (lambda: col("x").approx_n_unique(error=0), "error=0 is no relative error"),
        (lambda: col("x").approx_quantile(0.5, error=2), "error=2 is no relative error"),
        (lambda: sf.aggregate(object(), "x"), "object is no aggregate: it has no partials"),  # type: ignore[arg-type]
    ],
)
def test_options_that_mean_nothing_are_refused(wrong: Callable[[], sf.Expr], words: str) -> None:
    with pytest.raises(UserError, match=words):
        wrong()


@dataclass(frozen=True)
class Most:
    above: int = 0
    partials: Any = field(default_factory=lambda: {"n": pa.int64()}, hash=False, compare=False)
    result: Any = field(default=pa.int64(), compare=False)

    def partial(self, ids: Any, count: int, *columns: pa.Array) -> Any: ...

    def merge(self, ids: Any, count: int, partials: Any) -> Any: ...

    def finish(self, partials: Any) -> Any: ...


def test_an_own_aggregate_is_checked_while_the_flow_is_built(rides: sf.Stream) -> None:
    assert hourly(rides).agg(x=sf.aggregate(Most(), "fare", "riders")).schema.field("x").type == pa.int64()
    with pytest.raises(UserError, match=r"Most.result is 'int', not a type of Arrow"):
        sf.aggregate(Most(result="int"), "fare")
    with pytest.raises(UserError, match=r"Most.partials does not say the columns"):
        sf.aggregate(Most(partials={}), "fare")
    with pytest.raises(UserError, match=r"Most: words is large_string, which does not travel"):
        sf.aggregate(Most(partials={"words": pa.large_string()}), "fare")


def test_equal_own_aggregates_are_computed_once() -> None:
    assert sf.aggregate(Most(3), "x").node == sf.aggregate(Most(3), "x").node
    assert sf.aggregate(Most(3), "x").node != sf.aggregate(Most(4), "x").node
