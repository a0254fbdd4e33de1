"""Letting go of several things, whatever one of them raises."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable


def close_all(closings: Iterable[Callable[[], object]]) -> None:
    """Call every one. Of several errors, and of one while another is under way, the first counts.

    >>> close_all([lambda: 1 / 0, lambda: print("closed")])
    Traceback (most recent call last):
    ...
    ZeroDivisionError: division by zero
    """
    errors: list[Exception] = []
    for closing in closings:
        try:
            closing()
        except Exception as error:  # noqa: BLE001 - whatever one raises, the others are closed
            errors.append(error)
    if errors and sys.exc_info()[0] is None:
        raise errors[0]
