from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from streamflow_connectors import memory, parquet

import streamflow as sf
from streamflow.engine.outputs import Send
from streamflow.engine.reading import OpenRead, split_states
from streamflow.engine.split_state import SplitState
from streamflow.engine.split_time import SplitTime
from streamflow.engine.task import Task
from streamflow.errors import Fatal
from streamflow.operators.events import MAX_TIME, Watermark
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise


def test_a_file_that_cannot_be_asked_for_its_first_time_is_an_error_of_its_read(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and then nothing")
    flow = sf.Flow("damaged")
    schema = pa.schema({"at": pa.timestamp("us", "UTC")})
    flow.read("rows", parquet.Source(tmp_path, schema), event_time="at").write("out", memory.Sink())
    with pytest.raises(Fatal, match=r"a\.parquet is damaged") as caught:
        sf.run(flow)
    assert caught.value.step == "rows"
    assert caught.value.location is not None
    assert caught.value.location.file == __file__


def test_a_split_that_appears_gets_a_number_that_no_other_has_had() -> None:
    """Its rows would else change places with another's, of the same event time (rule 13)."""
    known = {"b": SplitState(number=0), "c": SplitState(number=3)}
    numbers = {name: state.number for name, state in split_states(["a", "b", "c", "d"], known).items()}
    assert numbers == {"a": 4, "b": 0, "c": 3, "d": 5}


def test_a_read_whose_splits_had_all_ended_before_a_restart_is_never_idle_but_at_the_end_of_time_at_once() -> None:
    flow = sf.Flow("restarted")
    rows = flow.read("rows", memory.Source([], schema=pa.schema({"at": pa.timestamp("us", "UTC")})), event_time="at")
    rows.window(sf.tumbling("1s")).agg(n=sf.count()).write("out", memory.Sink())
    graph = place(optimise(flow.graph()), name="restarted", workers=2)
    [read] = graph.reads()
    splits = {name: SplitState(times={"rows": SplitTime(7)}, ended=True) for name in ("first", "second")}
    task = Task(graph, 0, 1, splits={read: {name: state.times for name, state in splits.items()}})
    opened = OpenRead(graph, graph.nodes[read], task, splits)
    sent = [output.event for outputs in opened.start() for output in outputs if isinstance(output, Send)]
    assert opened.ended
    assert set(sent) == {Watermark(MAX_TIME)}
