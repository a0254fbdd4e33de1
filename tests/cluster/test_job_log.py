"""The job's log: claims, manifests, and who is fenced (rules 21, 22)."""

import random
from collections.abc import Callable

import pytest

from streamflow.cluster.job_log import BLOCK, CONFIRMED, Fenced, JobLog
from streamflow.errors import EngineError, Fatal, Retryable
from streamflow.testing.stores import MemoryStore


class LosesAnswers(MemoryStore):
    """Carries a call out, or not, and then says that it does not know: as `outcomes` has it."""

    def __init__(self, *outcomes: str) -> None:
        super().__init__()
        self.outcomes = list(outcomes)

    def create(self, path: str, data: bytes) -> None:
        outcome = self.outcomes.pop(0) if self.outcomes else "answer"
        if outcome != "not done":
            super().create(path, data)
        if outcome != "answer":
            raise Retryable("the answer was lost")


def started(store: MemoryStore, nonce: str) -> JobLog:
    log = JobLog(store, nonce)
    log.claim()
    return log


def test_attempts_count_up_and_get_the_latest_manifest() -> None:
    store = MemoryStore()
    first = started(store, "a")
    first.complete({"checkpoint": 1})
    first.complete({"checkpoint": 2})
    second = JobLog(store, "b")
    assert second.claim() == {"checkpoint": 2}
    assert (first.attempt, second.attempt) == (1, 2)
    third = JobLog(store, "c")
    assert third.claim() == {"checkpoint": 2}
    assert third.attempt == 3


def test_who_was_taken_over_cannot_complete_a_checkpoint() -> None:
    store = MemoryStore()
    zombie = started(store, "a")
    successor = started(store, "b")
    before = dict(store.files)
    with pytest.raises(Fenced, match="attempt 1 was taken over by attempt 2"):
        zombie.complete({"checkpoint": 1})
    assert store.files == before
    successor.complete({"checkpoint": 1})


def test_nobody_completes_before_claiming() -> None:
    with pytest.raises(EngineError):
        JobLog(MemoryStore(), "a").complete({"checkpoint": 1})


@pytest.mark.parametrize("outcomes", [("done",), ("not done",), ("not done", "done"), ("not done", "not done")])
def test_a_lost_answer_is_resolved_by_the_nonce(outcomes: tuple[str, ...]) -> None:
    store = LosesAnswers("answer", *outcomes)
    log = started(store, "a")
    log.complete({"checkpoint": 1})
    log.complete({"checkpoint": 2})
    assert sorted(store.files) == ["log/1", "log/2", "log/3"]


def test_a_lost_answer_behind_which_another_stands_fences() -> None:
    store = LosesAnswers("answer", "answer", "not done")
    zombie = started(store, "a")
    started(store, "b")
    with pytest.raises(Fenced):
        zombie.complete({"checkpoint": 1})


def test_a_store_that_never_answers_is_not_waited_for_without_end() -> None:
    with pytest.raises(Retryable, match="could not be written in 5 tries"):
        JobLog(LosesAnswers(*["not done"] * 10), "a").claim()


def test_two_that_claim_at_once_get_two_attempts() -> None:
    class Overtakes(MemoryStore):
        other: JobLog | None = None

        def create(self, path: str, data: bytes) -> None:
            other, self.other = self.other, None
            if other is not None:
                other.claim()
            super().create(path, data)

    store = Overtakes()
    late, store.other = JobLog(store, "a"), JobLog(store, "b")
    overtaking = store.other
    late.claim()
    assert overtaking is not None
    assert (overtaking.attempt, late.attempt) == (1, 2)


def with_manifests(store: MemoryStore, nonce: str, until: int) -> JobLog:
    """A log that has as many entries, and confirms each."""
    log = started(store, nonce)
    while log.last < until:
        log.complete({"checkpoint": log.last})
        log.confirm(log.base)
    return log


@pytest.mark.parametrize("last", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3, 5 * BLOCK])
def test_the_end_of_a_log_is_found_however_long_it_is(last: int) -> None:
    store = MemoryStore()
    with_manifests(store, "a", last)
    successor = JobLog(store, "b")
    assert successor.claim() == (None if last == 1 else {"checkpoint": last - 1})
    assert (successor.attempt, successor.last) == (2, last + 1)


def test_of_old_entries_every_256th_stays_and_nothing_of_what_it_held() -> None:
    store = MemoryStore()
    with_manifests(store, "a", 3 * BLOCK + 2)
    kept = {f"log/{number}" for number in (BLOCK, 2 * BLOCK, 3 * BLOCK, 3 * BLOCK + 1, 3 * BLOCK + 2)}
    assert set(store.files) == kept | {CONFIRMED}
    assert (store.files[f"log/{BLOCK}"], store.files[f"log/{2 * BLOCK}"]) == (b"", b"")


def test_entries_of_a_block_in_which_something_is_kept_stay() -> None:
    store = MemoryStore()
    log = with_manifests(store, "a", BLOCK + 5)
    assert "log/1" not in store.files
    store = MemoryStore()
    log = started(store, "a")
    while log.last < BLOCK + 5:
        log.complete({"checkpoint": log.last})
        log.confirm(BLOCK - 1)
    assert "log/1" in store.files


def test_what_a_manifest_prepared_is_confirmed_by_nothing_else() -> None:
    store = MemoryStore()
    log = started(store, "a")
    log.complete({"checkpoint": 1})
    unsure = started(store, "b")
    assert not unsure.confirmed
    unsure.complete({"checkpoint": 2})
    unsure.confirm(unsure.base)
    assert started(store, "c").confirmed
    unsure = started(store, "d")
    unsure.complete({"checkpoint": 3})
    assert not started(store, "e").confirmed


def test_a_zombie_that_confirms_late_harms_nobody() -> None:
    store = MemoryStore()
    zombie = started(store, "a")
    zombie.complete({"checkpoint": 1})
    with_manifests(store, "b", 2 * BLOCK)
    zombie.confirm(zombie.base)
    third = JobLog(store, "c")
    assert third.claim() == {"checkpoint": 2 * BLOCK - 1}
    assert not third.confirmed  # to be committed again, which is harmless


def test_a_zombie_that_creates_in_the_gap_is_fenced() -> None:
    store = MemoryStore()
    zombie = started(store, "a")
    with_manifests(store, "b", BLOCK + 1)
    assert "log/2" not in store.files
    with pytest.raises(Fenced, match="the log has moved on"):
        zombie.complete({"checkpoint": 1})


def test_manifests_that_are_still_there_are_found_past_the_claims_between_them() -> None:
    store = MemoryStore()
    for nonce in "abc":
        log = started(store, nonce)
        log.complete({"checkpoint": log.last})
    started(store, "d")
    log = started(store, "e")
    assert log.manifests(2) == [(4, {"checkpoint": 3}), (6, {"checkpoint": 5})]
    assert [number for number, _ in log.manifests(9)] == [2, 4, 6]


def test_a_log_whose_end_is_gone_is_damaged() -> None:
    store = MemoryStore()
    store.put("log/1", b"")
    with pytest.raises(Fatal, match="the entry 1 of the job's log is gone"):
        JobLog(store, "b").claim()


# -- the same writer again


def test_further_attempts_of_a_writer_follow_on_its_own_entries() -> None:
    store = MemoryStore()
    log = started(store, "a")
    log.complete({"checkpoint": 1})
    assert log.claim() == {"checkpoint": 1}
    assert log.attempt == 2
    log.complete({"checkpoint": 2})
    assert log.claim() == {"checkpoint": 2}
    assert log.attempt == 3


def test_a_writer_that_was_taken_over_does_not_take_the_job_back() -> None:
    store = MemoryStore()
    log = started(store, "a")
    started(store, "b")
    before = dict(store.files)
    with pytest.raises(Fenced, match="attempt 1 was taken over by attempt 2"):
        log.claim()
    assert store.files == before


def test_a_writer_whose_own_entries_are_gone_was_taken_over() -> None:
    store = MemoryStore()
    log = started(store, "a")
    log.complete({"checkpoint": 1})
    for number in (1, 2):
        store.delete(f"log/{number}")
    with pytest.raises(Fenced, match="the log has moved on"):
        log.claim()


def test_what_a_writer_wrote_without_knowing_counts() -> None:
    """Every answer about a manifest is lost, and no read sees it in time; it stands nevertheless."""

    class Late(MemoryStore):
        hidden = False

        def create(self, path: str, data: bytes) -> None:
            super().create(path, data)
            if self.hidden:
                raise Retryable("no answer")

        def read(self, path: str) -> bytes:
            if self.hidden:
                raise Retryable("no answer")
            return super().read(path)

    store = Late()
    log = started(store, "a")
    store.hidden = True
    with pytest.raises(Retryable):
        log.complete({"checkpoint": 1})
    store.hidden = False
    assert log.claim() == {"checkpoint": 1}
    assert (log.attempt, log.last) == (2, 3)


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"version":1}', b'{"version":1,"kind":"claim","attempt":"x"}'])
def test_a_damaged_entry_is_an_error_that_names_it(data: bytes) -> None:
    store = MemoryStore()
    store.put("log/1", data)
    with pytest.raises(Fatal, match="entry 1 of the job's log is damaged"):
        JobLog(store, "a").claim()


def test_an_entry_of_a_later_version_is_refused() -> None:
    store = MemoryStore()
    store.put("log/1", b'{"version":2}')
    with pytest.raises(Fatal, match="version 2, this streamflow reads 1"):
        JobLog(store, "a").claim()


@pytest.mark.parametrize("seed", range(100))
def test_checkpoints_are_completed_by_one_attempt_each_and_in_order(seed: int) -> None:
    """Attempts, zombies among them, take turns; what is complete never forks and is never lost."""
    rng = random.Random(seed)
    store = LosesAnswers(*rng.choices(["answer", "done", "not done"], weights=[6, 1, 1], k=200))
    writers: list[tuple[JobLog, int]] = []
    completed: list[int] = []

    def begin() -> None:
        log = JobLog(store, f"w{rng.random()}")
        base = log.claim()
        assert (0 if base is None else base["checkpoint"]) == (completed[-1] if completed else 0)
        writers.append((log, completed[-1] if completed else 0))

    def go_on() -> None:
        index = rng.randrange(len(writers))
        log, last = writers[index]
        try:
            log.complete({"checkpoint": last + 1})
        except Fenced:
            assert index < len(writers) - 1, "the newest attempt is never fenced"
            return
        assert index == len(writers) - 1, "a zombie completed a checkpoint"
        completed.append(last + 1)
        writers[index] = (log, last + 1)
        if rng.random() < 0.3:
            log.confirm(log.base)

    steps: list[Callable[[], None]] = [begin, go_on, go_on, go_on]
    begin()
    for _ in range(40):
        rng.choice(steps)()
    assert completed == list(range(1, len(completed) + 1))
