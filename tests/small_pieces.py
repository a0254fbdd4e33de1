"""Work that is done in pieces from some hundred thousand rows on, for tests of a few rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from streamflow.operators import base, key_parts, process, refining_session, top
from streamflow.state import columns, keyed_objects, open_sessions, rows_by_time

_SMALL = (
    (base, "PIECE", 3),
    (key_parts, "LARGE", 4),
    (key_parts, "PIECE", 3),
    (top, "PIECE", 3),
    (top, "HELD", 8),
    (refining_session, "PIECE", 2),
    (process, "PIECE", 4),
    (process, "TIMED_PIECE", 3),
    (process, "_OWNERS", 2),
    (keyed_objects, "_STEP", 3),
    (keyed_objects, "_FEW", 2),
    (rows_by_time, "TAKEN", 5),
    (open_sessions, "_LARGEST", 6),
    (columns, "_LONGEST_CHUNK", 7),
)


@contextmanager
def small_pieces() -> Iterator[None]:
    """Meanwhile a few rows are many."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in _SMALL:
            patch.setattr(module, name, value)
        yield
