"""The job that `test_kills` kills: `python killed_job.py FOLDER RATE` runs it on three workers."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from streamflow_connectors import parquet

import streamflow as sf
from streamflow.connect import Ended, PollResult, Position, Source, Wait
from streamflow.runners import processes

SPLITS = 6
ROWS = 40_000
"""Of each split."""
HELD = 30_000
"""So far a split goes at its rate; what is behind comes at once when the file `finish` is there."""
KEYS = 11


class Numbers(Source):
    """Row `i` of split `s` is `i * SPLITS + s`, at so many milliseconds."""

    def __init__(self, folder: str, rate: int) -> None:
        self._folder = folder
        self._rate = rate

    @property
    def bounded(self) -> bool:
        return True

    def schema(self) -> pa.Schema:
        return pa.schema([("n", pa.int64()), ("k", pa.int64()), ("at", pa.timestamp("us", "UTC"))])

    def splits(self) -> list[str]:
        return [str(split) for split in range(SPLITS)]

    def open(self, splits: Mapping[str, Position | None]) -> NumbersReader:
        return NumbersReader(dict.fromkeys(splits, 0) | {s: p for s, p in splits.items() if isinstance(p, int)}, self)

    def may_finish(self) -> bool:
        return Path(self._folder, "finish").exists()


class NumbersReader:
    def __init__(self, starts: dict[str, int], source: Numbers) -> None:
        self._next = starts
        self._source = source
        self._turn = sorted(starts)
        self._ended: set[str] = set()
        self._due = 0.0
        self._now = 0.0

    def on_clock(self, now: float) -> None:
        self._now = now

    def poll(self, max_rows: int) -> PollResult:
        finishing = self._source.may_finish()
        if not finishing and self._now < self._due:
            return Wait(self._due - self._now)
        for split in self._turn:
            start, limit = self._next[split], ROWS if finishing else HELD
            if start == ROWS and split not in self._ended:
                self._ended.add(split)
                return Ended(split)
            if start < limit:
                self._turn.remove(split)
                self._turn.append(split)
                end = min(limit, start + min(max_rows, 500 if finishing else 20))
                self._next[split] = end
                self._due = self._now + (end - start) / self._source._rate / max(1, len(self._turn))
                return [(split, rows(int(split), start, end))]
        return Wait(0.05)

    def positions(self) -> dict[str, Position]:
        return dict(self._next)

    def committed(self, positions: Mapping[str, Position]) -> None: ...

    def close(self) -> None: ...


def rows(split: int, start: int, end: int) -> pa.RecordBatch:
    numbers = [i * SPLITS + split for i in range(start, end)]
    return pa.record_batch({
        "n": pa.array(numbers, pa.int64()),
        "k": pa.array([n % KEYS for n in numbers], pa.int64()),
        "at": pa.array([n * 1000 for n in numbers], pa.timestamp("us", "UTC")),
    })  # fmt: skip


class Placed(NamedTuple):
    key: int
    place: int
    number: int


class Places(sf.KeyedFunction):
    """Counts the rows of a key: each gets its place among them."""

    seen = sf.cell(int, default=0)

    def on_row(self, k: int, n: int) -> Placed:
        self.seen += 1
        return Placed(k, self.seen - 1, n)


def build(folder: str, rate: int) -> sf.Flow:
    flow = sf.Flow("numbers")
    numbers = flow.read("numbers", Numbers(folder, rate), event_time="at")
    numbers.write("rows", parquet.Sink(f"{folder}/rows", mode="append"))
    numbers.key_by("k").process(Places()).write("places", parquet.Sink(f"{folder}/places", mode="append"))
    counts = numbers.key_by("k").window(sf.tumbling("1s")).agg(rows=sf.count(), total=sf.col("n").sum())
    counts.write("counts", parquet.Sink(f"{folder}/counts", mode="append"))
    return flow


def main(folder: str, rate: str) -> None:
    processes.LEASE = 2_000_000
    store = sf.Checkpoints(f"{folder}/checkpoints", every="200ms")
    result = sf.run(build, workers=3, checkpoint=store, restarts=100, folder=folder, rate=int(rate))
    print(f"finished: {result.rows_in} rows, {len(result.restarts)} restarts")


if __name__ == "__main__":
    main(*sys.argv[1:])
