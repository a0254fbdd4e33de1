"""Watermarks that are not a bound below the greatest event time: carried by rows, or made by a generator."""

from __future__ import annotations

import json
from collections.abc import Callable
from operator import index
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.errors import DataError, UserError
from streamflow.operators.events import MAX_TIME, MIN_TIME, Batch


class Marks(Protocol):
    """What says how far a split has come. It keeps nothing: `state`, of one split, is JSON, None at first."""

    def mark(self, batch: Batch, times: npt.NDArray[np.int64], state: str | None) -> tuple[int | None, str | None]:
        """The split's watermark behind these rows, None where they say nothing, and the state from here on."""
        ...


class Generator(Protocol):
    def on_batch(self, times: npt.NDArray[np.int64], state: Any) -> tuple[int | None, Any]: ...


class ColumnMarks:
    """The greatest value of a timestamp column. Raises DataError where that is infinite."""

    def __init__(self, evaluate: Callable[[pa.RecordBatch], pa.Array]) -> None:
        self._evaluate = evaluate

    def mark(self, batch: Batch, times: npt.NDArray[np.int64], state: str | None) -> tuple[int | None, str | None]:
        greatest = pc.max(self._evaluate(batch)).value
        if greatest == MAX_TIME:
            raise DataError("a watermark is outside the range of int64 microseconds")
        return greatest, state


class GeneratorMarks:
    """What a generator of the user's makes of the event times.

    Its state is JSON from the first call on, so that it looks the same before and after a restart. Raises UserError for
    what is no watermark and no JSON.
    """

    def __init__(self, generator: Generator) -> None:
        self._generator = generator

    def mark(self, batch: Batch, times: npt.NDArray[np.int64], state: str | None) -> tuple[int | None, str | None]:
        """As `Marks.mark`. The generator sees the event times in an array that it cannot write to."""
        name = type(self._generator).__name__
        made: object = self._generator.on_batch(times, None if state is None else json.loads(state))
        if not isinstance(made, tuple) or len(made) != 2:
            raise UserError(f"{name}.on_batch gave {made!r}", remedy="return the watermark, or None, and the state")
        time, remembered = made
        try:
            kept = None if remembered is None else json.dumps(remembered)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{name}.on_batch gave a state that is no JSON: {error}",
                remedy="keep numbers, texts, lists and dicts; int(...) of what numpy gives",
            ) from error
        if time is None:
            return None, kept
        try:
            micros = index(time)
        except TypeError as error:
            raise UserError(
                f"{name}.on_batch gave the watermark {time!r}", remedy="return microseconds since 1970, as an int"
            ) from error
        if not MIN_TIME <= micros < MAX_TIME:
            raise UserError(f"{name}.on_batch gave the watermark {micros}, which no event time can reach")
        return micros, kept
