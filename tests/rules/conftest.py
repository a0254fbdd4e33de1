"""What the tests of the rules share: rows of key, value and time, and flows over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf

TIME = pa.timestamp("us", "UTC")
SCHEMA = pa.schema([("k", pa.string()), ("v", pa.int64()), ("t", TIME)])

Rows: TypeAlias = "Iterable[tuple[str | None, int | None, int]]"
Steps: TypeAlias = Callable[[sf.Stream], sf.Stream]


def _table(rows: Rows) -> pa.Table:
    keys, values, times = list(zip(*rows, strict=True)) or ((), (), ())
    return pa.table(
        [pa.array(keys, pa.string()), pa.array(values, pa.int64()), pa.array(times, pa.int64()).view(TIME)],
        schema=SCHEMA,
    )


def _flow(steps: Steps, *, bound: str = "0s", idle: str | None = None, align: str | None = None) -> sf.Flow:
    flow = sf.Flow("rule")
    watermark = sf.bounded_out_of_orderness(bound, idle=idle, align=align)
    rows = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="t", watermark=watermark)
    steps(rows).write("out", memory.Sink())
    return flow


def _micros(table: pa.Table) -> list[dict[str, Any]]:
    columns = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in table.columns]
    return list(pa.table(columns, names=table.column_names).to_pylist())


def _run_batches(steps: Steps, *batches: Rows, bound: str = "0s") -> tuple[list[dict[str, Any]], int]:
    cuts: Sequence[pa.RecordBatch] = [_table(rows).to_batches()[0] for rows in batches]
    flow, out = sf.Flow("rule"), memory.Sink()
    rows = flow.read("rows", memory.Source(cuts), event_time="t", watermark=sf.bounded_out_of_orderness(bound))
    steps(rows).write("out", out)
    late = sf.run(flow).late
    return _micros(out.table()), late


@pytest.fixture(scope="session")
def table() -> Callable[[Rows], pa.Table]:
    """A table of (k, v, t in microseconds)."""
    return _table


@pytest.fixture(scope="session")
def flow() -> Callable[..., sf.Flow]:
    """A flow of these steps over the read `rows` into `out`: `flow(steps, bound=, idle=, align=)`."""
    return _flow


@pytest.fixture(scope="session")
def micros() -> Callable[[pa.Table], list[dict[str, Any]]]:
    """Rows as dicts, times as microseconds."""
    return _micros


@pytest.fixture(scope="session")
def run_batches() -> Callable[..., tuple[list[dict[str, Any]], int]]:
    """Run these steps over batches cut exactly so: the result, times as microseconds, and how many pairs were late."""
    return _run_batches
