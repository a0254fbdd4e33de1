"""`streamflow plan`: formats, files and which graph."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from streamflow.cli import main

WORDS = """\
import pyarrow as pa
import streamflow as sf
from streamflow_connectors import memory

def build() -> sf.Flow:
    flow = sf.Flow("words")
    words = flow.read("words", memory.Source(pa.table({"word": ["a", "b", "a"]})))
    words.key_by("word").agg(n=sf.count()).step("counts").write("out", memory.Sink())
    return flow
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "words.py"
    path.write_text(WORDS, encoding="utf-8")
    return str(path)


def test_it_prints_all_three_graphs_as_text(script: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", script]) == 0
    titles = [line for line in capsys.readouterr().out.splitlines() if line.startswith("words: ")]
    assert titles == [
        "words: logical graph",
        "words: optimised graph",
        "words: physical graph, 1 worker, 128 key groups",
    ]


def test_an_encoding_without_lines_shows_question_marks(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streamflow", "plan", script, "--graph", "logical"],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "    ?       columns     word: string" in done.stdout


def test_the_number_of_workers_brings_exchanges(script: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", script, "--workers", "4", "--key-groups", "32", "--graph", "physical"]) == 0
    shown = capsys.readouterr().out
    assert "4 workers, 32 key groups (8 on each)" in shown
    assert "exchanged by word" in shown


def test_the_suffix_of_the_file_decides_the_format(script: str, tmp_path: Path) -> None:
    for name, start in (("p.svg", "<svg "), ("p.mmd", "---\ntitle: "), ("p.txt", "words: logical graph")):
        target = tmp_path / name
        assert main(["plan", script, "-o", str(target)]) == 0
        assert target.read_text(encoding="utf-8").startswith(start)


def test_a_format_that_is_given_comes_before_the_suffix(script: str, tmp_path: Path) -> None:
    target = tmp_path / "plan.out"
    assert main(["plan", script, "--format", "svg", "-o", str(target)]) == 0
    assert ElementTree.parse(target).getroot().tag.endswith("svg")


def test_an_unknown_suffix_names_those_it_knows(
    script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", script, "-o", str(tmp_path / "plan.png")]) == 2
    assert "end its name in .txt, .mmd, .mermaid, .svg" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_a_failure(
    script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", script, "-o", str(tmp_path / "none" / "plan.svg")]) == 1
    assert "No such file or directory" in capsys.readouterr().err
