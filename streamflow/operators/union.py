"""Several inputs as one stream: rows pass as they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from streamflow.operators.base import Output
from streamflow.operators.events import Batch, Watermark
from streamflow.state.container import Container


class Union:
    """Port i takes batches of `schemas[i]`, which are all as `schema`: a projection before has aligned the columns.

    The watermark over all inputs is the task's affair; here it only passes. Raises ValueError if an input differs.

    >>> schema = pa.schema([("a", pa.int64())])
    >>> batch = pa.record_batch({"a": [1]})
    >>> Union([schema, schema], schema).on_batch(1, batch) == (batch,)
    True
    """

    def __init__(self, schemas: Sequence[pa.Schema], schema: pa.Schema) -> None:
        self.late = 0
        for port, given in enumerate(schemas):
            if not given.equals(schema):
                raise ValueError(f"input {port} of a union is {given}, and not {schema}")

    def on_batch(self, port: int, batch: Batch) -> Iterable[Output]:
        return (batch,)

    def on_watermark(self, watermark: Watermark) -> Iterable[Output]:
        return (watermark,)

    def flush(self) -> Iterable[Output]:
        return ()

    def state(self) -> Mapping[str, Container]:
        return {}
