"""Rules 2, 3, 4 and 11: the watermark of a read over its splits, and of a node over its inputs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.engine.watermarks import Merger, SplitClock, _Split, saturating_sub
from streamflow.operators.events import MAX_TIME, MIN_TIME, Watermark

SECOND = 1_000_000


def clock(least: dict[str, int], *, bound: int = 0, idle: int | None = None) -> SplitClock:
    return SplitClock(bound=bound, idle=idle, least=least)


def test_a_split_that_is_not_opened_yet_holds_the_watermark() -> None:
    splits = clock({"a": MIN_TIME, "b": MIN_TIME})
    splits.on_rows("a", 1000)
    assert splits.watermark(ended=False) == Watermark(MIN_TIME)
    assert splits.holder() == "b"


def test_a_split_that_others_are_ahead_of_holds_the_watermark_and_none_does_when_none_is_ahead() -> None:
    splits = clock({"a": MIN_TIME, "b": 90}, bound=10, idle=1)
    splits.on_rows("a", 50)
    splits.watermark(ended=False)
    assert splits.holder() is None, "b is not open: a has only itself to wait for"
    splits.on_rows("b", 110)
    splits.watermark(ended=False)
    assert splits.holder() == "a"
    splits.on_quiet(["a"], 0)
    splits.on_quiet(["a"], 1)
    splits.watermark(ended=False)
    assert splits.holder() is None


def test_an_unopened_split_holds_it_at_its_declared_least_time_only() -> None:
    splits = clock({"a": MIN_TIME, "b": 700})
    splits.on_rows("a", 1000)
    assert splits.watermark(ended=False) == Watermark(700)


def test_the_watermark_trails_the_greatest_time_by_the_bound() -> None:
    splits = clock({"a": MIN_TIME}, bound=10)
    splits.on_rows("a", 100)
    splits.on_rows("a", 50)
    assert splits.watermark(ended=False) == Watermark(90)


def test_a_split_that_has_ended_leaves_the_minimum() -> None:
    splits = clock({"a": MIN_TIME, "b": MIN_TIME})
    splits.on_rows("a", 5)
    splits.on_rows("b", 100)
    splits.watermark(ended=False)
    splits.on_ended("a")
    assert splits.watermark(ended=False) == Watermark(100)


def test_only_the_end_of_the_read_reaches_the_end_of_time() -> None:
    splits = clock({"a": MIN_TIME})
    splits.on_rows("a", 5)
    splits.on_ended("a")
    assert splits.watermark(ended=False).time == MIN_TIME
    assert splits.watermark(ended=True) == Watermark(MAX_TIME)


def test_a_read_without_splits_is_idle() -> None:
    assert clock({}).watermark(ended=False).idle


def test_a_quiet_split_becomes_idle_after_its_time_and_no_longer_holds_others() -> None:
    splits = clock({"a": MIN_TIME, "b": MIN_TIME}, idle=30 * SECOND)
    splits.on_rows("a", 100)
    splits.on_quiet(["b"], 0)
    assert splits.watermark(ended=False) == Watermark(MIN_TIME)
    splits.on_quiet(["b"], 30 * SECOND - 1)
    assert splits.watermark(ended=False) == Watermark(MIN_TIME)
    splits.on_quiet(["b"], 30 * SECOND)
    assert splits.watermark(ended=False) == Watermark(100)


def test_the_idle_time_counts_from_the_first_empty_poll_not_from_the_last_row() -> None:
    """Rule 4: a split that was not polled for an hour was not quiet for an hour."""
    splits = clock({"a": MIN_TIME}, idle=30 * SECOND)
    splits.on_rows("a", 1)
    splits.on_quiet(["a"], 3600 * SECOND)
    assert not splits.watermark(ended=False).idle


def test_all_splits_idle_keeps_the_watermark_and_says_idle() -> None:
    splits = clock({"a": MIN_TIME}, idle=1)
    splits.on_rows("a", 100)
    splits.watermark(ended=False)
    splits.on_quiet(["a"], 0)
    splits.on_quiet(["a"], 1)
    assert splits.watermark(ended=False) == Watermark(100, idle=True)


def test_a_split_that_wakes_counts_again_once_it_has_caught_up() -> None:
    splits = clock({"a": MIN_TIME, "b": MIN_TIME}, idle=1)
    splits.on_rows("a", 100)
    splits.on_quiet(["b"], 0)
    splits.on_quiet(["b"], 1)
    assert splits.watermark(ended=False).time == 100
    splits.on_rows("b", 40)
    splits.on_rows("a", 200)
    assert splits.watermark(ended=False).time == 200, "b lies below the watermark: it does not hold it"
    splits.on_rows("b", 250)
    splits.on_rows("a", 300)
    assert splits.watermark(ended=False).time == 250


def test_the_reader_may_know_more_than_the_rows_say() -> None:
    splits = clock({"a": MIN_TIME}, bound=50)
    splits.on_rows("a", 100)
    splits.on_watermark("a", 400)
    assert splits.watermark(ended=False) == Watermark(400)


def test_a_restored_split_knows_its_greatest_time() -> None:
    splits = SplitClock(bound=10, idle=None, least={"a": MIN_TIME}, greatest={"a": 100})
    assert splits.watermark(ended=False) == Watermark(90)
    assert splits.greatest() == {"a": 100}


def test_subtraction_saturates_at_the_smallest_time() -> None:
    assert saturating_sub(MIN_TIME + 5, 10) == MIN_TIME


def test_one_input_passes_through() -> None:
    merger = Merger(1)
    assert merger.update(0, Watermark(3)) == Watermark(3)
    assert merger.update(0, Watermark(3)) is None


def test_an_idle_input_leaves_the_minimum_and_an_ended_one_does_not_fire_for_it() -> None:
    merger = Merger(2)
    merger.update(0, Watermark(5))
    merger.update(1, Watermark(9, idle=True))
    assert merger.current == Watermark(5)
    assert merger.update(0, Watermark(MAX_TIME)) == Watermark(9, idle=True), "the other is idle, not ended"
    assert merger.update(1, Watermark(MAX_TIME)) == Watermark(MAX_TIME)


def test_an_input_that_wakes_below_the_watermark_does_not_pull_it_back() -> None:
    merger = Merger(2)
    merger.update(1, Watermark(MIN_TIME, idle=True))
    merger.update(0, Watermark(100))
    assert merger.update(1, Watermark(50)) is None
    merger.update(0, Watermark(200))
    assert merger.current.time == 200
    assert merger.update(1, Watermark(210)) is None
    assert merger.update(0, Watermark(300)) == Watermark(210)


updates = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50), st.booleans()), max_size=40)


@given(updates)
def test_the_merged_watermark_never_goes_back(steps: list[tuple[int, int, bool]]) -> None:
    merger, times = Merger(3), [MIN_TIME] * 3
    seen = MIN_TIME
    for index, time, idle in steps:
        times[index] = max(times[index], time)
        merger.update(index, Watermark(times[index], idle))
        assert merger.current.time >= seen
        seen = merger.current.time


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 100)), max_size=40), st.integers(0, 20))
def test_no_row_within_the_bound_is_below_the_watermark(rows: list[tuple[str, int]], bound: int) -> None:
    splits = clock({"a": MIN_TIME, "b": MIN_TIME}, bound=bound)
    greatest = {"a": MIN_TIME, "b": MIN_TIME}
    for split, time in rows:
        if time < saturating_sub(greatest[split], bound):
            continue
        assert time >= splits.watermark(ended=False).time
        greatest[split] = max(greatest[split], time)
        splits.on_rows(split, time)


@pytest.mark.parametrize("end_first", [True, False])
def test_ended_and_idle_splits_together_keep_the_watermark(end_first: bool) -> None:
    splits = clock({"a": MIN_TIME, "b": MIN_TIME}, idle=1)
    splits.on_rows("a", 10)
    splits.on_rows("b", 20)
    splits.watermark(ended=False)
    if end_first:
        splits.on_ended("a")
    splits.on_quiet(["b"], 0)
    splits.on_quiet(["b"], 1)
    splits.on_ended("a")
    assert splits.watermark(ended=False).time < MAX_TIME
    assert splits.watermark(ended=False).idle


class Model:
    """The watermark of a read as rule 3 has it, by looking at every split each time."""

    def __init__(self) -> None:
        self.times = dict.fromkeys("abc", MIN_TIME)
        self.quiet: dict[str, int] = {}
        self.idle: set[str] = set()
        self.ended: set[str] = set()
        self.added: set[str] = set()
        self.held = MIN_TIME

    def watermark(self) -> Watermark:
        awake = [name for name in self.times if name not in self.idle | self.ended]
        counted = [max(self.times[n], self.held) for n in awake if self.times[n] >= self.held or n in self.added]
        self.held = min(counted, default=self.held)
        return Watermark(self.held, idle=not awake)


STEPS = st.tuples(st.sampled_from(["rows", "quiet", "pause", "end", "add"]), st.sampled_from("abcd"), st.integers(0, 9))


@given(st.lists(STEPS, max_size=30))
def test_the_watermark_of_a_read_is_that_of_the_splits_that_count(steps: list[tuple[str, str, int]]) -> None:
    splits, model = clock(dict.fromkeys("abc", MIN_TIME), idle=5), Model()
    for now, (what, split, time) in enumerate(steps):
        known = split in model.times
        if what == "add" and not known:
            splits.add(split, time)
            model.times[split] = time
            model.added.add(split)
        elif what == "rows" and known and split not in model.ended:
            splits.on_rows(split, time)
            model.times[split] = max(model.times[split], time)
            model.idle.discard(split)
            model.quiet.pop(split, None)
        elif what == "quiet" and known and split not in model.ended:
            splits.on_quiet([split], now)
            idle = now - model.quiet.setdefault(split, now) >= 5
            (model.idle.add if idle else model.idle.discard)(split)
            model.added -= model.idle
        elif what == "pause" and known:
            splits.on_paused([split])
            model.quiet.pop(split, None)
        elif what == "end" and known:
            splits.on_ended(split)
            model.ended.add(split)
        assert splits.watermark(ended=False) == model.watermark()


def test_a_split_costs_nothing_while_others_are_read() -> None:
    """Of ten thousand files each is looked at when it is read, not at every step of the others."""
    looks = 0
    names = [f"{number:05}" for number in range(10_000)]
    splits = clock(dict.fromkeys(names, MIN_TIME))
    before = _Split.watermark

    def counted(split: _Split, bound: int | None) -> int:
        nonlocal looks
        looks += 1
        return before(split, bound)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Split, "watermark", counted)
        for number, name in enumerate(names):
            splits.on_rows(name, number)
            splits.watermark(ended=False)
            splits.on_ended(name)
            splits.watermark(ended=False)
    assert looks < 100_000


def test_inputs_that_come_from_the_same_splits_are_idle_only_together() -> None:
    """Two workers' partials of one read: the one that has not been told of the silence yet may still hold rows."""
    read = frozenset({"read"})
    merger = Merger(2, [read, read])
    merger.update(0, Watermark(5))
    merger.update(1, Watermark(10))
    assert merger.update(0, Watermark(5, idle=True)) is None
    assert merger.current == Watermark(5)
    merger.update(0, Watermark(10, idle=True))
    assert merger.update(1, Watermark(10, idle=True)) == Watermark(10, idle=True)


def test_the_watermark_of_a_read_never_goes_back_when_a_split_wakes_far_behind() -> None:
    splits = clock({"a": MIN_TIME, "b": MIN_TIME}, idle=1)
    splits.on_rows("a", 10)
    splits.on_rows("b", 50)
    for now in (0, 1):
        splits.on_quiet(["a"], now)
    assert splits.watermark(ended=False).time == 50
    splits.on_rows("a", 20)
    assert splits.watermark(ended=False).time == 50


def test_splits_that_become_idle_together_leave_the_watermark_at_the_least_of_them() -> None:
    splits = clock({"a": MIN_TIME, "b": MIN_TIME}, idle=1)
    splits.on_rows("a", 10)
    splits.on_rows("b", 50)
    assert splits.watermark(ended=False) == Watermark(10)
    for now in (0, 1):
        splits.on_quiet(["a", "b"], now)
    assert splits.watermark(ended=False) == Watermark(10, idle=True)


def test_silence_from_before_a_pause_does_not_count_after_it() -> None:
    splits = clock({"a": MIN_TIME, "b": MIN_TIME}, idle=30)
    splits.on_quiet(["a", "b"], 0)
    splits.on_paused(["a"])
    splits.on_quiet(["a", "b"], 40)
    splits.on_rows("b", 7)
    assert splits.watermark(ended=False) == Watermark(MIN_TIME), "split a has been quiet for no time"
    splits.on_quiet(["a"], 70)
    assert splits.watermark(ended=False) == Watermark(7)
