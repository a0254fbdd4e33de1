"""Payments for the fraud pipeline, with stolen cards planted among them.

    streamflow run pipelines/generate_payments.py -- --count 200000 --stolen 50

The cards above `cards` are stolen: each is tried with three or more small payments, none further than a minute from the
one before, and then used for a large one. Other cards come close to that and stay within the law. The same seed gives
the same payments.
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


class Payment(TypedDict):
    card: int
    amount: float
    shop: str
    paid: datetime


def payments(count: int, stolen: int, cards: int, seed: int) -> pa.Table:
    """In the order in which they come in: up to five seconds behind their time."""
    chance = np.random.default_rng(seed)
    day = count * SECOND // 10
    card = chance.integers(1, cards + 1, count)
    amount = chance.gamma(2, 30, count).round(2)
    paid = chance.integers(0, day, count)
    for thief in range(cards + 1, cards + 1 + stolen):
        tries = int(chance.integers(3, 6))
        gaps = np.append(chance.integers(1, 61, tries - 1), chance.integers(1, 61)) * SECOND
        times = int(chance.integers(0, day)) + np.append(0, np.cumsum(gaps))
        card = np.append(card, np.full(tries + 1, thief))
        amount = np.append(amount, [*chance.uniform(0.5, 2, tries).round(2).clip(0.5, 1.99), 500 + thief % 100])
        paid = np.append(paid, times)
    arrival = np.argsort(paid + chance.integers(0, 5 * SECOND, len(paid)), kind="stable")
    shops = np.array(["books", "bread", "fuel", "shoes"])[chance.integers(0, 4, len(paid))]
    return pa.table(
        {
            "card": pa.array(card[arrival]),
            "amount": pa.array(amount[arrival]),
            "shop": pa.array(shops),
            "paid": pa.array(MORNING + paid[arrival]).view(pa.timestamp("us", "UTC")),
        }
    )


def build(
    count: int = 200_000, stolen: int = 50, cards: int = 2_000, out: str = "data/payments", seed: int = 1
) -> sf.Flow:
    flow = sf.Flow("generate-payments")
    made = flow.read("payments", memory.Source(partial(payments, count, stolen, cards, seed), schema=Payment))
    made.write("files", parquet.Sink(out, mode="replace"))
    return flow


if __name__ == "__main__":
    sf.main(build)
