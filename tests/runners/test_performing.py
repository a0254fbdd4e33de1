"""Rules 21 to 26 and 30: what is done to the store and at the sinks, in which order, and what is not."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow.cluster.events import (
    Claim,
    Claimed,
    Commit,
    Committed,
    Confirm,
    Confirmed,
    Copied,
    CopySavepoint,
    Discover,
    Discovered,
    NotDone,
    Recover,
    Recovered,
    Save,
    Saved,
)
from streamflow.cluster.job_log import Fenced
from streamflow.cluster.manifest import Manifest
from streamflow.connect.sink import Committable, SinkContext, TransactionalWriter
from streamflow.engine.split_state import SplitState
from streamflow.errors import Fatal, Retryable, StepError, UserError
from streamflow.plan.physical import PhysicalGraph
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise
from streamflow.runners.performing import Performer
from streamflow.runners.savepoints import read_savepoint
from streamflow.state.store import CheckpointStore, StateFile
from streamflow.testing.stores import MemoryStore


@dataclass
class Journal:
    """A transactional sink that writes down what its committers are told; fails where `fails` is set."""

    told: list[str] = field(default_factory=list)
    fails: Exception | None = None
    changelog = False

    def open(self, who: SinkContext) -> TransactionalWriter:
        raise NotImplementedError

    def committer(self, job: str) -> JournalCommitter:
        return JournalCommitter(self, job)


@dataclass
class JournalCommitter:
    journal: Journal
    job: str

    def commit(self, committables: Sequence[Committable]) -> None:
        if self.journal.fails is not None:
            raise self.journal.fails
        self.journal.told.append(f"commit {','.join(str(one['id']) for one in committables)} of {self.job}")

    def discard_unknown(self, keep: Collection[str], before_attempt: int) -> None:
        self.journal.told.append(f"discard below {before_attempt} of {self.job}, keep {','.join(sorted(keep))}")


class Storied(MemoryStore):
    """A store that writes down in which order it was changed."""

    def __init__(self) -> None:
        super().__init__()
        self.story: list[str] = []

    def put(self, path: str, data: bytes) -> None:
        super().put(path, data)
        self.story.append(f"put {path}")

    def create(self, path: str, data: bytes) -> None:
        super().create(path, data)
        self.story.append(f"create {path}")

    def delete(self, path: str) -> None:
        super().delete(path)
        self.story.append(f"delete {path}")


def graph(journal: Journal) -> PhysicalGraph:
    flow = sf.Flow("f")
    flow.read("rows", memory.Source(pa.table({"n": [1]}))).write("out", journal)
    return place(optimise(flow.graph()), name="f")


def performer(store: CheckpointStore, journal: Journal | None = None, new: str = "one", **options: object) -> Performer:
    return Performer(store, graph(journal or Journal()), new, **options)  # type: ignore[arg-type]


def written(store: CheckpointStore, path: str, data: bytes = b"state") -> StateFile:
    """A file of state, as a worker has written it."""
    store.put(path, data)
    return StateFile(path, len(data), zlib.crc32(data))


def manifest(checkpoint: int, *files: StateFile, job: str = "one", prepared: str = "", **options: bool) -> Manifest:
    return Manifest(
        job=job,
        flow="f",
        checkpoint=checkpoint,
        key_groups=128,
        completed=options.get("completed", False),
        final=options.get("final", False),
        splits={"rows": {"a": SplitState(position=checkpoint)}},
        state={"counts/log": list(files)},
        committables={"out": [{"id": prepared}]} if prepared else {},
    )


def taken(by: Performer, made: Manifest) -> None:
    """One whole checkpoint."""
    by.save(made)
    by.commit(made.committables)
    by.confirm()


# -- the beginning of an attempt


def test_the_first_attempt_of_a_job_begins_afresh() -> None:
    store = MemoryStore()
    assert performer(store).perform(Claim()) == Claimed(attempt=1, job="one", base=None, first=1, waits=False)
    assert list(store.files) == ["log/1"]


def test_each_instruction_is_answered_by_its_event() -> None:
    by = performer(MemoryStore())
    by.perform(Claim())
    assert by.perform(Recover(1)) == Recovered(1)
    assert by.perform(Discover(1)) == Discovered(1, {"rows": {"0": SplitState()}})
    made = manifest(1, prepared="x")
    assert by.perform(Save(1, made)) == Saved(1, 1)
    assert by.perform(Commit(1, 1, made.committables)) == Committed(1, 1)
    assert by.perform(Confirm(1, 1)) == Confirmed(1, 1)


def test_a_job_goes_on_from_its_latest_checkpoint_and_is_told_whose_workers_may_be_alive() -> None:
    store = MemoryStore()
    before = performer(store)
    before.claim()
    taken(before, manifest(1))
    made = manifest(2, prepared="x")
    before.save(made)
    assert performer(store, new="two").claim() == Claimed(attempt=2, job="one", base=made, first=3, waits=True)


def test_after_a_clean_end_nobody_is_waited_for() -> None:
    store = MemoryStore()
    before = performer(store)
    before.claim()
    taken(before, manifest(1, final=True))
    claimed = performer(store, new="two").claim()
    assert (claimed.base, claimed.waits) == (manifest(1, final=True), False)


def test_a_further_attempt_of_the_same_coordinator_waits_for_nobody() -> None:
    by = performer(MemoryStore())
    by.claim()
    assert by.claim() == Claimed(attempt=2, job="one", base=None, first=1, waits=False)


def test_what_was_prepared_and_not_confirmed_is_committed_again_before_anything_is_discarded() -> None:
    store, journal = MemoryStore(), Journal()
    before = performer(store, journal)
    before.claim()
    before.save(manifest(1, prepared="x"))
    by = performer(store, journal, "two")
    by.claim()
    assert journal.told == []
    by.recover()
    assert journal.told == ["commit x of one", "discard below 2 of one, keep x"]
    third = performer(store, journal, "three").claim()
    assert third.base == manifest(1)  # it was confirmed


def test_a_job_that_had_come_to_its_end_starts_anew_under_another_uuid() -> None:
    store = MemoryStore()
    before = performer(store)
    before.claim()
    taken(before, manifest(1, final=True, completed=True))
    claimed = performer(store, new="two").claim()
    assert (claimed.job, claimed.base, claimed.first) == ("two", None, 2)


def test_one_that_ended_before_its_last_commit_does_not_nor_does_a_coordinators_own() -> None:
    store = MemoryStore()
    before = performer(store)
    before.claim()
    made = manifest(1, prepared="x", final=True, completed=True)
    before.save(made)
    assert before.claim().base == made
    before.commit(made.committables)
    before.confirm()
    assert before.claim().base == replace(made, committables={})
    assert performer(store, new="two").claim().base is None


def test_a_fenced_coordinator_touches_nothing() -> None:
    store, journal = Storied(), Journal()
    zombie = performer(store, journal)
    zombie.claim()
    file = written(store, "state/1-1-0-0.arrow")
    performer(store, journal, "two").claim()
    store.story.clear()
    save = Save(1, manifest(1, file))
    for instruction in (save, Claim()):
        answer = zombie.perform(instruction)
        assert isinstance(answer, NotDone)
        assert isinstance(answer.error, Fenced)
    assert store.story == []
    assert journal.told == []


# -- checkpoints


def test_after_every_checkpoint_what_zombies_staged_is_discarded_again() -> None:
    journal = Journal()
    by = performer(MemoryStore(), journal)
    by.claim()
    taken(by, manifest(1, prepared="x"))
    taken(by, manifest(2, prepared="y"))
    assert journal.told == [
        "commit x of one",
        "discard below 1 of one, keep x",
        "commit y of one",
        "discard below 1 of one, keep y",
    ]


def test_old_files_go_when_the_next_checkpoint_is_confirmed_and_not_before() -> None:
    store = Storied()
    by = performer(store)
    by.claim()
    old, both, new = (written(store, f"state/1-{n}-0-{n}.arrow") for n in (1, 1, 2))
    both = written(store, "state/1-1-0-7.arrow")
    taken(by, manifest(1, old, both))
    by.save(manifest(2, both, new))
    by.commit({})
    assert old.path in store.files
    by.confirm()
    assert set(store.list("state")) == {both.path, new.path}
    assert store.story.index("create log/3") < store.story.index(f"delete {old.path}")


def test_so_many_checkpoints_stay_as_are_to_be_kept() -> None:
    store = MemoryStore()
    by = performer(store, keep=2)
    by.claim()
    for checkpoint in range(1, 5):
        taken(by, manifest(checkpoint, written(store, f"state/1-{checkpoint}-0-0.arrow")))
    assert store.list("state") == ["state/1-3-0-0.arrow", "state/1-4-0-0.arrow"]
    performer(store, new="two", keep=2).claim()
    assert store.list("state") == ["state/1-3-0-0.arrow", "state/1-4-0-0.arrow"]


def test_files_of_checkpoints_that_were_given_up_go_with_the_next_that_is_confirmed() -> None:
    store = MemoryStore()
    by = performer(store)
    by.claim()
    taken(by, manifest(1, written(store, "state/1-1-0-0.arrow")))
    written(store, "state/1-2-0-0.arrow")
    early = written(store, "state/1-4-1-0.arrow")
    taken(by, manifest(3, written(store, "state/1-3-0-0.arrow")))
    assert store.list("state") == ["state/1-3-0-0.arrow", early.path]


def test_what_earlier_attempts_left_goes_when_the_next_one_claims() -> None:
    store = MemoryStore()
    before = performer(store)
    before.claim()
    taken(before, manifest(1, written(store, "state/1-1-0-0.arrow")))
    written(store, "state/1-2-0-0.arrow")
    performer(store, new="two").claim()
    assert store.list("state") == ["state/1-1-0-0.arrow"]


@pytest.mark.parametrize(
    ("raised", "kind"), [(ValueError("no"), StepError), (Retryable("no answer"), Retryable), (Fatal("gone"), Fatal)]
)
def test_a_sink_that_cannot_commit_is_named(raised: Exception, kind: type[Exception]) -> None:
    journal = Journal()
    by = performer(MemoryStore(), journal)
    by.claim()
    journal.fails = raised
    commit = Commit(1, 1, {"out": [{"id": "x"}]})
    answer = by.perform(commit)
    assert isinstance(answer, NotDone)
    assert type(answer.error) is kind
    assert (answer.what, answer.error.step) == (commit, "out")


# -- savepoints


def test_a_savepoint_holds_all_that_a_new_job_starts_from() -> None:
    store, folder = MemoryStore(), MemoryStore()
    by = performer(store, opened=lambda _: folder)
    by.claim()
    taken(by, manifest(1, written(store, "state/1-1-0-0.arrow"), prepared="x"))
    assert by.perform(CopySavepoint(7, 1, "/s")) == Copied(7)
    assert sorted(folder.files) == ["manifest.json", "state/1-1-0-0.arrow"]

    other = MemoryStore()
    claimed = performer(other, new="two", savepoint=folder).claim()
    assert claimed.base is not None
    assert (claimed.job, claimed.base.job, claimed.first, claimed.base.committables) == ("two", "two", 2, {})
    assert claimed.base.splits == {"rows": {"a": SplitState(position=1)}}
    (file,) = claimed.base.state["counts/log"]
    assert other.files[file.path] == b"state"
    folder.files.clear()
    again = performer(other, new="three", savepoint=folder).claim()
    assert again.base == claimed.base  # it has a checkpoint of its own now
    assert file.path in other.files


def test_a_savepoint_is_not_written_over() -> None:
    store, folder = MemoryStore(), MemoryStore()
    by = performer(store, opened=lambda _: folder)
    by.claim()
    taken(by, manifest(1))
    by.copy_savepoint(1, "/s")
    taken(by, manifest(2))
    answer = by.perform(CopySavepoint(8, 2, "/s"))
    assert isinstance(answer, NotDone)
    assert isinstance(answer.error, UserError)
    assert read_savepoint(folder).checkpoint == 1


@pytest.mark.parametrize(("data", "kind"), [(None, UserError), (b"{", Fatal), (b"[]", Fatal), (b"{}", Fatal)])
def test_a_folder_without_a_whole_savepoint_is_refused(data: bytes | None, kind: type[Exception]) -> None:
    folder = MemoryStore()
    if data is not None:
        folder.put("manifest.json", data)
    with pytest.raises(kind):
        performer(MemoryStore(), savepoint=folder).claim()


# -- damage


def test_past_a_damaged_checkpoint_a_job_goes_back_only_if_duplicates_are_allowed() -> None:
    store = MemoryStore()
    by = performer(store, keep=2)
    by.claim()
    for checkpoint in (1, 2):
        taken(by, manifest(checkpoint, written(store, f"state/1-{checkpoint}-0-0.arrow")))
    store.files["state/1-2-0-0.arrow"] = b"stale"
    assert performer(store, new="two", keep=2).claim().base == by._kept[-1][1]  # whoever reads it names the file
    allowed = performer(store, new="three", keep=2, allow_duplicates=True).claim()
    assert allowed.base is not None
    assert (allowed.base.checkpoint, allowed.first) == (1, 3)
