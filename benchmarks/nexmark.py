"""Nexmark queries through the local runner, beside DuckDB over the same bids and beside the bare operators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa
from streamflow_connectors import memory

import streamflow as sf
from benchmarks.bids import Keys, bids, cut, with_keys
from benchmarks.queries import QUERIES, Query
from benchmarks.timing import Best, best_of_each
from streamflow.connect.sink import SinkContext
from streamflow.kernels.arrays import raw_values
from streamflow.operators.base import Operator
from streamflow.operators.events import MAX_TIME, MIN_TIME, TIME, Watermark
from streamflow.plan.logical.windows import BoundedOutOfOrderness
from streamflow.plan.physical import Run, SplitTimes
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise

SIZES = (1024, 4096, 8192, 16384, 65536)
BARE_SIZE = 8192


class CountingSink:
    """Counts rows. Changelogs are fine too."""

    changelog = True

    def __init__(self) -> None:
        self.rows = 0

    def open(self, who: SinkContext) -> CountingSink:
        self.rows = 0
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows

    def flush(self) -> None:
        """Rows are counted when they come."""

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class Measured:
    """One query over one kind of keys; times are of the whole run. `engine`: by batch size, `bare`: at BARE_SIZE.

    `duckdb`: its fastest way to the same answer; `loose`: to one that leaves ties open; `plain`: its usual way.
    """

    query: Query
    keys: Keys
    rows: int
    duckdb: Best
    engine: dict[int, Best] = field(default_factory=dict)
    bare: Best | None = None
    loose: Best | None = None
    plain: Best | None = None

    @property
    def name(self) -> str:
        return self.query.name if self.keys == "compact" else f"{self.query.name} {self.keys}"

    def speed(self, best: Best) -> float:
        """Million bids a second of CPU time."""
        return self.rows / best.cpu / 1e6

    def ratio(self, size: int) -> float:
        """How many times DuckDB's speed, at batches of `size` rows."""
        return self.duckdb.cpu / self.engine[size].cpu

    def plain_ratio(self, size: int) -> float | None:
        """How many times the speed of DuckDB's usual way."""
        return None if self.plain is None else self.plain.cpu / self.engine[size].cpu

    @property
    def added(self) -> float | None:
        """What the engine adds to the bare operators, as a part of their time."""
        return None if self.bare is None else self.engine[BARE_SIZE].cpu / self.bare.cpu - 1

    @property
    def added_us(self) -> float | None:
        """What the engine adds to the bare operators, in microseconds a batch."""
        if self.bare is None:
            return None
        return (self.engine[BARE_SIZE].cpu - self.bare.cpu) / -(-self.rows // BARE_SIZE) * 1e6


def measure_all(rows: int, other_rows: int) -> Iterable[Measured]:
    """All queries over `rows` bids, then q5 and q12 over `other_rows` bids with other kinds of keys."""
    for query in QUERIES:
        yield _measure(query, "compact", rows, SIZES, bare=True)
    for keys in ("scattered", "text"):
        for query in QUERIES:
            if query.name in ("q5", "q12"):
                yield _measure(query, keys, other_rows, (BARE_SIZE, 16384), bare=False)


def _measure(query: Query, keys: Keys, rows: int, sizes: Sequence[int], *, bare: bool) -> Measured:
    table = with_keys(bids(rows), keys)
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1; SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        connection.register("bids", table)
        _check_equal(query, table, connection)
        formulations = {sql: _counting(connection, sql) for sql in query.sql}
        if len(formulations) > 1:  # the best of them is then measured with all others in turn
            tried = best_of_each(formulations, repeats=2)
            best_sql = min(tried, key=lambda sql: tried[sql].cpu)
        else:
            best_sql = query.sql[0]
        calls: dict[str, Callable[[], object]] = {"duckdb": formulations[best_sql]}
        if query.loose is not None:
            calls["loose"] = _counting(connection, query.loose)
        if query.plain is not None:
            calls["plain"] = _counting(connection, query.plain)
        for size in sizes:
            calls[str(size)] = _through_the_engine(query, cut(table, size))
        if bare:
            calls["bare"] = _bare(query, cut(table, BARE_SIZE))
        found = best_of_each(calls)
    engine = {size: found[str(size)] for size in sizes}
    others = (found.get(name) for name in ("bare", "loose", "plain"))
    return Measured(query, keys, table.num_rows, found["duckdb"], engine, *others)


# -- DuckDB


def _counting(connection: duckdb.DuckDBPyConnection, sql: str) -> Callable[[], int]:
    """Runs a query and counts what comes, as the sink does: results are not kept."""
    return lambda: sum(batch.num_rows for batch in connection.sql(sql).to_arrow_reader(1 << 16))


def _check_equal(query: Query, table: pa.Table, connection: duckdb.DuckDBPyConnection) -> None:
    """All have the same rows in some order: as many, with the same sum of hashes. Raises AssertionError."""
    out = memory.Sink()
    late = sf.run(query.flow(memory.Source(cut(table, 16384)), out)).late
    ours = out.table()
    connection.register("ours", ours)
    columns = ", ".join(ours.schema.names)
    found, *wanted = [
        connection.execute(f"SELECT count(*), sum(hash({columns})::HUGEINT) FROM ({rows})").fetchall()
        for rows in ("SELECT * FROM ours", *query.sql)
    ]
    connection.unregister("ours")
    if late or not ours.num_rows or any(other != found for other in wanted):
        raise AssertionError(f"{query.name}: {late} rows are late, (rows, checksum) is {found}, not {wanted}")


# -- the engine, and the operators without it


def _through_the_engine(query: Query, batches: Sequence[pa.RecordBatch]) -> Callable[[], object]:
    """From the flow to the end of its job. The source has imported the batches before."""
    source, sink = memory.Source(batches), CountingSink()
    source.schema()
    return lambda: sf.run(query.flow(source, sink))


def _bare(query: Query, batches: Sequence[pa.RecordBatch]) -> Callable[[], object]:
    """The same operators in the shortest loop there can be: rows get their event time, each batch its watermark."""
    graph = place(optimise(query.flow(memory.Source(batches), CountingSink()).graph()), name=query.name)
    (read,) = graph.reads().values()
    (times,) = (node.work for node in graph.nodes if isinstance(node.work, SplitTimes))
    assert isinstance(times.strategy, BoundedOutOfOrderness)
    bound = times.strategy.bound
    batches = [batch.select(read.schema.names) for batch in batches]

    def loop() -> int:
        chain = [node.work.make() for node in graph.nodes if isinstance(node.work, Run)]
        rows, greatest = 0, MIN_TIME
        for batch in batches:
            event_times = times.evaluate(batch)
            rows += _push(chain, 0, batch.append_column(TIME, event_times))
            greatest = max(greatest, int(raw_values(event_times).max()))
            rows += _push(chain, 0, Watermark(greatest - bound))
        return rows + _push(chain, 0, Watermark(MAX_TIME))

    return loop


def _push(chain: Sequence[Operator], place_: int, item: pa.RecordBatch | Watermark) -> int:
    """Drive the operators from `place_` on; how many rows come out at the end."""
    if place_ == len(chain):
        return item.num_rows if isinstance(item, pa.RecordBatch) else 0
    operator = chain[place_]
    given = operator.on_watermark(item) if isinstance(item, Watermark) else operator.on_batch(0, item)
    return sum(_push(chain, place_ + 1, following) for following in given)
