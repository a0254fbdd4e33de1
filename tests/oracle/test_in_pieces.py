"""What is worked on in pieces gives what it gives at once: the oracles again, where a few rows are many."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.oracle.test_dedup import (  # noqa: F401
    test_in_time_order_any_is_the_first_within_a_span,
    test_the_first_by_event_time_does_not_depend_on_anything,
    test_the_last_by_event_time_does_not_depend_on_anything,
)
from tests.oracle.test_keyed_functions import test_timers_that_set_each_other_go_off_in_order_to_the_end  # noqa: F401
from tests.oracle.test_processing_time import (  # noqa: F401
    test_after_crashes_each_row_is_in_one_pane,
    test_panes_of_sessions_are_sent_some_time_after_their_first_row,
)
from tests.oracle.test_refining import (  # noqa: F401
    test_8_what_takes_a_row_once_loses_no_late_result,
    test_9_panes_are_put_together_once_by_their_window,
    test_a_top_of_sessions_that_merge,
)
from tests.small_pieces import small_pieces


@pytest.fixture(autouse=True, scope="module")
def _in_small_pieces() -> Iterator[None]:
    with small_pieces():
        yield
