from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.state.sieve import Sieve

hashes = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**63, 2**64 - 1])


@given(st.lists(hashes, min_size=1, max_size=60), st.lists(hashes, max_size=60))
def test_no_hash_of_its_own_is_held_back(own: list[int], others: list[int]) -> None:
    sieve = Sieve(np.array(sorted(own), np.uint64))
    asked = np.array(sorted([*own, *others]), np.uint64)
    assert set(own) <= set(asked[sieve.passing(asked)].tolist())


@pytest.mark.parametrize("spread", [64, 48])
def test_few_others_pass(spread: int) -> None:
    rng = np.random.default_rng(3)
    own, others = (np.sort(rng.integers(0, 2**spread, 100_000, dtype=np.uint64)) for _ in range(2))
    assert len(Sieve(own).passing(others)) < 6_000
