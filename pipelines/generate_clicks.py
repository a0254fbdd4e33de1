"""Clicks for the sessions pipeline: visits of users, whose clicks come in up to a minute behind their time.

    streamflow run pipelines/generate_clicks.py -- --visits 20000

Within a visit no two clicks are further apart than ten minutes, and a user is away for an hour or more between two. The
last click of every hundredth visit comes in a day late. The same seed gives the same clicks.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TypedDict

import numpy as np
import pyarrow as pa
from streamflow_connectors import memory, parquet

import streamflow as sf

MORNING = 1_772_323_200_000_000  # 2026-03-01, in microseconds
SECOND = 1_000_000
HOUR = 3600 * SECOND


class Click(TypedDict):
    user: int
    page: str
    at: datetime


def clicks(visits: int, users: int, late: int, seed: int) -> pa.Table:
    """In the order in which they come in. Of every `late` visits one has a late click; 0 is none."""
    chance = np.random.default_rng(seed)
    count = chance.integers(2, 12, visits)  # clicks of each visit
    visit = np.repeat(np.arange(visits), count)
    steps = chance.integers(1, 600, len(visit)) * SECOND
    first = np.append(0, np.cumsum(count)[:-1])
    since = np.cumsum(steps) - np.repeat(np.cumsum(steps)[first], count)
    begins = (np.arange(visits) // users) * 4 * HOUR + chance.integers(0, HOUR, visits)
    at = begins[visit] + since
    arrives = at + chance.integers(0, 60 * SECOND, len(at))
    if late:
        arrives[np.cumsum(count)[late - 1 :: late] - 1] += 24 * HOUR
    order = np.argsort(arrives, kind="stable")
    pages = np.array(["home", "search", "item", "basket"])[chance.integers(0, 4, len(at))]
    return pa.table(
        {
            "user": pa.array((visit % users + 1)[order]),
            "page": pa.array(pages[order]),
            "at": pa.array(MORNING + at[order]).view(pa.timestamp("us", "UTC")),
        }
    )


def build(
    visits: int = 20_000, users: int = 2_000, late: int = 100, out: str = "data/clicks", seed: int = 1
) -> sf.Flow:
    flow = sf.Flow("generate-clicks")
    made = flow.read("clicks", memory.Source(partial(clicks, visits, users, late, seed), schema=Click))
    made.write("files", parquet.Sink(out, mode="replace"))
    return flow


if __name__ == "__main__":
    sf.main(build)
