"""The queries: as a flow, and as SQL for DuckDB in every formulation that might be its best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamflow_connectors import memory

import streamflow as sf
from benchmarks.bids import DISORDER
from streamflow import col
from streamflow.connect.sink import Sink

_US = "epoch_us(date_time)"
_SECOND = 1_000_000


@dataclass(frozen=True)
class Query:
    """`sql`: the same question in several ways, all with the same answer, of which DuckDB is given the fastest.

    `loose`: an easier question that leaves open which of equals comes out. `stateless`: rows pass at once. `plain`: the
    same question as it is usually written, where another formulation is much faster; it has a target of its own.
    """

    name: str
    about: str
    steps: Callable[[sf.Stream], sf.Stream]
    sql: tuple[str, ...]
    stateless: bool = False
    loose: str | None = None
    plain: str | None = None

    def flow(self, source: memory.Source, sink: Sink) -> sf.Flow:
        flow = sf.Flow(self.name)
        watermark = sf.bounded_out_of_orderness(DISORDER)
        self.steps(flow.read("bids", source, event_time="date_time", watermark=watermark)).write("out", sink)
        return flow


def _bounds(column: str, size: int, every: int) -> str:
    """Window bounds from the number of the window's first slide."""
    start = f"{column} * {every * _SECOND}"
    return f"make_timestamptz({start}) AS window_start, make_timestamptz({start} + {size * _SECOND}) AS window_end"


def _hottest(counts: str) -> str:
    """Of each window the auction with the most bids, the least of equals."""
    return (
        f"SELECT {_bounds('w', 10, 2)}, max(n) AS bids, min(auction) AS auction FROM "
        f"(SELECT w, auction, n, max(n) OVER (PARTITION BY w) AS most FROM ({counts})) WHERE n = most GROUP BY w"
    )


def _hottest_by_struct(counts: str) -> str:
    return (
        f"SELECT {_bounds('w', 10, 2)}, -best.n AS bids, best.auction AS auction FROM "
        f"(SELECT w, min({{'n': -n, 'auction': auction}}) AS best FROM ({counts}) GROUP BY w)"
    )


def _hottest_by_arg_max(counts: str) -> str:
    """Leaves open which of equals."""
    return (
        f"SELECT {_bounds('w', 10, 2)}, n AS bids, auction FROM "
        f"(SELECT w, max(n) AS n, arg_max(auction, n) AS auction FROM ({counts}) GROUP BY w)"
    )


def _hottest_by_join(counts: str) -> str:
    return (
        f"WITH c AS MATERIALIZED ({counts}), m AS (SELECT w, max(n) AS n FROM c GROUP BY w) "
        f"SELECT {_bounds('w', 10, 2)}, n AS bids, min(auction) AS auction FROM c JOIN m USING (w, n) GROUP BY w, n"
    )


_SLIDES = f"SELECT auction, {_US} // {2 * _SECOND} AS s, count(*) AS n FROM bids GROUP BY auction, s"
_BY_SLICES = f"SELECT auction, s - k AS w, sum(n)::BIGINT AS n FROM ({_SLIDES}), range(5) slide(k) GROUP BY auction, w"
_BY_WINDOW = f"SELECT auction, s - k AS w, sum(n)::BIGINT AS n FROM ({_SLIDES}), range(5) slide(k) GROUP BY w, auction"
_TENS = f"{_US} // {10 * _SECOND}"
_ORDER = "{'p': price, 'a': -auction, 'b': -bidder, 't': -epoch_us(date_time)}"
_FIRST = "min({'auction': auction, 'bidder': bidder, 'date_time': date_time}) AS best"
_HIGHEST = f"SELECT {_bounds('w', 10, 10)}, best.auction, best.bidder, price, best.date_time"

_GAP = 10 * _SECOND
_MICROS = f"SELECT bidder, {_US} AS t FROM bids"
_TURNS = "PARTITION BY bidder ORDER BY t"
_SESSION = f"make_timestamptz(min(t)) AS window_start, make_timestamptz(max(t) + {_GAP}) AS window_end"
_SESSIONS_BY_LAG = (
    f"SELECT bidder, {_SESSION}, count(*) AS bids FROM "
    f"(SELECT bidder, t, sum(first) OVER ({_TURNS} ROWS UNBOUNDED PRECEDING) AS session FROM "
    f"(SELECT bidder, t, CASE WHEN t - lag(t) OVER ({_TURNS}) < {_GAP} THEN 0 ELSE 1 END AS first FROM ({_MICROS}))) "
    f"GROUP BY bidder, session"
)

QUERIES = (
    Query(
        "q0",
        "pass-through",
        lambda bids: bids,
        ("SELECT * FROM bids",),
        stateless=True,
    ),
    Query(
        "q1",
        "price * 0.908",
        lambda bids: bids.with_columns(price=col("price") * 0.908),
        ("SELECT auction, bidder, price * 0.908::DOUBLE AS price, date_time FROM bids",),
        stateless=True,
    ),
    Query(
        "q2",
        "auction % 123 = 0",
        lambda bids: bids.filter(col("auction") % 123 == 0).select("auction", "price"),
        ("SELECT auction, price FROM bids WHERE auction % 123 = 0",),
        stateless=True,
    ),
    Query(
        "q5",
        "the auction with the most bids, 10 s every 2 s",
        lambda bids: (
            bids.key_by("auction")
            .window(sf.sliding("10s", every="2s"))
            .agg(bids=sf.count())
            .key_by("window_end")
            .top(1, by="bids")
            .select("window_start", "window_end", "bids", "auction")
        ),
        tuple(
            f"SELECT window_start, window_end, bids, auction FROM ({hottest(counts)})"
            for hottest, counts in (
                (_hottest, _BY_SLICES),
                (_hottest_by_struct, _BY_SLICES),
                (_hottest_by_struct, _BY_WINDOW),
                (_hottest_by_join, _BY_SLICES),
                (_hottest_by_join, _BY_WINDOW),
            )
        ),
        loose=_hottest_by_arg_max(_BY_SLICES),
    ),
    Query(
        "q7",
        "the highest bid in 10 s",
        lambda bids: (
            bids.window(sf.tumbling("10s"))
            .top(1, by="price")
            .select("window_start", "window_end", "auction", "bidder", "price", "date_time")
        ),
        (
            (
                f"WITH m AS (SELECT {_TENS} AS w, max(price) AS price FROM bids GROUP BY w), "
                f"b AS (SELECT *, row_number() OVER (PARTITION BY w ORDER BY auction, bidder, date_time) AS place "
                f"FROM (SELECT *, {_TENS} AS w FROM bids) JOIN m USING (w, price)) "
                f"SELECT {_bounds('w', 10, 10)}, auction, bidder, price, date_time FROM b WHERE place = 1"
            ),
            (
                f"SELECT {_bounds('w', 10, 10)}, -best.a AS auction, -best.b AS bidder, best.p AS price, "
                f"make_timestamptz(-best.t) AS date_time "
                f"FROM (SELECT {_TENS} AS w, max({_ORDER}) AS best FROM bids GROUP BY w)"
            ),
            (  # the highest prices, the bids that have them, the first of those
                f"WITH m AS (SELECT {_TENS} AS w, max(price) AS price FROM bids GROUP BY w) "
                f"{_HIGHEST} FROM (SELECT w, price, {_FIRST} FROM (SELECT *, {_TENS} AS w FROM bids) "
                f"JOIN m USING (w, price) GROUP BY w, price)"
            ),
            (  # the same, of the bids that are at least as high as the lowest of the highest
                f"WITH m AS MATERIALIZED (SELECT {_TENS} AS w, max(price) AS price FROM bids GROUP BY w), "
                f"c AS MATERIALIZED (SELECT * FROM bids WHERE price >= (SELECT min(price) FROM m)) "
                f"{_HIGHEST} FROM (SELECT w, price, {_FIRST} FROM (SELECT *, {_TENS} AS w FROM c) "
                f"JOIN m USING (w, price) GROUP BY w, price)"
            ),
        ),
        loose=(
            f"SELECT {_bounds('w', 10, 10)}, best.auction, best.bidder, best.price, best.date_time FROM "
            f"(SELECT {_TENS} AS w, arg_max(bids, price) AS best FROM bids GROUP BY w)"
        ),
    ),
    Query(
        "q11",
        "bids of each bidder in a session, gap 10 s",
        lambda bids: bids.key_by("bidder").window(sf.session("10s")).agg(bids=sf.count()),
        (
            _SESSIONS_BY_LAG,
            (  # the first bids of sessions, each with what comes before the next one
                f"SELECT bidder, make_timestamptz(t) AS window_start, "
                f"make_timestamptz(coalesce(lead(before) OVER following, last) + {_GAP}) AS window_end, "
                f"coalesce(lead(place) OVER following, total + 1) - place AS bids FROM "
                f"(SELECT bidder, t, lag(t) OVER turns AS before, row_number() OVER turns AS place, "
                f"count(*) OVER (PARTITION BY bidder) AS total, max(t) OVER (PARTITION BY bidder) AS last "
                f"FROM ({_MICROS}) WINDOW turns AS ({_TURNS})) WHERE before IS NULL OR t - before >= {_GAP} "
                f"WINDOW following AS (PARTITION BY bidder ORDER BY place)"
            ),
            (  # bids in the same ten seconds are in one session: far fewer rows are left to be put in order
                f"WITH tens AS (SELECT bidder, {_TENS} AS w, min({_US}) AS low, max({_US}) AS high, count(*) AS n "
                f"FROM bids GROUP BY bidder, w) "
                f"SELECT bidder, make_timestamptz(min(low)) AS window_start, "
                f"make_timestamptz(max(high) + {_GAP}) AS window_end, sum(n)::BIGINT AS bids FROM "
                f"(SELECT *, sum(first) OVER (PARTITION BY bidder ORDER BY w ROWS UNBOUNDED PRECEDING) AS session FROM "
                f"(SELECT *, CASE WHEN low - lag(high) OVER (PARTITION BY bidder ORDER BY w) < {_GAP} "
                f"THEN 0 ELSE 1 END AS first FROM tens)) GROUP BY bidder, session"
            ),
        ),
        plain=_SESSIONS_BY_LAG,
    ),
    Query(
        "q12",
        "bids of each bidder in 10 s",
        lambda bids: bids.key_by("bidder").window(sf.tumbling("10s")).agg(bids=sf.count()),
        (
            (
                f"SELECT bidder, {_bounds('w', 10, 10)}, bids FROM "
                f"(SELECT bidder, {_TENS} AS w, count(*) AS bids FROM bids GROUP BY bidder, w)"
            ),
            (
                f"SELECT bidder, {_bounds('w', 10, 10)}, bids FROM "
                f"(SELECT bidder, {_TENS} AS w, count(*) AS bids FROM bids GROUP BY w, bidder)"
            ),
        ),
    ),
)
