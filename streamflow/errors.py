"""Every error that streamflow raises on purpose.

An error says which step, which line of the user's script, and what to do about it. Below the API layer code raises
plain errors with the facts; the task that runs a step adds the step and the line (`StepError`).

>>> raise UserError("duration '10x' has no unit I know", remedy="write a number and one of us, ms, s, m, h, d")
Traceback (most recent call last):
...
streamflow.errors.UserError: duration '10x' has no unit I know
  remedy: write a number and one of us, ms, s, m, h, d
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """A line of the user's script: where a step was written."""

    file: str
    line: int
    source: str = ""

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}"
        return f"{text}: {self.source}" if self.source else text


class StreamflowError(Exception):
    """Base of all errors; `step`, `location` and `remedy` are shown on lines of their own when they are known."""

    def __init__(
        self, message: str, *, step: str | None = None, location: Location | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.step = step
        self.location = location
        self.remedy = remedy

    def __str__(self) -> str:
        lines = [self.message]
        if self.step is not None:
            lines.append(f"  step: {self.step}")
        if self.location is not None:
            lines.append(f"  at: {self.location}")
        if self.remedy is not None:
            lines.append(f"  remedy: {self.remedy}")
        return "\n".join(lines)


class UserError(StreamflowError):
    """The flow or a call is wrong: found while the flow is built or compiled, before any row moves."""


class SchemaError(UserError):
    """A column is missing, a type does not fit, a name is taken."""


class DataError(StreamflowError):
    """A value met at run time cannot be processed: a malformed record, an overflow, a failed cast, a null time."""


class TooManyErrors(DataError):
    """More rows could not be processed than the flow's `max_errors` allows: a job is not started again for that."""


class StepError(StreamflowError):
    """A step failed while the job ran; `__cause__` is what it raised."""


class ConnectorError(StreamflowError):
    """The outside failed. Raise one of the two subclasses."""


class Retryable(ConnectorError):
    """The same call may succeed later: a timeout, a lost connection, a file that is not there yet."""


class Fatal(ConnectorError):
    """Trying again cannot help: a full disk, a missing permission, a file that is damaged."""


class EngineError(StreamflowError):
    """An invariant of the engine is broken: a bug of streamflow, never of the user."""
