"""Fraud: cards that are tried with small payments, and then used for a large one.

streamflow run pipelines/generate_payments.py
streamflow run pipelines/fraud.py

A thief first tries whether a card works: three or more payments of less than 2.00, each at most a minute after the one
before. A payment of 500.00 or more within a minute of the last of them is fraud. Where none comes, the card was tried
only: that is reported too, a minute after the last try.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, TypedDict

from streamflow_connectors import parquet

import streamflow as sf


class Payment(TypedDict):
    card: int
    amount: float
    paid: datetime


class Alert(NamedTuple):
    card: int
    what: Literal["fraud", "tried"]
    at: datetime
    tries: int
    amount: float | None


class Tries(sf.KeyedFunction):
    """Counts the small payments of a card that follow each other; forgets them when it is quiet for too long."""

    tries = sf.cell(int, default=0)
    quiet = sf.timer()

    def __init__(self, small: float = 2.0, large: float = 500.0, enough: int = 3) -> None:
        self.small, self.large, self.enough = small, large, enough

    def on_row(self, card: int, amount: float, paid: datetime) -> Iterator[Alert]:
        if amount < self.small:
            self.tries += 1
            self.quiet.set(paid + timedelta(minutes=1, microseconds=1))
        elif self.tries >= self.enough and amount >= self.large:
            yield Alert(card, "fraud", paid, self.tries, amount)
            del self.tries
            self.quiet.clear()

    def on_quiet(self, card: int, _time: datetime) -> Iterator[Alert]:
        if self.tries >= self.enough:
            yield Alert(card, "tried", _time, self.tries, None)
        del self.tries


def build(payments: str = "data/payments/*.parquet", out: str = "out/fraud") -> sf.Flow:
    flow = sf.Flow("fraud")
    paid = flow.read(
        "payments", parquet.Source(payments, Payment), event_time="paid", watermark=sf.bounded_out_of_orderness("5s")
    )
    alerts = paid.key_by("card").process(Tries()).step("tries")
    alerts.write("out", parquet.Sink(out, mode="replace"))
    return flow


if __name__ == "__main__":
    sf.main(build)
