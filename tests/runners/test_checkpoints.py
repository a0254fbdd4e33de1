"""A job that stores its checkpoints and is started again: by hand, by Ctrl-C, after a crash, after `kill -9`."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamflow_connectors import parquet

import streamflow as sf
from streamflow.cluster.job_log import Fenced, JobLog
from streamflow.connect import Ended, PollResult, Position, Source
from streamflow.errors import Fatal, StepError, UserError
from streamflow.runners.checkpoints import latest_manifest
from streamflow.runners.savepoints import write_savepoint
from streamflow.state.local_store import LocalStore

ROWS = 20_000
FAILURES: list[int] = []
"""After how many rows the source fails, one for each run."""


class Numbered(Source):
    """A source of `ROWS` rows in one split, whose position is the next row; fails where `FAILURES` has it."""

    @property
    def bounded(self) -> bool:
        return True

    def schema(self) -> pa.Schema:
        return pa.schema([("n", pa.int64()), ("k", pa.int64()), ("at", pa.timestamp("us", "UTC"))])

    def splits(self) -> list[str]:
        return ["all"]

    def open(self, splits: Mapping[str, Position | None]) -> NumberedReader:
        start = splits["all"] or 0
        assert isinstance(start, int)
        return NumberedReader(start, FAILURES.pop(0) if FAILURES else ROWS + 1)


class NumberedReader:
    def __init__(self, start: int, fails_at: int) -> None:
        self._next = start
        self._fails_at = fails_at

    def poll(self, max_rows: int) -> PollResult:
        if self._next >= self._fails_at:
            raise OSError("the network is down")
        if self._next == ROWS:
            return Ended("all")
        time.sleep(0.002)
        numbers = range(self._next, min(self._next + 100, ROWS))
        self._next = numbers.stop
        columns = {
            "n": pa.array(numbers, pa.int64()),
            "k": pa.array([n % 7 for n in numbers], pa.int64()),
            "at": pa.array([n * 1000 for n in numbers], pa.timestamp("us", "UTC")),
        }
        return [("all", pa.record_batch(columns))]

    def positions(self) -> dict[str, Position]:
        return {"all": self._next}

    def committed(self, positions: Mapping[str, Position]) -> None: ...

    def close(self) -> None: ...


def build(out: str) -> sf.Flow:
    flow = sf.Flow("numbers")
    rows = flow.read("numbers", Numbered(), event_time="at")
    rows.write("rows", parquet.Sink(f"{out}/rows"))
    counts = rows.key_by("k").window(sf.tumbling("1s")).agg(rows=sf.count(), total=sf.col("n").sum())
    counts.write("counts", parquet.Sink(f"{out}/counts"))
    return flow


def expected_counts() -> list[tuple[int, int, int, int]]:
    groups: dict[tuple[int, int], list[int]] = {}
    for n in range(ROWS):
        groups.setdefault((n // 1000, n % 7), []).append(n)
    return sorted((window, k, len(numbers), sum(numbers)) for (window, k), numbers in groups.items())


def check_output(out: Path) -> None:
    """Each row and each result is there exactly once."""
    assert sorted(pq.read_table(out / "rows")["n"].to_pylist()) == list(range(ROWS))
    counts = pq.read_table(out / "counts").to_pylist()
    found = sorted((int(c["window_start"].timestamp()), c["k"], c["rows"], c["total"]) for c in counts)
    assert found == expected_counts()


@pytest.fixture(autouse=True)
def no_failures_left() -> Iterator[None]:
    yield
    FAILURES.clear()


def every_checkpoint(folder: Path) -> sf.Checkpoints:
    return sf.Checkpoints(folder, every="150ms")


def test_a_job_that_failed_goes_on_from_its_checkpoint_and_publishes_each_row_once(tmp_path: Path) -> None:
    store = sf.Checkpoints(tmp_path / "checkpoints", every="100ms")
    FAILURES[:] = [3_000, 3_000, 9_000, 15_500]
    for _ in range(4):
        with pytest.raises(StepError, match="the network is down"):
            sf.run(build, out=str(tmp_path / "out"), checkpoint=store)
    result = sf.run(build, out=str(tmp_path / "out"), checkpoint=store)
    assert 0 < result.rows_in < ROWS  # it did go on
    check_output(tmp_path / "out")


def test_files_that_are_not_full_go_on_over_checkpoints_and_failures(tmp_path: Path) -> None:
    def build(out: str) -> sf.Flow:
        flow = sf.Flow("numbers")
        flow.read("numbers", Numbered()).write("rows", parquet.Sink(f"{out}/rows", roll=("100MB", "1h")))
        return flow

    store = sf.Checkpoints(tmp_path / "checkpoints", every="50ms")
    FAILURES[:] = [3_000, 9_000]
    for _ in range(2):
        with pytest.raises(StepError, match="the network is down"):
            sf.run(build, out=str(tmp_path / "out"), checkpoint=store)
        assert list((tmp_path / "out" / "rows").glob("*.parquet")) == []
    result = sf.run(build, out=str(tmp_path / "out"), checkpoint=store)
    assert 0 < result.rows_in < ROWS
    assert result.rows_out == result.rows_in  # what was kept was counted when it came
    [file] = (tmp_path / "out" / "rows").glob("*.parquet")
    assert sorted(pq.read_table(file)["n"].to_pylist()) == list(range(ROWS))


def test_ctrl_c_stops_a_bounded_job_where_it_stands_and_it_goes_on(tmp_path: Path) -> None:
    def interrupted(batch: pa.RecordBatch) -> pa.RecordBatch:
        if not seen and batch["n"][-1].as_py() > 5_000:
            os.kill(os.getpid(), signal.SIGINT)
            seen.append(1)
        return batch

    def stopping(out: str) -> sf.Flow:
        flow = sf.Flow("numbers")
        rows = flow.read("numbers", Numbered(), event_time="at").map_batches(interrupted)
        rows.write("rows", parquet.Sink(f"{out}/rows"))
        return flow

    seen: list[int] = []
    store = sf.Checkpoints(tmp_path / "checkpoints", every="1h")
    first = sf.run(stopping, out=str(tmp_path / "out"), checkpoint=store)
    assert first.stopped
    assert first.published
    second = sf.run(stopping, out=str(tmp_path / "out"), checkpoint=store)
    assert first.rows_in + second.rows_in == ROWS
    assert sorted(pq.read_table(tmp_path / "out" / "rows")["n"].to_pylist()) == list(range(ROWS))


def test_a_job_that_has_come_to_its_end_starts_anew(tmp_path: Path) -> None:
    store = every_checkpoint(tmp_path / "checkpoints")
    sf.run(build, out=str(tmp_path / "one"), checkpoint=store)
    sf.run(build, out=str(tmp_path / "two"), checkpoint=store)
    check_output(tmp_path / "one")
    check_output(tmp_path / "two")


def test_a_job_that_died_before_its_last_commit_commits_when_it_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = sf.Checkpoints(tmp_path / "checkpoints", every="1h")
    with monkeypatch.context() as dying:
        dying.setattr("streamflow.connect.file_sink.FileCommitter.commit", lambda *_: 1 / 0)
        with pytest.raises(StepError, match="ZeroDivisionError"):
            sf.run(build, out=str(tmp_path / "out"), checkpoint=store)
    assert list((tmp_path / "out" / "rows").glob("*.parquet")) == []
    assert sf.run(build, out=str(tmp_path / "out"), checkpoint=store).rows_in == 0
    check_output(tmp_path / "out")


def test_of_old_checkpoints_nothing_is_left(tmp_path: Path) -> None:
    sf.run(build, out=str(tmp_path / "out"), checkpoint=every_checkpoint(tmp_path / "checkpoints"))
    latest = latest_manifest(LocalStore(tmp_path / "checkpoints"))
    assert latest is not None
    files = {f.relative_to(tmp_path / "checkpoints").as_posix() for f in (tmp_path / "checkpoints").rglob("*.*")}
    assert files == latest.paths()


def test_a_checkpoint_whose_file_is_damaged_stops_the_job_and_names_the_file(tmp_path: Path) -> None:
    FAILURES[:] = [9_000]
    with pytest.raises(StepError):
        sf.run(build, out=str(tmp_path / "out"), checkpoint=every_checkpoint(tmp_path / "checkpoints"))
    damaged = max((tmp_path / "checkpoints" / "state").iterdir())
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    with pytest.raises(Fatal, match=re.escape(f"state/{damaged.name}") + ".* is damaged"):
        sf.run(build, out=str(tmp_path / "out"), checkpoint=every_checkpoint(tmp_path / "checkpoints"))
    damaged.unlink()
    with pytest.raises(Fatal, match=f"{damaged.name} is not in the checkpoint store"):
        sf.run(build, out=str(tmp_path / "out"), checkpoint=every_checkpoint(tmp_path / "checkpoints"))


def test_a_flow_that_has_no_place_for_its_state_is_refused(tmp_path: Path) -> None:
    def changed(out: str) -> sf.Flow:
        flow = sf.Flow("numbers")
        flow.read("numbers", Numbered(), event_time="at").write("rows", parquet.Sink(f"{out}/rows"))
        return flow

    FAILURES[:] = [9_000]
    store = every_checkpoint(tmp_path / "checkpoints")
    with pytest.raises(StepError):
        sf.run(build, out=str(tmp_path / "out"), checkpoint=store)
    with pytest.raises(UserError, match="has changed: its checkpoint holds the state") as error:
        sf.run(changed, out=str(tmp_path / "out"), checkpoint=store)
    assert "allow_dropped_state=True" in str(error.value)
    allowed = sf.Checkpoints(tmp_path / "checkpoints", allow_dropped_state=True)
    sf.run(changed, out=str(tmp_path / "out"), checkpoint=allowed)
    assert sorted(pq.read_table(tmp_path / "out" / "rows")["n"].to_pylist()) == list(range(ROWS))


def test_a_flow_whose_windows_have_changed_is_refused_and_takes_nothing_over(tmp_path: Path) -> None:
    def changed(out: str) -> sf.Flow:
        flow = sf.Flow("numbers")
        rows = flow.read("numbers", Numbered(), event_time="at")
        rows.write("rows", parquet.Sink(f"{out}/rows"))
        counts = rows.key_by("k").window(sf.tumbling("2s")).agg(rows=sf.count(), total=sf.col("n").sum())
        counts.write("counts", parquet.Sink(f"{out}/counts"))
        return flow

    FAILURES[:] = [9_000]
    store = every_checkpoint(tmp_path / "checkpoints")
    with pytest.raises(StepError):
        sf.run(build, out=str(tmp_path / "out"), checkpoint=store)
    log = sorted((tmp_path / "checkpoints" / "log").iterdir())
    with pytest.raises(UserError, match=r"does not fit: 'numbers.tumbling' was .aggregate by k: int64 in Tumbling"):
        sf.run(changed, out=str(tmp_path / "out"), checkpoint=store)
    assert sorted((tmp_path / "checkpoints" / "log").iterdir()) == log
    sf.run(build, out=str(tmp_path / "out"), checkpoint=store)
    check_output(tmp_path / "out")


def test_each_job_has_a_folder_of_its_own(tmp_path: Path) -> None:
    sf.run(build, out=str(tmp_path / "out"), checkpoint=every_checkpoint(tmp_path / "checkpoints"))
    other = sf.Flow("other")
    other.read("numbers", Numbered()).write("rows", parquet.Sink(tmp_path / "other"))
    with pytest.raises(UserError, match="are of the flow 'numbers', not of 'other'"):
        sf.run(other, checkpoint=every_checkpoint(tmp_path / "checkpoints"))


def test_a_start_with_a_wrong_folder_does_not_stop_the_job_that_runs_there(tmp_path: Path) -> None:
    FAILURES[:] = [9_000]
    with pytest.raises(StepError):
        sf.run(build, out=str(tmp_path / "out"), checkpoint=every_checkpoint(tmp_path / "checkpoints"))
    before = sorted((tmp_path / "checkpoints" / "log").iterdir())
    for name in ("other", "numbers"):  # another job, and this one without a place for its state
        other = sf.Flow(name)
        other.read("other", Numbered()).write("rows", parquet.Sink(tmp_path / "other"))
        with pytest.raises(UserError):
            sf.run(other, checkpoint=every_checkpoint(tmp_path / "checkpoints"))
    assert sorted((tmp_path / "checkpoints" / "log").iterdir()) == before


def test_a_job_that_another_has_taken_over_stops_and_publishes_nothing_more(tmp_path: Path) -> None:
    def overtaken(batch: pa.RecordBatch) -> pa.RecordBatch:
        if not successors and batch["n"][-1].as_py() > 5_000:
            successors.append(JobLog(LocalStore(tmp_path / "checkpoints"), "n"))
            successors[0].claim()
            published.extend(sorted((tmp_path / "out").rglob("*.parquet")))
        return batch

    successors: list[JobLog] = []
    published: list[Path] = []
    flow = sf.Flow("numbers")
    rows = flow.read("numbers", Numbered()).map_batches(overtaken)
    rows.write("rows", parquet.Sink(tmp_path / "out"))
    with pytest.raises(Fenced, match="attempt 1 was taken over by attempt 2"):
        sf.run(flow, checkpoint=every_checkpoint(tmp_path / "checkpoints"))
    staging = tmp_path / "out" / "_staging"
    assert [f for f in sorted((tmp_path / "out").rglob("*.parquet")) if staging not in f.parents] == [
        f for f in published if staging not in f.parents
    ]


def test_a_job_starts_from_a_savepoint_as_a_job_of_its_own(tmp_path: Path) -> None:
    FAILURES[:] = [9_000]
    with pytest.raises(StepError):
        sf.run(build, out=str(tmp_path / "out"), checkpoint=every_checkpoint(tmp_path / "checkpoints"))
    store = LocalStore(tmp_path / "checkpoints")
    latest = latest_manifest(store)
    assert latest is not None
    write_savepoint(latest, store, LocalStore(tmp_path / "savepoint"))
    first = sf.run(build, out=str(tmp_path / "out"), checkpoint=every_checkpoint(tmp_path / "checkpoints"))
    start = sf.Checkpoints(tmp_path / "other", savepoint=tmp_path / "savepoint")
    assert sf.run(build, out=str(tmp_path / "again"), checkpoint=start).rows_in == first.rows_in
    other = latest_manifest(LocalStore(tmp_path / "other"))
    assert other is not None
    assert other.job != latest.job
    rows = [pq.read_table(tmp_path / folder / "rows")["n"].to_pylist() for folder in ("out", "again")]
    assert sorted(rows[0]) == list(range(ROWS))
    assert sorted(rows[1]) == list(range(ROWS - first.rows_in, ROWS))


def test_past_a_damaged_file_a_job_goes_on_from_an_older_checkpoint_if_duplicates_are_allowed(tmp_path: Path) -> None:
    FAILURES[:] = [9_000]
    folder = tmp_path / "checkpoints"
    with pytest.raises(StepError):
        sf.run(build, out=str(tmp_path / "out"), checkpoint=sf.Checkpoints(folder, every="100ms", keep=2))
    latest = latest_manifest(LocalStore(folder))
    assert latest is not None
    newest = [folder / path for path in latest.paths() if f"-{latest.checkpoint}-" in path]
    newest[0].unlink()
    allowed = sf.Checkpoints(folder, every="1h", keep=2, allow_duplicates=True)
    assert 0 < sf.run(build, out=str(tmp_path / "out"), checkpoint=allowed).rows_in < ROWS
    assert set(pq.read_table(tmp_path / "out" / "rows")["n"].to_pylist()) == set(range(ROWS))


@pytest.mark.parametrize(("location", "every"), [("ftp://host/job", "10s"), ("folder", "0s")])
def test_what_cannot_be_is_refused_at_once(location: str, every: str) -> None:
    with pytest.raises(UserError):
        sf.Checkpoints(location, every)


@pytest.mark.integration
def test_a_job_that_is_killed_again_and_again_publishes_each_row_once(tmp_path: Path) -> None:
    """`kill -9` at random moments, ten times, then to the end."""
    script = Path(__file__)
    command = [sys.executable, "-c", f"import runpy; runpy.run_path({str(script)!r})['killed']({str(tmp_path)!r})"]
    rng = random.Random(7)
    kills = 0
    while kills < 10:
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        try:
            process.wait(timeout=0.6 + rng.random() * 0.5)
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        else:
            assert process.returncode == 0, process.communicate()[1].decode()
            break
        finally:
            process.communicate()
    if kills == 10:
        subprocess.run(command, check=True, timeout=60)
    assert kills > 3
    check_output(tmp_path / "out")


def killed(folder: str) -> None:
    sf.run(build, out=f"{folder}/out", checkpoint=sf.Checkpoints(f"{folder}/checkpoints", every="20ms"))
