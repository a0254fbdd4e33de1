"""What a job did, for whoever started it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Restart:
    """That a job of several workers went on after a failure: what had failed, and after how long all worked again."""

    cause: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """What a job did. `stopped`: somebody interrupted it. `published`: what the sinks got is there to be read.

    `skipped`, `dead`: by step, rows that it could not process: left out, and sent to the dead letters. `spilled`: bytes
    of state that were written to files because they did not fit in memory. `restarts`: of a job on several workers;
    rows that it read again count again.
    """

    name: str
    rows_in: int
    rows_out: int
    late: int
    skipped: Mapping[str, int] = field(default_factory=dict)
    dead: Mapping[str, int] = field(default_factory=dict)
    spilled: int = 0
    seconds: float
    stopped: bool = False
    published: bool = True
    restarts: Sequence[Restart] = ()
