"""File sinks publish whole files, once, and only at commit (rule 40)."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from streamflow_connectors import arrow, csv, jsonl, parquet, text

from streamflow.connect import (
    Fatal,
    FileTarget,
    FileWriter,
    KeepingWriter,
    SinkContext,
    TransactionalSink,
    UserError,
    Writer,
)
from streamflow.connect.formats.lines import LineFormat
from streamflow.connect.formats.text import TextEncoder

SCHEMA = pa.schema({"s": pa.string()})
SINKS = [parquet.Sink, arrow.Sink, jsonl.Sink, csv.Sink, text.Sink]


def rows(*values: str) -> pa.RecordBatch:
    return pa.record_batch({"s": list(values)})


def who(
    *, job: str = "job-1", worker: int = 0, attempt: int = 1, clock: Callable[[], float] = lambda: 0.0
) -> SinkContext:
    return SinkContext(job=job, step="hot items", worker=worker, attempt=attempt, schema=SCHEMA, clock=clock)


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("_"))


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("make", SINKS, ids=lambda make: make.__module__)
def test_nothing_is_visible_before_commit_and_all_after_it(
    tmp_path: Path, make: Callable[[Path], TransactionalSink]
) -> None:
    sink = make(tmp_path / "out")
    assert isinstance(sink, TransactionalSink)
    writer = sink.open(who())
    writer.write(rows("a", "b"))
    writer.flush()
    assert visible(tmp_path / "out") == []
    prepared = writer.prepare(1, final=False)
    writer.write(rows("c"))
    assert visible(tmp_path / "out") == []
    sink.committer("job-1").commit(json.loads(json.dumps(prepared)))
    assert len(visible(tmp_path / "out")) == 1
    prepared = writer.prepare(2, final=True)
    writer.close()
    sink.committer("job-1").commit(prepared)
    assert len(visible(tmp_path / "out")) == 2
    assert everything(tmp_path / "out") == visible(tmp_path / "out")


def test_names_tell_step_worker_job_and_attempt(tmp_path: Path) -> None:
    sink = text.Sink(tmp_path)
    writer = sink.open(who(worker=3, attempt=7))
    writer.write(rows("a"))
    assert [committable["id"] for committable in writer.prepare(1, final=True)] == ["hot-items-w3-job1-a7-00000.txt"]


def test_commit_again_is_harmless(tmp_path: Path) -> None:
    sink = text.Sink(tmp_path)
    writer = sink.open(who())
    writer.write(rows("a"))
    prepared = writer.prepare(1, final=True)
    for _ in range(2):
        sink.committer("job-1").commit(prepared)
    assert [path.read_text() for path in tmp_path.glob("*.txt")] == ["a\n"]


def test_a_commit_that_was_interrupted_is_completed(tmp_path: Path) -> None:
    sink = text.Sink(tmp_path, roll=1)
    writer = sink.open(who())
    for value in "abc":
        writer.write(rows(value))
    prepared = writer.prepare(1, final=True)
    sink.committer("job-1").commit(prepared[:1])
    sink.committer("job-1").commit(prepared)
    assert sorted(path.read_text() for path in tmp_path.glob("*.txt")) == ["a\n", "b\n", "c\n"]


def test_a_prepared_file_that_vanished_is_a_loud_loss(tmp_path: Path) -> None:
    sink = text.Sink(tmp_path)
    writer = sink.open(who())
    writer.write(rows("a"))
    prepared = writer.prepare(1, final=True)
    next(tmp_path.rglob("*.txt")).unlink()
    with pytest.raises(Fatal, match="neither staged nor published: its rows are lost"):
        sink.committer("job-1").commit(prepared)


def test_close_without_prepare_leaves_nothing(tmp_path: Path) -> None:
    writer = parquet.Sink(tmp_path / "out", roll=10).open(who())
    writer.write(rows("a" * 100))
    writer.write(rows("b"))
    writer.close()
    assert everything(tmp_path / "out") == []


def test_close_after_prepare_leaves_what_the_committer_needs(tmp_path: Path) -> None:
    sink = text.Sink(tmp_path)
    writer = sink.open(who())
    writer.write(rows("a"))
    prepared = writer.prepare(1, final=True)
    writer.close()
    sink.committer("job-1").commit(prepared)
    assert [path.read_text() for path in tmp_path.glob("*.txt")] == ["a\n"]


def test_a_new_attempt_discards_what_the_old_one_left(tmp_path: Path) -> None:
    sink = text.Sink(tmp_path)
    kept, lost, other = sink.open(who()), sink.open(who(worker=1)), sink.open(who(job="job-2"))
    for writer in (kept, lost, other):
        writer.write(rows("a"))
    [keep] = kept.prepare(1, final=False)
    lost.prepare(1, final=False)
    other.prepare(1, final=False)
    new = sink.open(who(attempt=2))
    new.write(rows("b"))
    committer = sink.committer("job-1")
    committer.discard_unknown({str(keep["id"])}, before_attempt=2)
    left = sorted(path.name for path in tmp_path.rglob("*.txt"))
    assert left == [
        "hot-items-w0-job1-a1-00000.txt",
        "hot-items-w0-job1-a2-00000.txt",
        "hot-items-w0-job2-a1-00000.txt",
    ]
    committer.commit([keep, *new.prepare(2, final=True)])
    assert visible(tmp_path) == left[:2]


@pytest.mark.parametrize("make", SINKS, ids=lambda make: make.__module__)
def test_files_roll_by_size(tmp_path: Path, make: Callable[..., TransactionalSink]) -> None:
    sink = make(tmp_path, roll="1KB")
    writer = sink.open(who())
    for _ in range(10):
        writer.write(rows(*["x" * 100] * 5))
    prepared = writer.prepare(1, final=True)
    counts = [int(committable["rows"]) for committable in prepared]
    assert sum(counts) == 50
    assert len(counts) > 1 if make in (parquet.Sink, arrow.Sink) else counts == [10] * 5


def test_files_roll_by_age_on_the_given_clock(tmp_path: Path) -> None:
    now = [100.0]
    writer = text.Sink(tmp_path, roll=("1GB", "10m")).open(who(clock=lambda: now[0]))
    for at in (100.0, 600.0, 700.0, 800.0):
        now[0] = at
        writer.write(rows("a"))
    assert [committable["rows"] for committable in writer.prepare(1, final=True)] == [3, 1]


def test_a_folder_that_is_not_empty_is_refused_unless_told(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("old")
    with pytest.raises(Fatal, match=r"is not empty: it holds old\.txt") as raised:
        text.Sink(tmp_path).open(who())
    assert raised.value.remedy is not None
    assert 'mode="append"' in raised.value.remedy
    assert everything(tmp_path) == ["old.txt"]


def test_a_later_attempt_of_the_same_job_may_go_on(tmp_path: Path) -> None:
    sink = text.Sink(tmp_path)
    writer = sink.open(who())
    writer.write(rows("a"))
    sink.committer("job-1").commit(writer.prepare(1, final=False))
    sink.open(who(attempt=2)).close()
    with pytest.raises(Fatal, match="is not empty"):
        sink.open(who(job="job-2"))


def test_append_keeps_and_replace_removes_old_files_at_commit(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("old")
    (tmp_path / "notes.md").write_text("mine")
    append, replace = text.Sink(tmp_path, mode="append"), text.Sink(tmp_path, mode="replace")
    for sink, left in ((append, ["notes.md", "old.txt"]), (replace, ["notes.md"])):
        job = str(sink)[:20] + sink._target.mode
        writer = sink.open(who(job=sink._target.mode))
        writer.write(rows("a"))
        prepared = writer.prepare(1, final=True)
        assert "old.txt" in visible(tmp_path), job
        sink.committer(sink._target.mode).commit(prepared)
        assert [name for name in visible(tmp_path) if "-w0-" not in name] == left
    assert len(visible(tmp_path)) == 2


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow larger, as it does when a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_often(writer: Writer, batch: pa.RecordBatch) -> None:
    for _ in range(20):
        writer.write(batch)


@pytest.mark.parametrize("make", SINKS, ids=lambda make: make.__module__)
def test_no_space_is_fatal_and_leaves_nothing(tmp_path: Path, make: Callable[..., TransactionalSink]) -> None:
    out = tmp_path / "out"
    writer = make(out, roll="100KB").open(who())
    random = [format(n * 2654435761 % 2**64, "x") * 5 for n in range(5000)]
    with files_of_at_most(20_000), pytest.raises(Fatal, match="no space is left") as raised:
        write_often(writer, rows(*random))
    assert raised.value.remedy is not None
    writer.close()
    assert everything(out) == []


@dataclass
class FullDisk:
    """A line format whose every write goes to the device that is always full."""

    suffix: str = ".txt"
    codec: None = None

    def encoder(self, stream: pa.NativeFile, schema: pa.Schema, roll_bytes: int | None) -> object:
        return LineFormat(".txt", None, TextEncoder).encoder(pa.OSFile("/dev/full", "w"), schema, roll_bytes)


def test_a_full_device_is_fatal(tmp_path: Path) -> None:
    writer = FileWriter(FileTarget.of(tmp_path), FullDisk(), who())  # type: ignore[arg-type]
    with pytest.raises(Fatal, match=r"no space is left: .*No space left on device"):
        writer.write(rows("a"))
    writer.close()
    assert everything(tmp_path) == []


@pytest.mark.parametrize("make", SINKS, ids=lambda make: make.__module__)
def test_a_folder_that_cannot_be_made_is_fatal(tmp_path: Path, make: Callable[[str], TransactionalSink]) -> None:
    (tmp_path / "file").write_text("a file, not a folder")
    for path in (tmp_path / "file" / "out", tmp_path / "file", Path("/proc/streamflow-out")):
        with pytest.raises(Fatal, match="cannot be written") as raised:
            make(str(path)).open(who())
        assert raised.value.remedy is not None


def test_it_writes_to_another_filesystem_of_pyarrow(tmp_path: Path) -> None:
    below = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    for number, sink in enumerate((parquet.Sink("out", filesystem=below), parquet.Sink(f"file://{tmp_path}/uri"))):
        writer = sink.open(who())
        writer.write(rows("a"))
        sink.committer("job-1").commit(writer.prepare(1, final=True))
        [published] = (tmp_path / ("out", "uri")[number]).glob("*.parquet")
        assert pq.read_table(published).to_pydict() == {"s": ["a"]}


def test_wrong_options_are_refused_when_the_sink_is_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="mode='over' is unknown"):
        text.Sink(tmp_path, mode="over")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="size 'big' is not a number of bytes"):
        text.Sink(tmp_path, roll="big")
    with pytest.raises(UserError, match="duration 'old' is not a number followed by a unit"):
        text.Sink(tmp_path, roll=(1, "old"))
    with pytest.raises(UserError, match="compression='rar' is unknown"):
        jsonl.Sink(tmp_path, compression="rar")  # type: ignore[arg-type]
    assert text.Sink(tmp_path) == text.Sink(tmp_path)


def test_with_an_age_a_checkpoint_leaves_a_file_open_that_is_neither_full_nor_old(tmp_path: Path) -> None:
    now = [0.0]
    sink = parquet.Sink(tmp_path / "out", roll=("100MB", "10m"))
    writer = sink.open(who(clock=lambda: now[0]))
    assert isinstance(writer, KeepingWriter)
    writer.write(rows("a"))
    assert (list(writer.prepare(1, final=False)), writer.kept()) == ([], [rows("a")])
    writer.write(rows("b"))
    assert (list(writer.prepare(2, final=False)), writer.kept()) == ([], [rows("a"), rows("b")])
    now[0] = 600.0
    [prepared] = writer.prepare(3, final=False)
    assert (prepared["rows"], writer.kept()) == (2, [])
    writer.write(rows("c"))
    [last] = writer.prepare(4, final=True)
    sink.committer("job-1").commit([prepared, last])
    assert sorted(pq.read_table(tmp_path / "out")["s"].to_pylist()) == ["a", "b", "c"]


def test_all_open_files_together_hold_no_more_rows_than_one_that_is_full(tmp_path: Path) -> None:
    schema = pa.schema({"s": pa.string(), "k": pa.int64()})
    sink = jsonl.Sink(tmp_path / "out", roll=("1kB", "10m"), partition_by="k")
    writer = sink.open(SinkContext(job="job-1", step="out", worker=0, attempt=1, schema=schema))
    assert isinstance(writer, KeepingWriter)
    for number in range(400):
        writer.write(pa.record_batch({"s": ["x" * 20], "k": [number % 20]}, schema=schema))
        assert sum(batch.num_rows for batch in writer.kept()) < 80
    kept = writer.kept()
    assert {key for batch in kept for key in batch["k"].to_pylist()} <= set(range(20))
    done = sum(int(one["rows"]) for one in writer.prepare(1, final=False))
    assert done + sum(batch.num_rows for batch in kept) == 400
