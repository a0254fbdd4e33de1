from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

import streamflow as sf
from pipelines import airport_delays


def hour(hour: int, minute: int = 0) -> datetime:
    return datetime(2013, 2, 9, hour, minute, tzinfo=UTC)


def flight(origin: str, delay: int | None, minute: int) -> dict[str, object]:
    return {"origin": origin, "dep_delay": delay, "time_hour": hour(12), "minute": minute}


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "flights"
    airport_delays.unpack(folder)
    return folder


def test_delays_are_of_the_flights_of_each_hour_and_a_cancelled_flight_has_none() -> None:
    rows = [
        flight("JFK", 10, minute=0),
        flight("JFK", 20, minute=20),
        flight("JFK", None, minute=5),
        flight("LGA", -5, 50),
    ]
    results = sf.testing.run(airport_delays.build(), {"flights": rows})
    of_noon = [row for row in results["out"].to_pylist() if row["window_start"] == hour(12)]
    assert [{name: row[name] for name in row if not name.startswith("window")} for row in of_noon] == [
        {"origin": "JFK", "flights": 3, "cancelled": 1, "mean_delay": 15.0, "worst_delay": 20},
        {"origin": "LGA", "flights": 1, "cancelled": 0, "mean_delay": -5.0, "worst_delay": -5},
    ]


def test_where_no_flight_left_there_is_no_delay() -> None:
    results = sf.testing.run(airport_delays.build(), {"flights": [flight("EWR", None, minute=30)]})
    assert [(row["cancelled"], row["mean_delay"], row["worst_delay"]) for row in results["out"].to_pylist()] == [
        (1, None, None)
    ] * 4


def test_the_worst_hour_is_one_with_ten_flights() -> None:
    rows = [flight("JFK", 300, minute=0)] + [flight("LGA", 60, minute=40) for _ in range(10)]
    results = sf.testing.run(airport_delays.build(), {"flights": rows})
    assert [(row["origin"], row["flights"], row["mean_delay"]) for row in results["worst hours"].to_pylist()] == [
        ("LGA", 10, 60.0)
    ]


def test_the_flights_of_2013_are_unpacked_into_a_file_per_month(flights: Path) -> None:
    assert [path.name for path in sorted(flights.iterdir())] == [f"2013-{month:02}.csv" for month in range(1, 13)]
    assert sum(len(path.read_bytes().splitlines()) - 1 for path in flights.iterdir()) == 336_776
    assert [path.name for path in flights.parent.iterdir()] == ["flights"]


def test_unpacking_leaves_a_folder_that_is_there_as_it_is(tmp_path: Path) -> None:
    airport_delays.unpack(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_all_flights_of_2013_give_what_duckdb_gives(flights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = sf.run(airport_delays.build, flights=f"{flights}/*.csv", out=str(out))
    assert (result.rows_in, result.late) == (336_776, 0)
    with duckdb.connect() as database:
        database.execute(f"create table mine as from '{out}/*.parquet'")
        database.execute(f"""
            create table theirs as with windows as (
                select origin, dep_delay, time_hour + to_minutes(minute) as scheduled,
                    time_bucket(interval '15 minutes', scheduled) - to_minutes(15 * back) as window_start
                from read_csv('{flights}/*.csv', nullstr = 'NA'), range(4) as steps(back)
            )
            select origin, window_start, window_start + interval '1 hour' as window_end, count(*) as flights,
                flights - count(dep_delay) as cancelled, avg(dep_delay) as mean_delay, max(dep_delay) as worst_delay
            from windows group by origin, window_start
        """)
        rows = database.execute("select (select count(*) from mine), (select count(*) from theirs)").fetchone()
        different = database.execute("""
            from mine full join theirs using (origin, window_start, window_end)
            where mine.flights is distinct from theirs.flights or mine.cancelled is distinct from theirs.cancelled
                or mine.worst_delay is distinct from theirs.worst_delay
                or (mine.mean_delay is null) is distinct from (theirs.mean_delay is null)
                or abs(mine.mean_delay - theirs.mean_delay) > 1e-9 * abs(theirs.mean_delay)
        """).fetchall()
    assert rows is not None
    assert rows[0] == rows[1] > 70_000
    assert different == []
