"""Jobs on worker processes, as users run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import streamflow as sf
from streamflow.engine.clock import SystemClock
from streamflow.errors import DataError, Retryable, StepError, UserError
from tests.integration import jobs

pytestmark = pytest.mark.integration
CLOCK = SystemClock()
COMMAND = [sys.executable, "-m", "streamflow", "run"]


def totals(folder: Path) -> list[tuple[int, int, int]]:
    return sorted((row["k"], row["rows"], row["total"]) for row in pq.read_table(folder).to_pylist())


WANTED = sorted((k, len(range(k, 10_000, 7)), 2 * sum(range(k, 10_000, 7))) for k in range(7))


@pytest.mark.parametrize("workers", [2, 5])
def test_several_workers_give_what_one_gives(tmp_path: Path, workers: int) -> None:
    result = sf.run(jobs.sums, workers=workers, out=str(tmp_path / "out"))
    assert totals(tmp_path / "out") == WANTED
    assert (result.rows_in, result.rows_out, result.restarts, result.published) == (10_000, 7, (), True)


def test_they_connect_by_tcp_with_certificates(tmp_path: Path) -> None:
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=job"
    subprocess.run([*made.split(), "-keyout", "key", "-out", "cert"], cwd=tmp_path, check=True, capture_output=True)
    network = sf.Tcp(cert=f"{tmp_path}/cert", key=f"{tmp_path}/key", ca=f"{tmp_path}/cert")
    sf.run(jobs.sums, workers=3, network=network, out=str(tmp_path / "out"))
    assert totals(tmp_path / "out") == WANTED


def test_an_error_of_the_users_comes_with_its_step_line_and_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StepError, match="OSError: the disk is full") as failed:
        sf.run(jobs.refused, workers=2, checkpoint=tmp_path / "checkpoints", restarts=1, out=str(tmp_path / "out"))
    assert failed.value.step == "out"
    assert "jobs.py" in str(failed.value.location)
    assert 'raise OSError("the disk is full")' in failed.value.message
    assert caplog.text.count("the job goes on from its latest checkpoint") == 1


def test_a_value_that_cannot_be_processed_ends_the_job_without_checkpoints_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DataError, match="the function odd raised ValueError: no ") as failed:
        sf.run(jobs.failing, workers=2, out=str(tmp_path / "out"))
    assert failed.value.step == "odd"
    assert 'raise ValueError(f"no {n}")' in failed.value.message
    assert caplog.text == ""


def test_a_worker_that_dies_each_time_ends_the_job_which_says_how_it_died(tmp_path: Path) -> None:
    with pytest.raises(Retryable, match=r"worker [01] is lost: its process was ended by SIGKILL"):
        sf.run(jobs.deadly, workers=2, checkpoint=tmp_path / "checkpoints", restarts=1, out=str(tmp_path / "out"))


def test_rows_that_cannot_be_processed_are_counted_over_all_workers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = sf.run(jobs.failing, workers=2, out=str(tmp_path / "one"), skip=True, most=3)
    assert result.skipped == {"odd": 3}
    with pytest.raises(DataError, match="3 rows could not be processed, 3 of them in this step, and max_errors=2"):
        sf.run(jobs.failing, workers=2, checkpoint=tmp_path / "c", out=str(tmp_path / "two"), skip=True, most=2)
    assert "goes on" not in caplog.text
    assert not list((tmp_path / "two").glob("*.jsonl"))


def test_a_flow_that_is_not_the_same_in_each_process_is_refused_and_its_step_named(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"another flow than the coordinator: step 'large' \(Filter\) is another one"
    ) as no:
        sf.run(jobs.different, workers=2, out=str(tmp_path / "out"))
    assert "no clock, file or random number" in str(no.value.remedy)


def test_a_flow_that_a_worker_cannot_build_is_refused_with_the_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_ONLY_HERE", str(tmp_path / "here"))
    with pytest.raises(
        UserError, match=r"worker [01] cannot build the flow: RuntimeError: the file is there now"
    ) as no:
        sf.run(jobs.only_here, workers=2, out=str(tmp_path / "out"))
    assert "in only_here" in no.value.message


def test_lines_that_workers_print_are_whole() -> None:
    run = subprocess.run([*COMMAND, f"{jobs.__file__}:printed", "--workers", "2"], capture_output=True, check=True)
    assert sorted(json.loads(line)["n"] for line in run.stdout.splitlines()) == list(range(1000))
    assert b"printed: 1,000 rows in, 1,000 out" in run.stderr


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def eventually(holds: object, seconds: int = 60) -> None:
    assert callable(holds)
    until = CLOCK.monotonic() + seconds * 1_000_000
    while not holds():
        assert CLOCK.monotonic() < until, "it does not come about"
        time.sleep(0.02)


def started(folder: Path, workers: int = 2) -> tuple[subprocess.Popen[bytes], list[int]]:
    """An endless job that has published something, in a process group of its own, and its workers."""
    store = f"{folder}/checkpoints"
    command = [
        *COMMAND,
        f"{jobs.__file__}:endless",
        "--workers",
        str(workers),
        "--checkpoint",
        store,
        "--every",
        "200ms",
    ]
    before = len(list((folder / "out").glob("*.parquet")))
    process = subprocess.Popen(
        [*command, "--", "--out", f"{folder}/out"], stderr=subprocess.PIPE, start_new_session=True
    )
    eventually(lambda: process.poll() is not None or len(list((folder / "out").glob("*.parquet"))) > before)
    return process, children(process.pid)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_ctrl_c_stops_the_job_where_it_stands_and_it_goes_on_on_other_workers(tmp_path: Path) -> None:
    for count in (2, 1, 3):
        process, workers = started(tmp_path, count)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: everybody gets it
        _, told = process.communicate(timeout=60)
        assert process.returncode == 130, told
        assert b"stopped, what was complete is published" in told
        assert not any(map(lives, workers))
    rows = sorted(pq.read_table(tmp_path / "out")["number"].to_pylist())
    assert rows == list(range(len(rows)))
    assert rows


def test_workers_end_when_their_coordinator_is_killed(tmp_path: Path) -> None:
    process, workers = started(tmp_path)
    assert len(workers) == 2
    process.kill()
    process.communicate()
    eventually(lambda: not any(map(lives, workers)), seconds=20)


def test_what_a_job_kept_for_itself_is_gone_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    run = subprocess.run(
        [*COMMAND, f"{jobs.__file__}:sums", "--workers", "2", "--", "--out", f"{tmp_path}/out"],
        capture_output=True,
        check=False,
        timeout=100,
    )
    assert run.returncode == 0, run.stderr
    assert list((tmp_path / "temporary").iterdir()) == []
    assert totals(tmp_path / "out") == WANTED
