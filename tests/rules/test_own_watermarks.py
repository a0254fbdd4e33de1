"""Watermarks that rows carry or a generator makes: per split, part of its position, and as right as a bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.cli import main
from streamflow.engine.split_time import SplitTime
from streamflow.errors import SchemaError, StepError, UserError
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise
from streamflow.runners.inline import InlineJob
from streamflow.testing import advance, splits

SECOND = 1_000_000
MOMENT = pa.timestamp("us", "UTC")
SCHEMA = pa.schema([("v", pa.int64()), ("t", MOMENT), ("complete", MOMENT)])


@dataclass(frozen=True)
class Behind:
    """What `bounded_out_of_orderness` does, as a generator."""

    bound: int

    def on_batch(self, times: npt.NDArray[np.int64], state: Any) -> tuple[int | None, Any]:
        greatest = int(max(times.max(), state or times[0]))
        return greatest - self.bound, greatest


@dataclass(frozen=True)
class After:
    """It knows the watermark after so many rows: what a split gave before a restart counts."""

    rows: int

    def on_batch(self, times: npt.NDArray[np.int64], state: Any) -> tuple[int | None, Any]:
        seen = {"rows": (state or {"rows": 0})["rows"] + len(times)}
        return (100 * SECOND if seen["rows"] >= self.rows else None), seen


def flow_of(watermark: Any, *, of: Any = None) -> sf.Flow:
    flow = sf.Flow("own")
    source = of or memory.Source(SCHEMA.empty_table())
    rows = flow.read("rows", source, event_time="t", watermark=watermark)
    rows.window(sf.tumbling("10s")).agg(n=sf.count(), v=col("v").sum()).write("out", memory.Sink())
    return flow


def row(v: int, t: float, complete: float | None = None) -> dict[str, Any]:
    return {"v": v, "t": int(t * SECOND), "complete": None if complete is None else int(complete * SECOND)}


def test_a_column_says_when_windows_are_complete() -> None:
    """The row at 7 s comes behind one at 30 s, and is in time; behind the promise of 20 s it is late."""
    given = [row(1, 5), row(1, 30), row(1, 7), advance("0s"), row(1, 31, complete=20), advance("0s"), row(1, 8)]
    results = sf.testing.run(flow_of(sf.watermark_from("complete")), {"rows": given})
    counts = {r["window_end"].second: r["n"] for r in results["out"].to_pylist()}
    assert counts == {10: 2, 40: 2}
    assert sum(results.late.values()) == 1


def test_a_promise_that_goes_back_says_nothing() -> None:
    given = [row(1, 5, complete=20), advance("0s"), row(1, 25, complete=3), advance("0s"), row(1, 8)]
    assert sum(sf.testing.run(flow_of(sf.watermark_from("complete")), {"rows": given}).late.values()) == 1


@pytest.mark.parametrize(
    "watermark", [sf.watermark_from("complete"), sf.watermark_by(Behind(0))], ids=["column", "own"]
)
def test_the_slowest_split_holds_the_others(watermark: Any) -> None:
    fast = [row(1, t, complete=t) for t in (5, 15, 25)]
    slow = [row(1, 1, complete=1), *[advance("0s")] * 9, row(1, 2, complete=2)]
    assert sf.testing.run(flow_of(watermark), {"rows": splits(fast, slow)}).late == {}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    times=st.lists(st.integers(0, 60), min_size=1, max_size=30),
    seed=st.integers(0, 2**31),
    workers=st.sampled_from([1, 2, 3]),
    crashes=st.integers(0, 2),
)
def test_with_all_promises_kept_the_results_are_the_batch_answer(
    times: list[int], seed: int, workers: int, crashes: int
) -> None:
    """A row promises what is true of those behind it: the least of their times."""
    given = [row(i, t, complete=min(times[i + 1 :], default=60)) for i, t in enumerate(times)]
    for watermark in (sf.watermark_from("complete"), sf.watermark_by(Behind(60 * SECOND))):
        parts = splits(given[::2], given[1::2])
        results = sf.testing.run(flow_of(watermark), {"rows": parts}, seed=seed, workers=workers, crashes=crashes)
        assert results.late == {}
        found = {int(r["window_start"].timestamp()): (r["n"], r["v"]) for r in results["out"].to_pylist()}
        expected: dict[int, tuple[int, int]] = {}
        for i, t in enumerate(times):
            n, v = expected.get(t // 10 * 10, (0, 0))
            expected[t // 10 * 10] = n + 1, v + i
        assert found == expected


@pytest.mark.parametrize("cut", [1, 2, 3, 5])
def test_positions_hold_the_watermark_and_what_the_generator_remembers(cut: int) -> None:
    rows = pa.Table.from_pylist([row(1, t) for t in range(5)], SCHEMA)
    flow = flow_of(sf.watermark_by(After(4)), of=memory.Source(rows))
    job = InlineJob(place(optimise(flow.graph()), name="own"), max_rows=cut)
    job.run()
    assert job.checkpoint is not None
    assert job.checkpoint.splits["rows"]["0"].times == {"rows": SplitTime(4 * SECOND, 100 * SECOND, '{"rows": 5}')}


def test_a_restored_split_goes_on_from_its_watermark_and_the_generators_state() -> None:
    """A crash after any step; the third row is late whenever the fourth of its split is counted from the first on."""
    given = [row(1, 1), row(1, 2), advance("0s"), row(1, 3), row(1, 4), advance("0s"), row(1, 5)]
    for seed in range(12):
        made = sf.testing.run(flow_of(sf.watermark_by(After(4))), {"rows": given}, seed=seed, crashes=3)
        assert sum(r["n"] for r in made["out"].to_pylist()) == 4
        assert sum(made.late.values()) == 1


def test_a_quiet_split_does_not_hold_others_when_it_may_be_idle() -> None:
    quiet = [row(1, 1, complete=1), advance("1h"), row(1, 2, complete=2)]
    busy = [row(1, 5, complete=5), advance("30m"), row(1, 95, complete=95), advance("10m"), row(1, 96, complete=96)]
    results = sf.testing.run(flow_of(sf.watermark_from("complete", idle="1m")), {"rows": splits(quiet, busy)})
    assert sum(results.late.values()) == 1


def test_the_column_may_be_one_that_nothing_else_reads_and_an_expression() -> None:
    epoch = pa.table({"t": pa.array([0, 30 * SECOND, 5 * SECOND], MOMENT), "ms": [0, 20_000, 20_000], "v": [1, 1, 1]})
    cuts = [epoch.slice(i, 1).to_batches()[0] for i in range(3)]
    flow = flow_of(sf.watermark_from(sf.from_epoch("ms", "ms")), of=memory.Source(cuts))
    assert sf.run(flow).late == 1


def test_a_filter_behind_it_leaves_out_no_row_that_carries_a_watermark(tmp_path: Any) -> None:
    from pyarrow import parquet as files
    from streamflow_connectors import parquet

    rows = [row(1, 1), row(0, 30, complete=20), row(1, 2)]
    files.write_table(pa.Table.from_pylist(rows, SCHEMA), tmp_path / "rows.parquet", row_group_size=1)
    flow = sf.Flow("own")
    read = flow.read(
        "rows", parquet.Source(tmp_path / "rows.parquet"), event_time="t", watermark=sf.watermark_from("complete")
    )
    kept = read.filter(col("v") > 0)
    kept.window(sf.tumbling("10s")).agg(n=sf.count()).write("out", memory.Sink())
    [work] = place(optimise(flow.graph()), name="own").reads().values()
    reader = work.source.open(dict.fromkeys(work.source.splits()))
    found = 0
    while isinstance(polled := reader.poll(10), list):
        found += sum(part[1].num_rows for part in polled if isinstance(part, tuple))
    reader.close()
    assert found == 3


# -- mistakes


@dataclass(frozen=True)
class Gives:
    made: Any

    def on_batch(self, times: npt.NDArray[np.int64], state: Any) -> Any:
        return self.made() if isinstance(self.made, Callable) else self.made  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (5, "on_batch gave 5"),
        ((1.5, None), "gave the watermark 1.5"),
        ((2**63 - 1, None), "no event time can reach"),
        ((1, {1, 2}), "no JSON"),
        ((1, np.int64(3)), "no JSON"),
    ],
)
def test_what_a_generator_gives_wrongly_is_named(made: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        sf.testing.run(flow_of(sf.watermark_by(Gives(made))), {"rows": [row(1, 1)]})
    assert raised.value.step == "rows"


def test_an_error_in_a_generator_names_the_step_and_the_line() -> None:
    def fails() -> None:
        raise ValueError("broken watch")

    with pytest.raises(StepError, match=r"broken watch \(raised at .*test_own_watermarks.py"):
        sf.testing.run(flow_of(sf.watermark_by(Gives(fails))), {"rows": [row(1, 1)]})


def test_numbers_of_numpy_are_watermarks() -> None:
    sf.testing.run(flow_of(sf.watermark_by(Gives((np.int64(5), None)))), {"rows": [row(1, 1)]})


def test_what_is_no_watermark_is_refused_where_it_is_written() -> None:
    with pytest.raises(UserError, match="no on_batch"):
        sf.watermark_by(object())  # type: ignore[arg-type]
    with pytest.raises(UserError, match="After is a class"):
        sf.watermark_by(After)  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="not a timestamp"):
        flow_of(sf.watermark_from("v"))
    with pytest.raises(SchemaError, match="nothing"):
        flow_of(sf.watermark_from("nothing"))


def test_without_a_split_there_is_no_watermark_of_a_split() -> None:
    flow = sf.Flow("own")
    rows = flow.read("rows", memory.Source(SCHEMA.empty_table()), event_time="t")
    counts = rows.window(sf.tumbling("10s")).agg(n=sf.count())
    again = counts.with_event_time("window_start", watermark=sf.watermark_from("window_start"))
    again.window(sf.tumbling("20s")).agg(n=sf.count()).write("out", memory.Sink())
    with pytest.raises(UserError, match="here no split is known"):
        sf.testing.run(flow, {"rows": [row(1, 1)]})


def test_the_plan_says_where_the_watermark_comes_from(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import pyarrow as pa\n"
        "import streamflow as sf\n"
        "from streamflow_connectors import memory\n"
        "MOMENT = pa.timestamp('us', 'UTC')\n"
        "class Own:\n"
        "    def on_batch(self, times, state):\n"
        "        return None, None\n"
        "def build() -> sf.Flow:\n"
        "    flow = sf.Flow('own')\n"
        "    source = memory.Source([], schema=pa.schema({'t': MOMENT, 'complete': MOMENT}))\n"
        "    for n, mark in enumerate([sf.watermark_from('complete', idle='30s'), sf.watermark_by(Own())]):\n"
        "        rows = flow.read(f'rows-{n}', source, event_time='t', watermark=mark)\n"
        "        rows.window(sf.tumbling('1s')).agg(n=sf.count()).write(f'out-{n}', memory.Sink())\n"
        "    return flow\n"
    )
    assert main(["plan", str(script)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "watermark col('complete') of the rows, a split is idle after 30s, for each split of" in shown
    assert "watermark made by Own, for each split of the read" in shown
