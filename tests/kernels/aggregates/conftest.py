from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pytest

from streamflow.kernels.aggregate import AggregateSpec, finish, merge, partial_fields, partial_of_rows, result_of
from streamflow.kernels.grouping import group

InPieces: TypeAlias = Callable[[AggregateSpec, Sequence[int], dict[str, pa.Array], Sequence[int]], dict[int, Any]]


@pytest.fixture
def in_pieces() -> InPieces:
    """Results by key: the rows are cut, every piece is aggregated alone, then all are merged, twice."""
    return _in_pieces


def _in_pieces(
    spec: AggregateSpec, keys: Sequence[int], columns: dict[str, pa.Array], cuts: Sequence[int] = ()
) -> dict[int, Any]:
    rows = pa.table({"key": pa.array(keys, pa.int64()), **columns}).combine_chunks()
    pieces = []
    borders = [0, *cuts, len(keys)]
    for start, stop in itertools.pairwise(borders):
        piece = pa.record_batch(
            {name: rows.column(name).slice(start, stop - start).combine_chunks() for name in rows.column_names}
        )
        groups = group([piece.column("key")], piece.num_rows)
        parts = partial_of_rows(spec, piece.column, groups)
        assert [part.type for part in parts] == [field.type for field in partial_fields(spec)]
        assert [len(part) for part in parts] == [groups.count] * len(parts)
        pieces.append([piece.column("key").take(pa.array(groups.first)), *parts])
    merged = [pa.concat_arrays(column) for column in zip(*pieces, strict=True)]
    for _ in range(2):
        groups = group([merged[0]], len(merged[0]))
        first = pa.array(groups.first)
        merged = [merged[0].take(first), *merge(spec, [part.slice(0) for part in merged[1:]], groups)]
        assert [part.type for part in merged[1:]] == [field.type for field in partial_fields(spec)]
    result = finish(spec, merged[1:])
    assert result.type == result_of(spec)
    return dict(zip(merged[0].to_pylist(), result.to_pylist(), strict=True))
