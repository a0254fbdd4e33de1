"""Watermarks over the splits of a read (rules 2, 4) and over the inputs of a node (rule 3). Time is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any

from streamflow.operators.events import MAX_TIME, MIN_TIME, Watermark


def saturating_sub(time: int, span: int) -> int:
    """`time - span`, kept above the smallest int64 (rule 11)."""
    return max(time - span, MIN_TIME)


class Merger:
    """The watermark over several inputs: the minimum of those that are neither idle nor ended. It never goes back.

    All open inputs idle: idle, and the watermark is the greatest that any of them had, for that is where it would be if
    the one that had come farthest had been the last to go idle. So it does not depend on the order in which they did,
    and all tasks behind an exchange agree. An ended input (watermark at the end of time) is out of the minimum, else
    one that ended beside an idle one would fire everything. An input that wakes counts again once it has caught up;
    until then its rows are judged by the merged watermark.

    `origins`: for each input what makes its watermark (see `PhysicalGraph.origins`). What comes from the same goes idle
    together and at the same time; what comes from more goes idle only after what comes from less, and at no earlier
    time. An input that says it is idle against this has merely not been told yet; it goes on counting, for what it
    still holds must not be late.

    >>> merger = Merger(2)
    >>> merger.update(0, Watermark(10))
    >>> merger.update(1, Watermark(7))
    Watermark(time=7, idle=False)
    >>> merger.update(1, Watermark(7, idle=True))
    Watermark(time=10, idle=False)
    """

    def __init__(self, inputs: int, origins: Sequence[frozenset[Any]] = ()) -> None:
        self._times = [MIN_TIME] * inputs
        self._before_end = [MIN_TIME] * inputs
        self._idle = [False] * inputs
        self._alike = [[j for j in range(inputs) if j != i and origins[j] == own] for i, own in enumerate(origins)]
        self._below = [[j for j, other in enumerate(origins) if other < own] for own in origins]
        self.current = Watermark(MIN_TIME)

    def update(self, index: int, watermark: Watermark) -> Watermark | None:
        """What the node is to see: the new merged watermark, or None when nothing changed."""
        held = self.current
        if len(self._times) == 1:
            merged = watermark if watermark.time >= held.time else Watermark(held.time, watermark.idle)
        else:
            self._times[index] = max(self._times[index], watermark.time)
            self._idle[index] = watermark.idle
            if watermark.time < MAX_TIME:
                self._before_end[index] = self._times[index]
            merged = self._merge()
        if merged.time == held.time and merged.idle == held.idle:  # twice as fast as to compare the two
            return None
        self.current = merged
        return merged

    def _merge(self) -> Watermark:
        held = self.current.time
        if min(self._times) == MAX_TIME:
            return Watermark(MAX_TIME)
        awake = [t for i, t in enumerate(self._times) if t < MAX_TIME and not (self._idle[i] and self._is_idle(i))]
        if not awake:
            return Watermark(max(held, *self._before_end), idle=True)
        return Watermark(min((time for time in awake if time >= held), default=held))

    def _is_idle(self, index: int) -> bool:
        """Whether an input that says so is."""
        if not self._alike:
            return True
        time = self._times[index]
        return all(self._idle[i] and self._times[i] == time for i in self._alike[index]) and all(
            (self._idle[i] or self._times[i] == MAX_TIME) and self._before_end[i] <= time for i in self._below[index]
        )


@dataclass(slots=True)
class _Split:
    least: int  # no row lies below it
    greatest: int = MIN_TIME  # of the event times seen
    forced: int = MIN_TIME  # set by the reader
    quiet_since: int | None = None
    idle: bool = False
    ended: bool = False
    added: bool = False  # while the read was running, so that its rows may lie below what others had come to

    def watermark(self, bound: int | None) -> int:
        return max(self.least, self.seen(bound))

    def seen(self, bound: int | None) -> int:
        """Without what was known before the split was opened."""
        return self.forced if bound is None else max(self.forced, saturating_sub(self.greatest, bound))


class SplitClock:
    """The watermark of a read: the minimum over all its known splits, opened or not, that are neither idle nor ended.

    `bound`, `idle` and `align` in microseconds; without a bound event times say nothing, only `on_watermark` does.
    `least` gives for every known split a time that none of its rows lies below, MIN_TIME when that is not known. Times
    are event times; `now` is the monotonic clock.

    >>> clock = SplitClock(bound=5, idle=None, least={"a": MIN_TIME, "b": 100})
    >>> clock.on_rows("a", 50)
    >>> clock.watermark(ended=False)
    Watermark(time=45, idle=False)
    """

    def __init__(
        self,
        *,
        bound: int | None,
        idle: int | None,
        least: Mapping[str, int],
        greatest: Mapping[str, int] | None = None,
        align: int | None = None,
    ) -> None:
        self._bound = bound
        self._idle = idle
        self._align = align
        self._splits = {name: _Split(time) for name, time in least.items()}
        for name, time in (greatest or {}).items():
            self._splits[name].greatest = time
        self._awake = len(self._splits)
        """How many splits are neither idle nor ended."""
        self._waits = [(split.watermark(bound), name) for name, split in self._splits.items()]
        """A heap: the watermarks that splits had, the present one of each that is awake among them. So none of many
        thousand splits costs anything while others are read."""
        heapify(self._waits)
        self.current = Watermark(MIN_TIME)

    def add(self, split: str, least: int) -> None:
        """A split has appeared. It holds the watermark where it is, until it has come as far (rule 2)."""
        state = self._splits[split] = _Split(least, added=True)
        self._awake += 1
        self._wait_for(split, state)

    def on_rows(self, split: str, greatest: int) -> None:
        state = self._splits[split]
        state.quiet_since = None
        if greatest > state.greatest:
            state.greatest = greatest
            self._wait_for(split, state)
        if state.idle:
            self._wake(split, state)

    def on_watermark(self, split: str, time: int) -> None:
        """The reader itself, or what the rows carry, says how far the split has come."""
        state = self._splits[split]
        if time > state.forced:
            state.forced = time
            self._wait_for(split, state)

    def on_quiet(self, splits: Iterable[str], now: int) -> None:
        """These splits were polled and had nothing (rule 4: never told of paused or unopened ones)."""
        if self._idle is None:
            return
        for name in splits:
            state = self._splits[name]
            if state.quiet_since is None:
                state.quiet_since = now
            if (now - state.quiet_since >= self._idle) == state.idle:
                continue
            if state.idle:
                self._wake(name, state)
                continue
            state.idle = True
            state.added = False  # from now on it is a split that wakes (rule 3)
            self._awake -= not state.ended

    def idle_at(self) -> int | None:
        """When, by the monotonic clock, the next split becomes idle if it stays quiet; None if none does."""
        if self._idle is None:
            return None
        waiting = (s.quiet_since for s in self._splits.values() if not s.idle and not s.ended)
        return min((since + self._idle for since in waiting if since is not None), default=None)

    def on_paused(self, splits: Iterable[str]) -> None:
        """These splits are no longer polled: their silence begins anew when they are (rule 4)."""
        for name in splits:
            self._splits[name].quiet_since = None

    def on_ended(self, split: str) -> None:
        state = self._splits[split]
        self._awake -= not state.ended and not state.idle
        state.ended = True

    def holder(self) -> str | None:
        """The split that the rows of others wait for (rule 4); None when no others are ahead of the watermark."""
        awake = {name: split for name, split in self._splits.items() if not split.ended and not split.idle}
        ahead = max((split.seen(self._bound) for split in awake.values()), default=MIN_TIME)
        if ahead <= self.current.time:
            return None
        return next((n for n, split in awake.items() if split.watermark(self._bound) == self.current.time), None)

    def ahead(self) -> tuple[set[str], set[str]]:
        """The splits that are more than `align` ahead of the watermark, and those that it waits for (rule 5).

        Only of those that are neither idle nor ended; the slowest of these is never ahead. Both empty without `align`.
        """
        if self._align is None:
            return set(), set()
        awake = {n: s.watermark(self._bound) for n, s in self._splits.items() if not s.ended and not s.idle}
        held = max(self.current.time, min(awake.values(), default=MIN_TIME))
        ahead = {name for name, time in awake.items() if time - self._align > held}
        return ahead, {name for name, time in awake.items() if time <= held}

    def watermark(self, *, ended: bool) -> Watermark:
        """The read's watermark. `ended`: every split has ended and none can appear."""
        held = self.current.time
        time, idle = (MAX_TIME, False) if ended else (max(held, self._least(held)), not self._awake)
        if time != held or idle != self.current.idle:
            self.current = Watermark(time, idle)
        return self.current

    def _wait_for(self, name: str, state: _Split) -> None:
        heappush(self._waits, (state.watermark(self._bound), name))

    def _wake(self, name: str, state: _Split) -> None:
        state.idle = False
        self._awake += not state.ended
        self._wait_for(name, state)

    def _least(self, held: int) -> int:
        """The least watermark of the splits that count: not of one that wakes below `held` and has yet to catch up."""
        while self._waits:
            time, name = self._waits[0]
            split = self._splits[name]
            current = not split.ended and not split.idle and time == split.watermark(self._bound)
            if current and (time >= held or split.added):
                return time
            heappop(self._waits)
        return held

    def greatest(self) -> dict[str, int]:
        """The greatest event time per split: part of its position (rule 27)."""
        return {name: split.greatest for name, split in self._splits.items() if split.greatest > MIN_TIME}
