"""Keyed tables: a running aggregate over a million keys, and one whose state is four times what it may keep."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.timing import REPEATS, Best, best_of_each
from streamflow.kernels.aggregate import AggregateSpec
from streamflow.operators.running_aggregate import RunningAggregate
from streamflow.runners.spilling import SpillFiles
from streamflow.state.keyed_table import KeyedTable
from streamflow.state.memory import Memory

KEYS = 1_000_000
BATCH = 16_384
TIMES_BUDGET = 4
RUNNING = "running count and sum, 1 M keys"
SPILLED_ZIPF, SPILLED_UNIFORM = (f"state {TIMES_BUDGET} x the budget, {keys} keys" for keys in ("Zipf", "uniform"))

Int64s = npt.NDArray[np.int64]
_COUNT = AggregateSpec("count", None, None, "n")
_SUM = AggregateSpec("sum", "v", pa.int64(), "total")


@dataclass(frozen=True, slots=True)
class Table:
    """So many `rows` by the engine's operator, and by what it is measured beside."""

    name: str
    beside: str
    rows: int
    ours: Best
    other: Best

    @property
    def speed(self) -> float:
        """Million rows a second of CPU time."""
        return self.rows / self.ours.cpu / 1e6

    @property
    def ratio(self) -> float:
        return self.other.cpu / self.ours.cpu


def measure(batches: int) -> Iterable[Table]:
    yield running_aggregate(batches)
    yield beyond_memory(SPILLED_ZIPF, _zipf, batches)
    yield beyond_memory(SPILLED_UNIFORM, _uniform, batches)


def running_aggregate(batches: int) -> Table:
    """count and sum of random int64 keys that are all known, changelog included; beside it the least that numpy can do
    for keys that number places in arrays: no hash, no table, sums that may overflow.
    """
    rng = np.random.default_rng(1)
    ids = rng.permutation(KEYS) * 0x1E3779B97F4A7C15  # spread over 64 bits
    drawn = [(rng.integers(0, KEYS, BATCH), rng.integers(0, 1000, BATCH)) for _ in range(batches)]
    rows = [pa.record_batch({"k": ids[places], "v": values}) for places, values in drawn]
    operator = RunningAggregate(("k",), (_COUNT, _SUM), rows[0].schema)
    for start in range(0, KEYS, BATCH):
        part = ids[start : start + BATCH]
        _run(operator, [pa.record_batch({"k": part, "v": np.ones(len(part), np.int64)})])
    kept = (ids, np.ones(KEYS, np.int64), np.ones(KEYS, np.int64))
    calls: dict[str, Callable[[], object]] = {
        "ours": lambda: _run(operator, rows),
        "numpy": lambda: [_by_place(kept, places, values) for places, values in drawn],
    }
    best = best_of_each(calls)
    return Table(RUNNING, "numpy", batches * BATCH, best["ours"], best["numpy"])


def _run(operator: RunningAggregate, batches: Iterable[pa.RecordBatch], memory: Memory | None = None) -> None:
    for batch in batches:
        for _ in operator.on_batch(0, batch):
            pass
        if memory is not None:
            memory.settle()


def _by_place(kept: tuple[Int64s, Int64s, Int64s], places: Int64s, values: Int64s) -> pa.RecordBatch:
    ids, counts, sums = kept
    order = np.argsort(places)
    places = places[order]
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    distinct = places[starts]
    before = counts[distinct], sums[distinct]
    after = before[0] + np.diff(starts, append=len(places)), before[1] + np.add.reduceat(values[order], starts)
    counts[distinct], sums[distinct] = after
    kinds = np.tile(np.array([1, 2], np.int8), len(distinct))
    columns = [np.repeat(ids[distinct], 2), *(np.stack(two, axis=1).ravel() for two in zip(before, after, strict=True))]
    return pa.record_batch([pa.array(column) for column in (*columns, kinds)], names=["k", "n", "total", "_change"])


def beyond_memory(name: str, draw: Callable[[np.random.Generator], Int64s], batches: int) -> Table:
    """count and sum by keys that are texts of 20 characters, all known: with a quarter of the memory that the state
    takes, and with all of it. Before anything is timed as many rows go by as are timed.
    """
    rng = np.random.default_rng(2)
    texts = pa.array([f"customer-{number:011d}" for number in rng.permutation(KEYS).tolist()])
    whole = RunningAggregate(("k",), (_COUNT, _SUM), _SCHEMA)
    _run(whole, _all_keys(texts))
    table = whole.state()["table"]
    assert isinstance(table, KeyedTable)
    memory = Memory(table.resident // TIMES_BUDGET, SpillFiles())
    spilling = RunningAggregate(("k",), (_COUNT, _SUM), _SCHEMA)
    memory.add(spilling.state().values())
    _run(spilling, _all_keys(texts), memory)
    drawn = [[_rows(texts, draw(rng), rng) for _ in range(batches)] for _ in range(REPEATS + 1)]
    _run(spilling, drawn[0], memory)
    turns = {"ours": iter(drawn[1:]), "whole": iter(drawn[1:])}
    best = best_of_each(
        {
            "ours": lambda: _run(spilling, next(turns["ours"]), memory),
            "whole": lambda: _run(whole, next(turns["whole"])),
        }
    )
    return Table(name, "all in memory", batches * BATCH, best["ours"], best["whole"])


_SCHEMA = pa.schema([("k", pa.string()), ("v", pa.int64())])


def _all_keys(texts: pa.Array) -> Iterable[pa.RecordBatch]:
    for start in range(0, KEYS, BATCH):
        part = texts.slice(start, BATCH)
        yield pa.record_batch([part, pa.array(np.ones(len(part), np.int64))], schema=_SCHEMA)


def _rows(texts: pa.Array, places: Int64s, rng: np.random.Generator) -> pa.RecordBatch:
    return pa.record_batch([texts.take(pa.array(places)), pa.array(rng.integers(0, 1000, len(places)))], schema=_SCHEMA)


def _zipf(rng: np.random.Generator) -> Int64s:
    """The key of rank r with a probability in proportion to 1 / r."""
    ends: npt.NDArray[Any] = np.cumsum(1 / np.arange(1, KEYS + 1))
    places: Int64s = np.searchsorted(ends, rng.random(BATCH) * ends[-1])
    return places


def _uniform(rng: np.random.Generator) -> Int64s:
    return rng.integers(0, KEYS, BATCH)
