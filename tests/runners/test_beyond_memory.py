"""Jobs whose state does not fit in the memory they are given: same results, little memory, nothing left behind."""

from __future__ import annotations

import os
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
TABLE = pa.table(
    {
        "k": np.concatenate([np.random.default_rng(seed).permutation(KEYS) for seed in range(3)]),
        "t": pa.array(np.arange(3 * KEYS)).cast(pa.timestamp("us", "UTC")),
    }
)


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
    table = TABLE if kind != "slices" else TABLE.slice(0, 1000)
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
