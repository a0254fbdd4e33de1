"""Rules 25, 28 and 29: one checkpoint at a time, nothing forgotten, and the last one before the end."""

from __future__ import annotations

from streamflow.cluster.coordinator import (
    Acknowledged,
    CheckpointAsked,
    CheckpointDue,
    Complete,
    Concluded,
    Coordinator,
    Declined,
    Finish,
    GiveUp,
    Pace,
    Part,
    ReadEnded,
    StopAsked,
    TimePassed,
    Trigger,
    assign,
)
from streamflow.engine.split_state import SplitState
from streamflow.operators.events import Barrier


def coordinator(workers: int = 2, stages: int = 1, pace: Pace = Pace(), start: int = 0) -> Coordinator[bytes]:  # noqa: B008
    return Coordinator(workers=workers, stages=stages, reads=["bids"], pace=pace, start=start)


def ack(worker: int, checkpoint: int, stage: int = 0) -> Acknowledged[bytes]:
    splits = {"bids": {f"split-{worker}": SplitState(position=worker)}} if stage == 0 else {}
    return Acknowledged(worker, stage, checkpoint, Part(splits=splits, state={"counts/log": [b"%d" % worker]}))


def test_a_checkpoint_is_complete_when_every_task_has_acknowledged() -> None:
    job = coordinator(workers=2, stages=2)
    assert job.handle(CheckpointDue()) == [Trigger(Barrier(1))]
    assert job.handle(ack(0, 1)) == []
    assert job.handle(ack(1, 1)) == []
    assert job.handle(ack(1, 1, stage=1)) == []
    (commit,) = job.handle(ack(0, 1, stage=1))
    assert isinstance(commit, Complete)
    assert commit.part.splits == {"bids": {"split-0": SplitState(position=0), "split-1": SplitState(position=1)}}
    assert commit.part.state == {"counts/log": [b"0", b"0", b"1", b"1"]}


def test_only_one_checkpoint_is_in_flight_until_it_is_committed() -> None:
    job = coordinator(workers=1)
    job.handle(CheckpointDue())
    assert job.handle(CheckpointDue()) == []
    job.handle(ack(0, 1))
    assert job.handle(CheckpointDue()) == []
    assert job.handle(Concluded(1)) == []
    assert job.handle(CheckpointDue()) == [Trigger(Barrier(2))]


def test_a_late_acknowledgement_is_ignored() -> None:
    job = coordinator(workers=1)
    job.handle(CheckpointDue())
    assert job.handle(ack(0, 7)) == []


def test_the_job_finishes_only_after_the_final_checkpoint_is_committed() -> None:
    job = coordinator(workers=2)
    assert job.handle(ReadEnded(0, "bids")) == []
    assert job.handle(ReadEnded(1, "bids")) == [Trigger(Barrier(1, final=True))]
    job.handle(ack(0, 1))
    (commit,) = job.handle(ack(1, 1))
    assert isinstance(commit, Complete)
    assert commit.barrier.final
    assert commit.ended
    assert job.handle(Concluded(1)) == [Finish()]


def test_reads_that_end_during_a_checkpoint_start_the_final_one_when_it_is_committed() -> None:
    job = coordinator(workers=1)
    job.handle(CheckpointDue())
    assert job.handle(ReadEnded(0, "bids")) == []
    job.handle(ack(0, 1))
    assert job.handle(Concluded(1)) == [Trigger(Barrier(2, final=True))]


def test_a_job_that_is_asked_to_stop_takes_a_final_checkpoint_where_it_stands() -> None:
    assert coordinator().handle(StopAsked()) == [Trigger(Barrier(1, final=True))]


def test_a_job_that_was_stopped_has_not_ended() -> None:
    job = coordinator(workers=1)
    job.handle(StopAsked())
    (complete,) = job.handle(ack(0, 1))
    assert isinstance(complete, Complete)
    assert complete.barrier.final
    assert not complete.ended


def test_nothing_follows_on_the_final_checkpoint() -> None:
    job = coordinator(workers=1, pace=Pace(every=10))
    job.handle(ReadEnded(0, "bids"))
    job.handle(ack(0, 1))
    assert job.handle(Concluded(1), 50) == [Finish()]
    assert job.wakes_at() is None
    assert job.handle(TimePassed(), 100) == job.handle(CheckpointDue(), 100) == job.handle(StopAsked(), 100) == []


# -- time


def test_checkpoints_start_at_every_interval_after_the_last_one_started() -> None:
    job = coordinator(workers=1, pace=Pace(every=10), start=100)
    assert job.wakes_at() == 110
    assert job.handle(TimePassed(), 109) == []
    assert job.handle(TimePassed(), 112) == [Trigger(Barrier(1))]
    assert job.wakes_at() is None
    job.handle(ack(0, 1), 115)
    job.handle(Concluded(1), 117)
    assert job.wakes_at() == 122
    assert job.handle(TimePassed(), 122) == [Trigger(Barrier(2))]


def test_a_slow_checkpoint_is_followed_by_the_minimum_pause() -> None:
    job = coordinator(workers=1, pace=Pace(every=10, minimum_pause=4))
    job.handle(TimePassed(), 10)
    job.handle(ack(0, 1), 25)
    assert job.handle(Concluded(1), 27) == []
    assert job.wakes_at() == 31


def test_what_is_asked_for_waits_for_the_one_in_flight_and_then_starts_at_once() -> None:
    job = coordinator(workers=1, pace=Pace(every=1000))
    job.handle(CheckpointAsked(), 1)
    assert job.next == 2
    assert job.handle(CheckpointAsked(), 2) == []
    job.handle(ack(0, 1), 3)
    assert job.handle(Concluded(1), 4) == [Trigger(Barrier(2))]


def test_a_checkpoint_that_takes_too_long_is_given_up_and_the_next_takes_its_place() -> None:
    job = coordinator(workers=2, pace=Pace(every=10, timeout=30, tolerated=1))
    job.handle(TimePassed(), 10)
    job.handle(ack(0, 1), 11)
    assert job.wakes_at() == 40
    assert job.handle(TimePassed(), 39) == []
    assert job.handle(TimePassed(), 40) == [Trigger(Barrier(2))]
    assert job.handle(ack(1, 1), 41) == []  # late
    job.handle(ack(1, 2), 42)
    (complete,) = job.handle(ack(0, 2), 43)
    assert isinstance(complete, Complete)
    assert complete.barrier == Barrier(2)


def test_one_that_all_have_acknowledged_is_not_given_up() -> None:
    job = coordinator(workers=1, pace=Pace(every=10, timeout=30))
    job.handle(TimePassed(), 10)
    job.handle(ack(0, 1), 11)
    assert job.handle(TimePassed(), 1000) == []
    assert job.handle(Declined(1, "too late"), 1000) == []


def test_more_failures_in_a_row_than_are_tolerated_end_the_attempt() -> None:
    job = coordinator(workers=1, pace=Pace(minimum_pause=5, tolerated=1))
    job.handle(CheckpointAsked(), 10)
    assert job.handle(Declined(1, "the disk is full"), 11) == []
    assert job.handle(TimePassed(), 16) == [Trigger(Barrier(2))]
    assert job.handle(Declined(1, "late"), 17) == []
    job.handle(ack(0, 2), 17)
    job.handle(Concluded(2), 18)
    job.handle(CheckpointAsked(), 30)
    assert job.handle(Declined(3, "the disk is full"), 31) == []  # the count began anew
    job.handle(TimePassed(), 36)
    assert job.handle(Declined(4, "the disk is full"), 37) == [GiveUp("the disk is full")]


def test_a_final_checkpoint_that_failed_is_taken_again() -> None:
    job = coordinator(workers=1, pace=Pace(tolerated=1))
    assert job.handle(StopAsked()) == [Trigger(Barrier(1, final=True))]
    assert job.handle(Declined(1, "the disk is full")) == [Trigger(Barrier(2, final=True))]


def test_splits_are_dealt_in_turn_so_that_every_worker_starts_with_the_earliest() -> None:
    assert assign(["a", "b", "c", "d", "e"], 3) == [["a", "d"], ["b", "e"], ["c"]]
    assert assign([], 2) == [[], []]
