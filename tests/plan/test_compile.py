"""Compiled expressions give what DuckDB gives for the same expression in SQL, or plain Python where SQL differs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.errors import DataError, SchemaError, UserError
from streamflow.flow.expr import Expr, col, from_epoch, lit, when
from streamflow.plan.compile import compile_expr, compile_predicate
from streamflow.plan.logical.expr import type_of

INT64 = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63)]) | st.integers(-9, 9)
INT32 = st.integers(-(2**31), 2**31 - 1) | st.integers(-9, 9)
FLOAT = st.floats() | st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf, -math.inf])
TEXT = st.sampled_from(["", "a", "A", "ab", "é", "z\u0301", "漢字", "x" * 300, "\U0001f600"])
SCHEMA = pa.schema(
    [
        ("i", pa.int64()),
        ("j", pa.int64()),
        ("k", pa.int32()),
        ("f", pa.float64()),
        ("g", pa.float64()),
        ("s", pa.string()),
        ("t", pa.string()),
        ("p", pa.bool_()),
        ("q", pa.bool_()),
    ]
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "i": INT64,
    "j": INT64,
    "k": INT32,
    "f": FLOAT,
    "g": FLOAT,
    "s": TEXT,
    "t": TEXT,
    "p": st.booleans(),
    "q": st.booleans(),
}


@st.composite
def batches(draw: st.DrawFn) -> pa.RecordBatch:
    """Up to 12 rows; each column with or without nulls; cut from a larger batch, so that offsets are not zero."""
    rows = draw(st.integers(1, 12))
    columns = []
    for field in SCHEMA:
        values = VALUES[field.name]
        values = st.none() | values if draw(st.booleans()) else values
        columns.append(pa.array(draw(st.lists(values, min_size=rows + 1, max_size=rows + 1)), field.type))
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA).slice(1)


Both = tuple[Expr, str]


def constant(value: float) -> str:
    return f"'{value!r}'::DOUBLE" if type(value) is float else str(value)


def leaves(kind: str) -> st.SearchStrategy[Both]:
    """Columns and constants of one kind."""
    literals = st.integers(-3, 300) if kind == "integer" else st.sampled_from([0.5, -2.0, 0.0, math.nan, math.inf])
    return columns(kind) | literals.map(lambda value: (lit(value), constant(value)))


def columns(kind: str) -> st.SearchStrategy[Both]:
    names = {"integer": ["i", "j", "k"], "float": ["f", "g"]}[kind]
    return st.sampled_from(names).map(lambda name: (col(name), name))


def numbers(kind: str) -> st.SearchStrategy[Both]:
    """Sums, differences and products."""

    def combine(parts: st.SearchStrategy[Both]) -> st.SearchStrategy[Both]:
        return st.tuples(columns(kind), st.sampled_from("+-*"), parts).map(
            lambda p: (
                {"+": p[0][0] + p[2][0], "-": p[0][0] - p[2][0], "*": p[0][0] * p[2][0]}[p[1]],
                f"({p[0][1]} {p[1]} {p[2][1]})",
            )
        )

    return combine(leaves(kind)) | combine(combine(leaves(kind)))


def compared(op: str, a: Expr, b: Expr) -> Expr:
    return {"=": a == b, "<>": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[op]


@st.composite
def conditions(draw: st.DrawFn) -> Both:
    kind = draw(st.sampled_from(["integer", "float", "mixed", "text", "bool", "is_in", "between", "null"]))
    op = draw(st.sampled_from(["=", "<>", "<", "<=", ">", ">="]))
    match kind:
        case "integer" | "float":
            (a, x), (b, y) = draw(columns(kind)), draw(leaves(kind))
            return compared(op, a, b), f"({x} {op} {y})"
        case "mixed":
            return compared(op, col("i"), col("f")), f"(i {op} f)"
        case "text":
            value = draw(TEXT)
            return compared(op, col("s"), lit(value)), f"(s {op} '{value}')"
        case "bool":
            return draw(st.sampled_from([(col("p"), "p"), (col("q"), "q"), (col("p") == col("q"), "(p = q)")]))
        case "is_in":
            values = draw(st.lists(st.integers(-9, 9), min_size=1, max_size=7))
            return col("k").is_in(values), f"(k IN ({', '.join(map(str, values))}))"
        case "between":
            return col("f").is_between(-1.0, 1.0), "(f BETWEEN -1.0 AND 1.0)"
        case _:
            name = draw(st.sampled_from(SCHEMA.names))
            return draw(
                st.sampled_from(
                    [(col(name).is_null(), f"({name} IS NULL)"), (col(name).is_not_null(), f"({name} IS NOT NULL)")]
                )
            )


def boolean() -> st.SearchStrategy[Both]:
    def combine(parts: st.SearchStrategy[Both]) -> st.SearchStrategy[Both]:
        return (
            st.tuples(parts, parts).map(lambda p: (p[0][0] & p[1][0], f"({p[0][1]} AND {p[1][1]})"))
            | st.tuples(parts, parts).map(lambda p: (p[0][0] | p[1][0], f"({p[0][1]} OR {p[1][1]})"))
            | parts.map(lambda p: (~p[0], f"(NOT {p[1]})"))
        )

    return st.recursive(conditions(), combine, max_leaves=4)


@pytest.fixture(scope="module")
def sql() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET threads = 1; SET ieee_floating_point_ops = true")
    return connection


def ask(sql: duckdb.DuckDBPyConnection, text: str, batch: pa.RecordBatch) -> Sequence[Any] | None:
    """DuckDB's answer; None where it overflows."""
    sql.register("rows", pa.Table.from_batches([batch]))
    try:
        return [row[0] for row in sql.execute(f"SELECT {text} FROM rows").fetchall()]
    except (duckdb.OutOfRangeException, duckdb.ConversionException):
        return None


def evaluate(expr: Expr, batch: pa.RecordBatch) -> list[Any] | None:
    try:
        result = compile_expr(expr.node, batch.schema)(batch)
    except OverflowError:
        return None
    result.validate(full=True)
    assert result.type == type_of(expr.node, batch.schema)
    assert len(result) == batch.num_rows
    listed: list[Any] = result.to_pylist()
    return listed


def same(a: Sequence[Any] | None, b: Sequence[Any] | None) -> bool:
    if a is None or b is None:
        return a is b
    return all(x == y or (x != x and y != y) for x, y in zip(a, b, strict=True))


@settings(max_examples=60, deadline=None)
@given(batches(), numbers("integer") | numbers("float"))
def test_arithmetic_is_that_of_sql(sql: duckdb.DuckDBPyConnection, batch: pa.RecordBatch, both: Both) -> None:
    expr, text = both
    assert same(evaluate(expr, batch), ask(sql, text, batch)), (expr, text)


@settings(max_examples=80, deadline=None)
@given(batches(), boolean())
def test_conditions_are_those_of_sql(sql: duckdb.DuckDBPyConnection, batch: pa.RecordBatch, both: Both) -> None:
    expr, text = both
    expected = ask(sql, text, batch)
    assert expected is not None
    assert same(evaluate(expr, batch), expected), (expr, text)
    keep = compile_predicate(expr.node, SCHEMA)(batch)
    assert keep.tolist() == [value is True for value in expected]


@settings(max_examples=25, deadline=None)
@given(batches(), boolean(), boolean())
def test_the_first_true_branch_decides(
    sql: duckdb.DuckDBPyConnection, batch: pa.RecordBatch, first: Both, second: Both
) -> None:
    for a, b, c in [("i", "j", "k"), ("s", "t", "s"), ("p", "q", "p")]:
        expr = when(first[0]).then(a).when(second[0]).then(b).otherwise(c)
        text = f"CASE WHEN {first[1]} THEN {a} WHEN {second[1]} THEN {b} ELSE {c} END"
        assert same(evaluate(expr, batch), ask(sql, text, batch)), text


@settings(max_examples=15, deadline=None)
@given(batches())
def test_division_is_true_division(sql: duckdb.DuckDBPyConnection, batch: pa.RecordBatch) -> None:
    for expr, text in [
        (col("i") / col("j"), "i::DOUBLE / j::DOUBLE"),
        (col("f") / col("g"), "f / g"),
        (col("i") / 0, "i::DOUBLE / 0.0"),
        (1 / col("f"), "1.0::DOUBLE / f"),
        (col("f").fill_null(2.5), "coalesce(f, 2.5)"),
        (col("s").fill_null("none"), "coalesce(s, 'none')"),
        (col("f").abs(), "abs(f)"),
        (col("f").floor(), "floor(f)"),
        (col("f").ceil(), "ceil(f)"),
        (-col("f"), "-f"),
        (col("s") + col("t"), "s || t"),
        (col("s").str.len_chars(), "length(s)"),
        (col("s").str.to_uppercase(), "upper(s)"),
        (col("s").str.slice(1, 2), "substring(s, 2, 2)"),
        (col("s").str.contains("a"), "contains(s, 'a')"),
        (col("s").str.starts_with("a"), "starts_with(s, 'a')"),
        (col("i").is_in(range(-9, 9)), f"i IN ({', '.join(map(str, range(-9, 9)))})"),
        (col("s").is_in(["a", "é"]), "s IN ('a', 'é')"),
        (col("f").is_in([0.0, math.nan]), "f IN (0.0, 'nan'::DOUBLE)"),
    ]:
        assert same(evaluate(expr, batch), ask(sql, text, batch)), text


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.none() | INT64, st.none() | INT64), min_size=1, max_size=9))
def test_integers_divide_to_the_floor_and_by_zero_to_null(pairs: list[tuple[int | None, int | None]]) -> None:
    schema = pa.schema({"a": pa.int64(), "b": pa.int64()})
    batch = pa.RecordBatch.from_pylist([{"a": a, "b": b} for a, b in pairs], schema)
    known = [(a, b) if a is not None and b else None for a, b in pairs]
    floor = [pair and pair[0] // pair[1] for pair in known]
    expected = None if any(value == 2**63 for value in floor) else floor
    assert evaluate(col("a") // col("b"), batch) == expected
    assert evaluate(col("a") % col("b"), batch) == [pair and pair[0] % pair[1] for pair in known]
    for divisor in (123, -7, 2**63 - 1):
        assert evaluate(col("a") // divisor, batch) == [None if a is None else a // divisor for a, _ in pairs]
        assert evaluate(col("a") % divisor, batch) == [None if a is None else a % divisor for a, _ in pairs]


def test_a_constant_takes_the_type_of_its_column() -> None:
    schema = pa.schema([("a", pa.int32()), ("f", pa.float32()), ("u", pa.uint64()), ("b", pa.int8())])
    assert type_of((col("a") + 1).node, schema) == pa.int32()
    assert type_of((col("a") + 2**40).node, schema) == pa.int64()
    assert type_of((col("a") * 0.5).node, schema) == pa.float64()
    assert type_of((col("f") * 0.5).node, schema) == pa.float32()
    assert type_of((col("f") + col("a")).node, schema) == pa.float64()
    assert type_of((col("a") + col("b")).node, schema) == pa.int32()
    assert type_of((col("a") / col("b")).node, schema) == pa.float64()


def test_integers_beyond_their_type_are_an_error_that_names_the_expression() -> None:
    batch = pa.record_batch({"a": pa.array([2**31 - 1], pa.int32()), "b": pa.array([2**62], pa.int64())})
    for expr in (col("a") + 1, col("b") * 2, col("b") + col("b"), -(-col("b") * 2), col("b") ** 2):
        with pytest.raises(OverflowError, match=r"overflows"):
            compile_expr(expr.node, batch.schema)(batch)
    assert evaluate((col("a").cast(int) + 1), batch) == [2**31]


def test_garbage_beneath_nulls_does_not_overflow() -> None:
    values = pa.array([2**63 - 1, 5])
    hidden = pa.Array.from_buffers(pa.int64(), 2, [pa.py_buffer(b"\x02"), values.buffers()[1]])
    batch = pa.record_batch({"a": hidden})
    assert evaluate(col("a") + 1, batch) == [None, 6]
    assert evaluate(-col("a"), batch) == [None, -5]
    assert evaluate(col("a") * 4, batch) == [None, 20]


def test_unsigned_and_signed_integers_compare_exactly() -> None:
    batch = pa.record_batch({"u": pa.array([2**63 + 5, 3], pa.uint64()), "i": pa.array([-1, 3], pa.int64())})
    assert evaluate(col("u") > col("i"), batch) == [True, False]
    assert evaluate(col("u") == col("i"), batch) == [False, True]
    assert evaluate(col("u") > -1, batch) == [True, True]


def test_casts_drop_fractions_and_refuse_what_does_not_fit() -> None:
    batch = pa.record_batch({"f": [1.9, -1.9, None], "s": ["1", "x", None], "i": [300, -1, 7]})
    assert evaluate(col("f").cast(int), batch) == [1, -1, None]
    assert evaluate(col("s").cast(int, strict=False), batch) == [1, None, None]
    assert evaluate(col("i").cast(pa.int8(), strict=False), batch) == [None, -1, 7]
    assert evaluate(col("i").cast(str), batch) == ["300", "-1", "7"]
    assert evaluate(col("i").cast(bool), batch) == [True, True, True]
    with pytest.raises(DataError, match=r"'x' does not fit int64") as caught:
        compile_expr(col("s").cast(int).node, batch.schema)(batch)
    assert "strict=False" in str(caught.value)
    with pytest.raises(DataError, match="300 does not fit int8"):
        compile_expr(col("i").cast(pa.int8()).node, batch.schema)(batch)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.none() | FLOAT | st.floats(-1e19, 1e19), min_size=1, max_size=8))
def test_floats_become_integers_only_within_range(values: list[float | None]) -> None:
    batch = pa.record_batch({"f": pa.array(values, pa.float64())})
    fits = [v is not None and math.isfinite(v) and -(2**63) <= int(v) < 2**63 for v in values]
    expected = [int(v) if ok and v is not None else None for v, ok in zip(values, fits, strict=True)]
    assert evaluate(col("f").cast(int, strict=False), batch) == expected


def test_a_branch_that_may_fail_sees_only_its_own_rows() -> None:
    batch = pa.record_batch({"s": ["1", "x", "3", None], "ok": [True, False, True, None]})
    expr = when(col("ok")).then(col("s").cast(int)).otherwise(-1)
    assert evaluate(expr, batch) == [1, -1, 3, -1]

    def checked(s: str) -> int:
        return int(s)

    assert evaluate(when(col("ok")).then(checked).otherwise(0), batch) == [1, 0, 3, 0]


def test_times_have_parts_and_are_counted_in_utc() -> None:
    moments = [datetime(1969, 12, 31, 23, 59, 58, 5, UTC), datetime(2024, 2, 29, 13, 14, 15, tzinfo=UTC), None]
    batch = pa.record_batch({"ts": pa.array(moments, pa.timestamp("us", "UTC"))})
    ts = col("ts")
    parts = [ts.dt.year(), ts.dt.month(), ts.dt.day(), ts.dt.hour(), ts.dt.minute(), ts.dt.second(), ts.dt.weekday()]
    assert [evaluate(part, batch) for part in parts] == [
        [1969, 2024, None],
        [12, 2, None],
        [31, 29, None],
        [23, 13, None],
        [59, 14, None],
        [58, 15, None],
        [3, 4, None],
    ]
    assert evaluate(ts.dt.truncate("1h"), batch) == [
        datetime(1969, 12, 31, 23, tzinfo=UTC),
        datetime(2024, 2, 29, 13, tzinfo=UTC),
        None,
    ]
    assert evaluate(ts.dt.epoch("s"), batch) == [-2, 1709212455, None]
    assert evaluate(ts.dt.strftime("%Y-%m-%d %H:%M:%S"), batch) == ["1969-12-31 23:59:58", "2024-02-29 13:14:15", None]
    assert evaluate(ts >= "2024-02-29", batch) == [False, True, None]
    assert evaluate(ts == "2024-02-29T13:14:15+00:00", batch) == [False, True, None]
    assert evaluate(ts.dt.date(), batch) == [date(1969, 12, 31), date(2024, 2, 29), None]
    assert evaluate(ts.cast(date), batch) == [date(1969, 12, 31), date(2024, 2, 29), None]
    assert evaluate(ts.cast(int), batch) == [-1999995, 1709212455000000, None]
    assert evaluate(ts - ts, batch) == [timedelta(0), timedelta(0), None]
    assert evaluate(ts + timedelta(hours=1) - ts, batch) == [timedelta(hours=1), timedelta(hours=1), None]


def test_integers_and_texts_become_times() -> None:
    batch = pa.record_batch({"n": [1500, None], "s": ["2024-05-01T12:00:00.5+02:00", None], "d": ["1.5.2024", None]})
    moment = datetime(2024, 5, 1, tzinfo=UTC)
    assert evaluate(from_epoch("n", "ms"), batch) == [datetime(1970, 1, 1, 0, 0, 1, 500000, UTC), None]
    assert evaluate(from_epoch("n", "ns"), batch) == [datetime(1970, 1, 1, 0, 0, 0, 1, UTC), None]
    assert evaluate(col("s").str.to_datetime(), batch) == [datetime(2024, 5, 1, 10, 0, 0, 500000, UTC), None]
    assert evaluate(col("d").str.to_datetime("%d.%m.%Y"), batch) == [moment, None]
    with pytest.raises(DataError, match=r"'1.5.2024' is not a time as '%Y'"):
        compile_expr(col("d").str.to_datetime("%Y").node, batch.schema)(batch)
    with pytest.raises(OverflowError):
        compile_expr(from_epoch(col("n") * 10**15, "s").node, batch.schema)(batch)


def test_text_functions() -> None:
    batch = pa.record_batch({"s": [" a-b-c ", "", None]})
    s = col("s").str
    assert evaluate(s.strip_chars(), batch) == ["a-b-c", "", None]
    assert evaluate(s.strip_chars(" a"), batch) == ["-b-c", "", None]
    assert evaluate(s.split("-"), batch) == [[" a", "b", "c "], [""], None]
    assert evaluate(s.replace("-", "+"), batch) == [" a+b-c ", "", None]
    assert evaluate(s.replace_all("[abc]", "x"), batch) == [" x-x-x ", "", None]
    assert evaluate(s.replace_all("[abc]", "x", literal=True), batch) == [" a-b-c ", "", None]
    assert evaluate(s.slice(-3), batch) == ["-c ", "", None]
    assert evaluate(s.slice(-3, 2), batch) == ["-c", "", None]
    assert evaluate(s.contains("[ab]-"), batch) == [True, False, None]
    assert evaluate(s.contains(".", literal=True), batch) == [False, False, None]
    assert evaluate(s.ends_with("c "), batch) == [True, False, None]
    assert evaluate(s.to_lowercase(), batch) == [" a-b-c ", "", None]
    with pytest.raises(UserError, match="not a regular expression"):
        compile_expr(s.contains("(a").node, batch.schema)


def test_constants_are_computed_once_and_repeated() -> None:
    batch = pa.record_batch({"a": [1, 2, 3]})
    assert evaluate(lit(2) * 3, batch) == [6, 6, 6]
    assert evaluate(lit("x") + "y", batch) == ["xy", "xy", "xy"]
    assert evaluate(lit(None), batch) == [None, None, None]
    assert evaluate((lit(True) & lit(None)), batch) == [None, None, None]
    assert evaluate(col("a") > lit(None).cast(int), batch) == [None, None, None]
    assert evaluate(when(lit(True)).then(1).otherwise(2), batch) == [1, 1, 1]
    with pytest.raises(UserError, match="a constant cannot be computed"):
        compile_expr((lit(2**62) * 4).node, batch.schema)


def test_decimals_stay_exact() -> None:
    from decimal import Decimal

    batch = pa.record_batch({"d": pa.array([Decimal("1.10"), None], pa.decimal128(5, 2))})
    assert evaluate(col("d") * 3, batch) == [Decimal("3.3000"), None]
    assert evaluate(col("d") + col("d"), batch) == [Decimal("2.20"), None]
    assert evaluate(col("d") > 1, batch) == [True, None]
    assert evaluate(col("d") / 2, batch) == [0.55, None]


def test_a_column_that_is_only_named_is_shared() -> None:
    batch = pa.record_batch({"a": [1, 2, 3]})
    result = compile_expr(col("a").node, batch.schema)(batch)
    assert result.buffers()[1].address == batch.column("a").buffers()[1].address


def test_types_that_do_not_fit_are_refused_while_the_flow_is_built() -> None:
    schema = pa.schema({"a": pa.int64(), "s": pa.string(), "ts": pa.timestamp("us", "UTC"), "l": pa.list_(pa.int8())})
    for expr, message in [
        (col("a") + col("s"), r"col\('a'\) \+ col\('s'\) cannot take int64 and string"),
        (col("a") > "5", "cannot take int64 and string"),
        (col("a") & (col("a") > 1), "cannot take int64 and bool"),
        (col("s").dt.hour(), "cannot take string"),
        (col("a").dt.hour(), "from_epoch"),
        (col("ts") > "yesterday", "'yesterday' is not a timestamp"),
        (col("ts") + 5, "cannot take timestamp"),
        (col("aa") > 5, r"there is no column 'aa'; did you mean 'a'\?"),
        (col("_time") > 5, "no event time"),
        (col("l") == col("l"), "cannot take"),
        (when(col("a")).then(1), "not a condition"),
        (when(col("a") > 1).then(1).otherwise("s"), "do not meet"),
        (when(col("a") > 1).then("high"), r"lit\('high'\)"),
        (col("l").cast(int), "cannot be made"),
        (col("a").sum().max(), "aggregate of an aggregate"),
        (col("s").sum(), "sum takes numbers"),
    ]:
        with pytest.raises(SchemaError) as caught:
            type_of(expr.node, schema)
        assert re.search(message, str(caught.value)), str(caught.value)
