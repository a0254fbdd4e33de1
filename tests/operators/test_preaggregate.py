from __future__ import annotations

import pyarrow as pa

from streamflow.kernels.aggregate import AggregateSpec
from streamflow.kernels.windows import SlidingSlices
from streamflow.operators.events import TIME_TYPE
from streamflow.operators.preaggregate import Coalescer, Layout, Reduced, RowInput

SCHEMA = pa.schema({"other": pa.bool_(), "k": pa.float64(), "n": pa.int64(), "_time": TIME_TYPE})


def test_small_batches_are_joined_column_by_column() -> None:
    held = Coalescer()
    held.add([pa.array([1, 2]), pa.array(["a", "b"])])
    held.add([pa.array([3]), pa.array(["c"])])
    assert held.rows == 3
    assert [column.to_pylist() for column in held.drain()] == [[1, 2, 3], ["a", "b", "c"]]
    assert held.rows == 0


def test_rows_become_one_entry_per_slice_and_key_in_the_order_of_slices() -> None:
    layout = Layout.of(("k",), (AggregateSpec("max", "n", pa.int64(), "top"),), SCHEMA)
    rows = RowInput(layout, SlidingSlices(10, 10), SCHEMA)
    times = pa.array([25, 5, 7, -1], pa.int64()).view(TIME_TYPE)
    arrays = [pa.array([True] * 4), pa.array([1.0, -0.0, 0.0, 1.0]), pa.array([1, 2, 3, 4]), times]
    columns = rows.columns(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))
    assert rows.lowest_slice(columns) == -1
    reduced = rows.reduce(columns)
    assert isinstance(reduced, Reduced)
    assert reduced.slices.tolist() == [-1, 0, 2]
    assert {number: chunk.to_pylist() for number, chunk in reduced.by_slice(layout.schema)} == {
        -1: [{"k": 1.0, "~top.max": 4}],
        0: [{"k": 0.0, "~top.max": 3}],
        2: [{"k": 1.0, "~top.max": 1}],
    }


def test_a_float_key_of_minus_zero_comes_out_as_zero() -> None:
    layout = Layout.of(("k",), (AggregateSpec("count", None, None, "rows"),), SCHEMA)
    rows = RowInput(layout, SlidingSlices(10, 10), SCHEMA)
    arrays = [pa.array([True]), pa.array([-0.0]), pa.array([1]), pa.array([0], pa.int64()).view(TIME_TYPE)]
    reduced = rows.reduce(rows.columns(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)))
    assert isinstance(reduced, Reduced)
    assert str(reduced.columns[0][0].as_py()) == "0.0"
