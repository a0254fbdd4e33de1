"""What the tests of all connectors use: read a source to its end, write a table through a sink."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyarrow as pa
import pytest

from streamflow.connect import BadRecord, DataError, Ended, Position, Reader, SinkContext, Source, TransactionalSink

ReadAll = Callable[..., pa.Table]
WriteAll = Callable[..., None]


def drain(reader: Reader, schema: pa.Schema, max_rows: int = 1000) -> pa.Table:
    """All rows that are left, in the order in which they come; checks what every poll must keep to."""
    batches: list[pa.RecordBatch] = []
    ended: set[str] = set()
    while True:
        match reader.poll(max_rows):
            case Ended(split):
                assert split not in ended
                ended.add(split)
            case list(found):
                if not found:
                    break
                for part in found:
                    if isinstance(part, BadRecord):
                        raise DataError(f"{part.split}:{part.position}: {part.error}")
                    split, batch = part
                    assert split not in ended
                    assert 0 < batch.num_rows <= max_rows
                    assert batch.schema.equals(schema, check_metadata=True)
                    batches.append(batch)
            case other:
                raise AssertionError(f"a file has no reason to answer {other}")
    assert ended == set(reader.positions())
    return pa.Table.from_batches(batches, schema)


@pytest.fixture
def read_all() -> ReadAll:
    def read(source: Source, max_rows: int = 1000, at: Mapping[str, Position | None] | None = None) -> pa.Table:
        reader = source.open(dict.fromkeys(source.splits()) if at is None else at)
        try:
            return drain(reader, source.schema(), max_rows)
        finally:
            reader.close()

    return read


@pytest.fixture
def write_all() -> WriteAll:
    def write(sink: TransactionalSink, table: pa.Table, max_rows: int = 1000) -> None:
        writer = sink.open(context(table.schema))
        for batch in table.to_batches(max_rows):
            writer.write(batch)
        prepared = writer.prepare(1, final=True)
        sink.committer("job-1").commit(prepared)
        writer.close()

    return write


def context(
    schema: pa.Schema, *, worker: int = 0, attempt: int = 1, clock: Callable[[], float] = lambda: 0.0
) -> SinkContext:
    return SinkContext(job="job-1", step="out", worker=worker, attempt=attempt, schema=schema, clock=clock)


@pytest.fixture
def who() -> Callable[..., SinkContext]:
    return context
