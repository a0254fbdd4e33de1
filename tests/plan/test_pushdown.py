"""A pushed predicate keeps every row that the expression keeps."""

from __future__ import annotations

import math

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from streamflow.flow.expr import Expr, col, lit
from streamflow.plan.compile import compile_predicate
from streamflow.plan.pushdown import to_arrow_filter

TABLE = pa.table(
    {
        "i": pa.array([None, -(2**63), -1, 0, 1, 7, 2**63 - 1]),
        "f": pa.array([math.nan, None, -math.inf, -0.0, 0.0, 1.5, math.inf]),
        "s": pa.array(["", "a", None, "é", "z", "Z", "aa"]),
        "b": pa.array([True, False, None, True, False, True, None]),
        "ts": pa.array([None, 0, 1, -1, 10**15, 5, 6], pa.timestamp("us", "UTC")),
    }
)


@pytest.mark.parametrize(
    "expr",
    [
        col("i") > 0,
        lit(0) < col("i"),
        col("i") != 1,
        col("f") < 1.0,
        col("f") == 0.0,
        col("f") <= math.inf,
        col("s") >= "a",
        col("s").is_in(["a", "é"]),
        col("i").is_null(),
        col("i").is_not_null(),
        col("b"),
        col("i").is_between(-1, 7, closed="left"),
        col("ts") >= "1970-01-01",
        (col("i") > 0) | col("s").is_null(),
        (col("i") > 0) & (col("f") > 0) & (col("s").str.len_chars() > 0),
    ],
)
def test_no_row_is_lost(expr: Expr) -> None:
    predicate = to_arrow_filter(expr.node, TABLE.schema)
    assert predicate is not None
    kept = ds.dataset(TABLE).to_table(filter=predicate)
    (batch,) = TABLE.to_batches()
    exact = batch.filter(pa.array(compile_predicate(expr.node, TABLE.schema)(batch)))
    (rest,) = kept.to_batches() or [batch.slice(0, 0)]
    again = rest.filter(pa.array(compile_predicate(expr.node, TABLE.schema)(rest)))
    assert again.column("i").equals(exact.column("i"))
    assert again.num_rows == exact.num_rows


@pytest.mark.parametrize(
    "expr",
    [
        col("i") + 1 > 2,
        ~(col("i") > 0),
        col("f") > 0.0,
        col("f") >= 0,
        col("f") != 0.0,
        col("f") > lit(math.nan),
        col("f").is_in([math.nan]),
        col("i") > col("i"),
        (col("i") > 0) | (col("s").str.len_chars() > 0),
        lit(True),
    ],
)
def test_what_cannot_be_said_is_left_out(expr: Expr) -> None:
    assert to_arrow_filter(expr.node, TABLE.schema) is None
