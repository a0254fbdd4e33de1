"""Proving that results do not depend on crashes, workers or timing; and planted bugs that are found."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

import pyarrow as pa
import pytest
from streamflow_connectors import datagen, memory

import streamflow as sf
from streamflow import col
from streamflow.errors import UserError
from streamflow.testing.proving import Disproved, Trial
from streamflow.testing.recording import record

START = datetime(2026, 3, 1, tzinfo=UTC)
ROWS = [{"user": n % 5, "amount": n, "at": START + timedelta(seconds=n)} for n in range(120)]
PAYMENTS = pa.Table.from_pylist(
    ROWS, schema=pa.schema([("user", pa.int64()), ("amount", pa.int64()), ("at", pa.timestamp("us", "UTC"))])
)


def payments(flow: sf.Flow) -> sf.Stream:
    return flow.read("payments", memory.Source(PAYMENTS), event_time="at")


def sums() -> sf.Flow:
    flow = sf.Flow("sums")
    windows = payments(flow).key_by("user").window(sf.tumbling("10s"))
    windows.agg(total=col("amount").sum()).write("totals", memory.Sink())
    again = flow.read("again", memory.Source(PAYMENTS), event_time="at")
    again.key_by("user").agg(n=sf.count()).changes().write("counts", memory.Sink())
    return flow


class Total(TypedDict):
    total: int


class Keeps(sf.KeyedFunction):
    total = sf.cell(int, default=0)

    def on_row(self, amount: int) -> Total:
        self.total += amount
        return {"total": self.total}


def running(function: sf.KeyedFunction, ordered: bool = True) -> sf.Flow:
    flow = sf.Flow("running")
    payments(flow).key_by("user").process(function, ordered=ordered).write("totals", memory.Sink())
    return flow


TOTALS: dict[int, int] = {}


def forgetful() -> sf.Flow:
    """The bug: what it has seen stands beside the job, where no checkpoint holds it."""
    TOTALS.clear()

    def add(user: int, amount: int) -> int:
        TOTALS[user] = TOTALS.get(user, 0) + amount
        return TOTALS[user]

    flow = sf.Flow("forgetful")
    payments(flow).with_columns(total=add).write("totals", memory.Sink())
    return flow


def test_a_sound_flow_is_proved() -> None:
    proof = sf.testing.prove(sums, seeds=12)
    assert (proof.trials, proof.late, proof.rows) == (12, 0, 120)
    assert sf.testing.prove(lambda: running(Keeps()), seeds=12).trials == 12


def test_state_that_no_checkpoint_holds_is_found_and_the_trial_made_small() -> None:
    with pytest.raises(Disproved) as error:
        sf.testing.prove(forgetful, seeds=40)
    trial = error.value.trial
    assert trial.rows < 60
    assert trial.crashes == 1  # without a crash it is right
    with pytest.raises(Disproved):
        sf.testing.prove(forgetful, replay=str(trial))


def test_what_depends_on_the_order_of_arrival_is_found() -> None:
    rows = {"payments": sf.testing.splits(PAYMENTS.slice(0, 60), PAYMENTS.slice(60))}
    sf.testing.prove(lambda: running(Keeps()), rows, seeds=10)
    with pytest.raises(Disproved, match="sink 'totals'"):
        sf.testing.prove(lambda: running(Keeps(), ordered=False), rows, seeds=30)


def test_chance_in_a_function_is_found() -> None:
    def some(amount: int) -> bool:
        return random.random() < 0.9

    def build() -> sf.Flow:
        flow = sf.Flow("some")
        payments(flow).filter(some).write("out", memory.Sink())
        return flow

    with pytest.raises(Disproved, match="too many"):
        sf.testing.prove(build, seeds=10)


def test_an_error_that_only_some_runs_have_is_found() -> None:
    calls: list[int] = []

    def fails(amount: int) -> bool:
        calls.append(amount)
        if len(calls) > 200:
            raise ValueError("too often")
        return True

    def build() -> sf.Flow:
        flow = sf.Flow("fails")
        payments(flow).filter(fails).write("out", memory.Sink())
        return flow

    with pytest.raises(Disproved, match="the calm run succeeds; this one fails"):
        sf.testing.prove(build, seeds=10)


def test_trials_with_late_rows_are_counted_and_not_compared() -> None:
    late = [*ROWS, {"user": 1, "amount": 1, "at": START}]
    assert sf.testing.prove(lambda: running(Keeps()), {"payments": late}, seeds=4).late > 0


def test_a_read_that_is_not_there_is_an_error() -> None:
    with pytest.raises(UserError, match="no read named 'clicks'"):
        sf.testing.prove(sums, {"clicks": []}, seeds=1)


@pytest.mark.parametrize("text", ["", "1:2:3", "1:2:3:x", "1:2:3:4:5"])
def test_what_is_no_trial_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no trial"):
        Trial.parse(text)


def test_the_first_rows_of_a_source_that_never_ends_are_recorded() -> None:
    source = datagen.Source({"n": datagen.sequence()}, rate=1000.0, splits=2)
    splits = record(source, source.schema(), 50)
    assert sum(part.num_rows for part in splits.parts) == 50


def test_the_fixture_fails_with_what_repeats_it(prove: Any) -> None:
    prove(lambda: running(Keeps()), seeds=3)
    with pytest.raises(pytest.fail.Exception, match=r'repeat it: prove\(..., replay="\d+:\d+:1:\d+"\)'):
        prove(forgetful, seeds=40)
