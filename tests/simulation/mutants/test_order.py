"""Breaches of rules 12 and 13: time passes in order, and ties are broken by the source."""

from __future__ import annotations

from streamflow.engine import reading
from streamflow.engine.reading import OpenRead
from streamflow.operators import process
from streamflow.operators.contenders import Ranking
from streamflow.operators.count_aggregate import CountAggregate
from streamflow.operators.dedup import Dedup
from streamflow.operators.order import OrderByKeys, OrderCopies, OrderPort, order_in_split
from streamflow.operators.process import Process
from streamflow.plan import outline
from tests.simulation.mutants import Mutant, by_test, edit, mutants

PROCESS, ORDER, COUNT = "operators/test_process.py", "rules/test_order.py", "operators/test_count_aggregate.py"


@mutants(
    Mutant(
        "rows come as they stand in the batch",
        12,
        edit(Process._run_in_order, "if by_key or not bool((times[1:] > times[:-1]).all()):", "if False:"),
        by_test(f"{PROCESS}::test_rows_of_several_batches_come_in_the_order_of_time"),
    ),
    Mutant(
        "a row at the watermark is not held",
        12,
        edit(
            Process.on_watermark, "self._held.take_before(passed)", "self._held.take_before(min(passed + 1, MAX_TIME))"
        ),
        by_test(f"{PROCESS}::test_a_row_waits_until_the_watermark_is_above_it"),
    ),
    Mutant(
        "a row at the watermark is late",
        12,
        edit(Process._on_time, "times >= self._progress.of_rows", "times > self._progress.of_rows"),
        by_test(f"{PROCESS}::test_a_row_at_the_watermark_is_on_time_and_one_below_is_late"),
    ),
    Mutant(
        "a timer waits for the watermark",
        12,
        edit(Process._call_with_time, "if timers and passed is None:", "if False:"),
        by_test(f"{PROCESS}::test_a_timer_goes_off_before_the_first_row_at_its_time_and_after_those_below"),
    ),
    Mutant(
        "a timer at T goes off behind the row at T",
        12,
        edit(Process._call_with_time, "self._fire_due(owner, time, made)", "self._fire_due(owner, time - 1, made)"),
        by_test(f"{PROCESS}::test_a_timer_goes_off_before_the_first_row_at_its_time_and_after_those_below"),
    ),
    Mutant(
        "a timer goes off when the watermark has passed it",
        12,
        edit(
            Process._go_off,
            "self._objects.schedule.due(passed)",
            "self._objects.schedule.due(max(passed - 1, MIN_TIME))",
        ),
        by_test(f"{PROCESS}::test_a_timer_goes_off_when_the_watermark_reaches_it"),
    ),
    Mutant(
        "what a timer sets goes off behind the next row",
        12,
        edit(
            Process._fire,
            "self._go(handler, owner, alarm, alarm.at, firings, made)",
            "self._go(handler, owner, alarm, alarm.at, firings, made); break",
        ),
        by_test(f"{PROCESS}::test_a_timer_that_a_timer_sets_goes_off_before_the_next_row"),
    ),
    Mutant(
        "of timers at one time the last goes off first",
        12,
        edit(process._going_off, "(alarms[i].at, alarms[i].setting)", "(alarms[i].at, -alarms[i].setting)"),
        by_test(f"{PROCESS}::test_timers_at_one_time_go_off_in_the_order_in_which_they_were_set"),
    ),
    Mutant(
        "a timer set for a time that has passed has that time",
        12,
        edit(Process._call_with_time, "moment.floor = time if passed is None else passed", "moment.floor = MIN_TIME"),
        by_test(f"{PROCESS}::test_a_timer_in_the_past_goes_off_next_with_the_time_of_now"),
    ),
    Mutant(
        "rows without an order come as they arrive",
        12,
        edit(Process._in_order, "self._tie_places and", "False and"),
        by_test(f"{PROCESS}::test_rows_of_one_time_come_by_what_the_function_takes_however_they_arrive"),
    ),
    Mutant(
        "a result as rows arrive lies below the watermark",
        12,
        edit(
            Process._run_as_they_come,
            "np.maximum(raw_values(piece.column(-1)), passed)",
            "raw_values(piece.column(-1))",
        ),
        by_test(f"{PROCESS}::test_rows_as_they_arrive_give_results_at_once_late_ones_too"),
    ),
    Mutant(
        "the plan does not say that results depend on arrival",
        12,
        edit(outline._order_text, "if ordered:", "if True:"),
        by_test("flow/test_keyed_function.py::test_the_plan_says_that_results_depend_on_arrival"),
    ),
    Mutant(
        "windows of so many rows count rows as they stand in the batch",
        12,
        edit(CountAggregate._count, "rows = rows.take(pa.array(order))", "pass"),
        by_test(f"{COUNT}::test_rows_of_several_batches_are_counted_in_the_order_of_time"),
    ),
    Mutant(
        "windows of so many rows count a row at the watermark at once",
        12,
        edit(
            CountAggregate.on_watermark,
            "self._held.take_before(watermark.time)",
            "self._held.take_before(min(watermark.time + 1, MAX_TIME))",
        ),
        by_test(f"{COUNT}::test_a_row_at_the_watermark_is_not_counted_yet"),
    ),
    Mutant(
        "a row at the watermark is late for windows of so many rows",
        12,
        edit(CountAggregate.on_batch, "before_watermark(times + 1,", "before_watermark(times,"),
        by_test(f"{COUNT}::test_a_row_below_the_watermark_is_late_and_one_at_it_is_not"),
    ),
    Mutant(
        "rows of one time come as they arrive for windows of so many rows",
        12,
        edit(
            CountAggregate._count,
            "top_rows([rows.column(-1), *values], [False] * (1 + len(values)), rows.num_rows)",
            "top_rows([rows.column(-1)], [False], rows.num_rows)",
        ),
        by_test(f"{COUNT}::test_rows_of_one_time_go_by_their_values"),
    ),
    Mutant(
        "the order knows no split",
        13,
        edit(order_in_split, "rows | np.int64(split << _ROW_BITS)", "rows"),
        by_test(f"{ORDER}::test_rows_of_one_moment_go_by_split_and_row_whatever_the_cuts_workers_and_crashes"),
    ),
    Mutant(
        "rows are numbered anew in each batch",
        13,
        edit(
            OpenRead._fitting,
            "order_in_split(self._splits[split].number, first, batch.num_rows)",
            "order_in_split(self._splits[split].number, 0, batch.num_rows)",
        ),
        by_test(f"{ORDER}::test_rows_of_one_moment_go_by_split_and_row_whatever_the_cuts_workers_and_crashes"),
    ),
    Mutant(
        "a split that appears has the number of another",
        13,
        edit(reading.split_states, "1 + max((state.number for state in known.values()), default=-1)", "0"),
        by_test("engine/test_reading.py::test_a_split_that_appears_gets_a_number_that_no_other_has_had"),
    ),
    Mutant(
        "copies of a row are alike",
        13,
        edit(OrderCopies.on_batch, "place - place[starts][np.cumsum(starts) - 1]", "np.zeros_like(place)"),
        by_test("operators/test_order.py::test_copies_of_one_row_are_told_apart"),
    ),
    Mutant(
        "a union's inputs are alike",
        13,
        edit(OrderPort.on_batch, "np.full(rows, self._number)", "np.full(rows, 0)"),
        by_test("operators/test_order.py::test_the_inputs_of_a_union_follow_one_another"),
    ),
    Mutant(
        "results of one window are alike",
        13,
        edit(OrderByKeys.on_batch, "pa.array(hashes.view(np.int64))", "pa.array(np.zeros(len(hashes), np.int64))"),
        by_test("operators/test_order.py::test_results_go_by_their_keys_wherever_they_stand"),
    ),
    Mutant(
        "the order comes before the event time",
        13,
        edit(Dedup.on_watermark, "(self._time, *self._rest)", "(*self._rest, self._time)"),
        by_test(f"{ORDER}::test_of_rows_of_one_key_the_first_by_time_and_then_by_split_is_kept"),
    ),
    Mutant(
        "of one time the first to arrive is kept",
        13,
        edit(Dedup.on_watermark, "(self._time, *self._rest)", "(self._time,)"),
        by_test(f"{ORDER}::test_of_rows_of_one_key_the_first_by_time_and_then_by_split_is_kept"),
    ),
    Mutant(
        "ties of a top go by arrival",
        13,
        edit(Ranking.__init__, "[*by, *((name, False) for name in rest)]", "[*by]"),
        by_test(f"{ORDER}::test_ties_of_a_top_go_by_the_other_columns_in_their_order_the_least_first"),
    ),
    Mutant(
        "ties of a top go by the greatest",
        13,
        edit(Ranking.__init__, "((name, False) for name in rest)", "((name, True) for name in rest)"),
        by_test(f"{ORDER}::test_ties_of_a_top_go_by_the_other_columns_in_their_order_the_least_first"),
    ),
    Mutant(
        "ties of a top go by the last column first",
        13,
        edit(Ranking.__init__, "for name in rest)]", "for name in reversed(rest))]"),
        by_test(f"{ORDER}::test_ties_of_a_top_go_by_the_other_columns_in_their_order_the_least_first"),
    ),
)
def test_a_breach_of_rules_12_and_13_is_found(mutant: Mutant) -> None:
    assert mutant.is_found()
