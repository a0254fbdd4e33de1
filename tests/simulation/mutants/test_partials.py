"""Breaches of rule 14: partial aggregates ahead of an exchange, shared slices."""

from __future__ import annotations

from streamflow.engine.task import Task
from streamflow.operators.refining_aggregate import RefiningAggregate
from streamflow.operators.window_aggregate import WindowAggregate, WindowPartial
from streamflow.plan import windowed
from tests.simulation.mutants import Mutant, by_test, edit, mutants

RULES, CONSERVED = "rules/test_values.py", "rules/test_conservation.py"


@mutants(
    Mutant(
        "rows of slices that are over are held",
        14,
        edit(WindowPartial.on_batch, "or self._due <= self._watermark", ""),
        by_test(f"{RULES}::test_14_a_partial_does_not_judge_a_row_behind_its_own_watermark"),
    ),
    Mutant(
        "a partial comes behind the watermark that ends its slice",
        14,
        edit(WindowPartial.on_watermark, "if self._due <= self._watermark:", "if False:"),
        by_test(f"{RULES}::test_14_a_partial_is_sent_before_the_watermark_that_ends_its_slice"),
    ),
    Mutant(
        "rows are held when a barrier passes",
        14,
        edit(Task._flush, "if node.operator is not None:", "if False:"),
        by_test(f"{RULES}::test_14_no_buffer_before_an_exchange_holds_rows_when_a_barrier_passes"),
    ),
    Mutant(
        "a late partial is one late row",
        14,
        edit(WindowAggregate._without_late, "closed * self._input.weights(columns)", "closed"),
        by_test(f"{CONSERVED}::test_14_a_late_partial_counts_as_its_rows"),
    ),
    Mutant(
        "a partial that is too late to refine anything is one late row",
        14,
        edit(RefiningAggregate._absorb, "int(counts[~in_time].sum())", "len(ends) - len(kept)"),
        by_test(f"{CONSERVED}::test_14_a_late_partial_counts_as_its_rows"),
    ),
    Mutant(
        "late rows that somebody reads are aggregated ahead of the exchange",
        14,
        edit(windowed.why_whole, "if node.partitioned:", "if False:"),
        by_test("plan/test_placement.py::test_the_plan_says_why_rows_are_exchanged_whole"),
    ),
)
def test_a_breach_of_rule_14_is_found(mutant: Mutant) -> None:
    assert mutant.is_found()
