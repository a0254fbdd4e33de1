"""What is refused before a process is started, and one small job on two of them; the rest is in tests/integration."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamflow_connectors import memory, parquet

import streamflow as sf
from streamflow.errors import UserError
from tests.integration import jobs


def test_two_workers_give_what_one_gives(tmp_path: Path) -> None:
    for workers in (1, 2):
        result = sf.run(jobs.sums, workers=workers, out=f"{tmp_path}/{workers}")
        assert (result.rows_in, result.rows_out) == (10_000, 7)
    one, two = (pq.read_table(tmp_path / str(workers)).sort_by("k") for workers in (1, 2))
    assert one.equals(two)


def test_a_finished_flow_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a finished Flow cannot be run on several workers") as refused:
        sf.run(jobs.sums(str(tmp_path)), workers=3)
    assert refused.value.remedy == "give sf.run the build function: sf.run(build, workers=3)"


def test_a_function_that_other_processes_do_not_find_is_refused() -> None:
    with pytest.raises(UserError, match="a lambda cannot be run on several workers"):
        sf.run(lambda: jobs.sums("out"), workers=2)


def test_a_sink_that_keeps_rows_in_its_process_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="keeps its rows in the process that writes them") as refused:
        sf.run(jobs.kept, workers=2, out=str(tmp_path))
    assert refused.value.step == "out"


@pytest.mark.parametrize("workers", [0, -1, 129])
def test_a_number_of_workers_that_cannot_be_is_refused(tmp_path: Path, workers: int) -> None:
    with pytest.raises(UserError, match=f"workers={workers}: a job has 1 to 128"):
        sf.run(jobs.sums, workers=workers, out=str(tmp_path))


def test_what_only_several_workers_have_is_refused_for_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="restarts= is for a job on several workers"):
        sf.run(jobs.sums, restarts=3, out=str(tmp_path))
    with pytest.raises(UserError, match="network= is for a job on several workers"):
        sf.run(jobs.sums, network=sf.Tcp(), out=str(tmp_path))


def test_an_option_that_is_also_a_parameter_is_refused(tmp_path: Path) -> None:
    def build(workers: int = 1) -> sf.Flow:
        flow = sf.Flow("copy")
        flow.read("n", memory.Source(pa.table({"n": [workers]}))).write("out", parquet.Sink(tmp_path))
        return flow

    with pytest.raises(UserError, match=r"both sf\.run and build have a parameter workers"):
        sf.run(build, workers=2)
    assert sf.run(build).rows_out == 1
