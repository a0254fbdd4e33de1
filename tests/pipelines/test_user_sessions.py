"""How sessions and late rows are tested: literal clicks, the boundary of the gap, and that nothing gets lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

import streamflow as sf
from pipelines import generate_clicks, user_sessions

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def click(minutes: float, page: str = "home", user: int = 7) -> dict[str, object]:
    return {"user": user, "page": page, "at": at(minutes)}


def sessions(*clicks: dict[str, object]) -> list[tuple[int, datetime, int]]:
    """User, beginning and number of clicks of each session."""
    found = sf.testing.run(user_sessions.build(), {"clicks": list(clicks)})["out"].to_pylist()
    return sorted((row["user"], row["window_start"], row["clicks"]) for row in found)


def test_a_session_tells_its_pages_from_the_first_to_the_last() -> None:
    clicks = [click(0, "home"), click(5, "search"), click(10, "item"), click(12, "home")]
    results = sf.testing.run(user_sessions.build(), {"clicks": clicks})
    sf.testing.assert_rows(
        results["out"],
        [
            {
                "user": 7,
                "window_start": at(0),
                "window_end": at(42),
                "clicks": 4,
                "pages": 3,
                "landed": "home",
                "left": "home",
            }
        ],
    )


def test_half_an_hour_without_a_click_ends_a_session_and_a_microsecond_less_does_not() -> None:
    microsecond = 1 / 60_000_000
    assert sessions(click(0), click(30)) == [(7, at(0), 1), (7, at(30), 1)]
    assert sessions(click(0), click(30 - microsecond)) == [(7, at(0), 2)]


def test_users_do_not_extend_each_others_sessions() -> None:
    assert sessions(click(0), click(20, user=8), click(40)) == [(7, at(0), 1), (7, at(40), 1), (8, at(20), 1)]


def test_a_click_that_comes_after_its_session_was_closed_is_kept_with_the_session_that_it_missed() -> None:
    clicks = [click(0), click(90, user=8), sf.testing.advance("0s"), click(5, "basket")]
    results = sf.testing.run(user_sessions.build(), {"clicks": clicks})
    assert [(row["user"], row["clicks"]) for row in results["out"].to_pylist()] == [(7, 1), (8, 1)]
    missed = {**click(5, "basket"), "window_start": at(5), "window_end": at(35)}
    sf.testing.assert_rows(results["late"], [missed])


@pytest.mark.parametrize("seed", range(4))
def test_workers_and_crashes_lose_no_click(seed: int) -> None:
    clicks = generate_clicks.clicks(visits=200, users=20, late=10, seed=seed)
    results = sf.testing.run(user_sessions.build(), {"clicks": clicks}, seed=seed, workers=3, crashes=2)
    assert sum(results["out"]["clicks"].to_pylist()) + results["late"].num_rows == clicks.num_rows


def test_generated_visits_are_found_one_by_one_as_duckdb_finds_them(tmp_path: Path) -> None:
    clicks, out = tmp_path / "clicks", tmp_path / "out"
    sf.run(generate_clicks.build, visits=5_000, users=500, late=0, out=str(clicks))
    result = sf.run(user_sessions.build, clicks=f"{clicks}/*.parquet", out=str(out), late=str(tmp_path / "late"))
    assert result.late == 0
    found = parquet.read_table(out)
    assert found.num_rows == 5_000
    expected = duckdb.sql(f"""
        with marked as (
            select *, coalesce("at" - lag("at") over by_user >= interval '30 minutes', true) as begins
            from '{clicks}/*.parquet' window by_user as (partition by "user" order by "at")
        ), numbered as (
            select *, sum(begins::int) over (partition by "user" order by "at" rows unbounded preceding) as session
            from marked
        )
        select "user", min("at") as window_start, max("at") + interval '30 minutes' as window_end,
            count(*) as clicks, count(distinct page) as pages
        from numbered group by "user", session
    """)
    sf.testing.assert_rows(found.drop_columns(["landed", "left"]), pa.table(expected).to_pylist())
