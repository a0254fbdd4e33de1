"""The file sources through the engine, beside pyarrow's own readers of the same files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq
from streamflow_connectors import jsonl, nexmark, parquet

import streamflow as sf
from benchmarks.nexmark import CountingSink
from benchmarks.timing import Best, best_of_each
from streamflow.connect.source import Source

_BATCH = 16384


@dataclass(frozen=True, slots=True)
class FileRead:
    """One file read to its end by the engine and by pyarrow. `megabytes`: of the file, as it lies on the disk."""

    name: str
    rows: int
    megabytes: float
    ours: Best
    pyarrows: Best


def measure(rows: int) -> Iterable[FileRead]:
    """Nexmark bids, all seven columns (texts of some 100 bytes among them), then two numbers of them."""
    events = rows * 50 // 46
    with tempfile.TemporaryDirectory() as folder:
        parquet_file, json_file = Path(folder, "bids.parquet"), Path(folder, "bids.jsonl")
        for sink, path, name in (
            (parquet.Sink(f"{folder}/p", roll="1GB"), parquet_file, "p/*.parquet"),
            (jsonl.Sink(f"{folder}/j", roll="1GB"), json_file, "j/*.jsonl"),
        ):
            flow = sf.Flow("write")
            flow.read("bids", nexmark.Source("bids", events=events)).write("out", sink)
            sf.run(flow)
            (written,) = Path(folder).glob(name)
            written.rename(path)
        schema = nexmark.Source("bids", events=1).schema()
        few = pa.schema([schema.field(name) for name in ("auction", "price")])
        yield _read("Parquet", parquet_file, parquet.Source(str(parquet_file)), lambda: _by_batches(parquet_file, None))
        yield _read(
            "Parquet, 2 of 7",
            parquet_file,
            parquet.Source(str(parquet_file)).project(few.names),
            lambda: _by_batches(parquet_file, few.names),
        )
        yield _read("JSON lines", json_file, jsonl.Source(str(json_file), schema), lambda: _json(json_file, schema))
        yield _read("JSON lines, 2 of 7", json_file, jsonl.Source(str(json_file), few), lambda: _json(json_file, few))


def _read(name: str, path: Path, source: Source, pyarrows: Callable[[], int]) -> FileRead:
    sink = CountingSink()

    def ours() -> None:
        flow = sf.Flow("read")
        flow.read("bids", source).write("out", sink)
        sf.run(flow)

    found = best_of_each({"ours": ours, "pyarrow": pyarrows}, repeats=3)
    return FileRead(name, sink.rows, path.stat().st_size / 1e6, found["ours"], found["pyarrow"])


def _by_batches(path: Path, columns: list[str] | None) -> int:
    with pq.ParquetFile(path) as file:
        return sum(batch.num_rows for batch in file.iter_batches(_BATCH, columns=columns))


def _json(path: Path, schema: pa.Schema) -> int:
    """With the schema known, other fields ignored: as the source reads."""
    options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    table: pa.Table = pj.read_json(path, read_options=pj.ReadOptions(use_threads=False), parse_options=options)
    return int(table.num_rows)
