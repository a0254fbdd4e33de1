"""Rules 25, 28 and 29: one checkpoint at a time, nothing forgotten, and the last one before the end."""

from __future__ import annotations

from streamflow.cluster.coordinator import (
    Acknowledged,
    CheckpointDue,
    Commit,
    Committed,
    Coordinator,
    Finish,
    ReadEnded,
    StopAsked,
    Trigger,
    assign,
)
from streamflow.engine.split_state import SplitState
from streamflow.operators.events import Barrier


def coordinator(workers: int = 2, stages: int = 1) -> Coordinator:
    return Coordinator(workers=workers, stages=stages, reads=["bids"], key_groups=128)


def ack(worker: int, checkpoint: int, stage: int = 0) -> Acknowledged:
    splits = {"bids": {f"split-{worker}": SplitState(position=worker)}} if stage == 0 else {}
    return Acknowledged(worker, stage, checkpoint, {"counts/log": b"%d" % worker}, splits)


def test_a_checkpoint_is_complete_when_every_task_has_acknowledged() -> None:
    job = coordinator(workers=2, stages=2)
    assert job.handle(CheckpointDue()) == [Trigger(Barrier(1))]
    assert job.handle(ack(0, 1)) == []
    assert job.handle(ack(1, 1)) == []
    assert job.handle(ack(1, 1, stage=1)) == []
    (commit,) = job.handle(ack(0, 1, stage=1))
    assert isinstance(commit, Commit)
    assert commit.checkpoint.splits == {"bids": {"split-0": SplitState(position=0), "split-1": SplitState(position=1)}}
    assert commit.checkpoint.state == {"counts/log": (b"0", b"0", b"1", b"1")}


def test_only_one_checkpoint_is_in_flight_until_it_is_committed() -> None:
    job = coordinator(workers=1)
    job.handle(CheckpointDue())
    assert job.handle(CheckpointDue()) == []
    job.handle(ack(0, 1))
    assert job.handle(CheckpointDue()) == []
    assert job.handle(Committed(1)) == []
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
    assert isinstance(commit, Commit)
    assert commit.checkpoint.final
    assert job.handle(Committed(1)) == [Finish()]


def test_reads_that_end_during_a_checkpoint_start_the_final_one_when_it_is_committed() -> None:
    job = coordinator(workers=1)
    job.handle(CheckpointDue())
    assert job.handle(ReadEnded(0, "bids")) == []
    job.handle(ack(0, 1))
    assert job.handle(Committed(1)) == [Trigger(Barrier(2, final=True))]


def test_a_job_that_is_asked_to_stop_takes_a_final_checkpoint_where_it_stands() -> None:
    assert coordinator().handle(StopAsked()) == [Trigger(Barrier(1, final=True))]


def test_splits_are_dealt_in_turn_so_that_every_worker_starts_with_the_earliest() -> None:
    assert assign(["a", "b", "c", "d", "e"], 3) == [["a", "d"], ["b", "e"], ["c"]]
    assert assign([], 2) == [[], []]
