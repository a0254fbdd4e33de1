"""Arguments of callers whose editor did not check them."""

from __future__ import annotations

from collections.abc import Mapping

from streamflow.errors import UserError
from streamflow.plan.logical.policy import POLICIES, OnError


def text(what: str, value: object, example: str) -> str:
    """The value, if it is a text that is not empty."""
    if isinstance(value, str) and value:
        return value
    raise UserError(f"{what} is a text, not {value!r}", remedy=f"write {example}")


def row_count(what: str, value: object) -> int:
    """The value, if it is a whole number above zero."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise UserError(f"{what}: {value!r} is not a number of rows", remedy="write 1 or more")


def old_and_new(names: object) -> Mapping[str, str]:
    """The value, if it maps old names to new ones."""
    if isinstance(names, Mapping) and names and all(isinstance(new, str) for new in names.values()):
        return names
    raise UserError(f"rename takes old names and new ones, not {names!r}", remedy='write rename({"old": "new"})')


def error_policy(value: object) -> OnError:
    """The value, if it says what a step does with a row that it cannot process."""
    for policy in POLICIES:
        if value == policy:
            return policy
    raise UserError(f"on_error={value!r} is not an error policy", remedy='write "fail", "skip" or "dead_letter"')


def an_object(made: object) -> None:
    """Not the class itself, which looks like its objects. Raises UserError."""
    if isinstance(made, type):
        name = f"{made.__module__.rpartition('.')[2]}.{made.__qualname__}"
        raise UserError(f"{name} is a class", remedy=f"call it: {name}(...)")
