from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamflow_connectors import datagen, memory

import streamflow as sf
from streamflow.connect import ClockedReader, Ended, ProjectableSource, SizedSource, TimedSource, UserError, Wait
from streamflow.engine.clock import ManualClock
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise
from streamflow.runners.inline import InlineJob

COLUMNS = {
    "id": datagen.sequence(10, step=2),
    "user": datagen.zipf(1000, first=1),
    "amount": datagen.uniform(-5, 5),
    "share": datagen.uniform(0.5, 2.0),
    "kind": datagen.choice(["card", "cash", None], weights=[3, 1, 0]),
    "word": datagen.text(0, 3),
    "at": datagen.timestamps("2026-03-01T12:00:00+01:00", every="10ms", disorder="1s"),
    "version": datagen.constant(7),
    "note": datagen.nullable(datagen.constant("x"), share=0.25),
}


def read(source: datagen.Source, max_rows: int = 10_000) -> pa.Table:
    reader = source.open(dict.fromkeys(source.splits()))
    batches = []
    while isinstance(polled := reader.poll(max_rows), Ended) or polled:
        if isinstance(polled, list):
            for part in polled:
                assert isinstance(part, tuple)
                batches.append(part[1])
    return pa.Table.from_batches(batches, source.schema())


def test_it_has_the_capabilities_of_a_source() -> None:
    for capability in (ProjectableSource, SizedSource, TimedSource):
        assert isinstance(datagen.Source(COLUMNS, rows=5), capability)
    assert isinstance(datagen.Source(COLUMNS, rate=5).open({"0": None}), ClockedReader)
    assert not isinstance(datagen.Source(COLUMNS).open({"0": None}), ClockedReader)


def test_columns_are_typed() -> None:
    assert [str(type_) for type_ in datagen.Source(COLUMNS).schema().types] == [
        "int64",
        "int64",
        "int64",
        "double",
        "string",
        "string",
        "timestamp[us, tz=UTC]",
        "int64",
        "string",
    ]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**64), max_rows=st.integers(1, 50), splits=st.integers(1, 5))
def test_rows_do_not_depend_on_cuts_splits_columns_or_pace(seed: int, max_rows: int, splits: int) -> None:
    whole = read(datagen.Source(COLUMNS, rows=61, seed=seed))
    names = whole.column_names[::-1]
    parts = read(datagen.Source(COLUMNS, rows=61, seed=seed, splits=splits).project(names), max_rows)
    assert parts.num_rows == 61
    assert parts.sort_by("id").select(whole.column_names).combine_chunks().equals(whole.combine_chunks())
    reader = datagen.Source(COLUMNS, rows=61, seed=seed, rate=50).open({"0": None})
    assert isinstance(reader, ClockedReader)
    paced, now = [], 0.0
    while not isinstance(polled := reader.poll(max_rows), Ended):
        if isinstance(polled, Wait):
            now += polled.seconds
        else:
            paced += [part[1] for part in polled if isinstance(part, tuple)]
        reader.on_clock(now)
    assert pa.Table.from_batches(paced).equals(whole)


def test_another_seed_gives_other_rows_and_a_sequence_stays() -> None:
    first, second = (read(datagen.Source(COLUMNS, rows=100, seed=seed)) for seed in (1, 2))
    assert first["id"].equals(second["id"])
    for name in ("user", "amount", "share", "kind", "word", "at", "note"):
        assert not first[name].equals(second[name])


def test_values_of_a_seed_never_change() -> None:
    [row] = read(datagen.Source(COLUMNS, rows=1000, seed=1)).slice(777, 1).to_pylist()
    assert row.pop("at").isoformat() == "2026-03-01T11:00:07.259677+00:00"
    assert row == {
        "id": 1564,
        "user": 1,
        "amount": 2,
        "share": 1.181508785172973,
        "kind": "card",
        "word": "oxl",
        "version": 7,
        "note": "x",
    }


def test_values_are_spread_as_told() -> None:
    rows = read(datagen.Source(COLUMNS, rows=100_000))
    rows.validate(full=True)
    assert rows["id"].to_pylist()[:3] == [10, 12, 14]
    amounts = np.bincount(rows["amount"].to_numpy() + 5)
    assert len(amounts) == 11
    assert amounts.min() > 100_000 / 11 * 0.9
    assert 0.5 <= pc.min(rows["share"]).as_py() < 0.51
    assert 1.99 < pc.max(rows["share"]).as_py() < 2.0
    kinds = rows["kind"].to_pylist()
    assert rows["kind"].null_count == 0
    assert 0.74 < kinds.count("card") / 100_000 < 0.76
    assert 0.24 < rows["note"].null_count / 100_000 < 0.26
    assert set(pc.utf8_length(rows["word"]).to_pylist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.5])
def test_the_kth_value_comes_in_its_share(exponent: float) -> None:
    ranks = read(datagen.Source({"n": datagen.zipf(50, exponent)}, rows=200_000))["n"].to_numpy()
    shares = np.arange(1, 51) ** -exponent
    expected = shares / shares.sum() * 200_000
    assert np.all(np.abs(np.bincount(ranks, minlength=50) - expected) < 6 * np.sqrt(expected) + 6)


def test_whole_numbers_of_every_range_are_made() -> None:
    edges = datagen.Source({"n": datagen.uniform(-(2**63), 2**63 - 1), "one": datagen.uniform(3, 3)}, rows=1000)
    rows = read(edges)
    assert pc.min(rows["n"]).as_py() < -(2**62)
    assert pc.max(rows["n"]).as_py() > 2**62
    assert set(rows["one"].to_pylist()) == {3}


def test_disorder_stays_within_its_bound_and_is_used() -> None:
    source = datagen.Source(COLUMNS, rows=10_000)
    times = read(source.project(["at"]))["at"].cast(pa.int64()).to_numpy()
    behind = np.maximum.accumulate(times) - times
    assert 900_000 < behind.max() <= 1_000_000
    assert source.min_value("0", "at") == pa.scalar(datetime(2026, 3, 1, 10, 59, 59, tzinfo=UTC))
    assert source.min_value("0", "id") is None


def test_a_stream_without_end_goes_on() -> None:
    source = datagen.Source(COLUMNS)
    assert not source.bounded
    assert source.row_count() is None
    polled = source.open({"0": 10**12}).poll(1000)
    assert isinstance(polled, list)
    [part] = polled
    assert isinstance(part, tuple)
    assert part[1].num_rows == 1000


def test_a_rate_is_kept_to_by_the_engines_clock() -> None:
    flow = sf.Flow("paced")
    flow.read("rows", datagen.Source(COLUMNS, rows=1000, rate=100, splits=2)).write("out", memory.Sink())
    clock = ManualClock()
    job = InlineJob(place(optimise(flow.graph()), name="paced", workers=2), clock=clock, seed=3)
    job.run()
    assert job.results()["out"].num_rows == 1000
    assert 9_900_000 <= clock.monotonic() <= 10_100_000


@pytest.mark.parametrize("seed", range(5))
def test_crashes_change_nothing(seed: int) -> None:
    flow = sf.Flow("made")
    source = datagen.Source(COLUMNS, rows=300, rate=100, splits=3)
    flow.read("rows", source, event_time="at", watermark=sf.bounded_out_of_orderness("1s")).window(
        sf.tumbling("1s")
    ).agg(rows=sf.count(), total=sf.col("amount").sum()).write("out", memory.Sink())
    calm = sf.testing.run(flow)["out"]
    assert sum(calm["rows"].to_pylist()) == 300
    sf.testing.assert_rows(sf.testing.run(flow, seed=seed, workers=2, crashes=3)["out"], calm.to_pylist())


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (lambda: datagen.Source({}), "rows without columns"),
        (lambda: datagen.Source({"n": 5}), "column 'n': 5 does not say"),  # type: ignore[dict-item]
        (lambda: datagen.Source(COLUMNS, rows=-1), "rows=-1"),
        (lambda: datagen.Source(COLUMNS, rate=0), "rate=0"),
        (lambda: datagen.Source(COLUMNS, splits=0), "splits=0"),
        (lambda: datagen.uniform(2, 1), "holds no int64"),
        (lambda: datagen.uniform(0.0, float("inf")), "holds no number"),
        (lambda: datagen.zipf(0), "cannot be made"),
        (lambda: datagen.choice([]), "cannot choose among 0 values"),
        (lambda: datagen.choice(["a"], weights=[1, 2]), "cannot choose among 1 values"),
        (lambda: datagen.choice(["a", 1]), "not of one type"),
        (lambda: datagen.text(3, 2), "has no length"),
        (lambda: datagen.timestamps(every="-1s"), "go back"),
        (lambda: datagen.nullable(datagen.sequence(), 2), "share of 2"),
    ],
)
def test_what_cannot_be_made_is_refused(wrong: object, problem: str) -> None:
    assert callable(wrong)
    with pytest.raises(UserError, match=problem):
        wrong()
