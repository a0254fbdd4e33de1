"""The line of the user's script that a call was made from, and the errors that name it."""

from __future__ import annotations

import linecache
import sys
from pathlib import Path

from streamflow.errors import Location, StreamflowError

_INSIDE = f"{Path(__file__).parent.parent}/"


def users_line() -> Location:
    """Where the nearest caller outside of the package stands."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_INSIDE) and frame.f_back is not None:
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    return Location(file, line, linecache.getline(file, line, frame.f_globals).strip())


class Building:
    """A block that makes one step: every error of ours that leaves it names the step and the user's line.

    >>> from streamflow.errors import UserError
    >>> with Building("filter"):
    ...     raise UserError("no column 'pirce'")
    Traceback (most recent call last):
    ...
    streamflow.errors.UserError: no column 'pirce'
      step: filter
      at: ...
    """

    __slots__ = ("location", "step")

    def __init__(self, step: object) -> None:
        self.step = str(step)
        self.location = users_line()

    def __enter__(self) -> Location:
        return self.location

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, StreamflowError):
            error.step = error.step or self.step
            error.location = error.location or self.location
