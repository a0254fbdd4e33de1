"""Late data: what each meter used in a minute, with every reading accounted for, however late or broken it comes.

streamflow run pipelines/late_data.py -- --readings "readings/*.jsonl"

Readings are lines such as {"meter": "m-7", "kwh": "0.25", "at": "2026-03-01T12:00:05Z"}. Meters report through the air:
most readings come within ten seconds, some minutes later, some hours. A minute is reported

- early, after every third reading of a meter, so that a screen has something to show;
- on time, when no more readings are expected;
- again for each reading that comes up to five minutes after that.

Each of these rows holds what came since the one before: their sum is the minute's. What comes later still goes to a
file of its own with the bounds of the minute it missed, and what is no number to the dead letters. Nothing gets lost.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from streamflow_connectors import jsonl

import streamflow as sf
from streamflow import col


class Reading(TypedDict):
    meter: str
    kwh: str
    at: datetime


def build(
    readings: str = "data/readings/*.jsonl",
    out: str = "out/usage",
    late: str = "out/late-readings",
    dead: str = "out/dead-readings",
) -> sf.Flow:
    flow = sf.Flow("late-data", on_error="dead_letter")
    read = flow.read(
        "readings",
        jsonl.Source(readings, Reading),
        event_time="at",
        watermark=sf.bounded_out_of_orderness("10s", idle="1m"),
    )
    used = read.with_columns(kwh=col("kwh").cast(float)).step("numbers")
    minutes = (
        used.key_by("meter")
        .window(sf.tumbling("1m"), allowed_lateness="5m", trigger=sf.trigger(early=3, late=1, accumulate=False))
        .agg(readings=sf.count(), kwh=col("kwh").sum())
        .step("minutes")
    )
    minutes.write("out", jsonl.Sink(out, mode="replace"))
    minutes.late().write("late", jsonl.Sink(late, mode="replace"))
    broken = flow.dead_letters().with_columns(payload=col("payload").cast(str))  # JSON has no bytes
    broken.write("dead", jsonl.Sink(dead, mode="replace"))
    return flow


if __name__ == "__main__":
    sf.main(build)
