"""Workers and coordinators of a real job are killed and stopped at random; each row and each result is there once.

`STREAMFLOW_KILLS` says how often (20), `make nightly` does it 200 times.
"""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from streamflow.engine.clock import SystemClock
from tests.integration import killed_job
from tests.integration.killed_job import KEYS, ROWS, SPLITS

CLOCK = SystemClock()
KILLS = int(os.environ.get("STREAMFLOW_KILLS", "20"))
PATIENCE = 120
"""Seconds in which a job has recovered, on a machine that does much else."""


@dataclass
class Victim:
    """A job whose coordinator is a process of ours."""

    folder: Path
    rate: int
    coordinator: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        command = [sys.executable, killed_job.__file__, str(self.folder), str(self.rate)]
        with (self.folder / "output").open("ab") as output:
            self.coordinator = subprocess.Popen(command, stdout=output, stderr=output)

    def workers(self) -> list[int]:
        return children(self.coordinator.pid)

    def log(self) -> tuple[int, int]:
        """The attempt of the latest manifest, and the number of its checkpoint."""
        entries = (int(path.name) for path in (self.folder / "checkpoints" / "log").glob("[0-9]*"))
        for number in sorted(entries, reverse=True):
            with suppress(OSError, ValueError):
                entry = json.loads((self.folder / "checkpoints" / "log" / str(number)).read_text())
                if entry["kind"] == "manifest":
                    return entry["attempt"], entry["body"]["checkpoint"]
        return 0, 0

    def wait_for_attempt_after(self, attempt: int) -> float:
        """How long it takes until a later attempt has completed a checkpoint."""
        started = CLOCK.monotonic()
        while self.log()[0] <= attempt:
            assert self.coordinator.poll() is None, f"the coordinator has ended\n{self.output()}"
            self.waited(started, f"attempt {attempt} has no successor")
        return (CLOCK.monotonic() - started) / 1e6

    def wait_for_workers(self) -> list[int]:
        started = CLOCK.monotonic()
        while not (found := self.workers()):
            self.waited(started, "no worker is started")
        return found

    def waited(self, started: int, why: str) -> None:
        """A moment more, unless it was too long."""
        assert CLOCK.monotonic() - started < PATIENCE * 1e6, f"{why}\n{self.output()}"
        time.sleep(0.02)

    def output(self) -> str:
        return (self.folder / "output").read_text()[-5000:]


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@pytest.mark.integration
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in /proc")
def test_each_row_and_result_is_there_once_whoever_is_killed_or_stopped(tmp_path: Path) -> None:
    rng = random.Random(KILLS)
    job = Victim(tmp_path, rate=max(50, 20_000 // KILLS))
    recoveries: list[float] = []
    zombies: list[subprocess.Popen[bytes]] = []
    done: dict[str, int] = {}
    job.start()
    try:
        job.wait_for_attempt_after(0)
        for _ in range(KILLS):
            attempt, _ = job.log()
            what = rng.choice(["worker", "worker", "coordinator", "worker stopped", "coordinator stopped"])
            done[what] = done.get(what, 0) + 1
            if what == "worker":
                send(rng.choice(job.wait_for_workers()), signal.SIGKILL)
            elif what == "coordinator":
                job.coordinator.kill()
                job.coordinator.wait()
                job.start()
            elif what == "worker stopped":
                victim = rng.choice(job.wait_for_workers())
                send(victim, signal.SIGSTOP)
                time.sleep(rng.choice([0.2, 3.0]))
                send(victim, signal.SIGCONT)  # it was only slow, or it finds that it was given up
            else:
                send(job.coordinator.pid, signal.SIGSTOP)
                zombies.append(job.coordinator)
                time.sleep(rng.choice([0.0, 3.0]))
                job.start()
            if what != "worker stopped" and rng.random() < 0.75:  # the others are hit while they recover
                recoveries.append(job.wait_for_attempt_after(attempt))
            if zombies and rng.random() < 0.7:
                send(zombies[-1].pid, signal.SIGCONT)
            time.sleep(rng.random() * 0.7)
        for zombie in zombies:
            send(zombie.pid, signal.SIGCONT)
            assert zombie.wait(PATIENCE) == 1, "it was taken over, and has failed"
        (tmp_path / "finish").touch()
        assert job.coordinator.wait(PATIENCE) == 0, job.output()
    finally:
        for process in [job.coordinator, *zombies]:
            for pid in children(process.pid):
                send(pid, signal.SIGKILL)
            process.kill()
            process.wait()
    check(tmp_path)
    recoveries.sort()
    print(
        f"\n{KILLS} kills ({', '.join(f'{count} {what}' for what, count in sorted(done.items()))}): 0 lost, 0 doubled; "
        f"to the first checkpoint after one: p50 {statistics.median(recoveries):.2f} s, "
        f"p99 {recoveries[int(len(recoveries) * 0.99)]:.2f} s ({len(recoveries)} measured)"
    )


def check(folder: Path) -> None:
    every = range(ROWS * SPLITS)
    found = pq.read_table(folder / "rows")["n"].to_pylist()
    assert len(found) == len(every)
    assert sorted(found) == list(every)
    places = pq.read_table(folder / "places").to_pylist()
    wanted = [(n % KEYS, n // KEYS, n) for n in every]
    assert sorted((place["key"], place["place"], place["number"]) for place in places) == sorted(wanted)
    groups: dict[tuple[int, int], list[int]] = {}
    for n in every:
        groups.setdefault((n // 1000, n % KEYS), []).append(n)
    counts = pq.read_table(folder / "counts").to_pylist()
    summed = sorted((int(c["window_start"].timestamp()), c["k"], c["rows"], c["total"]) for c in counts)
    assert summed == sorted((second, k, len(own), sum(own)) for (second, k), own in groups.items())
