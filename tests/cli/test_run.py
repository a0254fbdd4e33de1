"""`streamflow run` as a process: progress, Ctrl-C, what is published."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TICKS = """\
import pyarrow as pa
import streamflow as sf
from streamflow.connect import Wait
from streamflow_connectors import jsonl


class Ticks:
    "Three rows, then silence; whether it ever ends is a matter of what it says."

    def __init__(self, bounded):
        self.bounded = bounded

    def schema(self):
        return pa.schema({"n": pa.int64()})

    def splits(self):
        return ["only"]

    def open(self, splits):
        return Reader()


class Reader:
    polls = 0

    def poll(self, max_rows):
        self.polls += 1
        if self.polls == 1:
            return [("only", pa.record_batch({"n": [1, 2, 3]}))]
        if self.polls == 2:
            print("three rows are in", flush=True)
        return Wait(0.01)

    def positions(self):
        return {"only": self.polls}

    def committed(self, positions):
        pass

    def close(self):
        pass


def build(out: str, bounded: bool = False) -> sf.Flow:
    flow = sf.Flow("ticks")
    flow.read("ticks", Ticks(bounded)).filter(sf.col("n") > 1).write("out", jsonl.Sink(out))
    return flow
"""

FAILS = """\
import pyarrow as pa
import streamflow as sf
from streamflow_connectors import memory

def build(wrong: bool = True) -> sf.Flow:
    def inverse(n: int) -> float:
        return 1 / n

    flow = sf.Flow("inverses")
    numbers = flow.read("numbers", memory.Source(pa.table({"n": [1, 0 if wrong else 2]})))
    numbers.with_columns(inverse=inverse).write("out", memory.Sink())
    return flow
"""


OPENED = TICKS.replace(
    "def build",
    """\
class Scale:
    def open(self):
        self.log = open(self.path, "w")
        self.log.write("opened\\n")

    def __init__(self, path):
        self.path = path

    def __call__(self, n: int) -> int:
        self.log.write(f"row {n}\\n")
        return n

    def close(self):
        self.log.write("closed\\n")
        self.log.close()


def build""",
).replace('filter(sf.col("n") > 1)', "with_columns(m=Scale(out + '.log'))")


def command(script: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "streamflow", "run", str(script), "--", *arguments]


@pytest.fixture
def ticks(tmp_path: Path) -> Path:
    path = tmp_path / "ticks.py"
    path.write_text(TICKS, encoding="utf-8")
    return path


@pytest.fixture
def inverses(tmp_path: Path) -> Path:
    path = tmp_path / "inverses.py"
    path.write_text(FAILS, encoding="utf-8")
    return path


def interrupted(script: Path, *arguments: str) -> tuple[int, str]:
    """Run until the rows are in, press Ctrl-C: the exit code and what was said."""
    with subprocess.Popen(
        command(script, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "three rows are in\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    return process.returncode, said


def published(folder: Path) -> list[str]:
    """The lines of the files that a reader of the folder would see."""
    files = sorted(file for file in folder.glob("*.jsonl") if not file.name.startswith("_"))
    return [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.integration
def test_ctrl_c_on_an_unbounded_job_publishes_what_is_complete(ticks: Path, tmp_path: Path) -> None:
    code, said = interrupted(ticks, "--out", str(tmp_path / "out"))
    assert code == 130
    assert published(tmp_path / "out") == ['{"n":2}', '{"n":3}']
    assert said.startswith("ticks: 3 rows in, 2 out, 0 late in ")
    assert said.endswith("stopped, what was complete is published\n")


@pytest.mark.integration
def test_ctrl_c_on_a_bounded_job_publishes_nothing(ticks: Path, tmp_path: Path) -> None:
    code, said = interrupted(ticks, "--out", str(tmp_path / "out"), "--bounded")
    assert code == 130
    assert published(tmp_path / "out") == []
    assert said.endswith("stopped, nothing is published\n")


@pytest.mark.integration
@pytest.mark.parametrize("arguments", [(), ("--bounded",)])
def test_ctrl_c_closes_the_functions_that_were_opened(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    script = tmp_path / "opened.py"
    script.write_text(OPENED, encoding="utf-8")
    code, _ = interrupted(script, "--out", str(tmp_path / "out"), *arguments)
    assert code == 130
    said = (tmp_path / "out.log").read_text(encoding="utf-8").splitlines()
    assert said == ["opened", "row 1", "row 2", "row 3", "closed"]


@pytest.mark.integration
def test_a_row_that_fails_exits_with_1_and_names_step_line_and_cause(inverses: Path) -> None:
    done = subprocess.run(command(inverses), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "division by zero" in done.stderr
    assert "inverses.py:11" in done.stderr


@pytest.mark.integration
def test_a_terminal_sees_progress(inverses: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(command(inverses, "--no-wrong"), stderr=theirs, stdout=subprocess.DEVNULL) as process:
        os.close(theirs)
        shown = b"".join(iter(lambda: _read(ours), b"")).decode()
    os.close(ours)
    assert process.returncode == 0
    assert "\r\x1b[2Kinverses  100% | 2 rows in, 2 out | " in shown


@pytest.mark.integration
def test_what_is_not_a_terminal_sees_only_the_summary(inverses: Path) -> None:
    done = subprocess.run(command(inverses, "--no-wrong"), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("inverses: 2 rows in, 2 out, 0 late in ")
    assert "\r" not in done.stderr
    assert done.stderr.count("\n") == 1


def _read(terminal: int) -> bytes:
    """What the other side wrote; nothing once it is closed, which Linux reports as an error."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
