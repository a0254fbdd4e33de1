"""`streamflow test` over a user's script."""

from pathlib import Path

import pytest

from streamflow.cli.command import main

SCRIPT = """\
import pyarrow as pa
import streamflow as sf
from streamflow_connectors import memory

seen = []

def first(n: int) -> bool:
    seen.append(n)
    return len(seen) <= LIMIT

def build(rows: int = 40) -> sf.Flow:
    flow = sf.Flow("some")
    flow.read("n", memory.Source(pa.table({"n": range(rows)}))).filter(first).write("out", memory.Sink())
    return flow
"""


def test_equal_results_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "s.py"
    script.write_text(SCRIPT.replace("LIMIT", "10**9"))
    assert main(["test", str(script), "--seeds", "5", "--", "--rows", "30"]) == 0
    assert capsys.readouterr().out == "5 trials over 30 rows gave equal results\n"


def test_a_difference_ends_with_the_command_that_repeats_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "s.py"
    script.write_text(SCRIPT.replace("LIMIT", "50"))
    assert main(["test", str(script), "--seeds", "5", "--", "--rows", "30"]) == 1
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith(f"repeat it: streamflow test {script} --rows 1000 --replay ")
    assert last.endswith(" -- --rows 30")


@pytest.mark.parametrize("wrong", [["--seeds", "0"], ["--replay", "x"], ["--crashes", "-1"]])
def test_wrong_arguments_are_refused(tmp_path: Path, wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "s.py"
    script.write_text(SCRIPT.replace("LIMIT", "10**9"))
    assert main(["test", str(script), *wrong]) == 2
    assert "remedy" in capsys.readouterr().err
