"""Breaches of rules 3 to 5: idleness, the idle clock, alignment."""

from __future__ import annotations

from streamflow.engine.chain import Chain
from streamflow.engine.reading import OpenRead
from streamflow.engine.task import Task
from streamflow.engine.watermarks import Merger, SplitClock
from tests.simulation.mutants import Mutant, by_test, edit, mutants

IDLE, TIME, ALIGN, MERGING = (
    "rules/test_idle.py",
    "rules/test_time.py",
    "rules/test_align.py",
    "engine/test_watermarks.py",
)


@mutants(
    Mutant(
        "idle inputs stay in the minimum",
        3,
        edit(Merger._merge, "t < MAX_TIME and not (self._idle[i] and self._is_idle(i))", "t < MAX_TIME"),
        by_test(f"{IDLE}::test_3_a_quiet_read_does_not_hold_another_beside_it_not_even_behind_an_exchange"),
    ),
    Mutant(
        "idle splits stay in the minimum",
        3,
        edit(SplitClock._least, "not split.idle and ", ""),
        by_test(f"{TIME}::test_3_an_idle_split_leaves_the_minimum_and_is_judged_by_the_others_when_it_wakes"),
    ),
    Mutant(
        "all idle: at the least of their times",
        3,
        edit(Merger._merge, "Watermark(max(held, *self._before_end), idle=True)", "Watermark(held, idle=True)"),
        by_test(MERGING),
    ),
    Mutant(
        "inputs of the same splits are idle one by one",
        3,
        edit(Merger._is_idle, "if not self._alike:", "if True:"),
        by_test(f"{MERGING}::test_inputs_that_come_from_the_same_splits_are_idle_only_together"),
    ),
    Mutant(
        "a read whose splits are all idle goes on to the greatest time",
        3,
        edit(SplitClock._least, "return held", "return max(s.watermark(self._bound) for s in self._splits.values())"),
        by_test(f"{MERGING}::test_splits_that_become_idle_together_leave_the_watermark_at_the_least_of_them"),
    ),
    Mutant(
        "a read without a split is awake",
        3,
        edit(OpenRead._start, "if not self._splits:", "if False:"),
        by_test("runners/test_following.py::test_a_folder_without_a_file_holds_nobody"),
    ),
    Mutant(
        "an input that wakes counts at once",
        3,
        edit(Merger._merge, "(time for time in awake if time >= held)", "(max(time, held) for time in awake)"),
        by_test(MERGING),
    ),
    Mutant(
        "a split that wakes counts at once",
        3,
        edit(SplitClock._least, "current and (time >= held or split.added)", "current"),
        by_test(MERGING),
    ),
    Mutant(
        "a split that was idle never counts again",
        3,
        edit(SplitClock.on_rows, "if state.idle:", "if False:"),
        by_test(f"{MERGING}::test_a_split_that_wakes_counts_again_once_it_has_caught_up"),
    ),
    Mutant(
        "the watermark of a read goes back",
        3,
        edit(SplitClock.watermark, "max(held, self._least(held))", "self._least(MIN_TIME)"),
        by_test(f"{MERGING}::test_the_watermark_of_a_read_never_goes_back_when_a_split_wakes_far_behind"),
    ),
    Mutant(
        "an ended input beside an idle one is the end of time",
        3,
        edit(Merger._merge, "max(held, *self._before_end)", "max(held, *self._times)"),
        by_test(MERGING),
    ),
    Mutant(
        "what is held for speed stays while others go on without the idle input",
        3,
        edit(Chain._to_operator, "if merged.idle:", "if False:"),
        by_test(f"{TIME}::test_3_a_partial_that_goes_idle_sends_what_it_holds"),
    ),
    Mutant(
        "a split is idle at once",
        4,
        edit(SplitClock.on_quiet, "(now - state.quiet_since >= self._idle)", "True"),
        by_test(f"{ALIGN}::test_5_a_split_that_has_shown_nothing_yet_holds_the_others_until_it_is_idle"),
    ),
    Mutant(
        "a split that is paused becomes idle",
        4,
        edit(OpenRead._on_quiet, "if split not in self.paused", ""),
        by_test(f"{ALIGN}::test_4_a_split_that_waits_for_others_does_not_become_idle"),
    ),
    Mutant(
        "silence from before a pause counts after it",
        4,
        edit(SplitClock.on_paused, "self._splits[name].quiet_since = None", "pass"),
        by_test(f"{MERGING}::test_silence_from_before_a_pause_does_not_count_after_it"),
    ),
    Mutant(
        "silence counts while nobody listens",
        4,
        edit(OpenRead._poll, "self._unasked += now - self.wakes_at", "pass"),
        by_test(f"{ALIGN}::test_4_silence_counts_only_while_somebody_listens"),
    ),
    Mutant(
        "one quiet split makes all idle",
        4,
        edit(SplitClock.on_quiet, "for name in splits:", "for name in self._splits:"),
        by_test(f"{TIME}::test_4_a_split_that_was_not_asked_is_not_idle_however_long_it_took"),
    ),
    Mutant(
        "progress names no split that others wait for",
        4,
        edit(SplitClock.holder, "if ahead <= self.current.time:", "if True:"),
        by_test("runners/test_progress.py"),
    ),
    Mutant(
        "a split waits for one that has ended",
        5,
        edit(
            SplitClock.ahead,
            "max(self.current.time, min(awake.values(), default=MIN_TIME))",
            "min(s.watermark(self._bound) for s in self._splits.values() if not s.idle)",
        ),
        by_test(f"{ALIGN}::test_5_a_split_does_not_wait_for_one_that_has_ended"),
    ),
    Mutant(
        "a split waits for one that is idle",
        5,
        edit(
            SplitClock.ahead,
            "max(self.current.time, min(awake.values(), default=MIN_TIME))",
            "min(s.watermark(self._bound) for s in self._splits.values() if not s.ended)",
        ),
        by_test(f"{ALIGN}::test_5_a_split_that_has_shown_nothing_yet_holds_the_others_until_it_is_idle"),
    ),
    Mutant(
        "a fast split waits for nobody",
        5,
        edit(SplitClock.ahead, "if time - self._align > held}", "if False}"),
        by_test(f"{ALIGN}::test_5_a_split_is_ahead_by_the_bound_and_one_batch_at_most"),
    ),
    Mutant(
        "the slowest split by one time waits for another by the other",
        5,
        edit(Task.ahead, ".difference(*(slowest for _, slowest in clocks))", ""),
        by_test(f"{ALIGN}::test_5_two_event_times_of_one_read_do_not_wait_for_one_another"),
    ),
    Mutant(
        "a split that waits holds barriers",
        5,
        edit(
            Task.on_trigger,
            "self._align(self.reads(), barrier)",
            "any(map(self.ahead, self.reads())) or self._align(self.reads(), barrier)",
        ),
        by_test(f"{ALIGN}::test_5_a_paused_split_passes_barriers_and_its_position_is_part_of_the_checkpoint"),
    ),
)
def test_a_breach_of_rules_3_to_5_is_found(mutant: Mutant) -> None:
    assert mutant.is_found()
