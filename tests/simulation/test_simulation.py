"""Every pipeline of `flows` under many seeds. `make sim` runs ten thousand and prints figures."""

from __future__ import annotations

import pytest

from streamflow.testing.simulation import Failure, Subject, simulate
from tests.simulation.flows import CASES, of_seed, rows_of, tumbling

CHUNK = 26
FEW = range(0, 8 * CHUNK, CHUNK)
MANY = range(FEW.stop, 2000, CHUNK)


def run(first: int) -> None:
    for seed in range(first, first + CHUNK):
        simulate(of_seed(seed), seed)


@pytest.mark.parametrize("first", FEW)
def test_results_are_those_of_a_calm_run_whatever_goes_wrong(first: int) -> None:
    run(first)


@pytest.mark.integration
@pytest.mark.parametrize("first", MANY)
def test_results_are_those_of_a_calm_run_whatever_goes_wrong_two_thousand_times(first: int) -> None:
    run(first)


def test_where_there_is_no_trouble_one_attempt_comes_to_its_end() -> None:
    for seed in range(len(CASES)):
        outcome = simulate(of_seed(seed), seed, most_trouble=0)
        assert outcome.finished
        assert outcome.attempts == 1
        assert not outcome.trouble


def test_a_seed_does_the_same_again() -> None:
    first, again = (simulate(of_seed(29), 29) for _ in range(2))
    assert first == again
    assert first.trouble


def test_a_failure_tells_its_seed_and_what_happened() -> None:
    def wrong(*_: object) -> None:
        raise AssertionError("not what was expected")

    subject = Subject(tumbling, rows_of(0, "rows"), check=wrong)
    with pytest.raises(
        Failure, match=r"^seed 5: not what was expected\nwhat happened:\n(  .*\n)*  finished"
    ) as failure:
        simulate(subject, 5)
    assert failure.value.seed == 5


def test_runs_see_every_kind_of_trouble_and_several_attempts() -> None:
    outcomes = [simulate(of_seed(seed), seed) for seed in range(1000, 1000 + 2 * CHUNK)]
    kinds = {kind for outcome in outcomes for kind in outcome.trouble}
    assert {"kill", "power", "freeze", "slow", "error", "lost answer", "rival", "rescale"} <= kinds
    assert max(outcome.attempts for outcome in outcomes) > 2
