from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from streamflow_connectors import memory, parquet

import streamflow as sf
from streamflow.errors import Fatal


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
