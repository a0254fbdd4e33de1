"""The protocol of a job, as what its master is told and what it wants: deployment, checkpoints, failures, the end."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streamflow.cluster.attempt import Job, Times
from streamflow.cluster.coordinator import Pace
from streamflow.cluster.events import (
    AllGone,
    Answer,
    Asked,
    Cancel,
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
    End,
    Heard,
    Instruction,
    JobEvent,
    KillAll,
    Launch,
    NotDone,
    Note,
    Recover,
    Recovered,
    Rescale,
    Save,
    Saved,
    Send,
    Start,
    Stop,
    TakeSavepoint,
    Tick,
    WorkerGone,
)
from streamflow.cluster.job import JobMaster
from streamflow.cluster.job_log import Fenced
from streamflow.cluster.manifest import Manifest
from streamflow.cluster.restarts import Restarts
from streamflow.engine.control import (
    Acknowledged,
    Completed,
    Declined,
    Deploy,
    Deployed,
    Drain,
    Failed,
    Finish,
    Finished,
    FromWorker,
    Joined,
    ReadEnded,
    Renewed,
    Report,
    ToWorker,
    Trigger,
)
from streamflow.engine.split_state import SplitState
from streamflow.errors import (
    DataError,
    EngineError,
    Fatal,
    Retryable,
    SchemaError,
    StepError,
    StreamflowError,
    UserError,
)
from streamflow.operators.events import Barrier
from streamflow.state.store import StateFile

JOB = Job(flow="counts", graph="abc", reads=("bids",), key_groups=128, bounded=True)
PACE = Pace(every=1_000, timeout=500, tolerated=1)
TIMES = Times(
    checkpoints=PACE, restarts=Restarts(most=2, first=100, longest=400), lease=1_000_000, hang=9_000_000, deploy=10_000
)
SPLITS = {"bids": {"a": SplitState(number=0), "b": SplitState(number=1), "c": SplitState(number=2)}}
PREPARED = {"out": [{"id": "x-1"}]}


def master(job: Job = JOB, workers: int = 2, times: Times = TIMES) -> JobMaster:
    return JobMaster(job, workers=workers, times=times)


def state(worker: int, checkpoint: int) -> dict[str, list[StateFile]]:
    return {"counts/log": [StateFile(f"state/1-{checkpoint}-{worker}-0.arrow", 10, 7)]}


def ack(worker: int, checkpoint: int) -> Acknowledged:
    splits = {"bids": {f"split {worker}": SplitState(position=checkpoint)}}
    return Acknowledged(checkpoint, state(worker, checkpoint), splits, PREPARED if worker == 0 else {})


def manifest(checkpoint: int, *, final: bool = False, completed: bool = False) -> Manifest:
    """What two workers' acknowledgements come to."""
    return Manifest(
        job="j",
        flow="counts",
        checkpoint=checkpoint,
        key_groups=128,
        final=final,
        completed=completed,
        splits={"bids": {f"split {worker}": SplitState(position=checkpoint) for worker in range(2)}},
        state={"counts/log": [*state(0, checkpoint)["counts/log"], *state(1, checkpoint)["counts/log"]]},
        committables=PREPARED,
    )


def heard(attempt: int, worker: int, *messages: FromWorker) -> list[Heard]:
    return [Heard(attempt, worker, message) for message in messages]


def told(job: JobMaster, *events: JobEvent, now: int = 0) -> list[Instruction]:
    """All that comes of these events."""
    return [instruction for event in events for instruction in job.handle(event, now)]


def to_all(attempt: int, message: ToWorker, workers: int = 2) -> list[Send]:
    return [Send(attempt, worker, message) for worker in range(workers)]


def launched(job: JobMaster, attempt: int = 1, *, now: int = 0, base: Manifest | None = None) -> list[Instruction]:
    """Take a job that is claiming up to the launch of its workers."""
    first = 1 if base is None else base.checkpoint + 1
    claimed = Claimed(attempt=attempt, job="j", base=base, first=first)
    return told(job, claimed, Recovered(attempt), Discovered(attempt, SPLITS), now=now)


def deployed(job: JobMaster, attempt: int = 1, *, workers: int = 2, now: int = 0) -> list[Instruction]:
    joined = [Heard(attempt, worker, Joined("abc", f"/{worker}")) for worker in range(workers)]
    return told(job, *joined, *(Heard(attempt, worker, Deployed()) for worker in range(workers)), now=now)


def running(job: Job = JOB, times: Times = TIMES) -> JobMaster:
    """A job whose first attempt runs on two workers, from the time 0 on."""
    made = master(job, times=times)
    made.handle(Start(), 0)
    launched(made)
    deployed(made)
    return made


def complete(job: JobMaster, checkpoint: int, *, attempt: int = 1, now: int = 0) -> list[Instruction]:
    """All that comes when everybody does its part of a checkpoint that is in flight."""
    return told(
        job,
        *(Heard(attempt, worker, ack(worker, checkpoint)) for worker in range(2)),
        Saved(attempt, checkpoint),
        Committed(attempt, checkpoint),
        Confirmed(attempt, checkpoint),
        now=now,
    )


def without_notes(instructions: Sequence[Instruction]) -> list[Instruction]:
    return [one for one in instructions if not isinstance(one, Note)]


# -- deployment


def test_an_attempt_claims_recovers_discovers_launches_deploys_and_runs() -> None:
    job = master()
    assert job.handle(Start(), 0) == [Claim()]
    assert job.handle(Claimed(attempt=1, job="j"), 1) == [Recover(1)]
    assert job.handle(Recovered(1), 2) == [Discover(1)]
    assert job.handle(Discovered(1, SPLITS), 3) == [Launch(1, 2)]
    assert told(job, *heard(1, 1, Joined("abc", "/one")), now=4) == []
    own = [{"bids": {"a": SplitState(number=0), "c": SplitState(number=2)}}, {"bids": {"b": SplitState(number=1)}}]
    assert told(job, *heard(1, 0, Joined("abc", "/zero")), now=5) == [
        Send(
            1,
            worker,
            Deploy(
                attempt=1,
                job="j",
                splits=own[worker],
                known=SPLITS,
                state={},
                complete=0,
                peers={0: "/zero", 1: "/one"},
            ),
        )
        for worker in range(2)
    ]
    assert told(job, *heard(1, 0, Deployed()), *heard(1, 1, Deployed()), now=10) == []
    assert job.handle(Tick(), 1_009) == []
    assert job.handle(Tick(), 1_010) == to_all(1, Trigger(Barrier(1)))


def test_a_job_goes_on_from_its_latest_checkpoint() -> None:
    job = master()
    job.handle(Start(), 0)
    launched(job, attempt=4, base=manifest(7))
    deploy = deployed(job, attempt=4)[0]
    assert isinstance(deploy, Send)
    assert isinstance(deploy.message, Deploy)
    assert (deploy.message.complete, deploy.message.state) == (7, manifest(7).state)
    assert job.handle(Tick(), 1_000) == to_all(4, Trigger(Barrier(8)))


def test_a_worker_that_has_built_another_flow_ends_the_job() -> None:
    job = master()
    job.handle(Start(), 0)
    launched(job)
    assert told(job, *heard(1, 1, Joined("xyz", "/1"))) == [KillAll(1)]
    (end,) = job.handle(AllGone(1), 1)
    assert isinstance(end, End)
    assert isinstance(end.error, UserError)
    assert "worker 1 has built another flow" in str(end.error)


def test_workers_that_are_not_ready_in_time_are_named() -> None:
    job = master()
    job.handle(Start(), 0)
    launched(job)
    told(job, *heard(1, 0, Joined("abc", "/0")))
    assert job.wakes_at() == 10_000
    note, kill = job.handle(Tick(), 10_000)
    assert isinstance(note, Note)
    assert "not ready: worker 1" in note.text
    assert kill == KillAll(1)


@pytest.mark.parametrize(
    ("transactional", "waits", "begins"), [(False, True, 1_000_000), (False, False, 0), (True, True, 0)]
)
def test_sinks_that_zombies_could_write_to_are_opened_only_when_their_lease_is_over(
    transactional: bool, waits: bool, begins: int
) -> None:
    job = master(
        Job(flow="f", graph="abc", reads=(), key_groups=8, bounded=True, transactional=transactional), workers=1
    )
    job.handle(Start(), 0)
    told(job, Claimed(attempt=2, job="j", waits=waits), Recovered(2), Discovered(2, {}))
    out = told(job, *heard(2, 0, Joined("abc", "/0")), now=5)
    assert bool(out) == (begins == 0)
    if begins:
        assert job.handle(Tick(), begins - 1) == []
        (send,) = job.handle(Tick(), begins)
        assert isinstance(send, Send)


# -- checkpoints


def test_a_checkpoint_is_saved_then_committed_then_confirmed_and_then_the_workers_know() -> None:
    job = running()
    job.handle(Tick(), 1_000)
    assert told(job, *heard(1, 1, ack(1, 1))) == []
    assert told(job, *heard(1, 0, ack(0, 1))) == [Save(1, manifest(1))]
    assert job.handle(Saved(1, 1), 0) == [Commit(1, 1, PREPARED)]
    assert job.handle(Committed(1, 1), 0) == [Confirm(1, 1)]
    assert job.handle(Confirmed(1, 1), 1_100) == to_all(1, Completed(1))
    assert job.handle(Tick(), 2_000) == to_all(1, Trigger(Barrier(2)))


def test_one_that_a_worker_declines_is_taken_again_and_too_many_end_the_attempt() -> None:
    job = running()
    job.handle(Tick(), 1_000)
    told(job, *heard(1, 0, ack(0, 1)))
    assert without_notes(told(job, *heard(1, 1, Declined(1, "no room")), now=1_100)) == to_all(1, Trigger(Barrier(2)))
    assert told(job, *heard(1, 1, ack(1, 1))) == []
    out = told(job, *heard(1, 0, Declined(2, "no room")), now=1_200)
    assert without_notes(out) == [KillAll(1)]


def test_one_that_is_not_acknowledged_in_time_is_given_up() -> None:
    job = running()
    job.handle(Tick(), 1_000)
    told(job, *heard(1, 0, ack(0, 1)))
    assert job.handle(Tick(), 1_500) == to_all(1, Trigger(Barrier(2)))
    assert told(job, *heard(1, 1, ack(1, 1))) == []  # late: its manifest never comes


def test_what_could_not_be_committed_is_left_to_the_next_checkpoint_and_no_worker_told() -> None:
    job = running()
    job.handle(Tick(), 1_000)
    told(job, *heard(1, 0, ack(0, 1)), *heard(1, 1, ack(1, 1)), Saved(1, 1))
    out = job.handle(NotDone(Commit(1, 1, PREPARED), Retryable("the bucket does not answer")), 1_100)
    assert without_notes(out) == []
    assert job.handle(Tick(), 2_000) == to_all(1, Trigger(Barrier(2)))
    assert complete(job, 2)[-2:] == to_all(1, Completed(2))


def test_with_more_than_three_checkpoints_that_could_not_be_committed_the_job_stops_reading() -> None:
    job = running()
    for checkpoint in range(1, 5):
        job.handle(Tick(), 1_000 * checkpoint)
        told(job, *heard(1, 0, ack(0, checkpoint)), *heard(1, 1, ack(1, checkpoint)), Saved(1, checkpoint))
        failed = NotDone(Commit(1, checkpoint, PREPARED), Retryable("the bucket does not answer"))
        out = without_notes(job.handle(failed, 1_000 * checkpoint))
        assert out == ([] if checkpoint < 4 else [KillAll(1)])


def test_a_manifest_that_could_not_be_saved_ends_the_attempt_because_it_may_stand_nevertheless() -> None:
    job = running()
    job.handle(Tick(), 1_000)
    told(job, *heard(1, 0, ack(0, 1)), *heard(1, 1, ack(1, 1)))
    out = job.handle(NotDone(Save(1, manifest(1)), Retryable("no answer")), 1_100)
    assert without_notes(out) == [KillAll(1)]


# -- the end


def test_a_bounded_job_ends_after_its_final_checkpoint_is_committed() -> None:
    job = running()
    assert told(job, *heard(1, 0, ReadEnded("bids"))) == []
    assert told(job, *heard(1, 1, ReadEnded("bids"))) == to_all(1, Trigger(Barrier(1, final=True)))
    assert complete(job, 1) == [
        Save(1, manifest(1, final=True, completed=True)),
        Commit(1, 1, PREPARED),
        Confirm(1, 1),
        *to_all(1, Completed(1)),
        *to_all(1, Finish()),
    ]
    assert told(job, *heard(1, 1, Finished())) == []
    assert told(job, *heard(1, 0, Finished())) == [KillAll(1)]
    assert job.handle(AllGone(1), 0) == [End("finished")]
    assert job.wakes_at() is None
    assert told(job, Start(), Tick(), *heard(1, 0, Finished()), Asked(1, Cancel())) == []


def test_reads_that_end_on_a_worker_before_others_are_ready_have_ended() -> None:
    job = master()
    job.handle(Start(), 0)
    launched(job)
    told(job, *heard(1, 0, Joined("abc", "/0")), *heard(1, 1, Joined("abc", "/1")))
    told(job, *heard(1, 0, Deployed(), ReadEnded("bids")), *heard(1, 1, Deployed()))
    assert told(job, *heard(1, 1, ReadEnded("bids"))) == to_all(1, Trigger(Barrier(1, final=True)))


def test_a_worker_that_is_lost_after_the_final_commit_is_not_missed() -> None:
    job = running()
    told(job, *heard(1, 0, ReadEnded("bids")), *heard(1, 1, ReadEnded("bids")))
    complete(job, 1)
    assert told(job, WorkerGone(1, 0, "exit code 0"), *heard(1, 1, Finished())) == [KillAll(1)]
    assert job.handle(AllGone(1), 0) == [End("finished")]


def test_a_worker_that_loses_another_after_the_final_commit_is_not_missed_either() -> None:
    job = running()
    told(job, *heard(1, 0, ReadEnded("bids")), *heard(1, 1, ReadEnded("bids")))
    complete(job, 1)
    gone = Failed(Retryable("the connection with worker 1 is lost"))
    assert told(job, *heard(1, 1, Finished()), *heard(1, 0, gone)) == [KillAll(1)]
    assert job.handle(AllGone(1), 0) == [End("finished")]


def test_a_sink_that_cannot_be_closed_fails_the_job() -> None:
    job = running()
    told(job, *heard(1, 0, ReadEnded("bids")), *heard(1, 1, ReadEnded("bids")))
    complete(job, 1)
    error = StepError("the pipe is broken")
    assert told(job, *heard(1, 0, Failed(error))) == [KillAll(1)]
    assert job.handle(AllGone(1), 0) == [End("failed", error)]


def test_a_job_that_died_before_its_last_commit_commits_and_has_ended() -> None:
    job = master()
    job.handle(Start(), 0)
    base = manifest(3, final=True, completed=True)
    assert job.handle(Claimed(attempt=2, job="j", base=base, first=4), 0) == [Recover(2)]
    assert job.handle(Recovered(2), 0) == [End("finished")]


def test_without_stored_checkpoints_a_bounded_job_takes_one_at_its_end_only() -> None:
    job = running(Job(flow="counts", graph="abc", reads=("bids",), key_groups=8, bounded=True, stored=False))
    assert job.handle(Tick(), 5_000) == []
    told(job, *heard(1, 0, ReadEnded("bids")))
    assert told(job, *heard(1, 1, ReadEnded("bids"))) == to_all(1, Trigger(Barrier(1, final=True)))


def test_without_stored_checkpoints_a_failure_ends_the_job_with_its_cause_and_what_to_do() -> None:
    job = running(Job(flow="counts", graph="abc", reads=("bids",), key_groups=8, bounded=True, stored=False))
    assert job.handle(WorkerGone(1, 1, "killed by signal 9"), 0) == [KillAll(1)]
    (end,) = job.handle(AllGone(1), 0)
    assert isinstance(end, End)
    assert end.error is not None
    assert (end.error.message, end.error.remedy) == (
        "worker 1 is lost: killed by signal 9",
        "give the job checkpoint=, so that it goes on after a failure",
    )


# -- failures


@pytest.mark.parametrize(
    "event",
    [
        WorkerGone(1, 0, "killed by signal 9"),
        *heard(1, 0, Failed(StepError("boom"))),
        *heard(1, 0, Failed(DataError("boom"))),
        *heard(1, 0, Failed(Retryable("the broker does not answer"))),
    ],
    ids=["lost", "StepError", "DataError", "Retryable"],
)
def test_after_a_failure_the_next_attempt_begins_when_no_worker_lives_and_some_time_has_passed(event: JobEvent) -> None:
    job = running()
    assert without_notes(job.handle(event, 50)) == [KillAll(1)]
    assert job.handle(WorkerGone(1, 1, "killed"), 51) == []
    assert job.handle(AllGone(1), 60) == []
    assert job.wakes_at() == 160
    assert job.handle(Tick(), 159) == []
    assert job.handle(Tick(), 160) == [Claim()]
    assert launched(job, 2)[-1] == Launch(2, 2)


@pytest.mark.parametrize(
    "error",
    [UserError("a"), SchemaError("b"), Fatal("d"), EngineError("e")],
    ids=lambda error: type(error).__name__,
)
def test_what_trying_again_cannot_help_ends_the_job(error: StreamflowError) -> None:
    job = running()
    assert told(job, *heard(1, 0, Failed(error))) == [KillAll(1)]
    assert job.handle(AllGone(1), 0) == [End("failed", error)]


def test_messages_of_an_earlier_attempt_are_ignored() -> None:
    job = running()
    told(job, WorkerGone(1, 0, "killed"), AllGone(1))
    job.handle(Tick(), 100)
    launched(job, 2)
    deployed(job, 2)
    late: list[JobEvent] = [
        *heard(1, 0, Failed(DataError("old")), ReadEnded("bids"), ack(0, 1), Finished(), Report(turns=1)),
        WorkerGone(1, 1, "killed"),
        AllGone(1),
        Saved(1, 1),
        Committed(1, 1),
        Confirmed(1, 1),
        NotDone(Save(1, manifest(1)), Fatal("old")),
        NotDone(Recover(1), Fatal("old")),
        Recovered(1),
        Discovered(1, {}),
    ]
    assert told(job, *late) == []
    assert told(job, Tick(), now=1_200) == to_all(2, Trigger(Barrier(1)))


def failing(job: JobMaster, attempt: int, now: int) -> list[Instruction]:
    return without_notes(told(job, WorkerGone(attempt, 0, "killed"), AllGone(attempt), now=now))


def test_the_pauses_grow_and_when_the_budget_is_used_up_the_job_ends_with_the_cause() -> None:
    job = running()
    assert failing(job, 1, 0) == [KillAll(1)]
    assert job.wakes_at() == 100
    job.handle(Tick(), 100)
    launched(job, 2)
    assert failing(job, 2, 100) == [KillAll(2)]
    assert job.wakes_at() == 300
    job.handle(Tick(), 300)
    launched(job, 3)
    kill, end = failing(job, 3, 300)
    assert kill == KillAll(3)
    assert isinstance(end, End)
    assert "worker 0 is lost" in str(end.error)


def test_a_checkpoint_gives_the_budget_back() -> None:
    job = running()
    for attempt in range(1, 6):
        now = attempt * 10_000
        assert failing(job, attempt, now) == [KillAll(attempt)]
        assert job.wakes_at() == now + 100
        job.handle(Tick(), now + 100)
        launched(job, attempt + 1, now=now + 100)
        deployed(job, attempt + 1, now=now + 100)
        job.handle(Tick(), now + 1_100)
        complete(job, 1, attempt=attempt + 1, now=now + 1_200)


@pytest.mark.parametrize("step", ["claim", "recover", "discover"])
def test_a_store_or_a_source_that_does_not_answer_is_asked_again_later(step: str) -> None:
    job = master()
    job.handle(Start(), 0)
    if step == "claim":
        assert without_notes(job.handle(NotDone(Claim(), Retryable("no answer")), 0)) == []
    elif step == "recover":
        job.handle(Claimed(attempt=1, job="j"), 0)
        assert without_notes(job.handle(NotDone(Recover(1), Retryable("no answer")), 0)) == []
    else:
        told(job, Claimed(attempt=1, job="j"), Recovered(1))
        assert without_notes(job.handle(NotDone(Discover(1), Retryable("no answer")), 0)) == []
    assert job.wakes_at() == 100
    assert job.handle(Tick(), 100) == [Claim()]


def test_a_coordinator_that_was_taken_over_ends_and_touches_nothing() -> None:
    job = running()
    job.handle(Tick(), 1_000)
    told(job, *heard(1, 0, ack(0, 1)), *heard(1, 1, ack(1, 1)))
    fenced = Fenced("attempt 1 was taken over by attempt 2")
    assert job.handle(NotDone(Save(1, manifest(1)), fenced), 0) == [KillAll(1)]
    assert job.handle(AllGone(1), 0) == [End("failed", fenced)]


def test_one_that_was_taken_over_while_it_had_no_workers_ends_at_once() -> None:
    job = running()
    failing(job, 1, 0)
    job.handle(Tick(), 100)
    fenced = Fenced("attempt 1 was taken over by attempt 2")
    assert job.handle(NotDone(Claim(), fenced), 100) == [End("failed", fenced)]


# -- leases


def test_every_report_renews_the_workers_lease() -> None:
    assert told(running(), *heard(1, 1, Report(turns=1))) == [Send(1, 1, Renewed())]


def test_a_worker_of_which_nothing_is_heard_is_lost() -> None:
    job = running(times=Times(checkpoints=Pace(), lease=1_000_000))
    for now in range(200_000, 1_000_000, 200_000):
        assert job.handle(Tick(), now) == []
        told(job, *heard(1, 0, Report(turns=now)), now=now)
    note, kill = job.handle(Tick(), 1_000_000)
    assert isinstance(note, Note)
    assert "worker 1 has not been heard of for 1 s" in note.text
    assert kill == KillAll(1)


def test_a_coordinator_that_was_away_itself_hears_its_workers_before_it_calls_them_lost() -> None:
    job = running(times=Times(checkpoints=Pace(), lease=1_000_000))
    assert job.handle(Tick(), 60_000_000) == []
    told(job, *heard(1, 0, Report(turns=5)), *heard(1, 1, Report(turns=5)), now=60_000_001)
    assert job.handle(Tick(), 60_400_000) == []


def test_a_worker_that_reports_and_gets_no_further_hangs() -> None:
    job = running(times=Times(checkpoints=Pace(), lease=1_000_000, hang=1_500_000))
    out: list[Instruction] = []
    for now in range(0, 1_600_000, 100_000):
        out += told(job, Tick(), *heard(1, 0, Report(turns=now)), now=now)
        out += told(job, *heard(1, 1, Report(turns=7, where="map at x.py:3")), now=now)
    note, kill = [one for one in out if not isinstance(one, Send)]
    assert isinstance(note, Note)
    assert "worker 1 has got no further for 2 s, in map at x.py:3" in note.text
    assert kill == KillAll(1)


# -- what is asked for


def test_a_savepoint_is_a_checkpoint_that_is_copied_when_its_commits_are_confirmed() -> None:
    job = running()
    assert job.handle(Asked(7, TakeSavepoint("/s")), 10) == to_all(1, Trigger(Barrier(1)))
    assert complete(job, 1, now=20)[-3:] == [*to_all(1, Completed(1)), CopySavepoint(7, 1, "/s")]
    assert job.handle(Copied(7), 0) == [Answer(7)]


def test_a_savepoint_does_not_take_a_checkpoint_that_was_under_way() -> None:
    job = running()
    job.handle(Tick(), 1_000)
    assert job.handle(Asked(7, TakeSavepoint("/s")), 1_010) == []
    assert complete(job, 1, now=1_020)[-2:] == to_all(1, Trigger(Barrier(2)))
    assert complete(job, 2, now=1_030)[-1] == CopySavepoint(7, 2, "/s")


def test_a_savepoint_that_cannot_be_copied_is_answered_with_the_cause_and_the_job_goes_on() -> None:
    job = running()
    job.handle(Asked(7, TakeSavepoint("/s")), 10)
    complete(job, 1, now=20)
    error = Fatal("no room")
    assert job.handle(NotDone(CopySavepoint(7, 1, "/s"), error), 30) == [Answer(7, error)]
    assert job.handle(Tick(), 1_010) == to_all(1, Trigger(Barrier(2)))


def test_a_savepoint_that_is_asked_for_at_the_end_is_copied_before_the_workers_end() -> None:
    job = running()
    told(job, *heard(1, 0, ReadEnded("bids")), *heard(1, 1, ReadEnded("bids")))
    job.handle(Asked(7, TakeSavepoint("/s")), 10)
    assert complete(job, 1)[-1] == CopySavepoint(7, 1, "/s")
    assert job.handle(Copied(7), 0) == [Answer(7), *to_all(1, Finish())]


def test_a_stop_takes_a_final_checkpoint_where_the_job_stands() -> None:
    job = running()
    assert job.handle(Asked(1, Stop()), 10) == to_all(1, Trigger(Barrier(1, final=True)))
    out = complete(job, 1)
    assert out[0] == Save(1, manifest(1, final=True))
    assert out[-2:] == to_all(1, Finish())
    assert told(job, *heard(1, 0, Finished()), *heard(1, 1, Finished())) == [KillAll(1)]
    assert job.handle(AllGone(1), 0) == [Answer(1), End("stopped")]


def test_a_stop_with_savepoint_copies_the_final_checkpoint_and_then_ends() -> None:
    job = running()
    job.handle(Asked(1, Stop(savepoint="/s")), 10)
    assert complete(job, 1)[-1] == CopySavepoint(1, 1, "/s")
    assert job.handle(Copied(1), 0) == to_all(1, Finish())
    told(job, *heard(1, 0, Finished()), *heard(1, 1, Finished()))
    assert job.handle(AllGone(1), 0) == [Answer(1), End("stopped")]


def test_a_drained_job_ends_as_if_its_sources_had() -> None:
    job = running()
    assert job.handle(Asked(1, Stop(drain=True)), 10) == to_all(1, Drain())
    told(job, *heard(1, 0, ReadEnded("bids")))
    assert told(job, *heard(1, 1, ReadEnded("bids"))) == to_all(1, Trigger(Barrier(1, final=True)))
    assert complete(job, 1)[0] == Save(1, manifest(1, final=True, completed=True))
    told(job, *heard(1, 0, Finished()), *heard(1, 1, Finished()))
    assert job.handle(AllGone(1), 0) == [Answer(1), End("finished")]


def test_a_stop_while_the_next_attempt_is_waited_for_ends_with_what_is_committed() -> None:
    job = running()
    failing(job, 1, 0)
    assert job.handle(Asked(1, Stop()), 10) == [Claim()]
    assert job.handle(Claimed(attempt=2, job="j"), 11) == [Recover(2)]
    assert job.handle(Recovered(2), 12) == [Answer(1), End("stopped")]


def test_a_stop_whose_final_checkpoint_is_prevented_ends_at_the_checkpoint_before() -> None:
    job = running()
    job.handle(Asked(1, Stop()), 10)
    assert without_notes(told(job, WorkerGone(1, 0, "killed"), AllGone(1), now=20)) == [KillAll(1), Claim()]
    assert told(job, Claimed(attempt=2, job="j"), Recovered(2)) == [Recover(2), Answer(1), End("stopped")]


def test_a_stop_of_a_bounded_job_without_stored_checkpoints_publishes_nothing() -> None:
    job = running(Job(flow="counts", graph="abc", reads=("bids",), key_groups=8, bounded=True, stored=False))
    assert job.handle(Asked(1, Stop()), 10) == [KillAll(1)]
    assert job.handle(AllGone(1), 20) == [Answer(1), End("stopped")]


def test_a_cancelled_job_ends_at_once() -> None:
    job = running()
    job.handle(Asked(1, TakeSavepoint("/s")), 10)
    refused, *rest = job.handle(Asked(2, Cancel()), 20)
    assert isinstance(refused, Answer)
    assert refused.request == 1
    assert refused.error is not None
    assert rest == [Answer(2), KillAll(1)]
    assert job.handle(AllGone(1), 30) == [End("cancelled")]


def test_a_rescale_takes_a_checkpoint_and_goes_on_with_other_workers() -> None:
    job = running()
    assert job.handle(Asked(5, Rescale(3)), 10) == to_all(1, Trigger(Barrier(1)))
    assert complete(job, 1, now=20)[-1] == KillAll(1)
    assert job.handle(AllGone(1), 30) == [Claim()]
    assert launched(job, 2, base=manifest(1))[-1] == Launch(2, 3)
    out = deployed(job, 2, workers=3)
    assert [type(one) for one in out] == [Send, Send, Send, Answer]
    assert out[-1] == Answer(5)


def test_a_rescale_whose_checkpoint_is_prevented_goes_on_from_the_one_before() -> None:
    job = running()
    job.handle(Asked(5, Rescale(1)), 10)
    assert failing(job, 1, 20) == [KillAll(1)]
    assert job.handle(Tick(), 120) == [Claim()]
    assert launched(job, 2)[-1] == Launch(2, 1)
    assert deployed(job, 2, workers=1)[-1] == Answer(5)


@pytest.mark.parametrize("workers", [0, 129])
def test_a_rescale_to_what_cannot_be_is_refused(workers: int) -> None:
    (answer,) = running().handle(Asked(5, Rescale(workers)), 10)
    assert isinstance(answer, Answer)
    assert isinstance(answer.error, UserError)


def test_only_one_thing_is_done_at_a_time() -> None:
    job = running()
    job.handle(Asked(5, Rescale(3)), 10)
    (answer,) = job.handle(Asked(6, TakeSavepoint("/s")), 11)
    assert isinstance(answer, Answer)
    assert (answer.request, type(answer.error)) == (6, UserError)


def test_what_a_failure_prevents_is_answered() -> None:
    job = running()
    job.handle(Asked(5, TakeSavepoint("/s")), 10)
    answers = [one for one in job.handle(WorkerGone(1, 0, "killed"), 20) if isinstance(one, Answer)]
    assert [answer.request for answer in answers] == [5]
    assert str(answers[0].error) == "worker 0 is lost: killed"
