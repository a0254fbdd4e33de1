"""Jobs whose state does not fit in the memory they are given: same results, little memory, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.errors import DataError, Fatal, UserError
from streamflow.testing import assert_rows

KEYS = 20_000


def rows_of(rounds: int) -> pa.Table:
    """Every key once a round, a microsecond after the one before it."""
    return pa.table(
        {
            "k": np.concatenate([np.random.default_rng(seed).permutation(KEYS) for seed in range(rounds)]),
            "t": pa.array(np.arange(rounds * KEYS)).cast(pa.timestamp("us", "UTC")),
        }
    )


TABLE = rows_of(3)


def flow(kind: str, table: pa.Table = TABLE, **options: Any) -> tuple[sf.Flow, memory.Sink]:
    built, out = sf.Flow("large"), memory.Sink()
    late = sf.bounded_out_of_orderness("1h")
    source = memory.Source(table.to_batches(max_chunksize=4096), schema=table.schema)
    rows = built.read("rows", source, event_time="t", watermark=late, **options)
    keyed = rows.key_by("k")
    match kind:
        case "window":
            keyed.window(sf.tumbling("1d")).agg(n=sf.count(), last=col("t").max()).write("out", out)
        case "slices":
            keyed.window(sf.sliding("2ms", every="20us")).agg(n=sf.count()).write("out", out)
        case "session":
            keyed.window(sf.session("12ms")).agg(n=sf.count()).write("out", out)
        case "count":
            keyed.window(sf.count_window(2)).agg(first=col("t").min()).write("out", out)
        case "dedup":
            keyed.dedup(keep="first").write("out", out)
    return built, out


@pytest.mark.parametrize("kind", ["window", "slices", "session", "count", "dedup"])
def test_results_do_not_depend_on_the_memory(kind: str, tmp_path: Path) -> None:
    # rows of sessions wait, some ten thousand, before they are merged into state
    table = {"slices": TABLE.slice(0, 1000), "session": rows_of(6)}.get(kind, TABLE)
    (plenty, expected), (scarce, found) = flow(kind, table), flow(kind, table)
    assert sf.run(plenty).spilled == 0
    assert sf.run(scarce, memory="5KB", spill_dir=tmp_path).spilled > 5_000
    assert_rows(found.table(), expected.table().to_pylist())
    assert os.listdir(tmp_path) == []


def test_a_job_that_fails_leaves_no_file_behind(tmp_path: Path) -> None:
    def fail(k: int) -> int:
        raise ValueError(k)

    built, _ = flow("window")
    failing = built.read("more", memory.Source(TABLE), event_time="t").with_columns(x=fail)
    failing.write("failing", memory.Sink())
    with pytest.raises(DataError, match="ValueError"):
        sf.run(built, memory=1, spill_dir=tmp_path)
    assert os.listdir(tmp_path) == []


def test_state_that_cannot_be_written_stops_the_job(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    built, _ = flow("window")
    with pytest.raises(Fatal, match=f"cannot be written to {tmp_path}/file") as failed:
        sf.run(built, memory=1, spill_dir=tmp_path / "file")
    assert failed.value.remedy is not None


@pytest.mark.parametrize("wrong", ["much", "2XB", "-1GB", ""])
def test_a_memory_that_is_no_size_is_refused(wrong: str) -> None:
    with pytest.raises(UserError, match="is not a number of bytes"):
        sf.run(flow("window")[0], memory=wrong)


def test_a_parameter_of_the_same_name_is_not_mistaken() -> None:
    def build(memory: int = 3) -> sf.Flow:
        return flow("window")[0]

    with pytest.raises(UserError, match=r"both sf\.run and build have a parameter memory"):
        sf.run(build, memory=5)
    assert sf.run(build).rows_out == KEYS


SCRIPT = """
import sys
import numpy as np
import pyarrow as pa
import streamflow as sf
from streamflow import col
from streamflow_connectors import memory, python

ROWS, SIZE = 100_000 if "wait" in sys.argv else 1_500_000, 8192
SCHEMA = pa.schema({"k": pa.int64(), "t": pa.timestamp("us", "UTC")})


def rows():
    for start in range(0, ROWS, SIZE):
        numbers = np.arange(start, start + SIZE)
        columns = [pa.array(numbers * 1_000_003), pa.array(numbers).cast(SCHEMA.field("t").type)]
        yield pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
    if "wait" in sys.argv:
        print("all are in", flush=True)
        while True:
            yield None


class Count:
    changelog = True

    def open(self, who):
        self.rows = 0
        return self

    def write(self, batch):
        self.rows += batch.num_rows

    def flush(self):
        pass

    def close(self):
        pass


def build() -> sf.Flow:
    flow = sf.Flow("large")
    read = flow.read("rows", python.Source(rows, schema=SCHEMA), event_time="t", watermark=sf.monotonic())
    keyed = read.key_by("k")
    kept = keyed if "table" in sys.argv else keyed.window(sf.tumbling("1d"))
    kept.agg(n=sf.count(), a=col("t").min(), b=col("t").max(), c=col("k").sum(), d=col("k").max()).write("out", Count())
    return flow


def anonymous() -> int:
    status = open("/proc/self/status", encoding="ascii").read()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024


if __name__ == "__main__":
    import threading, time

    def watch():
        global most
        while True:
            most = max(most, anonymous())
            time.sleep(0.003)

    if "wait" not in sys.argv:
        whole, ROWS = ROWS, SIZE  # what the first job loads is none of the state's
        sf.run(build())
        ROWS = whole
    most = before = anonymous()
    threading.Thread(target=watch, daemon=True).start()
    result = sf.run(build(), memory=sys.argv[1], spill_dir=sys.argv[2])
    print(result.rows_out, result.spilled, most - before)
"""


def started(folder: Path, budget: str, *more: str) -> subprocess.Popen[str]:
    (folder / "large.py").write_text(SCRIPT, encoding="utf-8")
    (folder / "spilled").mkdir(exist_ok=True)
    command = [sys.executable, str(folder / "large.py"), budget, str(folder / "spilled"), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_job_that_is_stopped_leaves_no_file_behind(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path, "1MB", "wait") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "all are in\n"
        process.send_signal(number)
        process.wait(timeout=30)
    assert os.listdir(tmp_path / "spilled") == []


def measured(folder: Path, budget: str, kind: str) -> tuple[int, int]:
    """Bytes that a job of 1.5 million keys spilled, and by how many its memory grew at most."""
    with started(folder, budget, kind) as process:
        assert process.stdout is not None
        rows, spilled, grown = map(int, process.stdout.read().split())
    assert process.returncode == 0
    assert rows == 1_507_328
    return spilled, grown


@pytest.mark.integration
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the memory of a process is read from /proc")
@pytest.mark.parametrize("kind", ["window", "table"])
def test_memory_stays_near_the_budget(tmp_path: Path, kind: str) -> None:
    budget = 18_000_000
    kept, plenty = measured(tmp_path, "10GB", kind)
    spilled, scarce = measured(tmp_path, str(budget), kind)
    assert kept == 0
    assert spilled > 3 * budget
    assert scarce < budget + 120_000_000
    assert scarce < 0.7 * plenty
