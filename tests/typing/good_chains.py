"""What type checkers must accept: every chain that the API has. Checked with the rest of the tests, never run."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple, assert_type

import pyarrow as pa
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col


class Fare(NamedTuple):
    city: str
    fare: float


def fares(city: str, fare: float) -> Fare:
    return Fare(city, fare)


def several(city: str) -> list[Fare]:
    return [Fare(city, 1.0)]


def large(stream: sf.Stream, at_least: float) -> sf.Stream:
    return stream.filter(col("fare") >= at_least)


class Totals(sf.KeyedFunction):
    total = sf.cell(float, default=0.0, ttl="7d")
    last = sf.cell(datetime)
    names = sf.list_cell(str)
    seen = sf.map_cell(str, int)
    silence = sf.timer()

    def on_row(self, fare: float, at: datetime) -> Iterator[Fare]:
        assert_type(self.total, float)
        assert_type(self.last, datetime | None)
        assert_type(self.names, list[str])
        assert_type(self.seen, dict[str, int])
        assert_type(self.silence.time, datetime | None)
        self.total += fare
        self.last = at
        self.names = [*self.names, "a"]
        self.seen["a"] = 1
        self.silence.set(at + timedelta(minutes=5))
        del self.total
        yield from ()

    def on_silence(self) -> None:
        self.silence.clear()


def build(path: str = "rides", limit: int | None = None) -> sf.Flow:
    flow = sf.Flow("rides")
    source = memory.Source(pa.table({"at": [0]}))
    rides = flow.read("rides", source, event_time="at", watermark=sf.bounded_out_of_orderness("1s", idle="30s"))
    assert_type(rides, sf.Stream)
    assert_type(rides.schema, pa.Schema)

    rows = (
        rides.filter(col("fare") > 10, ~col("city").is_null() & (col("fare") < 100))
        .select("city", col("fare").alias("net"), gross=col("fare") * 1.25)
        .with_columns(twice=col("net") * 2, label=fares)
        .drop("twice")
        .rename({"net": "fare"})
        .map(fares)
        .flat_map(several)
        .map_batches(lambda batch: batch, schema=Fare, max_rows=1_000)
        .with_event_time(sf.from_epoch("at", "ms"), watermark=sf.monotonic())
        .union(rides, how="vertical")
        .explode("tags")
        .peek(3)
        .step("rows")
        .pipe(large, at_least=5.0)
    )
    assert_type(rows, sf.Stream)

    keyed = rows.key_by("city", hour=col("at").dt.truncate("1h"))
    assert_type(keyed, sf.KeyedStream)
    windowed = keyed.window(sf.sliding("10s", every=timedelta(seconds=2)))
    assert_type(windowed, sf.WindowedStream)
    windowed.agg(
        col("fare").quantile(0.9, "linear", filter=col("fare") > 1),
        best=col("city").max_by("fare", filter="large"),
        any=(col("fare") > 3).any() & (col("fare") < 9).all(),
        near=col("fare").approx_quantile(0.5, error=0.05) - col("fare").median(),
        few=sf.count(filter=col("fare") < 2) / col("city").approx_n_unique(),
    )
    counts = windowed.agg(sf.count(), mean=(col("fare") * 0.9).mean() / sf.count()).step("counts")
    assert_type(counts, sf.Stream)
    assert_type(rows.window(sf.session("30m")), sf.WindowedStream)
    assert_type(counts.key_by("window_end").top(1, by=["count", col("city").asc()]), sf.Stream)
    assert_type(keyed.agg(rides=sf.count()).changes(), sf.Stream)
    assert_type(keyed.process(Totals(), ordered=False), sf.Stream)
    assert_type(rows.window(sf.tumbling("1h")).top(3, by="fare"), sf.Stream)
    assert_type(rows.agg(rides=sf.count()), sf.Stream)
    counts.write("out", memory.Sink())
    return flow
