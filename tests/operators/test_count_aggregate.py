from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from streamflow.kernels.aggregate import AggregateSpec
from streamflow.operators.count_aggregate import CountAggregate
from streamflow.operators.events import MAX_TIME, TIME_TYPE, Watermark

SCHEMA = pa.schema({"k": pa.string(), "v": pa.int64(), "_time": TIME_TYPE})
TOTAL = (AggregateSpec("sum", "v", pa.int64(), "total"),)


def run(operator: CountAggregate, *steps: Sequence[tuple[str, int, int]] | int) -> list[tuple[str, int]]:
    """Batches of (key, value, time), and watermarks."""
    found: list[tuple[str, int]] = []
    for step in steps:
        outputs: list[Any]
        if isinstance(step, int):
            outputs = list(operator.on_watermark(Watermark(step)))
        else:
            arrays = [
                pa.array(column, type_) for column, type_ in zip(zip(*step, strict=True), SCHEMA.types, strict=True)
            ]
            outputs = list(operator.on_batch(0, pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)))
        for output in outputs:
            if isinstance(output, pa.RecordBatch):
                found += zip(output["k"].to_pylist(), output["total"].to_pylist(), strict=True)
    return found


def two() -> CountAggregate:
    return CountAggregate(("k",), 2, TOTAL, SCHEMA)


def test_rows_are_counted_in_time_order_when_the_watermark_has_passed_them() -> None:
    operator = two()
    assert run(operator, [("a", 4, 30), ("a", 1, 10)], [("a", 2, 20)], 20) == []
    assert run(operator, 21) == [("a", 3)]
    assert run(operator, [("a", 8, 25)], 31) == [("a", 12)]


def test_rows_of_several_batches_are_counted_in_the_order_of_time() -> None:
    assert run(two(), [("a", 1, 10), ("a", 4, 30)], [("a", 2, 20), ("a", 8, 40)], 41) == [("a", 3), ("a", 12)]


def test_each_key_counts_for_itself_and_what_is_left_is_sent_at_the_end() -> None:
    assert run(two(), [("a", 1, 1), ("b", 2, 2), ("a", 4, 3)], 10) == [("a", 5)]
    assert sorted(run(two(), [("a", 1, 1), ("b", 2, 2), ("a", 4, 3), ("a", 8, 4)], MAX_TIME)) == [
        ("a", 5),
        ("a", 8),
        ("b", 2),
    ]


def test_rows_of_one_time_go_by_their_values() -> None:
    assert run(two(), [("a", 4, 1), ("a", 1, 1), ("a", 2, 1), ("a", 3, 1)], 2) == [("a", 3), ("a", 7)]


def test_a_row_at_the_watermark_is_not_counted_yet() -> None:
    operator = two()
    assert run(operator, [("a", 4, 10), ("a", 2, 10)], 10) == []
    assert run(operator, [("a", 1, 10)], 11) == [("a", 3)]


def test_a_row_below_the_watermark_is_late_and_one_at_it_is_not() -> None:
    operator = two()
    assert run(operator, 10, [("a", 1, 9), ("a", 2, 10)], MAX_TIME) == [("a", 2)]
    assert operator.late == 1


def test_what_was_restored_is_counted_on() -> None:
    before = two()
    run(before, [("a", 1, 1), ("a", 4, 30)], 10)
    snapshots = {name: container.snapshot(8) for name, container in before.state().items()}
    after = two()
    for name, container in after.state().items():
        container.restore([snapshots[name]], range(8))
    assert run(after, [("a", 64, 9), ("a", 2, 15)], 10, 20) == [("a", 3)]
    assert after.late == 1
    assert run(after, MAX_TIME) == [("a", 4)]


def test_keys_that_wait_for_no_more_rows_are_forgotten_and_begin_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamflow.operators.count_aggregate.SWEEP", 8)
    operator = two()
    run(operator, [("half", 5, 0)], 1)
    for number in range(100):
        run(operator, [(f"k{number}", 1, number + 1), (f"k{number}", 2, number + 1)], number + 2)
        assert operator.state()["windows"].snapshot(1).rows.num_rows <= 9
    again = run(operator, [("half", 6, 200), ("k0", 3, 200), ("k0", 4, 200)], 201)
    assert sorted(again) == [("half", 11), ("k0", 7)]
