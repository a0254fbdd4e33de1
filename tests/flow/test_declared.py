"""`sf.fn` says what a row function's annotations do not; functions of batches get what they annotate."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow.errors import DataError, UserError
from streamflow.flow.batch_form import batch_form
from streamflow.testing import evaluate

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]
    import polars as pl

SCHEMA = pa.schema({"at": pa.timestamp("us", "UTC"), "n": pa.int64(), "x": pa.float64(), "s": pa.string()})
ROWS = [
    {"at": datetime(2024, 5, 1, tzinfo=UTC), "n": 1, "x": 0.5, "s": "a"},
    {"at": datetime(2024, 5, 2, tzinfo=UTC), "n": 2, "x": 1.5, "s": None},
    {"at": datetime(2024, 5, 3, tzinfo=UTC), "n": 3, "x": 2.5, "s": "c"},
]


class Pair(NamedTuple):
    a: int
    b: int


def run(function: Any, **options: Any) -> list[dict[str, Any]]:
    flow = sf.Flow("batches")
    rows = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="at")
    rows.map_batches(function, **options).write("out", memory.Sink())
    made: list[dict[str, Any]] = sf.testing.run(flow, {"rows": ROWS}, seed=3)["out"].sort_by("n").to_pylist()
    return made


def test_functions_without_annotations_take_columns_by_name() -> None:
    assert evaluate(sf.fn(math.sqrt, args=["x"], returns=float), x=[9.0]) == [3.0]
    assert evaluate(sf.fn(lambda text: text[::-1], args=["s"], returns=str), s=["abc"]) == ["cba"]
    assert evaluate(sf.fn(lambda s, t: s + t, returns=str), s=["a"], t=["b"]) == ["ab"]
    assert evaluate(sf.fn(functools.partial(pow, 2), args=["x"], returns=int), x=[5]) == [32]
    assert evaluate(sf.fn(max, args=["a", "b"], returns=int), a=[1], b=[2]) == [2]


def test_what_annotations_say_still_counts() -> None:
    def area(width: int, height: int = 2) -> int:
        return width * height

    assert evaluate(sf.fn(area, args=["w"]), w=[3]) == [6]
    assert evaluate(sf.fn(area, args=["w", "h"]), w=[3], h=[4]) == [12]
    with pytest.raises(UserError, match="takes 'w' as int64"):
        evaluate(sf.fn(area, args=["w"]), w=["wide"])


def test_rows_and_many_rows_are_declared_too() -> None:
    flow = sf.Flow("rows")
    rows = flow.read("rows", memory.Source(pa.table({"n": pa.array([], pa.int64())})))
    rows.map(sf.fn(lambda n: Pair(n, -n), returns=Pair)).write("pairs", memory.Sink())
    rows.flat_map(sf.fn(lambda n: (Pair(i, n) for i in range(n)), returns=Iterator[Pair])).write("many", memory.Sink())
    results = sf.testing.run(flow, {"rows": [{"n": 2}]})
    assert results["pairs"].to_pylist() == [{"a": 2, "b": -2}]
    assert results["many"].to_pylist() == [{"a": 0, "b": 2}, {"a": 1, "b": 2}]


def test_what_cannot_be_declared_is_refused() -> None:
    with pytest.raises(UserError, match="does not take the columns a, b"):
        evaluate(sf.fn(math.sqrt, args=["a", "b"], returns=float), a=[1], b=[2])
    with pytest.raises(UserError, match="does not say what it returns"):
        evaluate(sf.fn(lambda s: s), s=["a"])
    with pytest.raises(UserError, match="is a text"):
        sf.fn(len, args="name", returns=int)
    options: Any = {"concurrency": 100}
    with pytest.raises(UserError, match="fn has no concurrency= in this version"):
        sf.fn(len, **options)


def test_functions_of_batches_get_what_they_annotate() -> None:
    def arrow(batch: pa.RecordBatch) -> pa.RecordBatch:
        assert isinstance(batch, pa.RecordBatch)
        return batch

    def polars(frame: pl.DataFrame) -> pl.DataFrame:
        assert type(frame).__module__.startswith("polars")
        return frame.with_columns(frame["n"] * 1)

    def pandas(frame: pd.DataFrame) -> pd.DataFrame:
        assert type(frame).__module__.startswith("pandas")
        return frame.assign(n=frame["n"] * 1)

    def numpy(columns: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        assert isinstance(columns["at"], np.ndarray)
        return {**columns, "n": columns["n"] * 1}

    for function in (arrow, polars, pandas, numpy):
        assert run(function) == ROWS


def test_one_form_may_come_and_another_go() -> None:
    schema = pa.schema({"n": pa.int64()})

    def counted(columns: dict[str, np.ndarray[Any, Any]]) -> pl.DataFrame:
        import polars

        return polars.DataFrame({"n": columns["n"] * 10})

    def listed(batch: pa.RecordBatch) -> pa.Table:
        return pa.table({"n": batch["n"]})

    assert run(counted, schema=schema) == [{"n": 10}, {"n": 20}, {"n": 30}]
    assert run(listed, schema=schema) == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_whole_numbers_that_are_null_stay_whole_numbers() -> None:
    def doubled(columns: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        return {"n": columns["m"] * 2, "_time": columns["_time"]}

    flow = sf.Flow("nulls")
    source = memory.Source(pa.schema({"at": SCHEMA.field("at").type, "m": pa.int64()}).empty_table())
    rows = flow.read("rows", source, event_time="at")
    rows.map_batches(doubled, schema=pa.schema({"n": pa.int64()})).write("out", memory.Sink())
    made = sf.testing.run(flow, {"rows": [{"at": ROWS[0]["at"], "m": 4}, {"at": ROWS[0]["at"], "m": None}]})
    assert made["out"].to_pylist() == [{"n": 8}, {"n": None}]


def test_forms_that_are_not_known_are_refused() -> None:
    def wrong(batch: list[int]) -> list[int]:
        return batch

    with pytest.raises(UserError, match="annotate it as pa"):
        batch_form(wrong)
    with pytest.raises(DataError, match="returned a list"):
        run(lambda batch: [1])
