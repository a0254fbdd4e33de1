"""What the planner asks of expressions."""

from __future__ import annotations

import pyarrow as pa
import pytest

from streamflow.errors import SchemaError
from streamflow.flow.expr import col, lit, when
from streamflow.flow.expr_aggregates import count
from streamflow.flow.records import row_function
from streamflow.plan.codes import COMPILERS
from streamflow.plan.logical.expr import (
    AggregateCall,
    Column,
    Expr,
    Literal,
    aggregate_calls,
    columns_of,
    default_name,
    replace_aggregates,
    row_functions,
    substitute,
    takes_all_columns,
    type_of,
)
from streamflow.plan.logical.functions import SIGNATURES


def test_equal_terms_are_equal_and_hash_alike() -> None:
    def build() -> Expr:
        return when(col("a") > 1).then(col("b").sum()).otherwise(lit(0.5)).cast(pa.int32()).node

    assert build() == build()
    assert hash(build()) == hash(build())


def test_constants_of_different_types_differ() -> None:
    assert Literal(1) != Literal(1.0)
    assert Literal(1) != Literal(True)
    assert Literal(0.0) != Literal(-0.0)
    assert Literal(float("nan")) == Literal(float("nan"))
    assert Literal(1) != Literal(1, pa.int32())


def label(price: int, **row: object) -> str:
    return f"{price}{row}"


def test_columns_are_found_everywhere() -> None:
    expr = when(col("a") > 1).then(col("b").max()).otherwise(col("c").cast(int))
    assert columns_of(expr.node) == {"a", "b", "c"}
    both = (col("a") == label).node
    assert columns_of(both) == {"a", "price"}
    assert takes_all_columns(both)
    assert [function.name for function in row_functions(both)] == ["label"]
    assert not takes_all_columns(expr.node)


def test_names() -> None:
    assert default_name(row_function(label)) == "label"
    assert default_name(lit(1).node) == "literal"
    assert default_name((count() * col("x").sum()).node) == "count"


def test_columns_are_substituted() -> None:
    expr = (col("a") + col("b").fill_null(0)).node
    assert substitute(expr, {"b": (col("x") * 2).node}) == (col("a") + (col("x") * 2).fill_null(0)).node


def test_aggregates_are_distinct_and_in_order() -> None:
    expr = (col("x").sum() / col("x").count() + col("x").sum()).node
    total, valid = AggregateCall("sum", Column("x")), AggregateCall("count", Column("x"))
    assert aggregate_calls(expr) == (total, valid)
    replaced = replace_aggregates(expr, {total: Column("_0"), valid: Column("_1")})
    assert replaced == (col("_0") / col("_1") + col("_0")).node


def test_aggregates_have_types_and_do_not_nest() -> None:
    schema = pa.schema({"x": pa.int32(), "s": pa.string()})
    assert type_of(count().node, schema) == pa.int64()
    assert type_of(col("x").sum().node, schema) == pa.int64()
    assert type_of(col("s").max().node, schema) == pa.string()
    assert type_of((col("x").sum() / count()).node, schema) == pa.float64()
    with pytest.raises(SchemaError, match="aggregate of an aggregate"):
        type_of((col("x").sum() + 1).max().node, schema)


def test_every_function_has_a_signature_and_code() -> None:
    assert SIGNATURES.keys() == COMPILERS.keys()
