"""What has the name of a function of polars gives what that gives, but for what is written here."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow import col
from streamflow.testing import evaluate

NAN, INF = math.nan, math.inf
Function = Callable[[Any], Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TEXTS = st.none() | st.text("ab1 2-.é漢😀\n", max_size=8) | st.sampled_from(["", "a.b", "-7", "+07", "ÉCOLE", "ﬀ"])
INTS = st.none() | st.integers(-20, 20)
FLOATS = st.none() | st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, -2.5, 0.5, 1.5]) | st.floats(-1e3, 1e3)
TIMES = st.none() | st.integers(-(10**16), 10**16).map(lambda us: EPOCH + timedelta(microseconds=us))
SPANS = st.none() | st.timedeltas(timedelta(days=-900), timedelta(days=900))
LISTS = st.none() | st.lists(INTS, max_size=5)

PARTS = ["year", "iso_year", "quarter", "month", "week", "day", "ordinal_day", "weekday", "hour", "minute", "second"]
PARTS += ["millisecond", "microsecond", "days_in_month", "is_leap_year", "date"]


def _of_dt(name: str) -> Function:
    return lambda c: getattr(c.dt, name)()


CASES: dict[str, tuple[pa.DataType, Any, dict[str, Function]]] = {
    "text": (
        pa.string(),
        TEXTS,
        {
            "len_chars": lambda c: c.str.len_chars(),
            "len_bytes": lambda c: c.str.len_bytes(),
            "lowercase": lambda c: c.str.to_lowercase(),
            "reverse": lambda c: c.str.reverse(),
            "strip": lambda c: c.str.strip_chars(),
            "strip these": lambda c: c.str.strip_chars("ab"),
            "strip_prefix": lambda c: c.str.strip_prefix("a"),
            "strip_suffix": lambda c: c.str.strip_suffix("b"),
            "pad_start": lambda c: c.str.pad_start(4, "*"),
            "pad_end": lambda c: c.str.pad_end(4, "é"),
            "zfill": lambda c: c.str.zfill(4),
            "starts_with": lambda c: c.str.starts_with("a"),
            "ends_with": lambda c: c.str.ends_with("é"),
            "contains": lambda c: c.str.contains("[ab].$"),
            "contains literal": lambda c: c.str.contains(".", literal=True),
            "contains_any": lambda c: c.str.contains_any(["a.", "é", "\n"]),
            "count_matches": lambda c: c.str.count_matches("[ab12]"),
            "count literal": lambda c: c.str.count_matches(".", literal=True),
            "extract": lambda c: c.str.extract("([ab]+)([0-9])", 2),
            "extract_all": lambda c: c.str.extract_all("[ab]+"),
            "replace": lambda c: c.str.replace("[ab]", "x"),
            "replace literal": lambda c: c.str.replace("a.", "x", literal=True),
            "replace_all": lambda c: c.str.replace_all("[ab]", "<>"),
            "replace_many": lambda c: c.str.replace_many({"a": "b", "b": "", "é": "a"}),
            "normalize": lambda c: c.str.normalize("NFKC"),
            "head": lambda c: c.str.head(2),
            "tail": lambda c: c.str.tail(2),
            "slice": lambda c: c.str.slice(1, 2),
            "slice from the end": lambda c: c.str.slice(-3, 2),
            "slice to the end": lambda c: c.str.slice(-2),
            "split": lambda c: c.str.split("a"),
            "to_integer": lambda c: c.str.to_integer(base=10, strict=False),
            "eq_missing": lambda c: c.eq_missing("a"),
            "ne_missing": lambda c: c.ne_missing(None),
        },
    ),
    "int": (
        pa.int64(),
        INTS,
        {
            "floordiv": lambda c: c // 3,
            "floordiv negative": lambda c: c // -3,
            "mod": lambda c: c % 3,
            "mod negative": lambda c: c % -3,
            "floordiv of": lambda c: 7 // c,
            "mod of": lambda c: -7 % c,
            "truediv": lambda c: c / 4,
            "pow": lambda c: c**2,
            "abs": lambda c: c.abs(),
            "sign": lambda c: c.sign(),
            "clip": lambda c: c.clip(-3, 3),
            "between": lambda c: c.is_between(-3, 3, closed="left"),
            "is_in": lambda c: c.is_in([1, 2, -5]),
            "replace": lambda c: c.replace({1: 10, None: 5}),
            "fill_null": lambda c: c.fill_null(0),
            "eq_missing": lambda c: c.eq_missing(None),
            "eq": lambda c: c == 1,
            "cbrt": lambda c: c.cbrt(),
            "radians": lambda c: c.radians(),
        },
    ),
    "float": (
        pa.float64(),
        FLOATS,
        {
            "floordiv": lambda c: c.clip(-1e6, 1e6) // 0.75,
            "mod": lambda c: c % 0.75,
            "floor": lambda c: c.floor(),
            "ceil": lambda c: c.ceil(),
            "is_nan": lambda c: c.is_nan(),
            "is_not_nan": lambda c: c.is_not_nan(),
            "is_finite": lambda c: c.is_finite(),
            "is_infinite": lambda c: c.is_infinite(),
            "fill_nan": lambda c: c.fill_nan(None),
            "fill_nan with": lambda c: c.fill_nan(1.0),
            "sqrt": lambda c: c.sqrt(),
            "sin": lambda c: c.sin(),
            "cos": lambda c: c.cos(),
            "tan": lambda c: c.tan(),
            "arcsin": lambda c: c.arcsin(),
            "arccos": lambda c: c.arccos(),
            "arctan": lambda c: c.arctan(),
            "degrees": lambda c: c.degrees(),
            "clip": lambda c: c.clip(-1.0, 1.0),
            "equal": lambda c: c == NAN,
            "greater": lambda c: c > 1.0,
            "less": lambda c: c <= NAN,
            "eq_missing": lambda c: c.eq_missing(math.nan),
            "abs": lambda c: c.abs(),
            "cast": lambda c: c.fill_nan(0.5).clip(-1e3, 1e3).cast(int),
        },
    ),
    "time": (
        pa.timestamp("us", "UTC"),
        TIMES,
        {
            **{part: _of_dt(part) for part in PARTS},
            "truncate": lambda c: c.dt.truncate("15m"),
            "truncate month": lambda c: c.dt.truncate("1q"),
            "offset_by": lambda c: c.dt.offset_by("-1mo"),
            "offset_by days": lambda c: c.dt.offset_by("36h"),
            "epoch": lambda c: c.dt.epoch("s"),
            "strftime": lambda c: c.dt.strftime("%Y-%m-%d %H:%M:%S"),
            "later": lambda c: c + timedelta(hours=1),
        },
    ),
    "span": (
        pa.duration("us"),
        SPANS,
        {
            unit: _of_dt(f"total_{unit}")
            for unit in ("days", "hours", "minutes", "seconds", "milliseconds", "microseconds")
        },
    ),
    "list": (
        pa.list_(pa.int64()),
        LISTS,
        {
            "len": lambda c: c.list.len(),
            "max": lambda c: c.list.max(),
            "min": lambda c: c.list.min(),
            "mean": lambda c: c.list.mean(),
            "std": lambda c: c.list.std(),
            "var": lambda c: c.list.var(0),
            "first": lambda c: c.list.first(),
            "last": lambda c: c.list.last(),
            "contains": lambda c: c.list.contains(3),
            "count_matches": lambda c: c.list.count_matches(3),
            "reverse": lambda c: c.list.reverse(),
            "drop_nulls": lambda c: c.list.drop_nulls(),
            "slice": lambda c: c.list.slice(1, 2),
            "slice from the end": lambda c: c.list.slice(-2, 1),
            "head": lambda c: c.list.head(2),
            "tail": lambda c: c.list.tail(2),
        },
    ),
}


@pytest.mark.parametrize("kind", list(CASES))
@settings(max_examples=40)
@given(st.data())
def test_a_function_gives_what_it_gives_in_polars(kind: str, data: st.DataObject) -> None:
    type_, values, functions = CASES[kind]
    rows = pa.array(data.draw(st.lists(values, min_size=1, max_size=8)), type_)
    frame = pl.DataFrame({"x": pl.Series(rows)}).select(**{name: made(pl.col("x")) for name, made in functions.items()})
    differ = [
        (name, ours, theirs)
        for name, made in functions.items()
        if (ours := list(map(_text, evaluate(made(col("x")), x=rows))))
        != (theirs := list(map(_text, frame[name].to_list())))
    ]
    assert not differ


def _text(value: Any) -> str:
    """Comparable: floats to ten digits, NaN as text."""
    return (
        f"{value + 0.0:.10g}"
        if isinstance(value, float)
        else repr(value).replace("zoneinfo.ZoneInfo(key='UTC')", "datetime.timezone.utc")
    )


NOON = datetime(2024, 5, 17, 12, tzinfo=UTC)
DIFFERENCES: list[tuple[str, Any, Function, Any, Any]] = [
    ("halves are rounded away from zero, as in SQL", 2.5, lambda c: c.round(), 3.0, 2.0),
    ("infinity // 1 is NaN, as in Python", INF, lambda c: c // 1.0, NAN, INF),
    ("the first of a month is midnight", NOON, lambda c: c.dt.month_start().dt.hour(), 0, 12),
    ("places count characters", "né7", lambda c: c.str.find("7", literal=True), 2, 3),
    ("a group that took no part is empty", "b", lambda c: c.str.extract("(a)?b", 1), "", None),
    ("the sum of nothing is null, as in SQL", [], lambda c: c.cast(_ints(c)).list.sum(), None, 0),
    ("nulls stand last", [2, None, 1], lambda c: c.list.sort(), [1, 2, None], [None, 1, 2]),
    ("null is no value that counts", [1, None], lambda c: c.list.n_unique(), 1, 2),
    ("NaN is the greatest number", [NAN, 1.0], lambda c: c.list.max(), NAN, 1.0),
    ("weeks start at the epoch, as windows do", NOON, lambda c: c.dt.truncate("1w").dt.weekday(), 4, 1),
]


def _ints(c: Any) -> Any:
    return pl.List(pl.Int64) if isinstance(c, pl.Expr) else pa.list_(pa.int64())


@pytest.mark.parametrize(("what", "value", "function", "ours", "theirs"), DIFFERENCES)
def test_where_polars_differs(what: str, value: Any, function: Function, ours: Any, theirs: Any) -> None:
    assert _text(evaluate(function(col("x")), x=[value])[0]) == _text(ours), what
    assert _text(pl.DataFrame({"x": [value]}).select(function(pl.col("x"))).to_series().to_list()[0]) == _text(
        theirs
    ), what
