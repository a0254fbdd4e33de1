"""Several inputs as one stream: columns are brought into one order by name, rows pass as they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from streamflow.operators.base import Output
from streamflow.operators.events import Batch, Watermark
from streamflow.state.container import Container


class Union:
    """Port i takes batches of `schemas[i]`; all come out as `schema`, a column that an input lacks as nulls.

    The watermark over all inputs is the task's affair; here it only passes. Raises ValueError if a column of an input
    is not in `schema` or has another type there.

    >>> left, right = pa.schema([("a", pa.int64())]), pa.schema([("b", pa.string()), ("a", pa.int64())])
    >>> union = Union([left, right], pa.schema([("a", pa.int64()), ("b", pa.string())]))
    >>> [batch] = union.on_batch(0, pa.record_batch({"a": [1]}))
    >>> batch.to_pylist()
    [{'a': 1, 'b': None}]
    """

    def __init__(self, schemas: Sequence[pa.Schema], schema: pa.Schema) -> None:
        self.late = 0
        self._schema = schema
        self._sources = [_sources(port, given, schema) for port, given in enumerate(schemas)]

    def on_batch(self, port: int, batch: Batch) -> Iterable[Output]:
        sources = self._sources[port]
        if sources is None:
            return (batch,)
        rows = batch.num_rows
        columns = [
            pa.nulls(rows, field.type) if source is None else batch.column(source)
            for field, source in zip(self._schema, sources, strict=True)
        ]
        return (pa.RecordBatch.from_arrays(columns, schema=self._schema),)

    def on_watermark(self, watermark: Watermark) -> Iterable[Output]:
        return (watermark,)

    def flush(self) -> Iterable[Output]:
        return ()

    def state(self) -> Mapping[str, Container]:
        return {}


def _sources(port: int, given: pa.Schema, schema: pa.Schema) -> list[int | None] | None:
    """For each output column its place in the input, None where it lacks; None if the input is as the output."""
    if given.equals(schema):
        return None
    for field in given:
        place = schema.get_field_index(field.name)
        if place < 0 or schema.field(place).type != field.type:
            raise ValueError(f"column {field.name!r} ({field.type}) of input {port} does not fit the union's {schema}")
    places = [given.get_field_index(field.name) for field in schema]
    return [place if place >= 0 else None for place in places]
