from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from streamflow.kernels.hashing import groups_of_worker, hash_columns, key_groups
from streamflow.state.progress import Progress

GROUPS = 16
KEYS = pa.array([f"key {number}" for number in range(100)])


def restored(before: list[Progress], after: int) -> list[Progress]:
    snapshots = [progress.snapshot(GROUPS) for progress in before]
    workers = [Progress() for _ in range(after)]
    for worker, progress in enumerate(workers):
        progress.restore(snapshots, groups_of_worker(worker, GROUPS, after))
    return workers


def judged_by(workers: list[Progress]) -> list[int]:
    """The watermark of each key, asked of the worker that owns it."""
    groups = key_groups(hash_columns([KEYS], len(KEYS)), GROUPS)
    result = np.zeros(len(KEYS), np.int64)
    for worker, progress in enumerate(workers):
        own = groups_of_worker(worker, GROUPS, len(workers))
        mine = np.array([int(group) in own for group in groups])
        result[mine] = progress.of_rows([KEYS.filter(pa.array(mine))], int(mine.sum()))
    return result.tolist()


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=4), st.integers(1, 20), st.integers(1, 20))
def test_every_key_keeps_its_watermark_on_any_number_of_workers(times: list[int], one: int, other: int) -> None:
    workers = restored([Progress()], len(times))
    for progress, time in zip(workers, times, strict=True):
        progress.advance(time)
    wanted = judged_by(workers)
    workers = restored(workers, one)
    assert judged_by(workers) == wanted
    assert judged_by(restored(workers, other)) == wanted


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.integers(1, 20))
def test_late_counts_add_up_to_the_same_on_any_number_of_workers(counts: list[int], after: int) -> None:
    workers = restored([Progress()], len(counts))
    for progress, count in zip(workers, counts, strict=True):
        progress.late = count
    assert sum(progress.late for progress in restored(workers, after)) == sum(counts)


def test_it_is_settled_once_its_own_watermark_has_caught_up() -> None:
    old = Progress()
    old.advance(50)
    (new,) = restored([old], 1)
    seen = []
    for watermark in (49, 60):
        new.advance(watermark)
        seen.append((new.settled, set(judged_by([new]))))
    assert seen == [(False, {50}), (True, {60})]


def test_a_watermark_never_goes_back() -> None:
    progress = Progress()
    progress.advance(5)
    progress.advance(3)
    assert progress.watermark == 5
