"""What the command answers, and with which exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streamflow.cli import main

LARGE = """\
import pyarrow as pa
import streamflow as sf
from streamflow_connectors import memory

def build(least: int = 10) -> sf.Flow:
    "The large numbers."
    flow = sf.Flow("large")
    numbers = flow.read("numbers", memory.Source(pa.table({"n": [1, 20, 300]})))
    numbers.filter(sf.col("n") > least).write("out", memory.Sink())
    return flow
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    return written(tmp_path / "large.py", LARGE)


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_help_teaches_with_examples_and_a_script(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    assert "def build(" in shown
    assert "streamflow run bids.py -- --least 500" in shown


def test_help_of_run_names_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    shown = capsys.readouterr().out
    for line in ("0    done", "1    the job failed", "2    the script", "130  interrupted"):
        assert line in shown


def test_without_a_command_it_shows_its_help_and_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "examples:" in capsys.readouterr().out


def test_help_and_version_need_no_pyarrow() -> None:
    code = """
import sys
from streamflow.cli import main
try:
    main([sys.argv[1]])
except SystemExit:
    pass
assert not [name for name in sys.modules if name.partition(".")[0] in ("pyarrow", "numpy")]
"""
    for option in ("--help", "--version"):
        subprocess.run([sys.executable, "-c", code, option], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pln"], "streamflow has no command 'pln'\n  remedy: did you mean plan?"),
        (["frobnicate"], "streamflow has no command 'frobnicate'\n  remedy: the commands are run, plan"),
        (["submit"], "streamflow has no command 'submit'"),
        (["--verison"], "streamflow has no option '--verison'\n  remedy: did you mean --version?"),
        (["hot.py"], "'hot.py' is a script, not a command\n  remedy: streamflow run hot.py"),
        (["run", "no_such.py"], "no file 'no_such.py'"),
        (["run", "no_such_module"], "no module 'no_such_module'"),
        (["run"], "the following arguments are required: SCRIPT[:FUNCTION]"),
        (["plan", "x.py", "--workers", "0"], "argument --workers: '0' is not a positive number"),
        (["run", "x.py", "--least", "5"], "streamflow run does not know --least 5\n  remedy: the script's own"),
    ],
)
def test_a_wrong_command_line_is_answered_with_the_right_one(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert f"error: {message}" in capsys.readouterr().err


def test_a_function_that_is_not_there_suggests_one_that_is(script: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", f"{script}:biuld"]) == 2
    assert f"did you mean {script}:build?" in capsys.readouterr().err


def test_what_follows_two_dashes_goes_to_the_script(script: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", script, "--graph", "logical", "--", "--least", "77"]) == 0
    assert "filter col('n') > 77" in capsys.readouterr().out


def test_help_after_two_dashes_shows_the_parameters_of_the_script(
    script: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["run", script, "--", "--help"])
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    assert "The large numbers." in shown
    assert "--least INT" in shown


def test_an_unknown_parameter_of_the_script_exits_with_2(script: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", script, "--", "--lest", "5"]) == 2
    assert "unrecognized arguments: --lest 5" in capsys.readouterr().err


def test_a_script_that_raises_shows_its_own_traceback_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = written(tmp_path / "broken.py", "def ratio():\n    return 1 / 0\n\nratio()\n")
    assert main(["plan", broken]) == 2
    shown = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in shown
    assert f'File "{broken}", line 4' in shown
    assert f'File "{broken}", line 2, in ratio' in shown
    assert shown.count("  File ") == 2
    assert shown.endswith("broken.py failed before it gave a flow\n")


def test_a_script_that_is_not_python_shows_the_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = written(tmp_path / "broken.py", "def build(:\n")
    assert main(["run", broken]) == 2
    shown = capsys.readouterr().err
    assert f'File "{broken}", line 1' in shown
    assert "SyntaxError" in shown
    assert "importlib" not in shown


def test_a_build_function_that_raises_is_shown_like_a_script_that_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = written(tmp_path / "broken.py", "def build():\n    raise LookupError('no such table')\n")
    assert main(["run", broken]) == 2
    shown = capsys.readouterr().err
    assert "LookupError: no such table" in shown
    assert shown.count("  File ") == 1


def test_an_error_in_the_flow_names_the_step_the_line_and_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = written(tmp_path / "wrong.py", LARGE.replace('col("n")', 'col("m")'))
    assert main(["plan", wrong]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert "'m'" in shown
    assert f"{wrong}:9" in shown
    assert "Traceback" not in shown


def test_python_dash_m_is_the_same_command(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streamflow", "run", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("large: 3 rows in, 2 out, 0 late in ")


def test_a_reader_that_goes_away_is_no_traceback(script: str) -> None:
    command = f"set -o pipefail; {sys.executable} -m streamflow plan {script} | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
