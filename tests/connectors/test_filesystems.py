"""Files may be in any `pyarrow.fs` filesystem, also one that a user wrote."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pytest
from streamflow_connectors import arrow, csv, jsonl, memory, parquet

import streamflow as sf

ReadAll = Callable[..., pa.Table]
WriteAll = Callable[..., None]

TABLE = pa.table({"n": list(range(9)), "k": ["a", "b", "c"] * 3})


class Handwritten(pafs.FileSystemHandler):  # type: ignore[misc]
    """A filesystem whose every call goes through Python; it counts them."""

    def __init__(self, folder: Path) -> None:
        self._local = pafs.SubTreeFileSystem(str(folder), pafs.LocalFileSystem())
        self.calls: list[str] = []

    def get_type_name(self) -> str:
        return "handwritten"

    def get_file_info(self, paths: Sequence[str]) -> list[Any]:
        return list(self._local.get_file_info(list(paths)))

    def get_file_info_selector(self, selector: Any) -> list[Any]:
        return list(self._local.get_file_info(selector))

    def create_dir(self, path: str, recursive: bool) -> None:
        self._local.create_dir(path, recursive=recursive)

    def delete_file(self, path: str) -> None:
        self._local.delete_file(path)

    def move(self, src: str, dest: str) -> None:
        self.calls.append("move")
        self._local.move(src, dest)

    def open_input_stream(self, path: str) -> pa.NativeFile:
        self.calls.append("open_input_stream")
        return pa.PythonFile(self._local.open_input_stream(path, compression=None))

    def open_input_file(self, path: str) -> pa.NativeFile:
        self.calls.append("open_input_file")
        return pa.PythonFile(self._local.open_input_file(path))

    def open_output_stream(self, path: str, metadata: object) -> pa.NativeFile:
        self.calls.append("open_output_stream")
        return pa.PythonFile(self._local.open_output_stream(path, compression=None))

    def normalize_path(self, path: str) -> str:
        return path

    def _unused(self, *args: object) -> Any:
        raise NotImplementedError

    copy_file = delete_dir = delete_dir_contents = delete_root_dir_contents = open_append_stream = _unused


SINKS: list[Callable[..., Any]] = [
    parquet.Sink,
    arrow.Sink,
    jsonl.Sink,
    csv.Sink,
    lambda path, **options: jsonl.Sink(path, compression="gzip", **options),
]
SOURCES: list[Callable[..., Any]] = [parquet.Source, arrow.Source, jsonl.Source, csv.Source, jsonl.Source]


@pytest.mark.parametrize(("sink", "source"), list(zip(SINKS, SOURCES, strict=True)))
@pytest.mark.parametrize("keys", [[], ["k"]])
@pytest.mark.parametrize("own", [False, True])
def test_what_is_written_to_a_filesystem_is_read_from_it(
    tmp_path: Path,
    read_all: ReadAll,
    write_all: WriteAll,
    sink: Callable[..., Any],
    source: Callable[..., Any],
    keys: list[str],
    own: bool,
) -> None:
    handler = Handwritten(tmp_path)
    below = pafs.PyFileSystem(handler) if own else pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    write_all(sink("deep/out", filesystem=below, partition_by=keys), TABLE, max_rows=2)
    rows = read_all(source("deep/out", TABLE.schema, filesystem=below), max_rows=2)
    assert rows.sort_by("n").combine_chunks().equals(TABLE)
    assert len([path for path in (tmp_path / "deep" / "out").rglob("*") if path.is_file()]) == (3 if keys else 1)
    assert ("move" in handler.calls and "open_output_stream" in handler.calls) == own


def test_below_a_folder_of_the_disk_files_are_synced_and_no_staging_stays(
    tmp_path: Path, write_all: WriteAll, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    before = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        before(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    local = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    within = pafs.SubTreeFileSystem("deep", local)
    write_all(parquet.Sink("out", filesystem=within), TABLE)
    assert [path.suffix for path in (tmp_path / "deep" / "out").iterdir()] == [".parquet"]
    assert any(path.endswith(".parquet") for path in synced)
    assert str(tmp_path / "deep" / "out") in synced


def test_a_flow_runs_over_a_filesystem_of_ones_own(tmp_path: Path) -> None:
    own = pafs.PyFileSystem(Handwritten(tmp_path))
    write, out = sf.Flow("write"), memory.Sink()
    write.read("rows", memory.Source(TABLE)).write("out", parquet.Sink("out", filesystem=own))
    sf.run(write)
    read = sf.Flow("read")
    read.read("rows", parquet.Source("out/*.parquet", filesystem=own)).filter(sf.col("n") > 6).write("out", out)
    sf.run(read)
    assert out.table()["n"].to_pylist() == [7, 8]
