from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

import streamflow as sf
from pipelines import generate_bids, hot_items, show_hot_items
from streamflow.cli import main

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def bid(auction: int, seconds: float, price: int = 100) -> dict[str, object]:
    return {"auction": auction, "price": price, "date_time": at(seconds)}


def winners(rows: list[dict[str, object]]) -> dict[float, tuple[int, int]]:
    """Auction and number of bids, by the window's end in seconds after noon."""
    results = sf.testing.run(hot_items.build(), {"bids": rows})
    return {
        (row["window_end"] - NOON).total_seconds(): (row["auction"], row["bids"]) for row in results["out"].to_pylist()
    }


def test_the_auction_with_the_most_bids_of_the_last_ten_seconds_is_named_every_two() -> None:
    rows = [
        bid(7, 0.5, price=100),
        bid(7, 0.9, price=300),
        bid(8, 1, price=900),
        bid(8, 10.5),
        bid(8, 11),
        bid(8, 11.5),
    ]
    results = sf.testing.run(hot_items.build(), {"bids": rows})
    first = {"bids": 2, "highest": 300, "mean": 200.0}
    second = {"bids": 3, "highest": 100, "mean": 100.0}
    sf.testing.assert_rows(
        results["out"],
        [{"auction": 7, "window_start": at(end - 10), "window_end": at(end), **first} for end in (2, 4, 6, 8, 10)]
        + [
            {"auction": 8, "window_start": at(end - 10), "window_end": at(end), **second}
            for end in (12, 14, 16, 18, 20)
        ],
    )


def test_a_bid_on_a_windows_end_is_in_the_next_window() -> None:
    assert min(winners([bid(7, 1.999999)])) == 2
    assert min(winners([bid(7, 2)])) == 4


def test_of_auctions_with_as_many_bids_the_first_is_named_whatever_arrives_first() -> None:
    assert winners([bid(8, 1), bid(7, 1)])[2] == (7, 1)
    assert winners([bid(7, 1), bid(8, 1)])[2] == (7, 1)


def test_a_bid_that_is_a_second_behind_still_counts() -> None:
    assert winners([bid(7, 1), bid(8, 2.9), bid(7, 1.9)])[2] == (7, 2)


def test_a_bid_that_comes_after_its_window_was_fired_is_counted_as_late() -> None:
    rows = [bid(7, 1), bid(8, 60), sf.testing.advance("0s"), bid(7, 1.5)]
    results = sf.testing.run(hot_items.build(), {"bids": rows})
    assert sum(row["bids"] for row in results["out"].to_pylist() if row["auction"] == 7) == 5
    assert sum(results.late.values()) == 5  # it would have been in five windows


@pytest.mark.parametrize("seed", range(4))
def test_workers_and_crashes_change_nothing(seed: int) -> None:
    rows = [bid(auction, second) for second in range(40) for auction in range(second % 7)]
    calm = sf.testing.run(hot_items.build(), {"bids": rows})
    crashed = sf.testing.run(hot_items.build(), {"bids": rows}, seed=seed, workers=3, crashes=2)
    sf.testing.assert_rows(crashed["out"], calm["out"].to_pylist())


def test_generated_bids_give_what_duckdb_gives_and_running_it_twice_replaces_the_first_result(tmp_path: Path) -> None:
    bids, out = tmp_path / "bids", tmp_path / "out"
    sf.run(generate_bids.build, events=60_000, out=str(bids))
    for _ in range(2):
        result = sf.run(hot_items.build, bids=f"{bids}/*.parquet", out=str(out))
        assert (result.rows_in, result.late) == (55_200, 0)
    expected = duckdb.sql(f"""
        with windows as (
            select auction, price, time_bucket(interval '2 seconds', date_time) - to_seconds(2 * back) as start
            from '{bids}/*.parquet', range(5) as steps(back)
        ), counts as (
            select auction, start as window_start, start + interval '10 seconds' as window_end,
                count(*) as bids, max(price) as highest, avg(price) as mean
            from windows group by auction, start
        )
        select * from counts qualify row_number() over (partition by window_end order by bids desc, auction) = 1
    """)
    sf.testing.assert_rows(parquet.read_table(out), pa.table(expected).to_pylist())


def test_the_same_seed_generates_the_same_bids() -> None:
    first, again, other = (
        sf.testing.run(generate_bids.build(events=1000, seed=seed))["files"].to_pylist() for seed in (1, 1, 2)
    )
    assert len(first) == 920
    assert first == again
    assert first != other


def test_the_table_shows_the_hottest_auction_of_every_two_minutes() -> None:
    items = [
        {"auction": 7, "window_end": at(10), "bids": 5, "highest": 12_345},
        {"auction": 8, "window_end": at(100), "bids": 6, "highest": 200},
        {"auction": 9, "window_end": at(120), "bids": 9, "highest": 100},
    ]
    results = sf.testing.run(show_hot_items.build(), {"items": items})
    sf.testing.assert_rows(
        results["table"],
        [
            {"auction": 8, "bids": 6, "until": "12:01:40", "highest_bid": 2.0},
            {"auction": 9, "bids": 9, "until": "12:02:00", "highest_bid": 1.0},
        ],
    )


def test_the_picture_in_the_readme_is_the_plan_of_today(tmp_path: Path) -> None:
    drawn, kept = tmp_path / "plan.svg", ROOT / "docs" / "images" / "hot-items.svg"
    assert main(["plan", str(ROOT / "pipelines" / "hot_items.py"), "-o", str(drawn)]) == 0
    again = "streamflow plan pipelines/hot_items.py -o docs/images/hot-items.svg"
    assert drawn.read_text() == kept.read_text(), f"draw it again: {again}"
