"""Rows that may still be among the first n of a window."""

import numpy as np
import pyarrow as pa

from streamflow.operators.contenders import Contenders, Ranking, take_rows, within
from streamflow.operators.events import TIME, TIME_TYPE

PRICES = pa.schema([("price", pa.int64()), (TIME, TIME_TYPE)])


def prices(*values: int | None) -> pa.RecordBatch:
    times = pa.array(range(len(values)), pa.int64()).cast(TIME_TYPE)
    return pa.record_batch([pa.array(values, pa.int64()), times], schema=PRICES)


def highest(n: int) -> Contenders:
    return Contenders(Ranking([("price", True)], [], PRICES), n)


def test_only_rows_as_good_as_the_best_so_far_contend() -> None:
    contenders = highest(1)
    assert contenders.find(prices(3, 9, 9, 4), end=10).tolist() == [1, 2]
    assert contenders.find(prices(8, 9, 2), end=10).tolist() == [1]
    assert contenders.find(prices(1, 2), end=10).tolist() == []


def test_all_rows_contend_until_there_are_n() -> None:
    contenders = highest(3)
    assert contenders.find(prices(3, None), end=10).tolist() == [0, 1]
    assert contenders.find(prices(1, 5, 4), end=10).tolist() == [1, 2]


def test_each_window_has_its_own_best() -> None:
    contenders = highest(1)
    assert contenders.find(prices(100), end=10).tolist() == [0]
    assert contenders.find(prices(3), end=20).tolist() == [0]


def test_rows_outside_of_the_span_are_of_other_windows() -> None:
    contenders, times = highest(1), np.array([4, 5, 6, 7])
    assert contenders.find(prices(9, 1, 2, 8), 7, times, (5, 7)).tolist() == [2]
    assert contenders.find(prices(9, 1, 2, 8), 7, times, (5, 7)).tolist() == [2]
    assert contenders.find(prices(9, 1, 1, 8), 7, times, (5, 7)).tolist() == []


def test_a_window_that_is_over_is_forgotten() -> None:
    contenders = highest(1)
    contenders.find(prices(100), end=10)
    contenders.forget(10)
    assert contenders.find(prices(3), end=10).tolist() == [0]


def test_a_span_has_any_bounds() -> None:
    times = np.array([1, 2, 3])
    spans = [(None, None), (2, None), (None, 2), (2, 3)]
    found = [within(times, span) for span in spans]
    assert [None if rows is None else rows.tolist() for rows in found] == [None, [1, 2], [0], [1]]


def test_rows_are_copied_few_or_many() -> None:
    rows = prices(*range(40))
    for places in ([], [7, 3], list(range(20, 40))):
        taken = take_rows(rows, np.array(places, np.int64))
        assert taken.column(0).to_pylist() == places
        assert taken.get_total_buffer_size() <= 16 * len(places)
