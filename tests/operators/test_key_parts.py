from __future__ import annotations

import pyarrow as pa
import pytest

from streamflow.operators import key_parts as module
from streamflow.operators.base import Pause
from streamflow.operators.key_parts import key_parts
from streamflow.state.held_rows import HeldRows

SCHEMA = pa.schema([("k", pa.int64())])


def held(keys: list[int]) -> HeldRows:
    rows = HeldRows(SCHEMA, [0])
    rows.append(pa.record_batch([keys], schema=SCHEMA))
    return rows


def test_few_rows_come_at_once_also_where_there_are_none() -> None:
    parts = [part for part in key_parts(held([2, 1, 2]), [0]) if not isinstance(part, Pause)]
    assert [part["k"].to_pylist() for part in parts] == [[2, 1, 2]]
    assert [part.num_rows for part in key_parts(HeldRows(SCHEMA, [0]), [0]) if not isinstance(part, Pause)] == [0]


def test_many_come_in_parts_that_share_no_key_with_pauses_and_what_is_appended_meanwhile_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LARGE", 4)
    monkeypatch.setattr(module, "PIECE", 3)
    rows = held([*range(10), *range(10)])
    parts: list[list[int]] = []
    pauses = 0
    for part in key_parts(rows, [0]):
        if isinstance(part, Pause):
            pauses += 1
            continue
        parts.append(part["k"].to_pylist())
        rows.append(part)
    assert sorted(key for part in parts for key in set(part)) == list(range(10))  # each in one part
    assert sum(map(len, parts)) == rows.count == 20
    assert len(parts) > 1
    assert pauses > len(parts)
