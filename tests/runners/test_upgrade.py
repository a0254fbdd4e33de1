"""A changed flow goes on from its checkpoint where the state fits, and is refused in words where it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.cluster.manifest import Manifest
from streamflow.engine.split_state import SplitState
from streamflow.errors import UserError
from streamflow.plan.physical import PhysicalGraph
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise
from streamflow.runners.upgrade import Upgrade

Step: TypeAlias = "Callable[[sf.Stream], sf.Stream]"

ROWS = pa.table({"k": [1, 2], "n": [3, 4], "s": ["a", "b"], "at": pa.array([0, 1], pa.timestamp("us", "UTC"))})
SECOND = sf.tumbling("1s")


@dataclass
class Seen:
    n: int


class Latest(sf.KeyedFunction):
    last = sf.cell(int, default=0)

    def on_row(self, n: int) -> Seen:
        self.last = n
        return Seen(n)


class LatestText(sf.KeyedFunction):
    last = sf.cell(str, default="")

    def on_row(self, n: int, s: str) -> Seen:
        self.last = s
        return Seen(n)


class Reminder(sf.KeyedFunction):
    due = sf.timer()

    def on_row(self, n: int) -> Seen:
        return Seen(n)

    def on_due(self) -> Seen:
        return Seen(0)


class ClockReminder(Reminder):
    due = sf.timer("processing")


def windowed(**aggregates: sf.Expr) -> Step:
    return lambda rows: rows.key_by("k").window(SECOND).agg(**aggregates)


STEPS: Mapping[str, Step] = {
    "sum": windowed(x=col("n").sum()),
    "sum of another expression": windowed(x=(col("n") * 2).sum()),
    "sum of some rows": windowed(x=col("n").sum(filter=col("n") > 5)),
    "max": windowed(x=col("n").max()),
    "sum and count": windowed(x=col("n").sum(), y=sf.count()),
    "sum under another name": windowed(y=col("n").sum()),
    "sum of floats": windowed(x=(col("n") * 0.5).sum()),
    "sum by text": lambda rows: rows.with_columns(k=col("s")).key_by("k").window(SECOND).agg(x=col("n").sum()),
    "sum by another key": lambda rows: rows.key_by("n").window(SECOND).agg(x=col("n").sum()),
    "sum of other windows": lambda rows: rows.key_by("k").window(sf.tumbling("2s")).agg(x=col("n").sum()),
    "sum of sliding windows": lambda rows: rows.key_by("k").window(sf.sliding("2s", every="1s")).agg(x=col("n").sum()),
    "sum of sessions": lambda rows: rows.key_by("k").window(sf.session("1s")).agg(x=col("n").sum()),
    "sum of longer sessions": lambda rows: rows.key_by("k").window(sf.session("2s")).agg(x=col("n").sum()),
    "running sum": lambda rows: rows.key_by("k").agg(x=col("n").sum()),
    "running max": lambda rows: rows.key_by("k").agg(x=col("n").max()),
    "median": windowed(x=col("n").median()),
    "ninth decile": windowed(x=col("n").quantile(0.9)),
    "first": lambda rows: rows.key_by("k").dedup(keep="first"),
    "any": lambda rows: rows.key_by("k").dedup(keep="any"),
    "top 2": lambda rows: rows.key_by("k").window(SECOND).top(2, by="n"),
    "top 3": lambda rows: rows.key_by("k").window(SECOND).top(3, by="n"),
    "latest": lambda rows: rows.key_by("k").process(Latest()),
    "timer": lambda rows: rows.key_by("k").process(Reminder()),
    "timer by the clock": lambda rows: rows.key_by("k").process(ClockReminder()),
    "latest text": lambda rows: rows.key_by("k").process(LatestText()),
}
OF_ONE_SUM = {"sum", "sum of another expression", "sum of some rows"}
"""What is summed is not in the state."""


def graph(step: Step, workers: int = 1) -> PhysicalGraph:
    flow = sf.Flow("f")
    step(flow.read("rows", memory.Source(ROWS), event_time="at")).step("it").write("out", memory.Sink())
    return place(optimise(flow.graph()), name="f", workers=workers)


def checkpoint_of(graph: PhysicalGraph) -> Manifest:
    return Manifest(
        job="j",
        flow="f",
        checkpoint=7,
        key_groups=128,
        completed=False,
        splits={"rows": {"0": SplitState()}},
        state={},
        signatures=graph.signatures(),
    )


@pytest.mark.parametrize("before", STEPS)
def test_state_fits_the_step_that_made_it_on_any_number_of_workers_and_no_other(before: str) -> None:
    base = checkpoint_of(graph(STEPS[before]))
    for now, step in STEPS.items():
        fits = now == before or {before, now} < OF_ONE_SUM
        for workers in (1, 3):
            upgrade = Upgrade.of(base, graph(step, workers))
            assert (not upgrade.changed) == fits, (before, now, upgrade.changed)


def test_a_step_that_has_changed_is_named_with_what_it_was_and_what_it_is() -> None:
    upgrade = Upgrade.of(checkpoint_of(graph(STEPS["sum"])), graph(STEPS["max"]))
    with pytest.raises(UserError) as error:
        upgrade.check(allow_dropped=True)
    assert "'it' was 'aggregate by k: int64 in Tumbling(" in str(error.value)
    assert "x = sum(int64)'" in str(error.value)
    assert "x = max(int64)'" in str(error.value)


def test_what_goes_on_and_what_is_new_is_told() -> None:
    def two(rows: sf.Stream) -> sf.Stream:
        return STEPS["sum"](rows).step("sums").key_by("k").agg(n=sf.count())

    def one(rows: sf.Stream) -> sf.Stream:
        return STEPS["sum"](rows).step("sums").filter(col("x") > 0)

    upgrade = Upgrade.of(checkpoint_of(graph(one)), graph(two))
    upgrade.check(allow_dropped=False)
    assert upgrade.report() == "f goes on from checkpoint 7 as a changed flow (goes on: rows, sums; new: it)"
    assert Upgrade.of(checkpoint_of(graph(one)), graph(one)).report() is None
