from __future__ import annotations

from streamflow.kernels.calendar import CalendarSlices
from streamflow.state.calendar import CalendarBounds


def test_whoever_takes_over_a_group_has_all_bounds() -> None:
    written = CalendarSlices(1, "UTC")
    written.learn({20_000: 5, 20_001: 7})
    snapshot = CalendarBounds(written).snapshot(groups=4)
    for groups in (range(4), range(1), range(3, 4), range(1, 3)):
        read = CalendarSlices(1, "UTC")
        CalendarBounds(read).restore([snapshot], groups)
        assert read.known() == {20_000: 5, 20_001: 7}


def test_a_worker_writes_its_own_groups_only() -> None:
    first, second = CalendarSlices(1, "UTC"), CalendarSlices(1, "UTC")
    containers = [CalendarBounds(first), CalendarBounds(second)]
    for container, groups in zip(containers, (range(2), range(2, 4)), strict=True):
        container.restore([], groups)
    first.learn({1: 10})
    second.learn({2: 20})
    parts = [container.snapshot(groups=4) for container in containers]
    assert [part.rows.num_rows for part in parts] == [2, 2]
    both = CalendarSlices(1, "UTC")
    CalendarBounds(both).restore(parts, range(4))
    assert both.known() == {1: 10, 2: 20}


def test_nothing_known_is_nothing_written() -> None:
    snapshot = CalendarBounds(CalendarSlices(1, "UTC")).snapshot(groups=4)
    assert snapshot.rows.num_rows == 0
    assert snapshot.offsets.tolist() == [0] * 5
