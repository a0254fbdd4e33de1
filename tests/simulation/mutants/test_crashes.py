"""Breaches of rules 2, 6, 7, 14, 21 to 31, 35 and 39: each is found by the simulation within `SEEDS` runs.

`python -m tests.simulation.mutants.test_crashes` prints after how many.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from streamflow.cluster import coordinator, job_log
from streamflow.cluster.attempt import Attempt
from streamflow.cluster.coordinator import Coordinator
from streamflow.cluster.job_log import JobLog
from streamflow.engine.links import Links
from streamflow.engine.reading import OpenRead
from streamflow.engine.task import Task
from streamflow.engine.watermarks import Merger, SplitClock
from streamflow.engine.wire import Sender
from streamflow.engine.worker import Worker
from streamflow.engine.writing import Sinks
from streamflow.operators.window_aggregate import WindowAggregate
from streamflow.runners.performing import Performer
from streamflow.state import files
from streamflow.state.keyed_objects import KeyedObjects
from streamflow.state.progress import Progress
from streamflow.testing.simulation import Failure, simulate
from tests.simulation.flows import CASES, ROW_SETS, of_pipeline, of_seed
from tests.simulation.mutants import Mutant, edit, mutants, replace

SEEDS = 600


@dataclass(slots=True)
class BySeeds:
    """Looks for a fault in one run after the other. `only`: of this pipeline, which can show it.

    `after`: how many runs it took, None: it was not found; `shown`: how it showed.
    """

    only: str | None = None
    after: int | None = None
    shown: str = ""

    def __call__(self) -> bool:
        for seed in range(SEEDS):
            subject = of_seed(seed) if self.only is None else of_pipeline(self.only, seed)
            try:
                simulate(subject, seed)
            except Failure as failure:
                self.after, self.shown = seed + 1, str(failure).splitlines()[0]
                return True
        return False


PLANTED = (
    # -- event time and results
    Mutant(
        "the watermark of a read is the maximum over its splits",
        2,
        edit(SplitClock._least, "return time", "return max(other for other, _ in self._waits)"),
        BySeeds(),
    ),
    Mutant(
        "a split that has shown nothing does not hold the watermark",
        2,
        edit(SplitClock._least, "if current and (", "if current and split.greatest > MIN_TIME and ("),
        BySeeds(),
    ),
    Mutant(
        "the end of one split is taken for the end of the read",
        2,
        edit(OpenRead._all_ended, "return not self._unfinished and", "return"),
        BySeeds(),
    ),
    Mutant(
        "the watermark of a task is the maximum of its inputs",
        2,
        edit(Merger._merge, "min((time for time in awake if time >= held), default=held)", "max(max(awake), held)"),
        BySeeds(),
    ),
    Mutant(
        "a row is judged by a watermark that came after it",
        6,
        edit(
            WindowAggregate.on_batch,
            "watermark = self._progress.watermark",
            "self._progress.advance(int(batch.column('_time').view('int64').to_numpy().max())); watermark = MAX_TIME",
        ),
        BySeeds("tumbling"),
    ),
    Mutant(
        "the watermark goes before what it fires",
        7,
        edit(
            WindowAggregate.on_watermark,
            "if watermark.time > self._progress.watermark:",
            "yield watermark\n    if watermark.time > self._progress.watermark:",
        ),
        BySeeds(),
    ),
    # -- barriers and acknowledgements
    Mutant(
        "an input that has passed the barrier is not blocked",
        25,
        edit(Task.is_blocked, "return self._barrier", "return False and self._barrier"),
        BySeeds("tumbling"),
    ),
    Mutant(
        "the barrier of the first input is taken for all",
        25,
        edit(Task._done, " and not self._waiting", ""),
        BySeeds(),
    ),
    Mutant(
        "buffers are not empty when a barrier passes",
        14,
        edit(Task._align, "self._flush()", "pass"),
        BySeeds(),
    ),
    Mutant(
        "an acknowledgement of an earlier checkpoint counts",
        25,
        edit(Coordinator._in_flight, "and checkpoint == self._barrier.checkpoint ", ""),
        BySeeds(),
    ),
    Mutant(
        "a checkpoint is complete when one worker has acknowledged it",
        25,
        edit(Coordinator._acknowledge, "self._acknowledged.keys() != self._places", "not self._acknowledged"),
        BySeeds(),
    ),
    Mutant(
        "what was prepared for a checkpoint that failed is forgotten",
        25,
        edit(Sinks.prepared, "number <= checkpoint", "number == checkpoint"),
        BySeeds(),
    ),
    Mutant(
        "a worker acknowledges when its first stage has aligned",
        25,
        edit(Worker._align, "len(part.stages) == self._graph.stages", "len(part.stages) == 1"),
        BySeeds(),
    ),
    # -- the log
    Mutant(
        "whoever finds an entry of another goes on behind it",
        21,
        edit(
            JobLog._create,
            'raise Fenced(f"attempt {self.attempt} was taken over by attempt {found.attempt}") from None',
            "number += 1; continue",
        ),
        BySeeds(),
    ),
    Mutant(
        "nobody looks whether the log has moved on",
        21,
        edit(JobLog._create, "if self._exists((number // BLOCK + 1) * BLOCK):", "if False:"),
        BySeeds(),
    ),
    Mutant(
        "a new attempt sweeps before it claims",
        21,
        edit(
            Performer.claim,
            "self._log.claim()",
            "self._log.latest(); self._sweep(self._log.attempt + 1, 0); self._log.claim()",
        ),
        BySeeds(),
    ),
    Mutant(
        "a create without an answer is taken for done",
        22,
        edit(JobLog._create, "found = self._read(number)", "break"),
        BySeeds(),
    ),
    Mutant(
        "an own entry is taken for that of another",
        22,
        edit(JobLog._create, "if found.nonce != self._nonce:", "if True:"),
        BySeeds(),
    ),
    Mutant(
        "state is acknowledged before it is written",
        22,
        edit(files.write_state, "store.put(path, data)", "pass"),
        BySeeds(),
    ),
    # -- two phases
    Mutant(
        "sinks commit before the manifest is saved",
        21,
        edit(
            Performer.save,
            "self._log.complete(to_json(manifest))",
            "self.commit(manifest.committables); self._log.complete(to_json(manifest))",
        ),
        BySeeds(),
    ),
    Mutant(
        "the names of transactions are without the attempt",
        23,
        edit(Sinks.__init__, "attempt=attempt,", "attempt=0,"),
        BySeeds(),
    ),
    Mutant(
        "what is staged after the first sweep is never discarded",
        23,
        edit(Performer.confirm, "self._discard_unknown(latest.committables)", "pass"),
        BySeeds(),
    ),
    Mutant(
        "what the latest checkpoint prepared is discarded and not committed",
        26,
        edit(
            Performer.recover,
            "self.commit(base.committables)",
            "self._discard_unknown({}); self.commit(base.committables)",
        ),
        BySeeds(),
    ),
    Mutant(
        "what the latest checkpoint prepared is not committed again",
        26,
        edit(Performer.recover, "self.commit(base.committables)", "pass"),
        BySeeds(),
    ),
    Mutant(
        "a checkpoint is confirmed and its sinks do not commit",
        26,
        edit(Performer.commit, "publish(self._graph, self._attempt().job, committables)", "pass"),
        BySeeds(),
    ),
    Mutant(
        "what could not be committed is not part of the next checkpoint",
        26,
        edit(
            Attempt._on_not_done,
            "told = self._conclude(number, now)",
            "told = [*self._to_all(control.Completed(number)), *self._conclude(number, now)]",
        ),
        BySeeds(),
    ),
    Mutant(
        "a worker forgets what it has prepared when it has said so",
        26,
        edit(
            Worker.on_written,
            "self._said += [",
            "self._sinks.committed(written.checkpoint); self._said += [",
        ),
        BySeeds(),
    ),
    Mutant(
        "a checkpoint counts as confirmed when it is saved",
        26,
        edit(
            Performer.save,
            "self._log.complete(to_json(manifest))",
            "self._log.complete(to_json(manifest)); self._log.confirm(self._log.base)",
        ),
        BySeeds(),
    ),
    # -- damage
    Mutant(
        "a damaged file is used as it is",
        24,
        edit(files.read_file, "if len(data) != file.size or zlib.crc32(data) != file.checksum:", "if False:"),
        BySeeds(),
    ),
    Mutant(
        "the job goes back past a checkpoint with a damaged file",
        24,
        edit(Performer._base, "if self._allow_duplicates:", "if True:"),
        BySeeds(),
    ),
    # -- state
    Mutant(
        "the watermark of a step is no part of its state",
        27,
        edit(Progress.restore, "np.maximum.at(self._restored,", "np.maximum.at(self._restored.copy(),"),
        BySeeds("late"),
    ),
    Mutant(
        "positions are those of when the checkpoint is written",
        27,
        edit(
            Worker.on_written,
            "part.splits, part.committables",
            "{read.node.step: read.states() for read in self._reads}, part.committables",
        ),
        BySeeds(),
    ),
    Mutant(
        "timers are no part of the state",
        27,
        edit(
            KeyedObjects._restore_rows,
            "decode_alarms([getattr(owner, name) for owner in objects], column, self.moment)",
            "pass",
        ),
        BySeeds("keyed"),
    ),
    Mutant(
        "every worker takes over all key groups",
        31,
        edit(Worker._deploy, "groups_of_worker(number, graph.key_groups, graph.workers)", "range(graph.key_groups)"),
        BySeeds(),
    ),
    # -- splits
    Mutant(
        "every worker reads all splits", 28, edit(coordinator.assign, "splits[worker::workers]", "splits"), BySeeds()
    ),
    Mutant(
        "a split that appears is read by every worker",
        28,
        edit(Worker._deploy, "looks=number == 0", "looks=True"),
        BySeeds("copy"),
    ),
    Mutant(
        "a split that has appeared is not written",
        28,
        edit(
            OpenRead.states,
            "for name, before in self._splits.items()",
            "for name, before in self._splits.items() if name in list(self._known)[: len(self._splits) - 1]",
        ),
        BySeeds(),
    ),
    Mutant(
        "a worker ends when its reads have",
        29,
        edit(
            Worker._through,
            "self._said.append(ReadEnded(read.node.step))",
            "self._said.append(ReadEnded(read.node.step)); self._under_way[0].append(self._finish())",
        ),
        BySeeds(),
    ),
    Mutant(
        "rows are acknowledged to the source when they are prepared",
        39,
        edit(
            Worker._align,
            "part.positions = [read.positions() for read in self._reads]",
            "part.positions = [read.positions() for read in self._reads if not read.committed(read.positions())]",
        ),
        BySeeds(),
    ),
    # -- files
    Mutant(
        "files that a checkpoint still names are deleted",
        30,
        edit(Performer.confirm, "for path in manifest.paths()} - named)", "for path in manifest.paths()})"),
        BySeeds(),
    ),
    Mutant(
        "files are swept away though a checkpoint names them",
        30,
        edit(Performer._sweep, "if old and path not in named:", "if old:"),
        BySeeds(),
    ),
    # -- channels
    Mutant("what was taken is never granted again", 35, edit(Links.take, "if arrived.size:", "if False:"), BySeeds()),
    Mutant(
        "events overtake the rows of their channel",
        35,
        edit(Sender.put, "lane.queue.append(event)", "lane.queue.appendleft(event)"),
        BySeeds(),
    ),
    Mutant(
        "a batch that is larger than the limit never goes",
        35,
        edit(Sender._next, "if lane.under_way and lane.under_way", "if lane.under_way"),
        BySeeds(),
    ),
)


def know_the_right_results() -> None:
    """Found out before anything is planted."""
    for seed in range(len(CASES) * ROW_SETS):
        of_seed(seed).calm()


@pytest.fixture(scope="module", autouse=True)
def _right_results() -> Iterator[None]:
    know_the_right_results()
    with replace(job_log, "BLOCK", 4)():
        yield


@pytest.mark.integration
@mutants(*PLANTED)
def test_a_breach_of_the_protocol_is_found(mutant: Mutant) -> None:
    assert mutant.is_found()


def main() -> None:
    know_the_right_results()
    with replace(job_log, "BLOCK", 4)():
        for mutant in PLANTED:
            if not sys.argv[1:] or any(word in mutant.name for word in sys.argv[1:]):
                found = mutant.is_found()
                assert isinstance(mutant.find, BySeeds)
                after = f"{mutant.find.after:9}" if found else "NOT FOUND"
                print(f"{mutant.rule:4}  {mutant.name:64} {after}  {mutant.find.shown[:100]}", flush=True)


if __name__ == "__main__":
    main()
