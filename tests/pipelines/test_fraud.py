"""How a keyed function is tested: literal payments, the boundary of its timer, crashes, and a known pattern in many."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyarrow import parquet

import streamflow as sf
from pipelines import fraud, generate_payments

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MICROSECOND = 0.000001


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def payment(seconds: float, amount: float, card: int = 7) -> dict[str, object]:
    return {"card": card, "amount": amount, "paid": at(seconds)}


def alerts(*payments: dict[str, object]) -> list[tuple[object, ...]]:
    """What the pipeline says of these payments: card, what, at and tries."""
    results = sf.testing.run(fraud.build(), {"payments": list(payments)})
    return [(row["card"], row["what"], row["at"], row["tries"]) for row in results["out"].to_pylist()]


TRIES = [payment(0, 1.00), payment(20, 1.50), payment(40, 0.99)]


def test_a_large_payment_after_three_small_ones_is_fraud() -> None:
    assert alerts(*TRIES, payment(50, 500)) == [(7, "fraud", at(50), 3)]


def test_the_order_of_arrival_does_not_matter() -> None:
    assert alerts(payment(44, 500), *reversed([payment(t, 1) for t in (41, 42, 43)])) == [(7, "fraud", at(44), 3)]


def test_two_small_payments_are_not_enough_and_an_ordinary_one_is_no_fraud() -> None:
    assert alerts(payment(0, 1), payment(20, 1), payment(30, 500)) == []
    assert alerts(*TRIES, payment(50, 499.99))[0][1] == "tried"


def test_payments_of_other_cards_are_not_mixed_in() -> None:
    assert alerts(payment(0, 1), payment(20, 1), payment(40, 1, card=8), payment(50, 500)) == []


def test_a_minute_after_the_last_try_is_still_in_time_and_a_microsecond_more_is_not() -> None:
    assert alerts(*TRIES, payment(100, 500)) == [(7, "fraud", at(100), 3)]
    assert alerts(*TRIES, payment(100 + MICROSECOND, 500)) == [(7, "tried", at(100 + MICROSECOND), 3)]


def test_a_card_that_was_only_tried_is_reported_once_it_is_quiet() -> None:
    assert alerts(*TRIES, payment(90, 1.99)) == [(7, "tried", at(150 + MICROSECOND), 4)]


def test_after_a_fraud_counting_starts_anew() -> None:
    assert alerts(*TRIES, payment(50, 500), payment(51, 1), payment(52, 600)) == [(7, "fraud", at(50), 3)]


@pytest.mark.parametrize("seed", range(5))
def test_every_stolen_card_is_found_and_no_other_whatever_crashes(seed: int) -> None:
    made = sf.testing.run(generate_payments.build(count=3_000, stolen=20, cards=100, seed=seed))["files"]
    results = sf.testing.run(fraud.build(), {"payments": made}, seed=seed, workers=1 + seed % 3, crashes=seed % 3)
    assert results.late == {}
    found = [row["card"] for row in results["out"].to_pylist() if row["what"] == "fraud"]
    assert sorted(found) == list(range(101, 121))


def test_the_scripts_find_what_was_planted_in_files(tmp_path: Path) -> None:
    payments, out = tmp_path / "payments", tmp_path / "out"
    sf.run(generate_payments.build, out=str(payments), count=50_000)
    result = sf.run(fraud.build, payments=f"{payments}/*.parquet", out=str(out))
    assert result.late == 0
    frauds = [row for row in parquet.read_table(out).to_pylist() if row["what"] == "fraud"]
    assert sorted(row["card"] for row in frauds) == list(range(2001, 2051))
    assert all(row["tries"] >= 3 and row["amount"] == 500 + row["card"] % 100 for row in frauds)
