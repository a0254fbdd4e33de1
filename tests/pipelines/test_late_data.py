"""How late and broken rows are tested: the watermark in the test's hand, the last microsecond, and conservation."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import streamflow as sf
from pipelines import late_data
from streamflow.testing import assert_rows, watermark

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def reading(seconds: float, kwh: str = "1", meter: str = "m-7") -> dict[str, Any]:
    return {"meter": meter, "kwh": kwh, "at": at(seconds)}


def panes(*given: Any) -> list[tuple[int, float]]:
    """The readings and kWh of each row that is reported, in the order in which they are."""
    rows = sf.testing.run(late_data.build(), {"readings": list(given)})["out"].to_pylist()
    return [(row["readings"], row["kwh"]) for row in rows]


def test_a_minute_is_reported_when_it_is_over() -> None:
    results = sf.testing.run(late_data.build(), {"readings": [reading(5, "0.25"), reading(50, "0.5")]})
    minute = {"meter": "m-7", "window_start": at(0), "window_end": at(60), "readings": 2, "kwh": 0.75}
    assert_rows(results["out"], [minute])
    assert results["late"].num_rows == results["dead"].num_rows == 0


def test_every_third_reading_is_reported_early_and_the_rest_on_time() -> None:
    assert panes(*(reading(second) for second in range(7))) == [(3, 3.0), (3, 3.0), (1, 1.0)]


def test_a_reading_within_five_minutes_is_added_to_its_minute() -> None:
    over = watermark(at(60))
    assert panes(reading(5), over, reading(6, "2")) == [(1, 1.0), (1, 2.0)]


def test_it_is_late_from_the_microsecond_at_which_five_minutes_are_over() -> None:
    just_in_time = [reading(5), watermark(at(360) - MICROSECOND), reading(6)]
    assert panes(*just_in_time) == [(1, 1.0), (1, 1.0)]
    too_late = [reading(5), watermark(at(360)), reading(6, "2")]
    results = sf.testing.run(late_data.build(), {"readings": too_late})
    assert_rows(
        results["late"],
        [{"meter": "m-7", "kwh": 2.0, "at": at(6), "window_start": at(0), "window_end": at(60)}],
    )
    assert [row["readings"] for row in results["out"].to_pylist()] == [1]


def test_a_reading_that_is_no_number_is_a_dead_letter_and_stops_nobody() -> None:
    results = sf.testing.run(late_data.build(), {"readings": [reading(5), reading(6, "n/a"), reading(7)]})
    [letter] = results["dead"].to_pylist()
    assert (letter["step"], json.loads(letter["payload"])["kwh"]) == ("numbers", "n/a")
    assert [row["readings"] for row in results["out"].to_pylist()] == [2]


def generated(seed: int, count: int = 400) -> list[dict[str, Any]]:
    """Readings in the order of their arrival: a tenth come minutes or hours late, one in fifty is no number."""
    made = random.Random(seed)
    arrivals = []
    for number in range(count):
        delay = made.choice([0, 1, 5, 9] * 9 + [120, 240, 900, 1800])
        kwh = "?" if made.random() < 0.02 else str(made.randrange(4))
        arrivals.append((number * 10 + delay, number, reading(number * 10, kwh, f"m-{made.randrange(3)}")))
    return [row for _, _, row in sorted(arrivals, key=lambda one: one[:2])]


@pytest.mark.parametrize("seed", range(6))
def test_every_reading_is_in_exactly_one_place_whatever_crashes(seed: int) -> None:
    readings = generated(seed)
    results = sf.testing.run(
        late_data.build(), {"readings": readings}, seed=seed, workers=1 + seed % 3, crashes=seed % 3
    )
    places: Counter[tuple[str, datetime]] = Counter()
    for row in results["out"].to_pylist():
        places[row["meter"], row["window_start"]] += row["readings"]
    for row in results["late"].to_pylist():
        places[row["meter"], row["window_start"]] += 1
    for row in map(json.loads, results["dead"]["payload"].to_pylist()):
        taken = datetime.fromisoformat(row["at"])
        places[row["meter"], taken.replace(second=0, microsecond=0)] += 1
    assert places == Counter((row["meter"], row["at"].replace(second=0)) for row in readings)
    assert results["dead"].num_rows


def test_the_script_splits_files_into_usage_late_and_dead_readings(tmp_path: Path) -> None:
    lines = [json.dumps({**row, "at": row["at"].isoformat()}) for row in generated(seed=1)]
    lines.insert(7, '{"meter": "m-1", "kwh"')
    (tmp_path / "readings.jsonl").write_text("\n".join(lines) + "\n")
    folders = {name: str(tmp_path / name) for name in ("out", "late", "dead")}
    result = sf.run(late_data.build(str(tmp_path / "readings.jsonl"), **folders))
    written = {
        name: [json.loads(line) for file in Path(folder).glob("*.jsonl") for line in file.read_text().splitlines()]
        for name, folder in folders.items()
    }
    assert result.late == len(written["late"])
    assert sum(result.dead.values()) == len(written["dead"])
    assert sum(row["readings"] for row in written["out"]) + result.late + len(written["dead"]) == len(lines)
