"""Rules keep a graph whole: what they leave is checked after each."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.errors import EngineError
from streamflow.plan.logical.expr import Call, Column, Literal
from streamflow.plan.logical.names import walk
from streamflow.plan.logical.nodes import Filter, Named, Project, Top, Union, Write
from streamflow.plan.rewrite import Graph
from streamflow.plan.rules import optimise
from streamflow.plan.rules.validate import validate

TABLE = pa.table({"a": [1, 2], "b": [1.5, None], "c": ["x", "y"]})


def _graph() -> Graph:
    flow = sf.Flow("f")
    rows = flow.read("rows", memory.Source(TABLE))
    rows.filter(col("a") > 1).select("c", twice=col("a") * 2).write("out", memory.Sink())
    return flow.graph()


def test_a_graph_as_it_is_built_is_whole() -> None:
    validate(_graph(), after="nothing")


def test_a_missing_column_is_found() -> None:
    (write,) = _graph()
    project = write.input
    assert isinstance(project, Project)
    broken = replace(project, columns=(Named("c", Column("c")), Named("twice", Column("d"))))
    with pytest.raises(EngineError, match=r"rule r broke the graph: Project reads \['d'\]"):
        validate((replace(write, input=broken),), after="r")


def test_a_missing_column_of_a_sort_is_found() -> None:
    flow = sf.Flow("f")
    rows = flow.read("rows", memory.Source(TABLE), event_time=sf.from_epoch("a"))
    rows.window(sf.tumbling("1s")).top(1, by="b").write("out", memory.Sink())
    (write,) = flow.graph()
    top = write.input
    assert isinstance(top, Top)
    less = flow.read("less", memory.Source(TABLE.drop_columns("b")), event_time=sf.from_epoch("a"))
    with pytest.raises(EngineError, match=r"Top reads \['b'\]"):
        validate((replace(write, input=replace(top, input=less._node)),), after="r")


def test_another_type_than_the_expression_has_is_found() -> None:
    (write,) = _graph()
    project = write.input
    assert isinstance(project, Project)
    broken = replace(project, columns=(Named("c", Column("c")), Named("twice", Column("b"))))
    with pytest.raises(EngineError, match="says that 'twice' is int64, and it is double"):
        validate((replace(write, input=broken),), after="r")


def test_an_expression_that_does_not_fit_is_found() -> None:
    (write,) = _graph()
    project = write.input
    assert isinstance(project, Project)
    sum_of_unlikes = Call("mul", (Column("a"), Column("c")))
    broken = replace(project, columns=(Named("c", Column("c")), Named("twice", sum_of_unlikes)))
    with pytest.raises(EngineError, match="cannot take int64 and string"):
        validate((replace(write, input=broken),), after="r")


def test_a_filter_that_claims_other_columns_is_found() -> None:
    (write,) = _graph()
    project = write.input
    assert isinstance(project, Project)
    node = project.input
    assert isinstance(node, Filter)
    broken = replace(node, type=replace(node.type, schema=pa.schema({"a": pa.int64(), "c": pa.string()})))
    with pytest.raises(EngineError, match="Filter says that it gives"):
        validate((replace(write, input=replace(project, input=broken)),), after="r")


def _union_of(graph: Graph) -> Union:
    return next(node for node in walk(graph) if isinstance(node, Union))


def test_all_inputs_of_a_union_are_narrowed_to_what_is_read() -> None:
    flow = sf.Flow("f")
    rows = flow.read("rows", memory.Source(TABLE))
    filtered = rows.filter(col("b") > 1)
    mapped = rows.map_batches(lambda batch: batch)
    filtered.union(mapped, rows.select("c", "a")).select(n=col("a") + 1).write("out", memory.Sink())
    union = _union_of(optimise(flow.graph()))
    assert [above.type.schema.names for above in union.inputs] == [["a"]] * 3
    assert union.type.schema.names == ["a"]


def test_a_union_of_which_nobody_reads_a_column_keeps_one() -> None:
    flow = sf.Flow("f")
    rows = flow.read("rows", memory.Source(TABLE))
    rows.filter(col("b") > 1).union(rows.filter(col("c") == "y")).agg(n=sf.count()).changes().write(
        "out", memory.Sink()
    )
    union = _union_of(optimise(flow.graph()))
    assert {tuple(above.type.schema.names) for above in union.inputs} == {("a",)}


def test_a_column_that_an_input_lacks_is_null_when_it_is_read_and_gone_when_not() -> None:
    flow = sf.Flow("f")
    rows = flow.read("rows", memory.Source(TABLE))
    rows.select("a", "b").union(rows.select("c", "a")).filter(col("a") == 2).write("out", memory.Sink())
    found = sf.testing.run(flow, {}, seed=1)["out"].sort_by("c").to_pylist()
    assert found == [{"a": 2, "b": None, "c": "y"}, {"a": 2, "b": None, "c": None}]

    narrow = sf.Flow("f")
    rows = narrow.read("rows", memory.Source(TABLE))
    rows.select("a", "b").union(rows.select("c", "a")).select("a").write("out", memory.Sink())
    (write,) = optimise(narrow.graph())
    assert isinstance(write, Write)
    assert not any(
        isinstance(column.expr, Literal)
        for node in walk((write,))
        if isinstance(node, Project)
        for column in node.columns
    )
