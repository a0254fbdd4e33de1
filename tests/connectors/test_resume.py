"""Every source goes on from any position with exactly the rows that follow it (rule 39)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from streamflow_connectors import arrow, csv, datagen, jsonl, memory, nexmark, parquet, python, text

from streamflow.connect import Ended, ProjectableSource, Source

NUMBERS = pa.schema([("n", pa.int64())])


def parquet_files(folder: Path) -> Source:
    for name, start in (("a", 0), ("b", 10), ("c", 15)):
        table = pa.table({"n": list(range(start, start + (5 if start else 10)))})
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=3)
    return parquet.Source(folder)


def jsonl_files(folder: Path) -> Source:
    (folder / "a.jsonl").write_text("\n".join(f'{{"n": {n}}}\n' for n in range(12)))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress("".join(f'{{"n": {n}}}\n' for n in range(12, 20)).encode()))
    return jsonl.Source(folder, NUMBERS)


def csv_files(folder: Path) -> Source:
    (folder / "a.csv").write_text('n,s\n0,"x\ny"\n' + "".join(f"{n},z\n" for n in range(1, 12)))
    (folder / "b.csv.gz").write_bytes(gzip.compress(("s,n\n" + "".join(f"z,{n}\r\n" for n in range(12, 20))).encode()))
    return csv.Source(folder, NUMBERS)


def text_files(folder: Path) -> Source:
    (folder / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\n\r\ntwo\n\nthree")
    (folder / "b.txt.gz").write_bytes(gzip.compress(b"four\nfive\n"))
    return text.Source(folder)


def memory_rows(folder: Path) -> Source:
    return memory.Source([pa.record_batch({"n": list(range(n, n + 4))}) for n in range(0, 20, 4)], splits=3)


def nexmark_events(folder: Path) -> Source:
    return nexmark.Source("auctions", events=400, splits=3, disorder="1s")


def arrow_files(folder: Path) -> Source:
    table = pa.table({"s": [str(n) for n in range(20)], "n": list(range(20))})
    with pa.ipc.new_file(folder / "a.arrow", table.schema) as writer:
        writer.write_table(table.slice(0, 12), max_chunksize=5)
    with pa.ipc.new_stream(folder / "b.arrows", table.schema) as writer:
        for first, count in ((12, 3), (15, 0), (15, 5)):
            writer.write_batch(table.slice(first, count).combine_chunks().to_batches()[0] if count else empty(table))
    return arrow.Source(folder, NUMBERS)


def empty(table: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=table.schema)


def made_up_rows(folder: Path) -> Source:
    columns = {
        "n": datagen.sequence(step=3),
        "z": datagen.nullable(datagen.zipf(100)),
        "at": datagen.timestamps(disorder="1s"),
        "c": datagen.choice(["a", None, "b"], weights=[1, 2, 3]),
        "t": datagen.text(0, 9),
    }
    return datagen.Source(columns, rows=20, splits=3)


def some_rows() -> Iterator[dict[str, int] | pa.RecordBatch | None]:
    for n in range(8):
        yield {"n": n}
    yield pa.record_batch({"n": list(range(8, 13))})
    for n in range(13, 20):
        yield {"n": n}


def python_rows(folder: Path) -> Source:
    return python.Source(some_rows, NUMBERS, replayable=True)


SOURCES = [
    parquet_files,
    jsonl_files,
    csv_files,
    text_files,
    arrow_files,
    memory_rows,
    nexmark_events,
    made_up_rows,
    python_rows,
]


@pytest.mark.parametrize("block", [7, 1 << 18])
@pytest.mark.parametrize("max_rows", [1, 3, 1000])
@pytest.mark.parametrize("make", SOURCES, ids=lambda make: make.__name__)
def test_rows_before_and_after_any_position_are_all_rows(
    make: Callable[[Path], Source],
    max_rows: int,
    block: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    read_all: Callable[..., pa.Table],
) -> None:
    monkeypatch.setattr("streamflow.connect.lines._BLOCK", block)
    source = make(tmp_path)
    whole = {split: read_all(source, at={split: None}) for split in source.splits()}
    reader = source.open(dict.fromkeys(source.splits()))
    before: dict[str, list[pa.RecordBatch]] = {split: [] for split in whole}
    polling = True
    while polling:
        for split, position in json.loads(json.dumps(reader.positions())).items():
            done = pa.Table.from_batches(before[split], source.schema())
            rest = read_all(source, max_rows=2, at={split: position})
            assert pa.concat_tables([done, rest]).equals(whole[split]), f"{split} at {position}"
        match reader.poll(max_rows):
            case Ended():
                pass
            case [(split, batch)]:
                before[split].append(batch)
            case _:
                polling = False


@pytest.mark.parametrize("make", SOURCES, ids=lambda make: make.__name__)
def test_sources_are_equal_and_look_equal_in_every_process(make: Callable[[Path], Source], tmp_path: Path) -> None:
    first, second = make(tmp_path), make(tmp_path)
    if make is not memory_rows:
        assert first == second
    assert repr(first) == repr(second)
    assert "0x" not in repr(first)


def test_files_are_opened_one_after_the_other_in_the_given_order(tmp_path: Path) -> None:
    source = parquet_files(tmp_path)
    order = [str(tmp_path / f"{name}.parquet") for name in "cab"]
    reader = source.open(dict.fromkeys(order))
    seen = []
    while polled := reader.poll(1000):
        if isinstance(polled, Ended):
            seen.append(polled.split)
    assert seen == order


@pytest.mark.parametrize(
    "make", [parquet_files, jsonl_files, csv_files, arrow_files, memory_rows, nexmark_events, made_up_rows]
)
def test_rows_are_counted_when_no_column_is_asked_for(make: Callable[[Path], Source], tmp_path: Path) -> None:
    source = make(tmp_path)
    assert isinstance(source, ProjectableSource)
    none = source.project([])
    reader, count = none.open(dict.fromkeys(none.splits())), 0
    while polled := reader.poll(4):
        if isinstance(polled, list):
            for part in polled:
                assert isinstance(part, tuple)
                assert part[1].num_columns == 0
                count += part[1].num_rows
    assert count == (24 if make is nexmark_events else 20)
