"""`streamflow state`, over the checkpoints of real jobs."""

from pathlib import Path

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow.cli.command import main


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    rows = pa.table({"user": ["ann", "bob", "ann"], "at": pa.array([0, 1, 2], pa.timestamp("us", "UTC"))})
    flow = sf.Flow("counts")
    read = flow.read("rows", memory.Source(rows), event_time="at")
    read.key_by("user").agg(n=sf.count()).step("counts").write("out", memory.Sink())
    sf.run(flow, checkpoint=tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


def test_ls_tells_steps_rows_and_positions(checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["state", "ls", str(checkpoints)]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("counts: checkpoint 1 of job ")
    assert first.endswith(", the job had come to its end")
    assert lines[:3] == ["read rows", "  0: ended, 3 rows read", "step counts"]
    assert lines[3].startswith("  table: 2 rows, ")


def test_the_files_that_ls_names_are_arrow_files(checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["state", "ls", str(checkpoints), "--files"])
    [path] = [line.strip() for line in capsys.readouterr().out.splitlines() if line.endswith(".arrow")]
    with pa.ipc.open_file(path) as reader:
        assert sorted(reader.read_all()["key.user"].to_pylist()) == ["ann", "bob"]


def test_show_prints_rows_up_to_a_number(checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["state", "show", str(checkpoints), "--step", "counts", "--rows", "1"]) == 0
    head, row, more = capsys.readouterr().out.splitlines()
    assert head == "table: 2 rows"
    assert row.startswith("  key.user=")
    assert more == "  ... and 1 more: --rows 2"


def test_query_finds_a_key(checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["state", "query", str(checkpoints), "--step", "counts", "--key", "user=ann"]) == 0
    assert capsys.readouterr().out.splitlines() == ["table: 1 rows", "  key.user='ann', value.~n.count=2"]


def test_a_new_job_starts_from_a_copy(checkpoints: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    savepoint = tmp_path / "savepoint"
    assert main(["state", "copy", str(checkpoints), "--to", str(savepoint)]) == 0
    assert capsys.readouterr().out.endswith(f" is in {savepoint}\n")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    run = ["run", str(script), "--from-savepoint", str(savepoint)]
    assert main([*run, "--checkpoint", str(tmp_path / "new"), "--", "--out", str(tmp_path / "out")]) == 0
    assert "0 rows in" in capsys.readouterr().err
    assert main(["state", "show", str(tmp_path / "new"), "--step", "counts"]) == 0
    assert capsys.readouterr().out.startswith("table: 2 rows")
    assert main(run) == 2
    assert "give --checkpoint DIR, too" in capsys.readouterr().err


SCRIPT = """
import pyarrow as pa
import streamflow as sf
from streamflow_connectors import jsonl, memory

def build(out: str = "out") -> sf.Flow:
    rows = pa.table({"user": ["ann", "bob", "ann"], "at": pa.array([0, 1, 2], pa.timestamp("us", "UTC"))})
    flow = sf.Flow("counts")
    read = flow.read("rows", memory.Source(rows), event_time="at")
    read.key_by("user").agg(n=sf.count()).step("counts").changes().write("out", jsonl.Sink(out))
    return flow
"""


def test_looking_does_not_take_the_job_over(checkpoints: Path) -> None:
    before = sorted(path.name for path in (checkpoints / "log").iterdir())
    main(["state", "ls", str(checkpoints)])
    assert sorted(path.name for path in (checkpoints / "log").iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ls", "{}/nothing"], "no folder"),
        (["ls", "{}/log"], "holds no complete checkpoint"),
        (["show", "{}"], "--step is missing"),
        (["show", "{}", "--step", "sums"], "its steps with state are 'counts'"),
        (["query", "{}", "--step", "counts"], "write --key column=value"),
        (["query", "{}", "--step", "counts", "--key", "ann"], "'ann' is no key"),
        (["copy", "{}"], "--to is missing"),
        (["ls", "{}", "more"], "streamflow state does not know more"),
    ],
)
def test_what_is_wrong_is_said(
    checkpoints: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["state", *(argument.format(checkpoints) for argument in arguments)]) == 2
    assert message in capsys.readouterr().err
