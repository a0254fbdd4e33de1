"""Sessions against a plain Python oracle: any cuts, any workers, late rows judged to the microsecond."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.kernels.aggregate import AggregateSpec
from streamflow.kernels.hashing import groups_of_worker, hash_columns, key_groups
from streamflow.operators import session
from streamflow.operators.base import Output, Pause
from streamflow.operators.dead_letters import Rejected
from streamflow.operators.events import MAX_TIME, MIN_TIME, TIME_TYPE, Watermark
from streamflow.operators.session import SessionAggregate

GAP = 10
GROUPS = 8
SCHEMA = pa.schema([("user", pa.string()), ("site", pa.int64()), ("x", pa.int64()), ("_time", TIME_TYPE)])
SPECS = (
    AggregateSpec("count", None, None, "rows"),
    AggregateSpec("sum", "x", pa.int64(), "total"),
    AggregateSpec("max", "x", pa.int64(), "top"),
)
Row = tuple[str | None, int | None, int | None, int]


def batch(rows: Sequence[Row]) -> pa.RecordBatch:
    columns = [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(SCHEMA)]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def step(keys: tuple[str, ...] = ("user", "site")) -> SessionAggregate:
    return SessionAggregate(keys, GAP, SPECS, SCHEMA)


def results(outputs: Sequence[Output]) -> list[tuple[Any, ...]]:
    """The columns as tuples, times as ints."""
    found: list[tuple[Any, ...]] = []
    for output in outputs:
        if isinstance(output, pa.RecordBatch):
            columns = [c.cast(pa.int64()) if c.type == TIME_TYPE else c for c in output.columns]
            found += zip(*(column.to_pylist() for column in columns), strict=True)
    return found


@dataclass
class Oracle:
    """One row at a time: every key group has a watermark, every key its open sessions (start, end, values)."""

    late: int = 0
    watermarks: list[int] = field(default_factory=lambda: [MIN_TIME] * GROUPS)
    open: dict[tuple[Any, ...], list[tuple[int, int, list[int | None]]]] = field(default_factory=dict)
    fired: list[tuple[Any, ...]] = field(default_factory=list)

    def rows(self, rows: Sequence[Row]) -> None:
        for row, group in zip(rows, groups_of(rows), strict=True):
            start, end, values = row[3], min(row[3] + GAP, MAX_TIME), [row[2]]
            if end <= self.watermarks[group]:
                self.late += 1
                continue
            key = (row[0], row[1], group)
            apart = []
            for known in self.open.get(key, []):
                if known[0] < end and start < known[1]:
                    start, end = min(start, known[0]), max(end, known[1])
                    values = values + known[2]
                else:
                    apart.append(known)
            self.open[key] = [*apart, (start, end, values)]

    def watermark(self, time: int, groups: range) -> None:
        for group in groups:
            self.watermarks[group] = max(self.watermarks[group], time)
        for key, sessions in self.open.items():
            for start, end, values in sessions:
                if end <= self.watermarks[key[2]]:
                    xs = [value for value in values if value is not None]
                    total = (len(values), sum(xs) if xs else None, max(xs, default=None))
                    self.fired.append((*key[:2], start, end, *total, end - 1))
            self.open[key] = [known for known in sessions if known[1] > self.watermarks[key[2]]]


def groups_of(rows: Sequence[Row]) -> list[int]:
    keys = batch(rows)
    found: list[int] = key_groups(hash_columns([keys.column(0), keys.column(1)], len(rows)), GROUPS).tolist()
    return found


@dataclass
class Cluster:
    """Workers that each own a range of key groups; every `restore` goes onto another number of them."""

    workers: list[SessionAggregate] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)

    def restore(self, count: int) -> None:
        for worker in self.workers:
            self.outputs += worker.flush()
        names = ("sessions", "progress")
        parts = {name: [worker.state()[name].snapshot(GROUPS) for worker in self.workers] for name in names}
        self.workers = [step() for _ in range(count)]
        for index, worker in enumerate(self.workers):
            for name in names:
                worker.state()[name].restore(parts[name], groups_of_worker(index, GROUPS, count))

    def rows(self, rows: Sequence[Row]) -> None:
        parts: dict[int, list[Row]] = {}
        for row, group in zip(rows, groups_of(rows), strict=True):
            parts.setdefault(group * len(self.workers) // GROUPS, []).append(row)
        for index, part in parts.items():
            self.outputs += self.workers[index].on_batch(0, batch(part))

    def watermark(self, index: int, time: int) -> range:
        """To one worker only, so that workers differ. Returns its key groups."""
        index %= len(self.workers)
        self.outputs += self.workers[index].on_watermark(Watermark(time))
        return groups_of_worker(index, GROUPS, len(self.workers))


TIMES = st.integers(-60, 60) | st.sampled_from([MIN_TIME + 1, MAX_TIME - 1, MAX_TIME - 10])
ROWS = st.tuples(
    st.sampled_from(["a", "b", "", "ä" * 150, None]),
    st.sampled_from([0, -(2**63), None]),
    st.just(3) | st.none(),
    TIMES,
)
EVENTS = st.lists(
    st.lists(ROWS, min_size=1, max_size=8)
    | st.tuples(st.just("watermark"), st.integers(0, 2), st.integers(-60, 80))
    | st.tuples(st.just("restore"), st.integers(1, 3)),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(EVENTS, st.sampled_from([0, 1 << 16]), st.sampled_from([2, 1 << 16]))
def test_every_row_is_in_one_session_or_late_through_restores_from_workers_with_other_watermarks(
    events: list[Any], coalesced: int, part: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "COALESCED", coalesced)
        patch.setattr(session, "SEARCHED", coalesced)
        patch.setattr(session, "LARGE", 2 * part)
        patch.setattr(session, "PART", part)
        play(events)


def play(events: list[Any]) -> None:
    cluster, oracle = Cluster(), Oracle()
    cluster.restore(1)
    for event in [*events, ("watermark", 0, MAX_TIME), ("watermark", 1, MAX_TIME), ("watermark", 2, MAX_TIME)]:
        match event:
            case ("watermark", index, time):
                oracle.watermark(time, cluster.watermark(index, time))
            case ("restore", count):
                cluster.restore(count)
            case rows:
                oracle.rows(rows)
                cluster.rows(rows)
    assert sorted(map(repr, results(cluster.outputs))) == sorted(map(repr, oracle.fired))
    assert sum(worker.late for worker in cluster.workers) == oracle.late


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["a", None]), st.just(1), st.just(2), st.integers(-99, 99)), min_size=1),
    st.data(),
)
def test_without_late_rows_cuts_and_disorder_within_the_bound_do_not_matter(
    rows: list[Row], data: st.DataObject
) -> None:
    bound = 15
    rows = sorted(rows, key=lambda row: row[3] + data.draw(st.integers(0, bound)))
    sessions, whole = step(), Oracle()
    whole.rows(rows)
    whole.watermark(MAX_TIME, range(GROUPS))
    outputs: list[Output] = []
    latest = -(10**6)
    while rows:
        cut = data.draw(st.integers(1, len(rows)))
        outputs += sessions.on_batch(0, batch(rows[:cut]))
        latest = max(latest, *(row[3] for row in rows[:cut]))
        outputs += sessions.on_watermark(Watermark(latest - bound))
        rows = rows[cut:]
    outputs += sessions.on_watermark(Watermark(MAX_TIME))
    assert sessions.late == 0
    assert sorted(map(repr, results(outputs))) == sorted(map(repr, whole.fired))


def test_a_session_fires_at_its_end_and_not_a_microsecond_before() -> None:
    sessions = step()
    assert list(sessions.on_batch(0, batch([("a", 1, 5, 100), ("a", 1, 6, 109)]))) == []
    assert list(sessions.on_watermark(Watermark(118))) == [Watermark(118)]
    fired, watermark = sessions.on_watermark(Watermark(119))
    assert results([fired]) == [("a", 1, 100, 119, 2, 11, 6, 118)]
    assert watermark == Watermark(119)
    assert isinstance(fired, pa.RecordBatch)
    assert fired.schema == sessions.output_schema


def test_a_row_is_late_when_its_own_end_is_at_the_watermark_though_it_would_join_an_open_session() -> None:
    sessions = step()
    list(sessions.on_batch(0, batch([("a", 1, 5, 109)])))
    list(sessions.on_watermark(Watermark(110)))
    list(sessions.on_batch(0, batch([("a", 1, 7, 100), ("a", 1, 8, 101)])))
    assert sessions.late == 1
    assert results(list(sessions.on_watermark(Watermark(MAX_TIME)))) == [("a", 1, 101, 119, 2, 13, 8, 118)]


def test_a_row_that_overlaps_only_a_fired_session_opens_its_own() -> None:
    sessions = step()
    list(sessions.on_batch(0, batch([("a", 1, 5, 100)])))
    list(sessions.on_watermark(Watermark(110)))
    list(sessions.on_batch(0, batch([("a", 1, 7, 105)])))
    assert sessions.late == 0
    assert results(list(sessions.on_watermark(Watermark(115)))) == [("a", 1, 105, 115, 1, 7, 7, 114)]


def test_a_row_between_two_open_sessions_bridges_them() -> None:
    sessions = step()
    list(sessions.on_batch(0, batch([("a", 1, 1, 0), ("a", 1, 2, 18)])))
    list(sessions.flush())
    list(sessions.on_batch(0, batch([("a", 1, 4, 9)])))
    assert results(list(sessions.on_watermark(Watermark(28)))) == [("a", 1, 0, 28, 3, 7, 4, 27)]


def test_a_sum_that_overflows_is_rejected_with_a_remedy() -> None:
    sessions = step()
    list(sessions.on_batch(0, batch([("a", 1, 2**63 - 1, 0), ("a", 1, 1, 5), ("b", 1, 1, 5)])))
    made, rejected, _ = sessions.on_watermark(Watermark(MAX_TIME))
    assert isinstance(made, pa.RecordBatch)
    assert made.num_rows == 1
    assert isinstance(rejected, Rejected)
    assert rejected.rows.column(0).to_pylist() == ["a"]
    assert "remedy: cast the column" in str(rejected.errors[0])


def test_without_keys_all_rows_share_sessions() -> None:
    sessions = step(())
    list(sessions.on_batch(0, batch([("a", 1, 1, 0), ("b", 2, 2, 9), (None, None, 4, 19)])))
    assert results(list(sessions.on_watermark(Watermark(MAX_TIME)))) == [(0, 19, 2, 3, 2, 18), (19, 29, 1, 4, 4, 28)]


def test_a_flush_leaves_nothing_outside_the_declared_state() -> None:
    sessions = step()
    list(sessions.on_batch(0, batch([("a", 1, 1, 0)])))
    assert sessions.state()["sessions"].snapshot(GROUPS).rows.num_rows == 0
    list(sessions.flush())
    assert sessions.state()["sessions"].snapshot(GROUPS).rows.num_rows == 1


def test_rows_that_wait_extend_a_session_that_would_end_and_open_another_after_it() -> None:
    """Without being merged: the first fires in time, or stays open with all its rows."""
    sessions = step()
    list(sessions.on_batch(0, batch([("a", 1, 1, 100), ("b", 1, 2, 100), ("c", 1, 4, 100)])))
    list(sessions.flush())
    list(sessions.on_batch(0, batch([("a", 1, 8, 109), ("b", 1, 16, 110)])))
    assert sorted(results(list(sessions.on_watermark(Watermark(110))))) == [
        ("b", 1, 100, 110, 1, 2, 2, 109),
        ("c", 1, 100, 110, 1, 4, 4, 109),
    ]
    assert sessions.due == 119
    assert sorted(results(list(sessions.on_watermark(Watermark(120))))) == [
        ("a", 1, 100, 119, 2, 9, 8, 118),
        ("b", 1, 110, 120, 1, 16, 16, 119),
    ]


@pytest.mark.parametrize("waiting", [0, 5, 200_000])
@pytest.mark.parametrize("time", [200, MAX_TIME])
def test_many_sessions_fire_in_pieces_of_about_sixty_thousand(waiting: int, time: int) -> None:
    """`waiting`: rows that have not been merged when the sessions end."""
    count = 300_000
    sessions = step(("site",))
    users, ones = pa.nulls(count, pa.string()), pa.array(np.ones(count, np.int64))
    numbers, times = pa.array(np.arange(count)), pa.array(np.full(count, 100)).view(TIME_TYPE)
    rows = pa.RecordBatch.from_arrays([users, numbers, ones, times], schema=SCHEMA)
    filling = pieces_of([sessions.on_batch(0, rows), sessions.flush()])
    if waiting:
        later = pa.array(np.full(waiting, 105)).view(TIME_TYPE)
        columns = [*rows.slice(0, waiting).columns[:3], later]
        filling += pieces_of([sessions.on_batch(0, pa.RecordBatch.from_arrays(columns, schema=SCHEMA))])
    firing = pieces_of([sessions.on_watermark(Watermark(time))])
    assert filling
    assert max(filling) == 0
    assert sum(firing) == count
    assert max(firing) <= 1.1 * (1 << 16)
    assert sessions.state()["sessions"].snapshot(GROUPS).rows.num_rows == 0


def pieces_of(outputs: Sequence[Iterable[Output]]) -> list[int]:
    """How many rows come out between two pauses."""
    pieces = [0]
    for output in itertools.chain.from_iterable(outputs):
        if isinstance(output, Pause):
            pieces.append(0)
        elif isinstance(output, pa.RecordBatch):
            pieces[-1] += output.num_rows
    return pieces
