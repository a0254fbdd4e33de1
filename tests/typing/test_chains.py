"""A wrong chain does not type-check: neither for mypy nor for pyright."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOOD = Path(__file__).with_name("good_chains.py")

PREAMBLE = """\
import pyarrow as pa

import streamflow as sf
from streamflow import col
from streamflow_connectors import memory

source = memory.Source(pa.table({"at": [0]}))
flow = sf.Flow("rides")
rides = flow.read("rides", source, event_time="at")
"""

WRONG = (
    'rides.group_by("city")',
    'rides.top(3, by="fare")',
    'rides.fitler(col("fare") > 10)',
    'rides.key_by("city").filter(col("fare") > 10)',
    'rides.key_by("city").write("out", memory.Sink())',
    'rides.key_by("city").step("cities")',
    'rides.key_by("city").key_by("fare")',
    'rides.key_by("city").schema',
    'rides.window(sf.tumbling("1h")).filter(col("fare") > 10)',
    'rides.window(sf.tumbling("1h")).write("out", memory.Sink())',
    'rides.window(sf.tumbling("1h")).key_by("city")',
    'rides.window(sf.tumbling("1h")).window(sf.tumbling("1h"))',
    'rides.write("out", memory.Sink()).step("out")',
    'rides.window("1h")',
    "rides.window(sf.tumbling(10))",
    'rides.window(sf.sliding("10s"))',
    'rides.agg(rides="count")',
    'rides.union(rides, how="horizontal")',
    'rides.window(sf.tumbling("1h")).top(by="fare")',
    'rides.peek("3")',
    'rides.rename(fare="net")',
    "rides.filter(fare=1)",
    'rides["fare"]',
    "rides.process(sf.KeyedFunction())",
    'rides.key_by("city").process(print)',
    "sf.cell(int, default=0, ttl=7)",
    'rides.window(sf.sliding("10s", "2s"))',
    'rides.step("rows", ttl="7d")',
    'rides.write("out", "out.parquet")',
    'flow.read("more", "rides.parquet")',
    'flow.read("more", source, watermark="1s")',
)


def _mypy(files: list[Path]) -> set[tuple[str, int]]:
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *map(str, files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = re.findall(r"^(.+):(\d+): error", done.stdout, re.MULTILINE)
    return {(Path(file).name, int(line)) for file, line in found}


def _pyright(files: list[Path]) -> set[tuple[str, int]]:
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, *map(str, files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(files), done.stdout
    return {
        (Path(found["file"]).name, found["range"]["start"]["line"] + 1)
        for found in report["generalDiagnostics"]
        if found["severity"] == "error"
    }


@pytest.mark.parametrize("check", [_mypy, _pyright])
def test_right_chains_are_accepted_and_wrong_ones_refused(
    check: Callable[[list[Path]], set[tuple[str, int]]], tmp_path: Path
) -> None:
    pytest.importorskip("basedpyright", reason="this set of requirements has no static checkers")
    wrong = tmp_path / "wrong_chains.py"
    wrong.write_text(PREAMBLE + "\n".join(WRONG) + "\n")
    first = PREAMBLE.count("\n") + 1

    refused = check([GOOD, wrong])

    assert [line for file, line in refused if file == GOOD.name] == []
    lines = {line for file, line in refused if file == wrong.name}
    assert min(lines) >= first, "the preamble itself does not check"
    assert [line for number, line in enumerate(WRONG, first) if number not in lines] == []
