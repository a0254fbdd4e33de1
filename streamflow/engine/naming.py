"""Errors with the step and the user's line in them."""

from __future__ import annotations

import traceback
from pathlib import Path

from streamflow.errors import StepError, StreamflowError
from streamflow.plan.physical import PhysicalNode


def named(error: Exception, node: PhysicalNode) -> StreamflowError:
    """The error with the step and the user's line in it."""
    if isinstance(error, StreamflowError):
        if error.step is None:
            error.step = node.step
            error.location = error.location or node.location
        return error
    where = _user_frame(error)
    text = f"{type(error).__name__}: {error}" + (f" (raised at {where})" if where else "")
    return StepError(text, step=node.step, location=node.location)


def _user_frame(error: Exception) -> str | None:
    """The innermost line outside of streamflow and installed packages."""
    ours = str(Path(__file__).parents[1])
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        compiled = frame.filename.endswith((".pxi", ".pyx"))
        if not compiled and not frame.filename.startswith(ours) and "site-packages" not in frame.filename:
            return f"{frame.filename}:{frame.lineno}"
    return None
