"""The outside fails: a full disk, a folder that cannot be written or is not empty. Nothing is half published."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SINKS = {
    "parquet": 'parquet.Sink(OUT, compression="none", roll="100KB")',
    "jsonl": 'jsonl.Sink(OUT, roll="100KB")',
    "csv": 'csv.Sink(OUT, roll="100KB")',
}


def writing(sink: str, folder: str = 'here / "out"', before: str = "pass") -> str:
    return f"""
        OUT = {folder}

        def build() -> sf.Flow:
            {before}
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS)).with_columns(x=col("n") * 1_000_003)
            rows.write("out", {SINKS[sink]})  # <-
            return flow
    """


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 512 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small disk needs the right to mount one")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("sink", SINKS)
def test_a_full_disk_stops_the_job_and_leaves_nothing(scripts: Any, small_disk: Path, sink: str) -> None:
    failed = scripts.fail(writing(sink, 'here / "disk" / "out"'))
    failed.names(step="out")
    assert "space" in failed.printed
    assert failed.code == 1
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("sink", SINKS)
def test_a_file_that_may_not_grow_stops_the_job_and_leaves_nothing(scripts: Any, sink: str) -> None:
    """In a process of its own, for the limit is the process's."""
    limit = "__import__('resource').setrlimit(__import__('resource').RLIMIT_FSIZE, (50_000, 50_000))"
    failed = scripts.run(writing(sink, before=limit))
    failed.names(step="out")
    assert failed.code == 1
    assert scripts.published() == []


@pytest.mark.parametrize("sink", SINKS)
def test_a_folder_below_a_regular_file_cannot_be_made(scripts: Any, sink: str) -> None:
    (scripts.here / "file").write_text("", encoding="utf-8")
    failed = scripts.fail(writing(sink, 'here / "file" / "out"'))
    failed.names(step="out")
    assert failed.code == 1


def test_a_folder_on_a_disk_that_is_read_only_is_refused(scripts: Any, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    failed = scripts.fail(writing("parquet", 'here / "disk" / "out"'))
    failed.names(step="out")
    assert "cannot be written" in failed.printed
    assert failed.code == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(scripts: Any) -> None:
    (scripts.here / "out").mkdir(mode=0o500)
    failed = scripts.fail(writing("jsonl"))
    failed.names(step="out")
    assert failed.code == 1


@pytest.mark.parametrize("sink", SINKS)
def test_a_folder_that_is_not_empty_is_refused_and_not_touched(scripts: Any, sink: str) -> None:
    (scripts.here / "out").mkdir()
    (scripts.here / "out" / f"old.{sink}").write_text("old", encoding="utf-8")
    failed = scripts.fail(writing(sink))
    failed.names(step="out")
    assert "mode=" in failed.printed
    assert failed.code == 1
    assert scripts.published() == [f"old.{sink}"]
    assert (scripts.here / "out" / f"old.{sink}").read_text(encoding="utf-8") == "old"


def test_when_one_of_two_sinks_fails_the_other_publishes_nothing(scripts: Any) -> None:
    (scripts.here / "file").write_text("", encoding="utf-8")
    failed = scripts.fail("""
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.write("fine", parquet.Sink(here / "out", roll="10KB"))
            rows.write("wrong", parquet.Sink(here / "file" / "out"))  # <-
            return flow
    """)
    failed.names(step="wrong")
    assert scripts.published() == []


def test_replace_keeps_the_old_files_when_the_job_fails(scripts: Any) -> None:
    (scripts.here / "out").mkdir()
    (scripts.here / "out" / "old.parquet").write_text("old", encoding="utf-8")
    failed = scripts.fail("""
        def build() -> sf.Flow:
            def inverse(n: int) -> float:
                return 1 / (n - 39_000)

            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS)).with_columns(x=inverse)  # <-
            rows.write("out", parquet.Sink(here / "out", mode="replace", roll="10KB"))
            return flow
    """)
    failed.names(step=None)
    assert scripts.published() == ["old.parquet"]
