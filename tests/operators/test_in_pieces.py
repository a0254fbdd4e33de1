"""Operators that hold rows back give in pieces what they give at once: their tests again, where a few rows are many."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.operators.test_top import (  # noqa: F401
    test_each_session_has_its_first_rows,
    test_each_window_and_key_has_its_first_rows_through_restores_from_workers_with_other_watermarks,
    test_local_and_final_stages_give_what_one_stage_gives,
)
from tests.small_pieces import small_pieces


@pytest.fixture(autouse=True, scope="module")
def _in_small_pieces() -> Iterator[None]:
    with small_pieces():
        yield
