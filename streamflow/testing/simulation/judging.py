"""Is what a run has published right?"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa

from streamflow.operators.events import CHANGE
from streamflow.testing.compare import assert_rows, final
from streamflow.testing.simulation.world import World


def judge(world: World) -> str | None:
    """What is wrong with the results of a run that is over; None where nothing is.

    What is published is what a calm run gives, each row once. A job that has given up, because a file of the store was
    damaged, has published a part of that.
    """
    subject = world.subject
    calm = subject.calm()
    found = {step: _published(world, step, table.schema) for step, table in calm.items()}
    if not world.gave_up and world.manifest is not None:
        left = subject.warehouse.left_over(world.manifest.job, world.saved_at)
        if left:
            return f"nobody has swept away what was staged and is named by no checkpoint: {left}"
    try:
        if subject.check is not None:
            if not world.gave_up:
                subject.check(found, subject.rows)
        elif world.gave_up:
            _check_parts(found, calm)
        else:
            for step, table in calm.items():
                _check_equal(step, found[step], table)
    except AssertionError as error:
        return str(error)
    return None


def _published(world: World, step: str, schema: pa.Schema) -> pa.Table:
    return pa.Table.from_batches([visible(batch, schema) for batch in world.subject.warehouse.rows(step)], schema)


def visible(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    return batch.select(schema.names).cast(schema)


def _check_equal(step: str, found: pa.Table, calm: pa.Table) -> None:
    if CHANGE in calm.column_names:
        found, calm = final(found), final(calm)
    try:
        assert_rows(found, calm.to_pylist())
    except AssertionError as error:
        raise AssertionError(f"sink {step!r}: {error}") from None


def _check_parts(found: dict[str, pa.Table], calm: dict[str, pa.Table]) -> None:
    for step, table in calm.items():
        if CHANGE not in table.column_names:
            more = _counted(found[step]) - _counted(table)
            assert not more, f"sink {step!r}: too many {sorted(more.elements())}"


def _counted(table: pa.Table) -> Counter[Any]:
    return Counter(repr(row) for row in table.to_pylist())
