"""Windows of the user's own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.errors import DataError, UserError
from streamflow.operators.assign_windows import AssignWindows
from streamflow.operators.events import TIME_TYPE
from streamflow.testing import splits

HOUR = 3_600_000_000
Times = npt.NDArray[np.int64]
SCHEMA = pa.schema({"k": pa.string(), "v": pa.int64(), "t": TIME_TYPE})


@dataclass(frozen=True)
class Shifts:
    """Two a day: from 06:00 for 16 hours, and the 8 hours of the night."""

    def assign(self, times: Times) -> tuple[Times, Times]:
        day = (times - 6 * HOUR) // (24 * HOUR) * (24 * HOUR) + 6 * HOUR
        night = times >= day + 16 * HOUR
        return day + np.where(night, 16 * HOUR, 0), day + np.where(night, 24 * HOUR, 16 * HOUR)


@dataclass(frozen=True)
class Around:
    """For even microseconds the window of that and of the next hour; none for odd ones."""

    def assign(self, times: Times) -> tuple[Times, Times, Times]:
        rows = np.repeat(np.flatnonzero(times % 2 == 0), 2)
        starts = times[rows] // HOUR * HOUR
        ends = starts + np.tile([HOUR, 2 * HOUR], len(rows) // 2)
        return rows, starts, ends


def bounds_of(assigner: Shifts | Around, time: int) -> list[tuple[int, int]]:
    *_, starts, ends = assigner.assign(np.array([time]))
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def flow(assigner: Shifts | Around, how: str) -> sf.Flow:
    made = sf.Flow("own")
    rows = made.read("rows", memory.Source(SCHEMA.empty_table()), event_time="t")
    windows = rows.key_by("k").window(assigner)
    if how == "agg":
        windows.agg(n=sf.count(), total=(col("v") * 2).sum() + 0).write("out", memory.Sink())
    else:
        windows.top(100, by="v").write("out", memory.Sink())
    return made


@settings(max_examples=25, deadline=None)
@given(
    assigner=st.sampled_from([Shifts(), Around()]),
    how=st.sampled_from(["agg", "top"]),
    times=st.lists(st.lists(st.integers(-50 * HOUR, 50 * HOUR), max_size=20).map(sorted), min_size=1, max_size=3),
    seed=st.integers(0, 2**31),
    workers=st.sampled_from([1, 2, 3, 7]),
    crashes=st.integers(0, 2),
)
def test_rows_are_in_the_windows_that_the_assigner_gives(
    assigner: Shifts | Around, how: str, times: list[list[int]], seed: int, workers: int, crashes: int
) -> None:
    parts, expected = [], Counter[tuple[Any, ...]]()
    for part in times:
        rows = [("ab"[time % 3 % 2], time % 7, time) for time in part]
        for key, value, time in rows:
            for bounds in bounds_of(assigner, time):
                expected[key, *bounds, value] += 1
        columns = list(zip(*rows, strict=True)) or [(), (), ()]
        arrays = [pa.array(column, type_) for column, type_ in zip(columns, SCHEMA.types, strict=True)]
        parts.append(pa.Table.from_arrays(arrays, schema=SCHEMA))
    results = sf.testing.run(flow(assigner, how), {"rows": splits(*parts)}, seed=seed, workers=workers, crashes=crashes)
    out = results["out"]
    assert out.column_names == ["k", "window_start", "window_end", *(["n", "total"] if how == "agg" else ["v", "t"])]
    start, end = (out[name].cast(pa.int64()).to_pylist() for name in ("window_start", "window_end"))
    keys = list(zip(out["k"].to_pylist(), start, end, strict=True))
    if how == "top":
        assert Counter((*key, v) for key, v in zip(keys, out["v"].to_pylist(), strict=True)) == expected
    else:
        totals: Counter[tuple[Any, ...]] = Counter()
        for pair, n in expected.items():
            totals[pair[:3]] += 2 * pair[3] * n
        assert dict(zip(keys, out["total"].to_pylist(), strict=True)) == dict(totals)
    assert results.late == {}


class Wrong:
    def __init__(self, *found: Any) -> None:
        self.found = found

    def assign(self, times: Times) -> Any:
        return self.found


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ((np.array([0]),), "returned neither"),
        ((np.array([0.0]), np.array([10.0])), "float64, float64, not of int64"),
        ((np.array([0, 0]), np.array([10, 10])), "returned 2, 2 entries for 1 rows"),
        ((np.array([1]), np.array([0]), np.array([10])), "named a row that is not among the 1"),
        ((np.array([6]), np.array([10])), r"gave the window \[6, 10\) for the time 5, which does not hold it"),
        ((np.array([0]), np.array([5])), "does not hold it"),
    ],
)
def test_an_assigner_that_is_wrong_is_told_so(found: tuple[Any, ...], message: str) -> None:
    schema = pa.schema({"_time": TIME_TYPE})
    out = pa.schema({"window_start": TIME_TYPE, "window_end": TIME_TYPE, "_time": TIME_TYPE})
    operator = AssignWindows(Wrong(*found), schema, out)
    with pytest.raises(DataError, match=message):
        list(operator.on_batch(0, pa.record_batch({"_time": pa.array([5], TIME_TYPE)})))


def test_a_class_is_no_window() -> None:
    rows = sf.Flow("own").read("rows", memory.Source(SCHEMA.empty_table()), event_time="t")
    with pytest.raises(UserError, match="is not a window"):
        rows.window(Shifts)  # type: ignore[arg-type]
