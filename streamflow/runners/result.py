"""What a job did, for whoever started it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """What a job did. `stopped`: somebody interrupted it. `published`: what the sinks got is there to be read."""

    name: str
    rows_in: int
    rows_out: int
    late: int
    seconds: float
    stopped: bool = False
    published: bool = True
