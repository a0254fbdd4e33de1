"""What can be saved of a batch that raised: its good rows, found by halving."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import pyarrow as pa

from streamflow.errors import DataError
from streamflow.operators.base import Output, Pause
from streamflow.operators.dead_letters import Rejected
from streamflow.operators.events import Batch, Watermark

Call: TypeAlias = Callable[[Batch], "Iterable[Output]"]


def salvage(batch: Batch, call: Call) -> Iterable[Output]:
    """What `call` gives for the batch; where it raises DataError, for the rows that it takes, and the others rejected.

    The whole batch is tried first; only when that fails is it halved, and halved again, down to single rows: k bad rows
    among n cost about 2 k log n calls.

    >>> def inverse(rows):
    ...     if 0 in rows["n"].to_pylist():
    ...         raise DataError("division by zero")
    ...     return [pa.record_batch({"x": [1 / n for n in rows["n"].to_pylist()]})]
    >>> made, rejected = salvage(pa.record_batch({"n": [1, 0, 2, 4]}), inverse)
    >>> made.to_pydict(), rejected.rows.to_pydict()
    ({'x': [1.0, 0.5, 0.25]}, {'n': [0]})
    """
    try:
        return tuple(call(batch))
    except DataError as error:
        return _joined(_apart(batch, call, error))


def _apart(batch: Batch, call: Call, error: DataError) -> Iterator[Output]:
    """The outputs of a batch that raised, part by part, in the rows' order."""
    if batch.num_rows == 1:
        yield Rejected(batch, (error,))
        return
    middle = batch.num_rows // 2
    for part in (batch.slice(0, middle), batch.slice(middle)):
        try:
            outputs = tuple(call(part))
        except DataError as other:
            yield from _apart(part, call, other)
        else:
            yield from outputs


def _joined(outputs: Iterable[Output]) -> Iterator[Output]:
    """The same with batches put together up to the next watermark, and what is rejected at the end, by its columns."""
    batches: list[Batch] = []
    rejected: dict[pa.Schema, list[Rejected]] = {}
    for output in outputs:
        match output:
            case Rejected():
                rejected.setdefault(output.rows.schema, []).append(output)
            case Watermark() | Pause():
                yield from _one(batches)
                batches = []
                yield output
            case batch:
                batches.append(batch)
    yield from _one(batches)
    for parts in rejected.values():
        errors = tuple(error for part in parts for error in part.errors)
        yield Rejected(pa.concat_batches([part.rows for part in parts]), errors)


def _one(batches: list[Batch]) -> Iterator[Batch]:
    if batches:
        yield pa.concat_batches(batches)
