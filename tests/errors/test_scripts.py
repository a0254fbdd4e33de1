"""A wrong flow: found while it is built, exit code 2, nothing touched."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow.errors import SchemaError, UserError

WRONG = {
    "a missing column": """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.filter(col("price") > 1).write("out", parquet.Sink(here / "out"))  # <-
            return flow
    """,
    "a missing column in an aggregate": """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.key_by("s").agg(total=col("price").sum()).write("out", memory.Sink())  # <-
            return flow
    """,
    "a missing key": """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.key_by("city").agg(n=sf.count()).write("out", memory.Sink())  # <-
            return flow
    """,
    "a missing event time": """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS), event_time="at")  # <-
            rows.write("out", parquet.Sink(here / "out"))
            return flow
    """,
    "a type clash": """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.with_columns(x=col("n") + col("s")).write("out", parquet.Sink(here / "out"))  # <-
            return flow
    """,
    "a type clash in a union": """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.union(rows.with_columns(n=sf.lit("x"))).write("out", parquet.Sink(here / "out"))  # <-
            return flow
    """,
    "a filter that is no condition": """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.filter(col("n") + 1).write("out", parquet.Sink(here / "out"))  # <-
            return flow
    """,
    "a bad duration": """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS), event_time=sf.from_epoch("n", "s"))
            rows.window(sf.tumbling("10x")).agg(n=sf.count()).write("out", memory.Sink())  # <-
            return flow
    """,
    "a duration without a unit": """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS), event_time=sf.from_epoch("n", "s"))
            rows.window(sf.sliding("10s", every=2)).agg(n=sf.count()).write("out", memory.Sink())  # <-
            return flow
    """,
    "a negative bound": """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            late = sf.bounded_out_of_orderness("-5s")  # <-
            rows = flow.read("rows", memory.Source(NUMBERS), event_time="n", watermark=late)
            return flow
    """,
    "a name twice": """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.write("out", parquet.Sink(here / "out"))
            rows.write("out", parquet.Sink(here / "out"))  # <-
            return flow
    """,
    "a step's name twice": """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            one = rows.filter(col("n") > 1).step("rows")  # <-
            one.write("out", parquet.Sink(here / "out"))
            return flow
    """,
    "a window without event time": """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.window(sf.tumbling("1s")).agg(n=sf.count()).write("out", memory.Sink())  # <-
            return flow
    """,
    "a changelog for a sink that takes none": """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.key_by("s").agg(n=sf.count()).write("out", parquet.Sink(here / "out"))  # <-
            return flow
    """,
    "a stream that nobody reads": """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.write("out", parquet.Sink(here / "out"))
            rows.filter(col("n") > 1)  # <-
            return flow
    """,
    "a folder that is not there": """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", parquet.Source(here / "nowhere"))  # <-
            rows.write("out", parquet.Sink(here / "out"))
            return flow
    """,
    "a Python operator on columns": """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.filter(col("n") > 1 and col("n") < 5).write("out", parquet.Sink(here / "out"))  # <-
            return flow
    """,
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_flow_is_refused_with_its_line_and_a_remedy(scripts: Any, name: str) -> None:
    failed = scripts.fail(WRONG[name])
    failed.names(step=None)
    assert failed.code == 2, failed.printed
    assert scripts.published() == []


def test_a_process_that_was_given_a_wrong_flow_ends_with_2_and_no_traceback(scripts: Any) -> None:
    failed = scripts.run(WRONG["a type clash"])
    failed.names(step=None)
    assert failed.code == 2


def flow_of_rows() -> sf.Flow:
    flow = sf.Flow("f")
    flow.read("rows", memory.Source(pa.table({"n": [1]}))).write("out", memory.Sink())
    return flow


def test_a_test_that_names_an_unknown_read_is_told_the_known_ones() -> None:
    with pytest.raises(UserError, match="'bids'") as caught:
        sf.testing.run(flow_of_rows(), {"bids": [{"n": 1}]})
    assert "rows" in str(caught.value.remedy)


def test_a_test_that_gives_unknown_columns_is_told_the_known_ones() -> None:
    with pytest.raises(SchemaError, match="price") as caught:
        sf.testing.run(flow_of_rows(), {"rows": [{"n": 1, "price": 2}]})
    assert "n" in str(caught.value.remedy)


def test_a_test_that_lacks_a_column_in_a_table_is_told_so() -> None:
    with pytest.raises(SchemaError, match="n") as caught:
        sf.testing.run(flow_of_rows(), {"rows": pa.table({"m": [1]})})
    assert caught.value.remedy is not None


def test_a_test_that_gives_a_value_of_another_type_is_told_the_read_and_the_column() -> None:
    with pytest.raises(SchemaError, match="rows") as caught:
        sf.testing.run(flow_of_rows(), {"rows": [{"n": "one"}]})
    assert caught.value.remedy is not None


def test_a_test_that_gives_a_table_of_other_types_is_told_the_read_and_the_column() -> None:
    with pytest.raises(SchemaError, match="rows") as caught:
        sf.testing.run(flow_of_rows(), {"rows": pa.table({"n": ["one"]})})
    assert caught.value.remedy is not None


def test_rows_that_are_no_rows_are_refused() -> None:
    for wrong in (5, {"n": 1}, [5]):
        with pytest.raises(UserError) as caught:
            sf.testing.run(flow_of_rows(), {"rows": wrong})
        assert caught.value.remedy is not None
