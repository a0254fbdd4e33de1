"""The scripts as a user starts them, with Python and with the command, in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import parquet

PIPELINES = Path(__file__).parents[2] / "pipelines"
STARTS = {"python": [], "streamflow": ["-m", "streamflow", "run"]}

pytestmark = [pytest.mark.integration, pytest.mark.parametrize("start", STARTS)]


def command(start: str, script: str, *arguments: str) -> list[str]:
    separator = ["--"] if start == "streamflow" and arguments else []
    return [sys.executable, *STARTS[start], str(PIPELINES / script), *separator, *arguments]


def run(start: str, script: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    whole = command(start, script, *arguments)
    return subprocess.run(whole, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_hot_items_go_from_generated_files_to_a_table(start: str, tmp_path: Path) -> None:
    made = run(start, "generate_bids.py", "--events", "600000", folder=tmp_path)
    assert (made.returncode, made.stdout) == (0, "")
    assert made.stderr.startswith("generate-bids: 552.0k rows in, 552.0k out, 0 late in ")
    hot = run(start, "hot_items.py", folder=tmp_path)
    assert hot.returncode == 0
    assert hot.stderr.startswith("hot-items: 552.0k rows in, 35 out, 0 late in ")
    assert parquet.read_table(tmp_path / "out" / "hot-items").num_rows == 35
    table = run(start, "show_hot_items.py", "--every", "10s", folder=tmp_path)
    assert table.returncode == 0
    assert table.stdout.splitlines()[0].split() == ["auction", "bids", "until", "highest_bid"]
    assert len(table.stdout.splitlines()) == 1 + 7


def test_without_input_the_error_says_which_files_are_missing(start: str, tmp_path: Path) -> None:
    hot = run(start, "hot_items.py", folder=tmp_path)
    assert hot.returncode != 0
    assert "data/bids" in hot.stderr
    assert "Traceback" not in hot.stderr
    assert not (tmp_path / "out" / "hot-items").exists()


def test_word_count_prints_a_changelog(start: str, tmp_path: Path) -> None:
    words = run(start, "word_count.py", folder=tmp_path)
    assert words.returncode == 0
    assert words.stdout.splitlines()[0].split() == ["change", "word", "count"]
    assert ["insert", "stream", "4"] in [line.split() for line in words.stdout.splitlines()]


def test_when_nobody_reads_the_rows_any_more_the_script_ends_without_a_word(start: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    whole = command(start, "word_count.py")
    words = subprocess.run(whole, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    os.close(writing)
    assert (words.returncode, words.stderr) == (1, "")


def test_airport_delays_print_the_worst_hours_of_the_year(start: str, tmp_path: Path) -> None:
    if start == "streamflow":  # only as a program the script unpacks the flights
        run("python", "airport_delays.py", "--out", "out/other", folder=tmp_path)
    delays = run(start, "airport_delays.py", folder=tmp_path)
    assert delays.returncode == 0
    assert delays.stdout.splitlines()[0].split()[:2] == ["hour", "origin"]
    assert "2013-02-09 13:15:00.000000Z  EWR" in delays.stdout
    assert parquet.read_table(tmp_path / "out" / "airport-delays").num_rows > 70_000
