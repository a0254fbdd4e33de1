from __future__ import annotations

import pyarrow as pa
import pytest

from streamflow.operators.base import Operator
from streamflow.operators.events import Batch
from streamflow.operators.order import OrderByKeys, OrderCopies, OrderPort, order_in_split, order_type


def rows(order: pa.Array) -> Batch:
    return pa.record_batch({"v": pa.array(range(len(order))), "_order": order, "_time": pa.array([0] * len(order))})


def sent(operator: Operator, batch: Batch) -> Batch:
    [made] = operator.on_batch(0, batch)
    assert isinstance(made, pa.RecordBatch)
    return made


def with_order(batch: Batch, parts: int) -> pa.Schema:
    return batch.schema.set(1, pa.field("_order", order_type(parts)))


def test_splits_come_in_the_order_of_their_numbers_and_rows_in_that_of_theirs() -> None:
    early, late = order_in_split(0, 2**43 - 2, 2), order_in_split(1, 0, 3)
    everything = early.to_pylist() + late.to_pylist()
    assert everything == sorted(everything)
    assert len(set(everything)) == 5
    assert order_in_split(2**20 - 1, 5, 1).to_pylist()[0] > 0
    with pytest.raises(ValueError, match="1,048,576 splits"):
        order_in_split(2**20, 0, 1)


def test_copies_of_one_row_are_told_apart() -> None:
    batch = rows(pa.array([7, 7, 9, 3, 3, 3]))
    made = sent(OrderCopies(with_order(batch, 2)), batch)
    assert [(o["0"], o["1"]) for o in made.column("_order").to_pylist()] == [
        (7, 0), (7, 1), (9, 0), (3, 0), (3, 1), (3, 2),
    ]  # fmt: skip
    again = sent(OrderCopies(with_order(made, 3)), made)
    assert {o["2"] for o in again.column("_order").to_pylist()} == {0}
    assert made.column_names == batch.column_names


def test_the_inputs_of_a_union_follow_one_another() -> None:
    plain, copied = rows(pa.array([4])), rows(pa.array([{"0": 1, "1": 2}], order_type(2)))
    one = sent(OrderPort(0, with_order(plain, 3)), plain)
    other = sent(OrderPort(1, with_order(copied, 3)), copied)
    assert one.schema == other.schema
    assert one.column("_order").to_pylist() == [{"0": 0, "1": 4, "2": 0}]
    assert other.column("_order").to_pylist() == [{"0": 1, "1": 1, "2": 2}]


def test_results_go_by_their_keys_wherever_they_stand() -> None:
    schema = pa.schema({"k": pa.string(), "n": pa.int64(), "_order": pa.int64(), "_time": pa.int64()})
    batch = pa.record_batch({"k": ["a", "b", "a"], "n": [1, 2, 3], "_time": [0, 0, 1]})
    made = sent(OrderByKeys(("k",), schema), batch)
    part = sent(OrderByKeys(("k",), schema), batch.slice(1))
    a, b, again = made.column("_order").to_pylist()
    assert a == again != b
    assert part.column("_order").to_pylist() == [b, a]
