"""Flows that tests run on worker processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from streamflow_connectors import jsonl, memory, parquet, python, stdout

import streamflow as sf
from streamflow import col

NUMBERS = pa.table({"n": pa.array(range(10_000), pa.int64()), "k": pa.array([n % 7 for n in range(10_000)])})


def doubled(n: int) -> int:
    return 2 * n


def sums(out: str, on_error: str = "fail") -> sf.Flow:
    flow = sf.Flow("sums")
    numbers = flow.read("numbers", memory.Source(NUMBERS, splits=4)).with_columns(twice=doubled)
    totals = numbers.key_by("k").window(sf.global_window()).agg(rows=sf.count(), total=col("twice").sum())
    totals.write("totals", parquet.Sink(out))
    return flow


def odd(n: int) -> int:
    if n in (77, 5_077, 9_077):
        raise ValueError(f"no {n}")
    return n


def failing(out: str, skip: bool = False, most: int | None = None) -> sf.Flow:
    flow = sf.Flow("failing", on_error="skip" if skip else "fail", max_errors=most)
    flow.read("numbers", memory.Source(NUMBERS, splits=4)).with_columns(odd=odd).step("odd").write(
        "out", jsonl.Sink(out)
    )
    return flow


def full(batch: pa.RecordBatch) -> None:
    if 5_077 in batch["n"].to_pylist():
        raise OSError("the disk is full")


def refused(out: str) -> sf.Flow:
    flow = sf.Flow("refused")
    flow.read("numbers", memory.Source(NUMBERS, splits=4)).write("out", python.Sink(full))
    return flow


def different(out: str) -> sf.Flow:
    process = os.getpid()
    flow = sf.Flow("different")
    flow.read("numbers", memory.Source(NUMBERS)).filter(col("n") > process).step("large").write("out", jsonl.Sink(out))
    return flow


def only_here(out: str) -> sf.Flow:
    if "STREAMFLOW_ONLY_HERE" in os.environ and Path(os.environ["STREAMFLOW_ONLY_HERE"]).exists():
        raise RuntimeError("the file is there now")
    if "STREAMFLOW_ONLY_HERE" in os.environ:
        Path(os.environ["STREAMFLOW_ONLY_HERE"]).touch()
    return sums(out)


def kept(out: str) -> sf.Flow:
    flow = sf.Flow("kept")
    flow.read("numbers", memory.Source(NUMBERS)).write("out", memory.Sink())
    return flow


def printed() -> sf.Flow:
    flow = sf.Flow("printed")
    flow.read("numbers", memory.Source(NUMBERS.slice(0, 1000), splits=2)).write("out", stdout.Sink("jsonl"))
    return flow


class Number(NamedTuple):
    number: int


class Passed(sf.KeyedFunction):
    """Every row as it is, on the worker of its key."""

    seen = sf.cell(int, default=0)

    def on_row(self, n: int) -> Number:
        self.seen += 1
        return Number(n)


def counting() -> Iterator[dict[str, int]]:
    for n in range(1_000_000_000):
        if n % 10 == 0:
            time.sleep(0.005)
        yield {"n": n}


def endless(out: str) -> sf.Flow:
    flow = sf.Flow("endless")
    source = python.Source(counting, pa.schema({"n": pa.int64()}), bounded=False, replayable=True)
    numbers = flow.read("numbers", source).key_by("n").process(Passed(), ordered=False)
    numbers.write("out", parquet.Sink(out, mode="append"))
    return flow


def dying(n: int) -> int:
    if n == 5_077:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def deadly(out: str) -> sf.Flow:
    flow = sf.Flow("deadly")
    flow.read("numbers", memory.Source(NUMBERS, splits=4)).with_columns(odd=dying).write("out", parquet.Sink(out))
    return flow
