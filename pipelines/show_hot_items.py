"""The hottest auction of every two minutes, of what `hot_items.py` left behind, as a table.

streamflow run pipelines/show_hot_items.py
"""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from streamflow_connectors import parquet, stdout

import streamflow as sf
from streamflow import col


class HotItem(TypedDict):
    auction: int
    window_end: datetime
    bids: int
    highest: int


def build(items: str = "out/hot-items/*.parquet", every: str = "2m") -> sf.Flow:
    flow = sf.Flow("show-hot-items")
    hot = flow.read("items", parquet.Source(items, HotItem), event_time="window_end").rename({"window_end": "until"})
    hottest = hot.window(sf.tumbling(every)).top(1, by="bids")
    hottest.select(
        "auction", "bids", until=col("until").dt.strftime("%H:%M:%S"), highest_bid=col("highest") / 100
    ).write("table", stdout.Sink())
    return flow


if __name__ == "__main__":
    sf.main(build)
