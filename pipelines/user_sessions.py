"""User sessions: the visits of each user, and apart from them the clicks that came too late for theirs.

streamflow run pipelines/generate_clicks.py
streamflow run pipelines/user_sessions.py

A visit ends when its user has not clicked for half an hour. Clicks come in up to a minute behind their time; one that
comes after its visit was closed is no longer counted, but kept: nothing gets lost.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from streamflow_connectors import parquet

import streamflow as sf
from streamflow import col


class Click(TypedDict):
    user: int
    page: str
    at: datetime


def build(
    clicks: str = "data/clicks/*.parquet", out: str = "out/user-sessions", late: str = "out/late-clicks"
) -> sf.Flow:
    flow = sf.Flow("user-sessions")
    clicked = flow.read(
        "clicks", parquet.Source(clicks, Click), event_time="at", watermark=sf.bounded_out_of_orderness("1m")
    )
    sessions = (
        clicked.key_by("user")
        .window(sf.session("30m"))
        .agg(clicks=sf.count(), pages=col("page").n_unique(), landed=col("page").first(), left=col("page").last())
        .step("sessions")
    )
    sessions.write("out", parquet.Sink(out, mode="replace"))
    sessions.late().write("late", parquet.Sink(late, mode="replace"))
    return flow


if __name__ == "__main__":
    sf.main(build)
