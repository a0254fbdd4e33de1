"""Keyed functions with timers by processing time: the clock in the test's hand, restores, the end of the input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from streamflow import KeyedFunction, cell, timer
from streamflow.errors import DataError
from streamflow.flow.keyed_function import keyed_calls
from streamflow.kernels.hashing import groups_of_worker
from streamflow.operators.base import Output, TimedOperator
from streamflow.operators.events import MAX_TIME, TIME_TYPE, Watermark
from streamflow.operators.process import ClockedProcess, Process
from streamflow.plan.keyed_calls import bind

GROUPS = 8
SCHEMA = pa.schema([("k", pa.string()), ("x", pa.int64()), ("_time", TIME_TYPE)])
UNTIMED = pa.schema([("k", pa.string()), ("x", pa.int64())])
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Told(NamedTuple):
    k: str
    what: str
    value: int


class Polls(KeyedFunction):
    """Row x sets `poll` x microseconds from now; -x sets it x before now; 0 clears it. A poll tells what time it is."""

    polls = cell(int, default=0)
    poll = timer("processing")

    def on_row(self, x: int) -> None:
        if x:
            self.poll.set(x * MICROSECOND)
        else:
            self.poll.clear()

    def on_poll(self, k: str, _time: int) -> Told:
        self.polls += 1
        now = (self.poll.now - EPOCH) // MICROSECOND
        return Told(k, f"poll {self.polls} of {_time}", now)


def step(function: KeyedFunction | None = None, *, ordered: bool = True, schema: pa.Schema = SCHEMA) -> ClockedProcess:
    bound = bind(keyed_calls(function or Polls()), ("k",), schema)
    return ClockedProcess(("k",), bound, schema, ordered=ordered)


def batch(*rows: tuple[str, int, int]) -> pa.RecordBatch:
    columns = [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(SCHEMA)]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def told(outputs: Iterable[Output]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for output in outputs:
        if isinstance(output, pa.RecordBatch):
            columns = [c.cast(pa.int64()) if c.type == TIME_TYPE else c for c in output.columns]
            found += zip(*(column.to_pylist() for column in columns), strict=True)
    return found


def test_a_timer_goes_off_when_the_clock_reaches_it_with_the_event_time_of_the_row_that_set_it() -> None:
    polls = step(ordered=False)
    told(polls.on_timer(1_000))
    told(polls.on_batch(0, batch(("a", 5, 70))))
    assert polls.next_wakeup() == 1_005
    assert told(polls.on_timer(1_004)) == []
    assert told(polls.on_timer(1_005)) == [("a", "poll 1 of 1005", 1_005, 70)]
    assert polls.next_wakeup() is None
    assert told(polls.on_timer(1_006)) == []


def test_what_a_timer_sends_lies_not_below_the_watermark() -> None:
    polls = step()
    told(polls.on_timer(1_000))
    told(polls.on_batch(0, batch(("a", 5, 70))))
    assert polls.next_wakeup() is None  # the row waits for the watermark
    told(polls.on_watermark(Watermark(71)))
    told(polls.on_watermark(Watermark(90)))
    assert told(polls.on_timer(1_005)) == [("a", "poll 1 of 1005", 1_005, 90)]


def test_a_clock_that_jumps_lets_the_timer_go_off_once_and_know_the_time() -> None:
    polls = step(ordered=False)
    told(polls.on_timer(1_000))
    told(polls.on_batch(0, batch(("a", 5, 70))))
    assert told(polls.on_timer(9_000)) == [("a", "poll 1 of 1005", 9_000, 70)]


def test_a_timer_moves_and_is_cleared() -> None:
    polls = step(ordered=False)
    told(polls.on_timer(1_000))
    told(polls.on_batch(0, batch(("a", 5, 70), ("a", 8, 71), ("b", 5, 70), ("b", 0, 71))))
    assert told(polls.on_timer(1_007)) == []
    assert told(polls.on_timer(1_008)) == [("a", "poll 1 of 1008", 1_008, 71)]


def test_a_time_that_has_passed_means_now() -> None:
    polls = step(ordered=False)
    told(polls.on_timer(1_000))
    told(polls.on_batch(0, batch(("a", -5, 70))))
    assert polls.next_wakeup() == 1_000
    assert told(polls.on_timer(1_000)) == [("a", "poll 1 of 1000", 1_000, 70)]


def test_at_the_end_timers_go_off_without_waiting_and_the_clock_shows_their_time() -> None:
    polls = step(ordered=False)
    told(polls.on_timer(1_000))
    told(polls.on_batch(0, batch(("a", 5_000, 70))))
    assert told(polls.on_watermark(Watermark(MAX_TIME))) == [("a", "poll 1 of 6000", 6_000, 70)]


def test_rows_need_no_event_time_if_they_are_taken_as_they_come() -> None:
    polls = step(ordered=False, schema=UNTIMED)
    told(polls.on_timer(1_000))
    told(polls.on_batch(0, pa.RecordBatch.from_pylist([{"k": "a", "x": 5}], schema=UNTIMED)))
    assert told(polls.on_timer(1_005)) == [("a", "poll 1 of 1005", 1_005)]


class Beats(KeyedFunction):
    """Beats every ten microseconds, `x` times, and says of silence in event time."""

    left = cell(int, default=0)
    beat = timer("processing")
    silence = timer()

    def on_row(self, x: int, _time: int) -> None:
        self.left = x
        self.beat.set(10 * MICROSECOND)
        self.silence.set(_time + 100)

    def on_beat(self, k: str, _time: int) -> Iterator[Told]:
        self.left -= 1
        if self.left:
            self.beat.set(10 * MICROSECOND)
        yield Told(k, "beat", _time)

    def on_silence(self, k: str, _time: int) -> Told:
        return Told(k, "silence", _time)


def test_a_timer_that_sets_itself_beats_with_the_clock() -> None:
    beats = step(Beats(), ordered=False)
    told(beats.on_timer(0))
    told(beats.on_batch(0, batch(("a", 3, 70))))
    found = [told(beats.on_timer(now)) for now in (9, 10, 20, 29, 30, 40)]
    assert found == [[], [("a", "beat", 10, 70)], [("a", "beat", 20, 70)], [], [("a", "beat", 30, 70)], []]


def test_at_the_end_timers_of_both_times_go_off() -> None:
    beats = step(Beats())
    told(beats.on_timer(0))
    told(beats.on_batch(0, batch(("a", 3, 70))))
    ended = told(beats.on_watermark(Watermark(MAX_TIME)))
    assert sorted(row[1:3] for row in ended) == [("beat", 10), ("beat", 20), ("beat", 30), ("silence", 170)]
    assert beats.next_wakeup() is None


class Forever(KeyedFunction):
    beat = timer("processing")

    def on_row(self, x: int) -> Told | None:
        self.beat.set(x)
        return None

    def on_beat(self) -> None:
        self.beat.set(MICROSECOND)


def test_one_that_always_sets_itself_is_stopped_at_the_end() -> None:
    forever = step(Forever(), ordered=False)
    told(forever.on_timer(0))
    told(forever.on_batch(0, batch(("a", 1, 0))))
    assert told(forever.on_timer(50)) == []
    with pytest.raises(DataError, match="on_beat sets its timer again and again"):
        told(forever.on_watermark(Watermark(MAX_TIME)))


class PingPong(KeyedFunction):
    """Timers of both times set each other without end."""

    ping = timer()
    pong = timer("processing")

    def on_row(self, x: int) -> Told | None:
        self.pong.set(x)
        return None

    def on_ping(self) -> None:
        self.pong.set(MICROSECOND)

    def on_pong(self) -> None:
        self.ping.set(MICROSECOND)


def test_two_that_always_set_each_other_are_stopped_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamflow.operators.process.FIRINGS", 100)
    both = step(PingPong(), ordered=False)
    told(both.on_timer(0))
    told(both.on_batch(0, batch(("a", 1, 0))))
    with pytest.raises(DataError, match="sets its timer again and again"):
        told(both.on_watermark(Watermark(MAX_TIME)))


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_timers_that_were_due_while_the_job_was_down_go_off_at_the_first_word_of_the_clock(
    ordered: bool, workers: int
) -> None:
    old = step(ordered=ordered)
    told(old.on_timer(1_000))
    told(old.on_batch(0, batch(*((key, 5 + place, 70) for place, key in enumerate("abcdef")))))
    told(old.on_watermark(Watermark(80)))
    parts = {name: container.snapshot(GROUPS) for name, container in old.state().items()}
    early, late = [], []
    for worker in range(workers):
        new = step(ordered=ordered)
        for name, container in new.state().items():
            container.restore([parts[name]], groups_of_worker(worker, GROUPS, workers))
        early += told(new.on_timer(1_007))
        late += told(new.on_timer(1_010))
        assert new.next_wakeup() is None
    assert sorted(early) == [(key, f"poll 1 of {1_005 + i}", 1_007, 80) for i, key in enumerate("abc")]
    assert sorted(late) == [(key, f"poll 1 of {1_008 + i}", 1_010, 80) for i, key in enumerate("def")]


class Fails(KeyedFunction):
    count = cell(int, default=0)
    poll = timer("processing")

    def on_row(self, x: int) -> None:
        self.poll.set(x)

    def on_poll(self, k: str) -> Told:
        self.count += 1
        return Told(k, "poll", 1 // (self.count - 1))


def test_a_timer_that_raises_names_its_key_and_time() -> None:
    fails = step(Fails(), ordered=False)
    told(fails.on_timer(0))
    told(fails.on_batch(0, batch(("a", 7, 0))))
    with pytest.raises(DataError, match=r"on_poll raised ZeroDivisionError: .*key k='a', timer at 1970-01-01"):
        told(fails.on_timer(7))


def test_only_functions_with_such_timers_go_by_the_clock() -> None:
    class Plain(KeyedFunction):
        def on_row(self, k: str, x: int) -> Told:
            return Told(k, "row", x)

    assert isinstance(step(), TimedOperator)
    plain = Process(("k",), bind(keyed_calls(Plain()), ("k",), SCHEMA), SCHEMA, ordered=True)
    assert not isinstance(plain, TimedOperator)
