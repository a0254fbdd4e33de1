"""What must hold in one run: ratios and start-up times. Absolute speeds are reported, never asserted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks import tables
from benchmarks.longest import Longest
from benchmarks.nexmark import BARE_SIZE, Measured
from benchmarks.spilling import TIMES, Spilled
from benchmarks.start import Start

SPEED_SIZE = 16384
_AS_FAST = {"q5": 3.0, "q7": 2.0, "q12": 1.5}
"""At least so many times DuckDB's speed."""
_AS_FAST_AS_PLAIN = {"q11": 10.0}
"""At least so many times the speed of the query as it is usually written."""
_ADDED = 0.25
"""What the engine may add to these queries' bare operators."""
_ADDED_US = 40.0
"""What it may add to a batch of a query without state."""

_SPILLED = 0.25
"""What is to be left of the speed of windows whose state does not fit in memory."""


_TABLES = {tables.RUNNING: 0.35, tables.SPILLED_ZIPF: 0.1}
"""At least so many times the speed of what they are measured beside."""


_LONGEST = 0.1
"""Seconds that a single call into a task may take."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target: what it says, and whether it is met."""

    text: str
    met: bool


def judge_tables(measured: Iterable[tables.Table]) -> Iterable[Verdict]:
    for one in measured:
        if (least := _TABLES.get(one.name)) is not None:
            text = f"{one.name}: {one.ratio:.2f} x {one.beside}, at least {least} wanted"
            yield Verdict(text, one.ratio >= least)


def judge_calls(calls: Iterable[Longest]) -> Iterable[Verdict]:
    for one in calls:
        longest = max(one.filling, one.firing)
        text = f"{one.name}: the longest call takes {longest * 1e3:.0f} ms, at most {_LONGEST * 1e3:.0f}"
        yield Verdict(text, longest <= _LONGEST)


def judge(measured: Sequence[Measured], spilled: Sequence[Spilled], starts: Sequence[Start]) -> Iterable[Verdict]:
    for one in measured:
        if one.keys != "compact":
            continue
        if (least := _AS_FAST.get(one.query.name)) is not None:
            ratio = one.ratio(SPEED_SIZE)
            text = f"{one.name}: {ratio:.2f} x DuckDB at batches of {SPEED_SIZE}, at least {least} wanted"
            yield Verdict(text, ratio >= least)
        if (least := _AS_FAST_AS_PLAIN.get(one.query.name)) is not None:
            plain = one.plain_ratio(SPEED_SIZE) or 0.0
            text = f"{one.name}: {plain:.2f} x DuckDB's plain query at batches of {SPEED_SIZE}, at least {least} wanted"
            yield Verdict(text, plain >= least)
        if one.query.stateless and (added_us := one.added_us) is not None:
            text = f"{one.name}: the engine adds {added_us:.0f} us to a batch of {BARE_SIZE}, at most {_ADDED_US:.0f}"
            yield Verdict(text, added_us <= _ADDED_US)
        elif (added := one.added) is not None:
            text = f"{one.name}: the engine adds {added:.0%} to bare operators at {BARE_SIZE}, at most {_ADDED:.0%}"
            yield Verdict(text, added <= _ADDED)
    for job in spilled:
        text = f"{job.name}: {job.ratio:.0%} of the speed at {TIMES} x the memory, at least {_SPILLED:.0%} wanted"
        yield Verdict(text, job.ratio >= _SPILLED)
    for start in starts:
        if start.target is not None:
            text = f"{start.name}: {start.seconds:.2f} s, at most {start.target:.2f} s"
            yield Verdict(text, start.seconds <= start.target)
