"""Whole flows equal DuckDB's batch answer: random rows and keys, disorder, splits, cuts, workers, crashes and restores.

No row is late here: in every split t >= running maximum - bound. Then the result depends on nothing else (rule 6).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.testing import assert_rows, final, splits

BOUND = 5_000_000
SECOND = 1_000_000
TIME = pa.timestamp("us", "UTC")

SCHEMA = pa.schema(
    [
        ("s", pa.string()),
        ("i", pa.int64()),
        ("f", pa.float64()),
        ("v", pa.int64()),
        ("x", pa.float64()),
        ("t", TIME),
    ]
)
STRINGS = [None, "", "a", "b", "ä€𝄞", "long" * 75, "a\x00b"]
INTS = [None, 0, 1, -1, 2**63 - 1, -(2**63), 7, 123_456_789]
FLOATS = [None, 0.0, -0.0, math.nan, math.inf, -math.inf, 1.5, -2.25]
SMALL = [None, 0, 1, -1, 1000, -(2**40), 2**40]

Int64s: TypeAlias = "npt.NDArray[np.int64]"
Row = dict[str, Any]
Steps = Callable[[sf.Stream], sf.Stream]


@st.composite
def split_rows(draw: st.DrawFn, start: int) -> list[Row]:
    """Rows of one split in arrival order: never more than BOUND behind the greatest time before them."""
    rows: list[Row] = []
    greatest = start
    for _ in range(draw(st.integers(0, 25))):
        step = draw(st.sampled_from([0, 1, SECOND // 2, SECOND, 3 * SECOND, 11 * SECOND, -1, -SECOND, -BOUND]))
        time = max(greatest + step, greatest - BOUND)
        greatest = max(greatest, time)
        rows.append(
            {
                "s": draw(st.sampled_from(STRINGS)),
                "i": draw(st.sampled_from(INTS)),
                "f": draw(st.sampled_from(FLOATS)),
                "v": draw(st.sampled_from(SMALL)),
                "x": draw(st.sampled_from([*FLOATS, 1e300, 3.0])),
                "t": time,
            }
        )
    return rows


@st.composite
def inputs(draw: st.DrawFn) -> list[list[Row]]:
    """One to four splits whose times overlap, around or before 1970."""
    start = draw(st.sampled_from([0, -40 * SECOND, 1_700_000_000 * SECOND, -7_777_777_777 * SECOND]))
    offsets = [0, SECOND, -3 * SECOND, 20 * SECOND]
    return [draw(split_rows(start + offset)) for offset in offsets[: draw(st.integers(1, 4))]]


def table(rows: list[Row]) -> pa.Table:
    given = {name: [row[name] for row in rows] for name in SCHEMA.names}
    arrays = [pa.array(given[name], SCHEMA.field(name).type) for name in SCHEMA.names if name != "t"]
    return pa.Table.from_arrays([*arrays, pa.array(given["t"], pa.int64()).cast(TIME)], schema=SCHEMA)


class Copy(NamedTuple):
    s: str | None
    v: int | None
    c: str


@dataclass(frozen=True)
class Case:
    """A flow over the stream `rows` and the same as SQL over the table `rows` (its time in microseconds is `us`)."""

    name: str
    steps: Steps
    sql: str
    changelog: bool = False


def start_of(every: int) -> str:
    """The greatest multiple of `every` at or below `us`; `%` alone would round towards zero."""
    return f"us - ((us % {every}) + {every}) % {every}"


def tumbling(size: int) -> str:
    return f"SELECT *, {start_of(size)} AS ws, ws + {size} AS we FROM rows"


def sliding(size: int, every: int) -> str:
    return f"""
        SELECT *, {start_of(every)} - k * {every} AS ws, ws + {size} AS we
        FROM rows, range({-(-size // every)}) r(k) WHERE us >= ws AND us < we"""


def cumulative(size: int, step: int, offset: int = 0) -> str:
    return f"""
        SELECT *, us - (((us - {offset}) % {size}) + {size}) % {size} AS ws, ws + (k + 1) * {step} AS we
        FROM rows, range({size // step}) r(k) WHERE us < we"""


def days(zone: str, count: int, hours: int) -> str:
    """Windows of whole days from some hour of the day on, by DuckDB's own knowledge of the time zone."""
    shown = f"(timezone('{zone}', make_timestamptz(us)) - INTERVAL {hours} HOUR)::DATE"
    day = f"datediff('day', DATE '1970-01-01', {shown})"
    first = f"(DATE '1970-01-01' + ({day} - (({day} % {count}) + {count}) % {count})::INTEGER)"

    def moment(date: str) -> str:
        return f"epoch_us(timezone('{zone}', ({date})::TIMESTAMP + INTERVAL {hours} HOUR))"

    return f"SELECT *, {moment(first)} AS ws, {moment(f'{first} + {count}')} AS we FROM rows"


def sessions(gap: int, keys: str) -> str:
    by = f"PARTITION BY {keys}" if keys else ""
    one = f"PARTITION BY {keys}, n" if keys else "PARTITION BY n"
    return f"""
        SELECT *, min(us) OVER ({one}) AS ws, max(us) OVER ({one}) + {gap} AS we
        FROM (SELECT *, sum(new) OVER ({by} ORDER BY us, rowid ROWS UNBOUNDED PRECEDING) AS n
              FROM (SELECT *, CASE WHEN us - lag(us) OVER ({by} ORDER BY us, rowid) < {gap} THEN 0 ELSE 1 END AS new
                    FROM rows))"""


AGGREGATES_SQL = "count(*) AS n, count(v) AS nv, sum(v)::BIGINT AS total, min(v) AS lo, max(v) AS hi, avg(v) AS mean"
MORE_SQL = (
    "min(x) AS xlo, max(x) AS xhi, min(s) AS slo, max(s) AS shi, count(DISTINCT v) AS kinds, count(DISTINCT s) AS words"
)
BOUNDS_SQL = "make_timestamptz(ws) AS window_start, make_timestamptz(we) AS window_end"


def aggregates() -> dict[str, sf.Expr]:
    return {
        "n": sf.count(),
        "nv": col("v").count(),
        "total": col("v").sum(),
        "lo": col("v").min(),
        "hi": col("v").max(),
        "mean": col("v").mean(),
    }


def more_aggregates() -> dict[str, sf.Expr]:
    return {
        "xlo": col("x").min(),
        "xhi": col("x").max(),
        "slo": col("s").min(),
        "shi": col("s").max(),
        "kinds": col("v").n_unique(),
        "words": col("s").n_unique(),
    }


FURTHER_SQL = """
    var_samp(v) AS var, stddev_samp(v) AS std, stddev_pop(v) AS spread,
    quantile_cont(v, 0.3) AS low, median(v) AS middle, quantile_cont(v, 0.5) FILTER (WHERE v > 0) AS positive,
    list_sort(list(x) FILTER (WHERE x IS NOT NULL))[1 + floor((count(x) - 1) * 0.75 + 0.5)::INT] AS high,
    bool_or(v > 0) AS some, bool_and(v > 0) AS every,
    first(s ORDER BY x DESC, s ASC NULLS LAST) FILTER (WHERE x IS NOT NULL) AS best,
    first(v ORDER BY s ASC, v ASC NULLS LAST) FILTER (WHERE s IS NOT NULL AND v < 5) AS least,
    first(v ORDER BY us DESC, v ASC NULLS LAST) AS newest,
    count(*) FILTER (WHERE v > 0) AS up, (sum(v) FILTER (WHERE s > 'a'))::BIGINT AS total,
    count(DISTINCT x) AS kinds, coalesce(sum(v::DOUBLE * v::DOUBLE), 0) AS squares,
    coalesce(sum(v::DOUBLE * v::DOUBLE) FILTER (WHERE v > 1), 0) AS large"""


class SumOfSquares:
    """0 for no value, so that rows that a filter leaves out are seen to be left out."""

    partials = {"total": pa.float64()}  # noqa: RUF012
    result = pa.float64()

    def partial(self, ids: Int64s, count: int, values: pa.Array) -> dict[str, Any]:
        numbers = values.cast(pa.float64()).fill_null(0).to_numpy()
        return {"total": np.bincount(ids, weights=numbers * numbers, minlength=count)}

    def merge(self, ids: Int64s, count: int, partials: Mapping[str, pa.Array]) -> dict[str, Any]:
        return {"total": np.bincount(ids, weights=partials["total"].to_numpy(), minlength=count)}

    def finish(self, partials: Mapping[str, pa.Array]) -> pa.Array:
        return partials["total"]


def further_aggregates() -> dict[str, sf.Expr]:
    return {
        "var": col("v").var(),
        "std": col("v").std(),
        "spread": col("v").std(ddof=0),
        "low": col("v").quantile(0.3, "linear"),
        "middle": col("v").median(),
        "positive": col("v").median(filter=col("v") > 0),
        "high": col("x").quantile(0.75),
        "some": (col("v") > 0).any(),
        "every": (col("v") > 0).all(),
        "best": col("s").max_by("x"),
        "least": col("v").min_by("s", filter=col("v") < 5),
        "newest": col("v").max_by("_time"),
        "up": sf.count(filter=col("v") > 0),
        "total": col("v").sum(filter=col("s") > "a"),
        "kinds": col("x").approx_n_unique(),
        "squares": sf.aggregate(SumOfSquares(), "v"),
        "large": sf.aggregate(SumOfSquares(), "v", filter=col("v") > 1),
    }


ORDERED_SQL = """
    first(s ORDER BY us, rowid) AS head, last(x ORDER BY us, rowid) AS tail, list(v ORDER BY us, rowid) AS every,
    first(v ORDER BY us, rowid) FILTER (WHERE v > 0) AS up, last(s ORDER BY us, rowid) FILTER (WHERE v > 0) AS word,
    list(s ORDER BY us, rowid) FILTER (WHERE v > 0) AS some, count(*) AS n"""


def ordered_aggregates() -> dict[str, sf.Expr]:
    return {
        "head": col("s").first(),
        "tail": col("x").last(),
        "every": col("v").list(),
        "up": col("v").first(filter=col("v") > 0),
        "word": col("s").last(filter=col("v") > 0),
        "some": col("s").list(filter=col("v") > 0),
        "n": sf.count(),
    }


def windowed(name: str, keys: str, window: Any, rows: str, aggs: Callable[[], dict[str, sf.Expr]], sql: str) -> Case:
    names = [k for k in keys.split(",") if k]

    def steps(stream: sf.Stream) -> sf.Stream:
        if names:
            return stream.key_by(*names).window(window).agg(**aggs())
        return stream.window(window).agg(**aggs())

    head = f"{keys}, " if keys else ""
    return Case(name, steps, f"SELECT {head}{BOUNDS_SQL}, {sql} FROM ({rows}) GROUP BY ALL")


GROWING, SHIFTED = sf.cumulative("12s", step="3s"), sf.cumulative("10s", step="5s", offset="7s")
BERLIN, NEW_YORK = sf.tumbling("1d", tz="Europe/Berlin"), sf.tumbling("7d", offset="6h", tz="America/New_York")
S2, S3, S4, S7, S10 = (seconds * SECOND for seconds in (2, 3, 4, 7, 10))
CASES = [
    windowed("tumbling by string", "s", sf.tumbling("10s"), tumbling(S10), aggregates, AGGREGATES_SQL),
    windowed("tumbling by int", "i", sf.tumbling("10s"), tumbling(S10), aggregates, AGGREGATES_SQL),
    windowed("tumbling by float", "f", sf.tumbling("10s"), tumbling(S10), aggregates, AGGREGATES_SQL),
    windowed("tumbling by three", "s,i,f", sf.tumbling("10s"), tumbling(S10), more_aggregates, MORE_SQL),
    windowed("tumbling without a key", "", sf.tumbling("10s"), tumbling(S10), more_aggregates, MORE_SQL),
    windowed("sliding by string", "s", sf.sliding("10s", every="2s"), sliding(S10, S2), aggregates, AGGREGATES_SQL),
    windowed("sliding uneven", "i", sf.sliding("10s", every="4s"), sliding(S10, S4), more_aggregates, MORE_SQL),
    windowed("sliding with gaps", "i", sf.sliding("4s", every="10s"), sliding(S4, S10), aggregates, AGGREGATES_SQL),
    windowed("sliding without a key", "", sf.sliding("10s", every="4s"), sliding(S10, S4), aggregates, AGGREGATES_SQL),
    windowed(
        "tumbling later", "i", sf.tumbling("10s", offset="7s"), cumulative(S10, S10, S7), aggregates, AGGREGATES_SQL
    ),
    windowed("cumulative by string", "s", GROWING, cumulative(3 * S4, S3), aggregates, AGGREGATES_SQL),
    windowed("cumulative later", "", SHIFTED, cumulative(S10, 5 * SECOND, S7), more_aggregates, MORE_SQL),
    windowed("days in a time zone", "s", BERLIN, days("Europe/Berlin", 1, 0), aggregates, AGGREGATES_SQL),
    windowed("weeks in a time zone", "", NEW_YORK, days("America/New_York", 7, 6), more_aggregates, MORE_SQL),
    windowed("sessions by string", "s", sf.session("3s"), sessions(3 * SECOND, "s"), aggregates, AGGREGATES_SQL),
    windowed("sessions by float", "f", sf.session("3s"), sessions(3 * SECOND, "f"), more_aggregates, MORE_SQL),
    windowed("further by float", "f", sf.tumbling("10s"), tumbling(S10), further_aggregates, FURTHER_SQL),
    windowed("further sliding", "", sf.sliding("10s", every="4s"), sliding(S10, S4), further_aggregates, FURTHER_SQL),
    windowed("further in sessions", "s", sf.session("3s"), sessions(3 * SECOND, "s"), further_aggregates, FURTHER_SQL),
    windowed("ordered by int", "i", sf.tumbling("10s"), tumbling(S10), ordered_aggregates, ORDERED_SQL),
    windowed("ordered sliding", "", sf.sliding("10s", every="4s"), sliding(S10, S4), ordered_aggregates, ORDERED_SQL),
    windowed("ordered in sessions", "s", sf.session("3s"), sessions(3 * SECOND, "s"), ordered_aggregates, ORDERED_SQL),
    windowed("sessions without a key", "", sf.session("1s"), sessions(SECOND, ""), aggregates, AGGREGATES_SQL),
]


def against(sql: str, *, changelog: bool = False) -> Callable[[Steps], Steps]:
    """The flow that follows is a case, named as the function is."""

    def add(steps: Steps) -> Steps:
        CASES.append(Case(steps.__name__.replace("_", " "), steps, sql, changelog))
        return steps

    return add


@against(f"""
    SELECT s, {BOUNDS_SQL}, max(v) - min(v) AS span, count(v) / count(*) AS share
    FROM ({tumbling(S10)}) GROUP BY ALL""")
def arithmetic_between_aggregates(rows: sf.Stream) -> sf.Stream:
    windows = rows.key_by("s").window(sf.tumbling("10s"))
    return windows.agg(span=col("v").max() - col("v").min(), share=col("v").count() / sf.count())


@against(f"""
    SELECT s, {BOUNDS_SQL}, sum(v * 2)::BIGINT AS total
    FROM ({tumbling(S10)}) WHERE v > 0 AND s IS NOT NULL GROUP BY ALL""")
def filter_and_project_before(rows: sf.Stream) -> sf.Stream:
    wanted = rows.filter(col("v") > 0, col("s").is_not_null())
    doubled = wanted.with_columns(double=col("v") * 2).drop("x").rename({"double": "w"})
    return doubled.key_by("s").window(sf.tumbling("10s")).agg(total=col("w").sum())


@against(f"SELECT s, f, {AGGREGATES_SQL}, {MORE_SQL} FROM rows GROUP BY ALL", changelog=True)
def running_aggregate(rows: sf.Stream) -> sf.Stream:
    return rows.key_by("s", "f").agg(**aggregates(), **more_aggregates())


@against(f"SELECT s, {FURTHER_SQL} FROM rows GROUP BY ALL", changelog=True)
def further_running_aggregates(rows: sf.Stream) -> sf.Stream:
    return rows.key_by("s").agg(**further_aggregates())


@against(f"""
    SELECT make_timestamptz(we) AS window_end, stddev_samp(n) AS std, median(n) AS middle
    FROM (SELECT i, ws, we, count(*) AS n FROM ({tumbling(S10)}) GROUP BY ALL) GROUP BY ALL""")
def further_aggregates_of_fired_windows(rows: sf.Stream) -> sf.Stream:
    counts = rows.key_by("i").window(sf.tumbling("10s")).agg(n=sf.count())
    return counts.key_by("window_end").agg(std=col("n").std(), middle=col("n").median())


@against(f"SELECT s, {ORDERED_SQL} FROM rows GROUP BY ALL", changelog=True)
def ordered_running_aggregates(rows: sf.Stream) -> sf.Stream:
    return rows.key_by("s").agg(**ordered_aggregates())


@against(f"""
    SELECT i, {BOUNDS_SQL}, first(v ORDER BY us, half, rowid) AS head, list(v ORDER BY us, half, rowid) AS every
    FROM (SELECT *, CASE WHEN v <= 0 THEN 0 ELSE 1 END AS half FROM ({tumbling(S10)}) WHERE v IS NOT NULL)
    GROUP BY ALL""")
def ordered_rows_of_a_union(rows: sf.Stream) -> sf.Stream:
    halves = rows.filter(col("v") <= 0).union(rows.filter(col("v") > 0))
    return halves.key_by("i").window(sf.tumbling("10s")).agg(head=col("v").first(), every=col("v").list())


def twice(s: str | None, v: int | None) -> list[Copy]:
    return [Copy(s, v, "a"), Copy(s, v, "b"), Copy(None, v, "c")]


@against(f"""
    SELECT {BOUNDS_SQL}, list(c ORDER BY us, part, rowid, c) AS every, last(v ORDER BY us, part, rowid, c) AS tail
    FROM ({tumbling(S10)}), (VALUES (0, 'a'), (0, 'b'), (0, 'c'), (1, 'd')) copies(part, c)
    WHERE part = 0 OR v IS NOT NULL GROUP BY ALL""")
def ordered_copies_beside_rows(rows: sf.Stream) -> sf.Stream:
    plain = rows.filter(col("v").is_not_null()).select("s", "v", c=sf.lit("d"))
    both = rows.flat_map(twice).union(plain)
    return both.window(sf.tumbling("10s")).agg(every=col("c").list(), tail=col("v").last())


@against(f"""
    SELECT i, {BOUNDS_SQL}, list(n ORDER BY inner_end) AS every, last(n ORDER BY inner_end) AS tail
    FROM (SELECT i, count(*) AS n, {start_of(S2)} + {S2} AS inner_end, inner_end - 1 AS us FROM rows GROUP BY ALL),
         LATERAL (SELECT {start_of(S10)} AS ws, ws + {S10} AS we)
    GROUP BY ALL""")
def ordered_results_of_windows(rows: sf.Stream) -> sf.Stream:
    counts = rows.key_by("i").window(sf.tumbling("2s")).agg(n=sf.count()).drop("window_start", "window_end")
    return counts.key_by("i").window(sf.tumbling("10s")).agg(every=col("n").list(), tail=col("n").last())


@against(f"""
    SELECT s, {BOUNDS_SQL}, first(v ORDER BY us, rowid) AS v, NULL::BIGINT AS n FROM ({tumbling(S10)}) GROUP BY ALL
    UNION ALL BY NAME
    SELECT s, NULL AS window_start, NULL AS window_end, v, 1 AS n FROM rows WHERE v > 5""")
def rows_that_need_no_order_beside_those_that_do(rows: sf.Stream) -> sf.Stream:
    firsts = rows.key_by("s").window(sf.tumbling("10s")).agg(v=col("v").first())
    others = rows.filter(col("v") > 5).select("s", "v", n=sf.lit(1))
    return firsts.union(others, how="diagonal")


@against(f"SELECT {AGGREGATES_SQL} FROM rows HAVING count(*) > 0", changelog=True)
def running_aggregate_without_a_key(rows: sf.Stream) -> sf.Stream:
    return rows.agg(**aggregates())


@against(f"""
    SELECT i, {BOUNDS_SQL}, n
    FROM (SELECT i, ws, we, count(*) AS n FROM ({sliding(S10, S2)}) GROUP BY ALL)
    QUALIFY row_number() OVER (PARTITION BY we ORDER BY n DESC, i ASC NULLS LAST, ws, we) = 1""")
def hot_items(rows: sf.Stream) -> sf.Stream:
    counts = rows.key_by("i").window(sf.sliding("10s", every="2s")).agg(n=sf.count())
    return counts.key_by("window_end").top(1, by="n")


@against(f"""
    SELECT make_timestamptz(we) AS window_end, count(*) AS keys, sum(n)::BIGINT AS rows
    FROM (SELECT i, ws, we, count(*) AS n FROM ({tumbling(S10)}) GROUP BY ALL) GROUP BY ALL""")
def aggregate_of_fired_windows(rows: sf.Stream) -> sf.Stream:
    counts = rows.key_by("i").window(sf.tumbling("10s")).agg(n=sf.count())
    return counts.key_by("window_end").agg(keys=sf.count(), rows=col("n").sum())


@against(f"""
    SELECT {BOUNDS_SQL}, s, i, v FROM ({tumbling(S10)})
    QUALIFY row_number() OVER (PARTITION BY we ORDER BY v DESC NULLS LAST, s NULLS LAST, i NULLS LAST) <= 2""")
def top_of_rows_in_windows(rows: sf.Stream) -> sf.Stream:
    return rows.drop("f", "x", "t").window(sf.tumbling("10s")).top(2, by="v")


@against(f"""
    SELECT s, {BOUNDS_SQL}, x, v FROM ({sliding(S10, S4)})
    QUALIFY row_number() OVER (PARTITION BY s, we ORDER BY x DESC NULLS LAST, v ASC NULLS LAST) = 1""")
def top_of_rows_by_key_in_sliding_windows(rows: sf.Stream) -> sf.Stream:
    windows = rows.select("s", "x", "v").key_by("s").window(sf.sliding("10s", every="4s"))
    return windows.top(1, by=["x", col("v").asc()])


@against(f"""
    SELECT s, {BOUNDS_SQL}, v FROM ({cumulative(3 * S4, S3)})
    QUALIFY row_number() OVER (PARTITION BY s, we ORDER BY v DESC NULLS LAST) = 1""")
def top_of_rows_in_cumulative_windows(rows: sf.Stream) -> sf.Stream:
    return rows.select("s", "v").key_by("s").window(GROWING).top(1, by="v")


@against(f"""
    SELECT {BOUNDS_SQL}, s, i, v FROM ({days("Europe/Berlin", 1, 0)})
    QUALIFY row_number() OVER (PARTITION BY we ORDER BY v DESC NULLS LAST, s NULLS LAST, i NULLS LAST) <= 2""")
def top_of_rows_on_days_in_a_time_zone(rows: sf.Stream) -> sf.Stream:
    return rows.select("s", "i", "v").window(BERLIN).top(2, by="v")


@against(f"""
    SELECT s, {BOUNDS_SQL}, v FROM ({sessions(3 * SECOND, "s")})
    QUALIFY row_number() OVER (PARTITION BY s, ws ORDER BY v DESC NULLS LAST) = 1""")
def top_of_rows_in_sessions(rows: sf.Stream) -> sf.Stream:
    return rows.select("s", "v").key_by("s").window(sf.session("3s")).top(1, by="v")


@against(f"""
    SELECT {BOUNDS_SQL}, max(n) AS most
    FROM (SELECT i, ws, we, count(*) AS n FROM ({tumbling(S10)}) GROUP BY ALL) GROUP BY ALL""")
def second_window_of_the_same_size(rows: sf.Stream) -> sf.Stream:
    counts = rows.key_by("i").window(sf.tumbling("10s")).agg(n=sf.count()).drop("window_start", "window_end")
    return counts.window(sf.tumbling("10s")).agg(most=col("n").max())


@against(f"SELECT i, {BOUNDS_SQL}, count(*) AS n FROM ({tumbling(S10)}) WHERE v IS NOT NULL GROUP BY ALL")
def union_of_two_halves(rows: sf.Stream) -> sf.Stream:
    halves = rows.filter(col("v") > 0).union(rows.filter(col("v") <= 0))
    return halves.key_by("i").window(sf.tumbling("10s")).agg(n=sf.count())


def all_rows_of(key: str) -> str:
    return f"SELECT {key}, {AGGREGATES_SQL} FROM rows GROUP BY ALL"


@against(CASES[0].sql, changelog=True)
def tumbling_with_lateness(rows: sf.Stream) -> sf.Stream:
    return rows.key_by("s").window(sf.tumbling("10s"), allowed_lateness="7s").agg(**aggregates())


@against(
    f"""
    SELECT {BOUNDS_SQL}, {MORE_SQL}, max(v) - min(v) AS span, count(*) FILTER (v > 0) AS above
    FROM ({sliding(S10, S4)}) GROUP BY ALL""",
    changelog=True,
)
def sliding_that_fires_early(rows: sf.Stream) -> sf.Stream:
    windows = rows.window(sf.sliding("10s", every="4s"), trigger=sf.trigger(early=2))
    span, above = col("v").max() - col("v").min(), sf.count(filter=col("v") > 0)
    return windows.agg(**more_aggregates(), span=span, above=above)


@against(
    f"""
    SELECT s, {BOUNDS_SQL}, count(*) AS rows, sum(v)::BIGINT AS total FROM ({cumulative(3 * S4, S3)})
    GROUP BY ALL""",
)
def panes_of_cumulative_windows(rows: sf.Stream) -> sf.Stream:
    trigger = sf.trigger(early=3, accumulate=False)
    panes = rows.key_by("s").window(GROWING, trigger=trigger).agg(n=sf.count(), part=col("v").sum())
    windows = panes.key_by("s", "window_start", "window_end")
    return windows.agg(rows=col("n").sum(), total=col("part").sum())


@against("""
    SELECT s, count(*) AS n, sum(v)::BIGINT AS total, max(x) AS hi FROM (
        SELECT *, (row_number() OVER (PARTITION BY s ORDER BY us, v NULLS LAST, x NULLS LAST) - 1) // 3 AS w FROM rows)
    GROUP BY s, w""")
def windows_of_three_rows(rows: sf.Stream) -> sf.Stream:
    windows = rows.key_by("s").window(sf.count_window(3))
    return windows.agg(n=sf.count(), total=col("v").sum(), hi=col("x").max())


@against("""
    SELECT count(*) AS n, min(s) AS first FROM (
        SELECT *, (row_number() OVER (ORDER BY us, s NULLS LAST) - 1) // 4 AS w FROM rows) GROUP BY w""")
def windows_of_four_rows_without_a_key(rows: sf.Stream) -> sf.Stream:
    return rows.window(sf.count_window(4)).agg(n=sf.count(), first=col("s").min())


@against(all_rows_of("i"))
def one_window_of_all_rows(rows: sf.Stream) -> sf.Stream:
    return rows.key_by("i").window(sf.global_window()).agg(**aggregates())


@against(all_rows_of("f"), changelog=True)
def one_window_of_all_rows_that_fires_early(rows: sf.Stream) -> sf.Stream:
    return rows.key_by("f").window(sf.global_window(), trigger=sf.trigger(early=2)).agg(**aggregates())


def expected(case: Case, rows: list[Row]) -> list[Row]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
    source = table(rows)
    source = source.append_column("us", source.column("t").cast(pa.int64()))
    source = source.append_column("rowid", pa.array(range(len(rows)), pa.int64()))
    f = source.column("f")
    source = source.set_column(2, "f", pc.if_else(pc.equal(f, 0.0), 0.0, f))  # -0.0 = 0.0 (rule 16)
    connection.register("rows", source)
    found: list[Row] = connection.sql(case.sql).to_arrow_table().to_pylist()
    return found


def build(case: Case) -> sf.Flow:
    flow = sf.Flow("oracle")
    rows = flow.read(
        "rows", memory.Source(SCHEMA.empty_table()), event_time="t", watermark=sf.bounded_out_of_orderness("5s")
    )
    case.steps(rows).write("out", memory.Sink())
    return flow


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    parts=inputs(),
    seed=st.integers(0, 2**31),
    workers=st.sampled_from([1, 2, 3, 7]),
    crashes=st.integers(0, 3),
)
def test_a_flow_equals_duckdb(case: Case, parts: list[list[Row]], seed: int, workers: int, crashes: int) -> None:
    sources = {"rows": splits(*(table(part) for part in parts))}
    results = sf.testing.run(build(case), sources, seed=seed, workers=workers, crashes=crashes)
    out = final(results["out"]) if case.changelog else results["out"]
    assert_rows(out, expected(case, [row for part in parts for row in part]))
    assert results.late == {}
