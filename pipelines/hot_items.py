"""Hot items: the auction with the most bids in the last 10 seconds, every 2 seconds.

streamflow run pipelines/generate_bids.py
streamflow run pipelines/hot_items.py
"""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from streamflow_connectors import parquet

import streamflow as sf
from streamflow import col


class Bid(TypedDict):
    auction: int
    price: int
    date_time: datetime


def build(bids: str = "data/bids/*.parquet", out: str = "out/hot-items") -> sf.Flow:
    flow = sf.Flow("hot-items")
    placed = flow.read(
        "bids", parquet.Source(bids, Bid), event_time="date_time", watermark=sf.bounded_out_of_orderness("1s")
    )
    counts = (
        placed.key_by("auction")
        .window(sf.sliding("10s", every="2s"))
        .agg(bids=sf.count(), highest=col("price").max(), mean=col("price").mean())
        .step("counts")
    )
    hottest = counts.key_by("window_end").top(1, by="bids").step("hottest")
    hottest.write("out", parquet.Sink(out, mode="replace"))
    return flow


if __name__ == "__main__":
    sf.main(build)
