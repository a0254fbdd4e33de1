"""Sinks that refuse rows: what they hold in the end is the final state without the rows that they refuse."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.connect.sink import RowsRefused
from streamflow.engine.delivery import Delivery
from streamflow.errors import DataError, Fatal
from streamflow.operators.events import Batch

INSERT, BEFORE, AFTER, DELETE = range(4)
SCHEMA = pa.schema({"_change": pa.int8(), "k": pa.int64(), "v": pa.int64()})
Change = tuple[int, int, int]


def batch(*changes: Change) -> Batch:
    kinds, keys, values = zip(*changes, strict=True)
    return pa.record_batch([kinds, keys, values], schema=SCHEMA)


class Table:
    """Holds rows, and refuses to add a value of ten or more; strict in what it takes back."""

    def __init__(self, *, tells: bool) -> None:
        self.rows: list[tuple[int, int]] = []
        self.seen: list[Change] = []
        self._tells = tells

    def put(self, batch: Batch) -> None:
        changes: list[Change] = [tuple(row.values()) for row in batch.to_pylist()]
        bad = [i for i, (kind, _, v) in enumerate(changes) if kind in (INSERT, AFTER) and v >= 10]
        if bad:
            raise RowsRefused("ten or more", bad) if self._tells else DataError("ten or more")
        for i, (kind, k, v) in enumerate(changes):
            if kind == BEFORE:
                assert changes[i + 1][:2] == (AFTER, k), "an update comes whole"
            elif kind == AFTER:
                assert changes[i - 1][:2] == (BEFORE, k), "an update comes whole"
            if kind in (INSERT, AFTER):
                self.rows.append((k, v))
            else:
                self.rows.remove((k, v))
        self.seen += changes


@pytest.mark.parametrize("tells", [True, False])
def test_an_update_whose_new_row_is_refused_is_a_delete_and_the_next_update_an_insert(*, tells: bool) -> None:
    table, delivery = Table(tells=tells), Delivery(("k",))
    assert delivery.hand_over(batch((INSERT, 1, 1), (INSERT, 2, 2)), table.put) is None
    rejected = delivery.hand_over(batch((BEFORE, 1, 1), (AFTER, 1, 10), (BEFORE, 2, 2), (AFTER, 2, 3)), table.put)
    assert rejected is not None
    assert rejected.rows.select(["k", "v"]).to_pylist() == [{"k": 1, "v": 10}]
    assert [error.message for error in rejected.errors] == ["ten or more"]
    assert delivery.hand_over(batch((BEFORE, 1, 10), (AFTER, 1, 4)), table.put) is None
    assert table.seen == [
        (INSERT, 1, 1),
        (INSERT, 2, 2),
        (DELETE, 1, 1),
        (BEFORE, 2, 2),
        (AFTER, 2, 3),
        (INSERT, 1, 4),
    ]


def test_a_delete_that_is_refused_is_one_of_the_rejected_rows() -> None:
    def keeps(batch: Batch) -> None:
        if DELETE in batch["_change"].to_pylist():
            raise DataError("others still point to it")

    rejected = Delivery(("k",)).hand_over(batch((INSERT, 1, 1), (DELETE, 2, 2)), keeps)
    assert rejected is not None
    assert rejected.rows.to_pylist() == [{"_change": DELETE, "k": 2, "v": 2}]


@pytest.mark.parametrize("tells", [True, False])
def test_rows_that_only_come_are_refused_one_by_one(*, tells: bool) -> None:
    taken: list[int] = []

    def put(batch: Batch) -> None:
        numbers = batch["n"].to_pylist()
        bad = [i for i, n in enumerate(numbers) if n % 7 == 0]
        if bad:
            raise RowsRefused("seven", bad) if tells else DataError("seven")
        taken.extend(numbers)

    rejected = Delivery(None).hand_over(pa.record_batch({"n": list(range(50))}), put)
    assert rejected is not None
    assert rejected.rows["n"].to_pylist() == list(range(0, 50, 7))
    assert taken == [n for n in range(50) if n % 7]


def test_when_the_outside_fails_nothing_is_tried_again() -> None:
    calls = []

    def full(batch: Batch) -> None:
        calls.append(batch.num_rows)
        raise Fatal("no space")

    with pytest.raises(Fatal):
        Delivery(("k",)).hand_over(batch((INSERT, 1, 1), (INSERT, 2, 2)), full)
    assert calls == [2]


def changes_of(steps: list[tuple[int, int | None]]) -> Iterator[list[Change]]:
    """Steps (key, new value or None) as inserts, updates and deletes."""
    held: dict[int, int] = {}
    for key, value in steps:
        old = held.pop(key, None)
        if value is not None:
            held[key] = value
        match old, value:
            case None, None:
                pass
            case None, new:
                yield [(INSERT, key, new or 0)]
            case old, None:
                yield [(DELETE, key, old or 0)]
            case old, new:
                yield [(BEFORE, key, old or 0), (AFTER, key, new or 0)]


STEPS = st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(5, 14)), max_size=40)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.lists(st.integers(1, 9), min_size=1), st.booleans(), st.integers(1, 4))
def test_in_the_end_the_good_rows_are_there_whatever_the_cuts_and_restores(
    steps: list[tuple[int, int | None]], cuts: list[int], tells: bool, workers: int
) -> None:
    changes = list(changes_of(steps))
    table, delivery = Table(tells=tells), Delivery(("k",))
    refused = 0
    at = 0
    while at < len(changes):
        size = cuts[at % len(cuts)]
        rejected = delivery.hand_over(batch(*itertools.chain(*changes[at : at + size])), table.put)
        refused += 0 if rejected is None else rejected.rows.num_rows
        at += size
        snapshot, delivery = delivery.absent.snapshot(12), Delivery(("k",))
        for worker in range(workers):
            borders = range(12 * worker // workers, 12 * (worker + 1) // workers)
            delivery.absent.restore([snapshot], borders)
    final = dict(steps)
    assert sorted(table.rows) == sorted((k, v) for k, v in final.items() if v is not None and v < 10)
    assert refused == sum(value is not None and value >= 10 for _, value in steps), "each is rejected once"
