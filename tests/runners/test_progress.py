"""The progress line: which split the watermark waits for (rule 4)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow.connect import Ended, PollResult, Position, Wait
from streamflow.runners import local
from streamflow.runners.progress import Line, Snapshot, line

SECOND = 1_000_000
SCHEMA = pa.schema({"t": pa.timestamp("us", "UTC")})


def shown(*, watermark: int | None, held_by: str | None, waiting: Sequence[str] = ()) -> str:
    now = Snapshot(
        rows_in=5,
        rows_out=0,
        late=0,
        watermark=watermark,
        greatest=9 * SECOND,
        held_by=held_by,
        waiting=waiting,
        elapsed=1.0,
    )
    return line("hot", None, now, 5.0)


def test_the_line_names_what_holds_the_watermark() -> None:
    assert "watermark 1970-01-01 00:00:02, 7 s behind, held by bids/part-3 |" in shown(
        watermark=2 * SECOND, held_by="bids/part-3"
    )


def test_the_line_says_so_when_there_is_no_watermark_at_all() -> None:
    assert "| no watermark yet, held by bids/part-3 |" in shown(watermark=None, held_by="bids/part-3")


def test_nothing_is_said_when_nothing_holds_it() -> None:
    assert "held" not in shown(watermark=2 * SECOND, held_by=None)


def test_the_line_says_which_splits_wait_for_it() -> None:
    assert "held by bids/1, bids/0 waits |" in shown(watermark=0, held_by="bids/1", waiting=["bids/0"])
    assert "held by bids/1, bids/0 and 2 more wait |" in shown(
        watermark=0, held_by="bids/1", waiting=["bids/0", "bids/2", "bids/3"]
    )


def test_of_a_long_name_the_end_is_shown() -> None:
    name = "bids/" + "deep/" * 20 + "part-00003.parquet"
    assert f"held by ...{name[-37:]} |" in shown(watermark=None, held_by=name)


class Turns:
    """Gives what it is told to, turn by turn: (split, seconds of event time), or None for nothing at hand."""

    bounded = True

    def __init__(self, splits: str, turns: list[tuple[str, int] | None]) -> None:
        self._splits, self._turns = splits, turns

    def schema(self) -> pa.Schema:
        return SCHEMA

    def splits(self) -> list[str]:
        return list(self._splits)

    def open(self, splits: Mapping[str, Position | None]) -> TurnsReader:
        return TurnsReader(list(self._splits), list(self._turns))


class TurnsReader:
    def __init__(self, splits: list[str], turns: list[tuple[str, int] | None]) -> None:
        self._left, self._turns = splits, turns

    def poll(self, max_rows: int) -> PollResult:
        if not self._turns:
            return Ended(self._left.pop())
        turn = self._turns.pop(0)
        if turn is None:
            return Wait(0)
        split, seconds = turn
        return [(split, pa.record_batch({"t": pa.array([seconds * SECOND], pa.int64()).view(SCHEMA[0].type)}))]

    def positions(self) -> Mapping[str, Position]:
        return {}

    def committed(self, positions: Mapping[str, Position]) -> None: ...

    def close(self) -> None: ...


def lines_of(flow: sf.Flow, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The progress line after every round of polls."""
    written = io.StringIO()
    shows = Line(flow.name, None, written)
    monkeypatch.setattr(shows, "is_due", lambda now: True)
    monkeypatch.setattr(local, "progress_for", lambda graph: shows)
    sf.run(flow)
    return written.getvalue().split("\r\x1b[2K")[1:]


def counted(rows: sf.Stream) -> None:
    rows.window(sf.tumbling("10s")).agg(n=sf.count()).write("out", memory.Sink())


def test_a_job_shows_the_split_that_others_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = sf.Flow("job")
    turns: list[tuple[str, int] | None] = [("a", 100), None, ("b", 30), None, ("b", 130), None, ("a", 130)]
    counted(flow.read("bids", Turns("ab", turns), event_time="t"))
    held = [text.partition("held by ")[2].partition(" |")[0] for text in lines_of(flow, monkeypatch)]
    assert held[:7] == ["bids/b", "bids/b", "bids/b", "bids/b", "bids/a", "bids/a", ""]


def test_of_several_reads_the_one_behind_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = sf.Flow("job")
    fast = flow.read("fast", Turns("a", [("a", 50), ("a", 100), None]), event_time="t")
    slow = flow.read("slow", Turns("a", [None, ("a", 20), None]), event_time="t")
    counted(fast.union(slow))
    lines = lines_of(flow, monkeypatch)
    assert "| no watermark yet, held by slow |" in lines[0]
    assert "watermark 1970-01-01 00:00:20, 80 s behind, held by slow |" in lines[1]


def test_a_job_shows_the_splits_that_wait_for_a_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = sf.Flow("job")
    times = [second * SECOND for second in (100, 200, 300, 1, 2, 3)]
    rows = pa.table({"t": pa.array(times, pa.int64()).view(SCHEMA[0].type)}).to_batches(1)
    aligned = sf.monotonic(align="1m")
    counted(flow.read("bids", memory.Source(rows, splits=2), event_time="t", watermark=aligned))
    lines = lines_of(flow, monkeypatch)
    assert "no watermark yet, held by bids/1, bids/0 waits |" in lines[0]
    assert "watermark 1970-01-01 00:00:02, 98 s behind, held by bids/1, bids/0 waits |" in lines[2]
    assert "wait" not in lines[-1]
