"""A reader over rows that are functions of their number: what sources of made-up rows share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa

from streamflow.connect import Ended, PollResult, Position, Wait, rows_without_columns
from streamflow_connectors._random import Ints

_LEAST_WAIT = 0.01
"""Seconds of a paced split that are delivered together: a batch for each row would cost more than the rows."""


@dataclass(slots=True)
class Stride:
    """`count` rows `first`, `first + step`, ... (None: without end), `position` of them delivered."""

    first: int
    step: int
    count: int | None
    position: int

    def take(self, max_rows: int) -> Ints:
        """The numbers of the next rows; none at the end."""
        end = self.position + max_rows
        if self.count is not None:
            end = min(end, self.count)
        rows = np.arange(self.position, end, dtype=np.int64)
        if self.step > 1:
            rows *= self.step
        rows += self.first
        self.position = max(end, self.position)
        return rows

    def is_ended(self) -> bool:
        return self.count is not None and self.position >= self.count


def strides(splits: Mapping[str, Position | None], of: int, rows: int | None) -> dict[str, Stride]:
    """The splits `"0"`, `"1"`, ... of `of`, to which `rows` rows are dealt in turn, each from its position on."""
    found = {}
    for split, position in splits.items():
        first = int(split)
        count = None if rows is None else max(rows - first + of - 1, 0) // of
        found[split] = Stride(first, of, count, cast("int", position or 0))
    return found


class NumberedReader:
    """The splits in turn, so that the event times of all advance together.

    `make(numbers)` gives the columns of `schema` for these rows.
    """

    def __init__(
        self, make: Callable[[Ints], list[pa.Array]], schema: pa.Schema, strides: Mapping[str, Stride]
    ) -> None:
        self._make = make
        self._schema = schema
        self._strides = strides
        self._turn = deque(strides)
        self._paused: list[str] = []

    def poll(self, max_rows: int) -> PollResult:
        if not self._turn:
            return []
        split = self._turn[0]
        if self._strides[split].is_ended():
            self._turn.popleft()
            return Ended(split)
        self._turn.rotate(-1)
        return [(split, self._batch(self._strides[split].take(max_rows)))]

    def pause(self, splits: Collection[str]) -> None:
        unfinished = [*self._turn, *self._paused]
        self._turn = deque(split for split in unfinished if split not in splits)
        self._paused = [split for split in unfinished if split in splits]

    def _batch(self, rows: Ints) -> pa.RecordBatch:
        if not self._schema.names:
            return rows_without_columns(len(rows))
        return pa.RecordBatch.from_arrays(self._make(rows), schema=self._schema)

    def positions(self) -> dict[str, Position]:
        return {split: stride.position for split, stride in self._strides.items()}

    def committed(self, positions: Mapping[str, Position]) -> None:
        """Nobody waits for it."""

    def close(self) -> None:
        self._turn.clear()


class PacedReader(NumberedReader):
    """Gives each split's rows at `rate` rows a second, by the engine's clock, from the first poll on."""

    def __init__(
        self, make: Callable[[Ints], list[pa.Array]], schema: pa.Schema, strides: Mapping[str, Stride], rate: float
    ) -> None:
        super().__init__(make, schema, strides)
        self._rate = rate
        self._opened_at = {split: stride.position for split, stride in strides.items()}
        self._started: float | None = None
        self._elapsed = 0.0

    def on_clock(self, now: float) -> None:
        if self._started is None:
            self._started = now
        self._elapsed = now - self._started

    def poll(self, max_rows: int) -> PollResult:
        for _ in range(len(self._turn)):
            split = self._turn[0]
            stride = self._strides[split]
            due = self._opened_at[split] + int(self._elapsed * self._rate) + 1 - stride.position
            if due > 0 or stride.is_ended():
                return super().poll(min(due, max_rows))
            self._turn.rotate(-1)
        if not self._turn:
            return []
        return Wait(max(_LEAST_WAIT, min(map(self._seconds_until_next, self._turn))))

    def _seconds_until_next(self, split: str) -> float:
        delivered = self._strides[split].position - self._opened_at[split]
        return delivered / self._rate - self._elapsed
