"""What steps mean, a row at a time in plain Python: slow, and short enough to be read. Oracles for tests.

`Windows` and `Sessions` say what fires when, and which rows are late; `process`, `dedup` and `running` what keyed
steps give.
"""

from __future__ import annotations

from streamflow.testing.naive.keyed import dedup, process, running
from streamflow.testing.naive.windows import Bounds, Clock, LateRow, Pane, Row, Sessions, Watermark, Windows

__all__ = [
    "Bounds",
    "Clock",
    "LateRow",
    "Pane",
    "Row",
    "Sessions",
    "Watermark",
    "Windows",
    "dedup",
    "process",
    "running",
]
