"""A folder that grows while it is read: new files are new splits (rules 2, 28)."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamflow_connectors import jsonl, memory, parquet

import streamflow as sf
from streamflow.cluster.checkpoint import Checkpoint
from streamflow.connect import Fatal, GrowingSource, Source, UserError, Wait
from streamflow.engine.clock import ManualClock
from streamflow.engine.watermarks import SplitClock
from streamflow.operators.events import MIN_TIME, Watermark
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise
from streamflow.runners.inline import InlineJob

SCHEMA = pa.schema({"at": pa.timestamp("us", "UTC"), "n": pa.int64()})
START = datetime(2026, 3, 1, tzinfo=UTC)


def write(folder: Path, number: int) -> None:
    """Ten rows of the file's own ten seconds, out of order by up to two; it appears whole."""
    rows = [{"at": START + timedelta(seconds=10 * number + n + (2 if n % 2 else 0)), "n": n} for n in range(10)]
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / "_next", row_group_size=4)
    (folder / "_next").rename(folder / f"{number:02}.parquet")


def flow(source: Source) -> sf.Flow:
    made = sf.Flow("followed")
    rows = made.read("rows", source, event_time="at", watermark=sf.bounded_out_of_orderness("4s"))
    rows.window(sf.tumbling("5s")).agg(rows=sf.count(), total=sf.col("n").sum()).write("out", memory.Sink())
    return made


def job(folder: Path, workers: int, checkpoint: Checkpoint | None, clock: ManualClock, seed: int) -> InlineJob:
    graph = place(optimise(flow(parquet.Source(folder, SCHEMA, follow="1s")).graph()), name="f", workers=workers)
    return InlineJob(graph, checkpoint=checkpoint, clock=clock, seed=seed, max_rows=5)


@pytest.mark.parametrize("seed", range(12))
def test_rows_of_files_that_appear_while_it_runs_are_counted_once_and_none_is_late(tmp_path: Path, seed: int) -> None:
    rng, clock = random.Random(seed), ManualClock()
    checkpoint: Checkpoint | None = None
    written, tables = rng.randint(0, 3), []
    for number in range(written):
        write(tmp_path, number)
    for attempt in range(4):
        running = job(tmp_path, rng.randint(1, 3), checkpoint, clock, rng.getrandbits(32))
        for _ in range(rng.randint(0, 6) if attempt < 3 else 12 - written):
            for _ in range(rng.randint(0, 60)):
                assert running.step()
            write(tmp_path, written)
            written += 1
            if written == 12:
                break
        for _ in range(40 if attempt < 3 else 600):
            assert running.step()
        before = running.checkpoint
        running.trigger_checkpoint()
        while running.checkpoint is before:
            assert running.step()
        checkpoint = running.checkpoint
        for _ in range(rng.randint(0, 30)):
            running.step()
        assert running.late() == {}, running.late()
        tables.append(running.results()["out"])
        running.close()
        if written == 12:
            break
    got = pa.concat_tables(tables)
    for number in range(written, 12):
        write(tmp_path, number)
    expected = sf.testing.run(flow(parquet.Source(tmp_path, SCHEMA)))["out"]
    wanted = {row["window_start"]: row for row in expected.to_pylist()}
    rows = got.to_pylist()
    assert len({row["window_start"] for row in rows}) == len(rows)
    assert all(wanted[row["window_start"]] == row for row in rows)


def test_all_files_but_the_last_seconds_have_fired_once_the_folder_is_read(tmp_path: Path) -> None:
    running = job(tmp_path, 2, None, ManualClock(), 5)
    for number in range(3):
        for _ in range(30):
            assert running.step()
        write(tmp_path, number)
    for _ in range(300):
        assert running.step()
    running.trigger_checkpoint()
    for _ in range(200):
        running.step()
    assert running.results()["out"]["rows"].to_pylist() == [4, 5, 5, 5, 5]
    assert running.checkpoint is not None
    assert sorted(Path(name).stem for name in running.checkpoint.splits["rows"]) == ["00", "01", "02"]


def test_a_new_split_holds_the_watermark_until_it_has_come_as_far() -> None:
    clock = SplitClock(bound=0, idle=10, least={"a": MIN_TIME})
    clock.on_rows("a", 100)
    assert clock.watermark(ended=False) == Watermark(100)
    clock.add("b", MIN_TIME)
    clock.on_rows("a", 150)
    assert clock.watermark(ended=False) == Watermark(100)
    clock.on_rows("b", 120)
    assert clock.watermark(ended=False) == Watermark(120)
    clock.add("c", 130)
    clock.on_rows("b", 140)
    assert clock.watermark(ended=False) == Watermark(130)
    clock.on_ended("c")
    assert clock.watermark(ended=False) == Watermark(140)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_file_that_grows_after_it_was_read_is_an_error_that_says_how_to_write_it(tmp_path: Path, kind: str) -> None:
    write(tmp_path, 0)
    file = tmp_path / "00.parquet"
    source: Source = parquet.Source(tmp_path, SCHEMA, follow="1s")
    if kind == "jsonl":
        file = tmp_path / "a.jsonl"
        file.write_text('{"n": 1}\n')
        source = jsonl.Source(tmp_path, pa.schema({"n": pa.int64()}), follow="1s")
    reader = source.open(dict.fromkeys(source.splits()))
    while reader.poll(100) != Wait(1.0):
        pass
    assert reader.poll(100) == Wait(1.0)
    with file.open("ab") as more:
        more.write(b'{"n": 2}\n')
    with pytest.raises(Fatal, match=r"has grown since it was read: from [\d,]+ to [\d,]+ bytes") as raised:
        reader.poll(100)
    assert raised.value.remedy is not None
    assert "move them into the folder" in raised.value.remedy
    file.unlink()
    assert reader.poll(100) == Wait(1.0), "what was read may go"


def test_a_folder_may_be_empty_or_missing_at_first(tmp_path: Path) -> None:
    source = parquet.Source(tmp_path / "later", SCHEMA, follow="1s")
    assert isinstance(source, GrowingSource)
    assert not source.bounded
    assert source.splits() == []
    with pytest.raises(UserError, match="holds no file yet") as raised:
        parquet.Source(tmp_path, follow="1s").schema()
    assert raised.value.remedy == "declare them with schema="
    with pytest.raises(UserError, match="follow='0s' is no time to wait"):
        jsonl.Source(tmp_path, SCHEMA, follow="0s")
    assert parquet.Source(tmp_path, SCHEMA).bounded


def test_a_folder_without_a_file_holds_nobody(tmp_path: Path) -> None:
    """Rule 3: a read that has no split is idle, and what it is united with goes on."""
    made = sf.Flow("united")
    empty = made.read("empty", parquet.Source(tmp_path, SCHEMA, follow="1s"), event_time="at")
    table = pa.Table.from_pylist([{"at": START + timedelta(seconds=n), "n": n} for n in range(30)], SCHEMA)
    rows = made.read("rows", memory.Source(table), event_time="at").union(empty)
    rows.window(sf.tumbling("10s")).agg(rows=sf.count()).write("out", memory.Sink())
    job = InlineJob(place(optimise(made.graph()), name="united", workers=2), max_rows=5)
    for _ in range(300):
        job.step()
    job.trigger_checkpoint()
    for _ in range(300):
        job.step()
    assert job.results()["out"]["rows"].to_pylist()[:2] == [10, 10]
