"""Breaches of rules 6 to 11: lateness, results, refinements, windows, the end of time."""

from __future__ import annotations

from streamflow.engine import watermarks
from streamflow.engine.split_time import SplitEventTime
from streamflow.flow import columns, grouped
from streamflow.flow.columns import aggregated, topped
from streamflow.kernels import sessions, windows
from streamflow.kernels.windows import CumulativeSlices, SlidingSlices
from streamflow.operators import firing
from streamflow.operators.late_rows import LateRows
from streamflow.operators.process import Process
from streamflow.operators.refining_aggregate import RefiningAggregate
from streamflow.operators.refining_session import RefiningSessions
from streamflow.operators.session import SessionAggregate
from streamflow.operators.slice_partials import SlicePartials
from streamflow.operators.top import SessionTop, WindowTop
from streamflow.operators.window_aggregate import WindowAggregate
from streamflow.plan.placement import _Builder
from streamflow.runners import local
from streamflow.state.calendar import CalendarBounds
from streamflow.testing.checks import Checked
from tests.simulation.mutants import Mutant, by_test, edit, mutants

TIME, CONSERVED, REFINED = "rules/test_time.py", "rules/test_conservation.py", "oracle/test_refining.py"
SESSIONS = "operators/test_refining_session.py"


@mutants(
    Mutant(
        "a row at the very end of its window is not late",
        6,
        edit(SlidingSlices.closed_windows, "(watermarks % self.every < into)", "(watermarks % self.every <= into)"),
        by_test(f"{TIME}::test_6_a_row_is_late_from_the_microsecond_at_which_the_watermark_is_its_windows_end"),
    ),
    Mutant(
        "a session row at the very end of its interval is not late",
        6,
        edit(firing.before_watermark, "ends > progress.of_rows", "ends >= progress.of_rows"),
        by_test(f"{TIME}::test_6_a_session_row_is_judged_by_its_own_interval_before_it_joins_a_session"),
    ),
    Mutant(
        "the bound is a microsecond less",
        6,
        edit(SplitEventTime.on_rows, "self.clock.on_rows(split, greatest)", "self.clock.on_rows(split, greatest + 1)"),
        by_test(f"{TIME}::test_6_the_bound_is_kept_to_the_microsecond"),
    ),
    Mutant(
        "a row is late for all of its windows or for none",
        6,
        edit(
            WindowAggregate._without_late,
            "closed <= self._window.last_windows(slices) - self._window.first_windows(slices)",
            "closed == 0",
        ),
        by_test(f"{TIME}::test_6_a_row_is_judged_for_each_of_its_windows"),
    ),
    Mutant(
        "session rows are judged after they were merged",
        6,
        edit(firing.on_time, "if kept is None:", "if True:"),
        by_test(f"{TIME}::test_6_a_session_row_is_judged_by_its_own_interval_before_it_joins_a_session"),
    ),
    Mutant(
        "late rows are not counted",
        6,
        edit(firing.before_watermark, "progress.late += len(ends) - len(kept)", "pass"),
        by_test(f"{TIME}::test_6_a_session_row_is_judged_by_its_own_interval_before_it_joins_a_session"),
    ),
    Mutant(
        "allowed lateness is a microsecond more for the late output than for the results",
        6,
        edit(
            LateRows.on_batch,
            "ends <= dropped_before(watermarks, self._lateness)",
            "ends < dropped_before(watermarks, self._lateness)",
        ),
        by_test(f"{CONSERVED}::test_6_late_rows_carry_the_bounds_of_the_windows_whose_lateness_was_over"),
    ),
    Mutant(
        "allowed lateness ends a microsecond late",
        6,
        edit(
            RefiningAggregate._absorb,
            "ends > dropped_before(watermarks, self.lateness)",
            "ends >= dropped_before(watermarks, self.lateness)",
        ),
        by_test(f"{CONSERVED}::test_6_late_rows_carry_the_bounds_of_the_windows_whose_lateness_was_over"),
    ),
    Mutant(
        "late rows come without the bounds of the window that they missed",
        6,
        edit(LateRows._pairs, "self._window.starts(ends), ends", "ends, ends"),
        by_test(f"{CONSERVED}::test_6_late_rows_carry_the_bounds_of_the_windows_whose_lateness_was_over"),
    ),
    Mutant(
        "a result has the time of its window's end",
        7,
        edit(
            WindowAggregate._results,
            "*map(times_of, of_rows)",
            "*map(times_of, [*of_rows[:2], of_rows[2] + 1])",
        ),
        by_test(f"{TIME}::test_7_the_result_of_a_window_belongs_to_the_second_window_of_the_same_size"),
    ),
    Mutant(
        "a session's result has the time of its end",
        7,
        edit(SessionAggregate._results, "ends - 1", "ends"),
        by_test(f"{TIME}::test_7_results_of_every_kind_lie_a_microsecond_before_their_windows_end"),
    ),
    Mutant(
        "a result below the watermark goes on",
        7,
        edit(Checked._check_batch, "if self._fires:", "if False:"),
        by_test(f"{TIME}::test_7_a_result_below_the_watermark_that_was_sent_is_an_error_of_the_engine"),
    ),
    Mutant(
        "the watermark is forwarded before what it fires",
        7,
        edit(
            WindowAggregate.on_watermark,
            "if watermark.time > self._progress.watermark:",
            "yield watermark\n    if watermark.time > self._progress.watermark:",
        ),
        by_test(f"{TIME}::test_9_a_top_of_windowed_results_is_sent_once_and_its_state_dropped"),
    ),
    Mutant(
        "what a timer gives has the time of the watermark",
        7,
        edit(Process._fire, "alarm, alarm.at, firings", "alarm, until, firings"),
        by_test("operators/test_process.py::test_what_a_timer_gives_has_its_time_however_far_the_watermark_has_gone"),
    ),
    Mutant(
        "results of windows by processing time have an event time",
        7,
        edit(aggregated, "not isinstance(window, Global | Count | ProcessingTime)", "True"),
        by_test(f"{TIME}::test_7_event_time_is_refused_behind_windows_that_do_not_go_by_it"),
    ),
    Mutant(
        "a top's results have the time of their window's end",
        7,
        edit(WindowTop._results, "computed[TIME] = times_of(ends - 1)", "computed[TIME] = times_of(ends)"),
        by_test(f"{TIME}::test_7_results_of_every_kind_lie_a_microsecond_before_their_windows_end"),
    ),
    Mutant(
        "a session top's results have the time of its end",
        7,
        edit(SessionTop._results, "TIME: times_of(ends - 1)", "TIME: times_of(ends)"),
        by_test(f"{TIME}::test_7_results_of_every_kind_lie_a_microsecond_before_their_windows_end"),
    ),
    Mutant(
        "refined results are append-only",
        8,
        edit(aggregated, "if firing.accumulates:", "if False:"),
        by_test("flow/test_refining.py"),
    ),
    Mutant(
        "refined tops are append-only",
        8,
        edit(topped, "if firing is not None and refines and firing.accumulates:", "if False:"),
        by_test("flow/test_refining.py"),
    ),
    Mutant(
        "a window behind late results allows only its own lateness",
        8,
        edit(grouped._firing, "max(allowed, upstream)", "allowed"),
        by_test(f"{CONSERVED}::test_8_a_window_takes_all_that_those_upstream_send_late"),
    ),
    Mutant(
        "lateness is that of the last window, not of all together",
        8,
        edit(aggregated, "lateness += firing.allowed", "lateness = firing.allowed"),
        by_test("flow/test_refining.py"),
    ),
    Mutant(
        "what takes a row once does not wait for late results",
        8,
        edit(grouped.held, "if not kind.lateness:", "if True:"),
        by_test("flow/test_refining.py"),
    ),
    Mutant(
        "a session that has merged stays beside what it became",
        8,
        edit(RefiningSessions._changes, "[[DELETE] * len(gone)", "[[INSERT] * len(gone)"),
        by_test(f"{SESSIONS}::test_two_sessions_that_were_sent_become_one"),
    ),
    Mutant(
        "what is wrong is taken back only when the session fires again",
        8,
        edit(RefiningSessions._pass, "(stale < MAX_TIME) & (stale <= time)", "np.zeros(len(stale), np.bool_)"),
        by_test(f"{SESSIONS}::test_what_was_sent_early_is_replaced_before_it_is_too_late"),
    ),
    Mutant(
        "windowed results are aggregated as they come",
        9,
        edit(columns._bounds_after, "match window:", "match None:"),
        by_test(f"{TIME}::test_9_a_top_of_windowed_results_is_sent_once_and_its_state_dropped"),
    ),
    Mutant(
        "slices stay when their windows have fired",
        9,
        edit(SlicePartials.drop_closed, "self.log.drop(number)", "pass"),
        by_test(f"{TIME}::test_9_state_is_gone_when_the_watermark_has_passed"),
    ),
    Mutant(
        "all rows are exchanged for a top",
        9,
        edit(_Builder._top, "split_top(node) if self._workers > 1 and not node.partitioned else None", "None"),
        by_test(f"{TIME}::test_9_only_each_workers_top_is_exchanged"),
    ),
    Mutant(
        "windows are counted from zero in both directions",
        10,
        edit(SlidingSlices.slice_ids, "positions // self.every", "np.trunc(positions / self.every).astype(np.int64)"),
        by_test(f"{TIME}::test_10_windows_start_at_whole_steps_from_the_epoch_before_1970_too"),
    ),
    Mutant(
        "steps are counted from zero in both directions",
        10,
        edit(
            CumulativeSlices.slice_ids,
            "return positions // self.step - steps",
            "return np.trunc(positions / self.step).astype(np.int64) - steps",
        ),
        by_test("kernels/test_windows.py"),
    ),
    Mutant(
        "an offset moves no window",
        10,
        edit(SlidingSlices.window_bounds, "self.offset + window * self.every", "window * self.every"),
        by_test(f"{TIME}::test_10_windows_start_at_whole_steps_from_the_epoch_before_1970_too"),
    ),
    Mutant(
        "rows of one key exactly a gap apart, and no others, are one session",
        10,
        edit(sessions._merge, "single = last_start < first_end", "single = last_start <= first_end"),
        by_test(f"{TIME}::test_10_rows_exactly_one_gap_apart_are_two_sessions"),
    ),
    Mutant(
        "rows exactly a gap apart are one session",
        10,
        edit(sessions._sort_and_cut, "np.less_equal(ends[:-1], starts[1:]", "np.less(ends[:-1], starts[1:]"),
        by_test(f"{TIME}::test_10_rows_exactly_one_gap_apart_are_two_sessions"),
    ),
    Mutant(
        "days are looked up again after a restore",
        10,
        edit(CalendarBounds.restore, "self._calendar.learn", "dict"),
        by_test(
            "oracle/test_clock_changes.py::test_a_window_that_has_begun_keeps_its_bounds_when_the_time_zone_data_changes"
        ),
    ),
    Mutant(
        "the ends of windows wrap around",
        11,
        edit(windows._progression, "times[numbers > (_GREATEST - start) // step] = _GREATEST", "pass"),
        by_test("kernels/test_windows.py::test_ends_of_windows_stay_at_the_end_of_all_time"),
    ),
    Mutant(
        "bounds of windows leave int64",
        11,
        edit(windows._clamp, "min(max(time, _LEAST), _GREATEST)", "time"),
        by_test(f"{TIME}::test_11_windows_at_the_ends_of_time_do_not_wrap_around"),
    ),
    Mutant(
        "the end of a session wraps around",
        11,
        edit(sessions.row_ends, "np.minimum(times, _LAST - gap) + gap", "times + gap"),
        by_test(f"{TIME}::test_11_windows_at_the_ends_of_time_do_not_wrap_around"),
    ),
    Mutant(
        "the watermark less the lateness wraps around",
        11,
        edit(windows.dropped_before, "np.maximum(watermarks, _LEAST + lateness) - lateness", "watermarks - lateness"),
        by_test("kernels/test_windows.py::test_a_watermark_less_the_lateness_stays_in_time"),
    ),
    Mutant(
        "the watermark less the bound leaves int64",
        11,
        edit(watermarks.saturating_sub, "max(time - span, MIN_TIME)", "time - span"),
        by_test("engine/test_watermarks.py::test_subtraction_saturates_at_the_smallest_time"),
    ),
    Mutant(
        "the ends of time are times as others",
        11,
        edit(SplitEventTime.on_rows, "greatest == MAX_TIME or least == MIN_TIME", "False"),
        by_test(f"{TIME}::test_1_a_time_that_is_null_or_reserved_is_bad_input_that_names_the_read"),
    ),
    Mutant(
        "a stop sends the end of time",
        11,
        edit(
            local._LocalJob._loop,
            "self._tell(StopAsked())",
            "[self._carry_out(outputs) for read in self._reads for outputs in"
            " self._task.to_end(self._task.on_read_ended(read.node.id))]; self._tell(StopAsked())",
        ),
        by_test(f"{TIME}::test_11_a_stop_does_not_send_the_end_of_time"),
    ),
)
def test_a_breach_of_rules_6_to_11_is_found(mutant: Mutant) -> None:
    assert mutant.is_found()
