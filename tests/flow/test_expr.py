"""Expressions as users write them: what they become, and what is refused with the right word."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from streamflow.errors import UserError
from streamflow.flow.expr import Expr, col, from_epoch, lit, output_name, to_node, when
from streamflow.flow.expr_aggregates import count
from streamflow.plan.logical.expr import Call, Column, Literal


def test_a_text_right_of_an_operator_is_a_value() -> None:
    assert (col("name") == "x").node == Call("eq", (Column("name"), Literal("x")))
    assert ("x" + col("name")).node == Call("add", (Literal("x"), Column("name")))


def test_a_text_where_a_column_is_expected_is_a_column() -> None:
    assert to_node("name") == Column("name")
    assert when("ok").then("a").otherwise("b").node == when(col("ok")).then(col("a")).otherwise(col("b")).node
    assert from_epoch("ts", "ms").node == from_epoch(col("ts"), "ms").node


def test_the_name_of_a_column_is_its_alias_or_that_of_the_first_column() -> None:
    assert output_name(col("a") + col("b")) == "a"
    assert output_name((col("a") + 1).alias("more")) == "more"
    assert output_name(1 + col("a")) == "a"
    assert output_name(count()) == "count"
    assert output_name(col("a").sum().alias("total")) == "total"
    assert output_name("a") == "a"
    assert output_name(lit(1)) == "literal"


def test_an_expression_reads_as_it_was_written() -> None:
    for text in [
        "(col('a') + 1) * 2",
        "col('a') + 1 * col('b')",
        "(col('a') > 1) & (col('b') == 'x') | ~col('c')",
        "col('a') - (col('b') - 1)",
        "-col('a') ** 2",
        "(-col('a')) ** 2",
        "col('a').is_in([1, 2]) & col('b').is_null()",
        "(col('a') / col('b')).mean()",
        "col('a').is_between(1, 2)",
        "col('a').is_between(1, 2, 'left')",
        "col('s').str.contains('a.b', literal=True)",
        "col('s').str.slice(0, 3)",
        "col('ts').dt.truncate('90m')",
        "when(col('a') > 1).then(lit('x')).otherwise(col('s'))",
        "col('a').fill_null(0)",
        "col('s').str.split('-')",
        "when(col('a') > 1).then(1).otherwise(0)",
        "from_epoch(col('ts'), 'ms')",
        "col('a').sum() / count()",
        "count(filter=col('a') > 0)",
        "col('a').std() + col('a').var(ddof=0)",
        "col('a').quantile(0.9) - col('a').median(filter=col('b'))",
        "col('a').quantile(0.9, interpolation='linear')",
        "col('a').max_by(col('b') * 2, filter=col('c') == 'x')",
        "col('a').approx_quantile(0.5, error=0.1) + col('a').approx_n_unique(error=0.05)",
        "(col('a') > 1).any() & (col('b') > 1).all()",
    ]:
        names = {"col": col, "lit": lit, "when": when, "from_epoch": from_epoch, "count": count}
        assert repr(eval(text, names)) == text  # noqa: S307


def test_numpy_scalars_are_values() -> None:
    assert (col("a") + np.int64(3)).node == (col("a") + 3).node
    assert (np.float64(0.5) * col("a")).node == (0.5 * col("a")).node
    assert to_node(np.float64(0.5)) == Literal(0.5)


def test_what_python_would_do_with_a_condition_is_refused() -> None:
    a = col("a")
    for wrong in (
        lambda: a > 1 and a < 2,
        lambda: a > 1 or a < 2,
        lambda: operator.not_(a),
        lambda: 1 < a < 2,
        lambda: a in [1, 2],
        lambda: bool(a),
    ):
        with pytest.raises(UserError, match=r"(?s)condition.*& \| ~.*is_in.*is_between"):
            wrong()
    with pytest.raises(UserError, match="is_in"):
        _ = 1 in a
    with pytest.raises(UserError, match="is_null"):
        _ = a == None  # noqa: E711
    with pytest.raises(UserError, match="is_not_null"):
        _ = a != None  # noqa: E711
    with pytest.raises(UserError, match="explode"):
        list(a)
    with pytest.raises(UserError, match="len_chars"):
        len(a)
    with pytest.raises(UserError, match="slice"):
        a[0]


@pytest.mark.parametrize(
    ("method", "remedy"),
    [
        ("over", "key_by"),
        ("group_by", "key_by"),
        ("sort", "top"),
        ("shift", "neighbours"),
        ("rolling", "sliding"),
        ("apply", "with_columns"),
        ("map_elements", "with_columns"),
        ("isin", "is_in"),
        ("arg_max", "max_by"),
        ("arg_min", "min_by"),
        ("is_nul", r"did you mean .*\.is_null"),
        ("men", r"\.mean|\.min"),
    ],
)
def test_methods_of_elsewhere_say_what_to_use(method: str, remedy: str) -> None:
    with pytest.raises(UserError, match=rf"(?s)no method \.{method}.*{remedy}"):
        getattr(col("a"), method)
    assert not hasattr(col("a"), method)


def test_namespaces_have_their_own_words() -> None:
    with pytest.raises(UserError, match="to_uppercase"):
        _ = _any(col("a")).str.upper
    with pytest.raises(UserError, match="truncate"):
        _ = _any(col("a")).dt.floor


def test_protocols_of_python_see_no_method() -> None:
    assert not hasattr(col("a"), "__array__")
    assert not hasattr(col("a"), "_repr_html_")


def test_arguments_that_mean_nothing_are_refused() -> None:
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: col("a").is_in("abc"), "list of values"),
        (lambda: col("a").is_in([1, None]), "is_null"),
        (lambda: _any(col("a")).is_between(1, 2, closed="all"), "closed='all'"),
        (lambda: _any(from_epoch)("a", "days"), "no unit of time"),
        (lambda: _any(col)(5), "has a name"),
        (lambda: to_node({1: 2}), "a dict is not an expression"),
        (lambda: col("a").dt.truncate(timedelta(0)), "longer than nothing"),
        (lambda: col("a").dt.truncate("soon"), "duration"),
        (lambda: col("a").cast(_any("float")), "(?s)'float' is a text.*write float, without quotes"),
        (lambda: col("a").cast(_any("i64")), "(?s)'i64' is a text.*write int"),
        (lambda: to_node(count), "call it: sf.count"),
        (lambda: col("a") + col("s").str.len_chars, "call it: .str.len_chars"),
        (lambda: col("a").cast(_any(set)), "not a type of a column"),
    ]
    for wrong, message in cases:
        with pytest.raises(UserError) as caught:
            wrong()
        assert re.search(message, str(caught.value)), str(caught.value)


def test_pythons_own_functions_of_numbers_are_expressions() -> None:
    assert abs(col("a")).node == col("a").abs().node
    assert round(col("a")).node == col("a").round().node
    assert round(col("a"), 2).node == col("a").round(2).node


def test_a_mistake_in_an_expression_is_found_at_its_line() -> None:
    a = _any(col("a"))
    mistakes: list[Callable[[], object]] = [
        lambda: a > 1 and a < 2,
        lambda: a.fristly,
        lambda: a.process,
        lambda: a.cast("x"),
    ]
    for wrong in mistakes:
        with pytest.raises(UserError) as error:
            wrong()
        assert error.value.location is not None
        assert error.value.location.file == __file__


def test_expressions_are_not_keys() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(col("a"))


def _any(thing: object) -> Any:
    return thing


def test_branches_may_end_without_otherwise() -> None:
    expr = when(col("a") > 1).then(1)
    assert isinstance(expr, Expr)
    assert repr(expr) == "when(col('a') > 1).then(1).otherwise(None)"
