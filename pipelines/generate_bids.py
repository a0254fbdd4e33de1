"""Bids for the demo: ten million of them, generated as Nexmark does, in Parquet files.

    streamflow run pipelines/generate_bids.py -- --events 1000000

Of 50 events of the auction 46 are bids. The same seed gives the same bids.
"""

from __future__ import annotations

from streamflow_connectors import nexmark, parquet

import streamflow as sf


def build(events: int = 11_000_000, out: str = "data/bids", seed: int = 1) -> sf.Flow:
    flow = sf.Flow("generate-bids")
    bids = flow.read("auction", nexmark.Source("bids", events, seed=seed, disorder="1s"))
    bids.select("auction", "bidder", "price", "channel", "date_time").write(
        "files", parquet.Sink(out, roll="16MB", mode="replace")
    )
    return flow


if __name__ == "__main__":
    sf.main(build)
