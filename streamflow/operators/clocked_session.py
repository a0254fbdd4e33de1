"""Sessions that fire more than once, by processing time too."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from streamflow.kernels.arrays import Bools, Int64s
from streamflow.kernels.sessions import Sessions
from streamflow.operators.base import Output, Pause
from streamflow.operators.events import MAX_TIME
from streamflow.operators.refining import Clocked
from streamflow.operators.refining_session import DUE, RefiningSessions, least, taken_due, with_values

_SINCE, _PANE = "~since", "~pane"


class ClockedSessions(Clocked, RefiningSessions):
    """`RefiningSessions` that are `Clocked`.

    Of sessions that become one the pane began with the first row of any of theirs that has not been sent, and is due by
    what the session is then: one that has ended and that a row extends waits as one that has not ended.

    State: that of `RefiningSessions`, and beside each session since when its pane is open, and when it is due.
    """

    _firing = (*RefiningSessions._firing, pa.field(_SINCE, pa.int64()), pa.field(_PANE, pa.int64()))
    _ends = (DUE, _PANE)

    def _send_due(self, now: int) -> Iterator[Output]:
        for sessions in taken_due(self._open, now, by=1):
            if isinstance(sessions, Pause):
                yield sessions
                continue
            watermarks = self._progress.of_rows(self._keys(sessions), sessions.num_rows)
            yield from self._fire_and_keep(sessions, np.ones(sessions.num_rows, np.bool_), watermarks)
        self._next_pane = self._open.earliest(by=1)

    def _fresh(self, found: Sessions) -> list[Int64s | Bools]:
        return [*super()._fresh(found), *(np.full(found.count, time) for time in (self._now, MAX_TIME))]

    def _joined(self, sessions: pa.RecordBatch, found: Sessions) -> list[Int64s | Bools]:
        since = least(found, self._values(sessions, _SINCE))
        return [*super()._joined(sessions, found), since, np.full(found.count, MAX_TIME)]

    def _after_firing(self, fired: pa.RecordBatch, wrong: Bools) -> pa.RecordBatch:
        return with_values(super()._after_firing(fired, wrong), _SINCE, np.full(fired.num_rows, MAX_TIME))

    def _keep(self, sessions: pa.RecordBatch, watermarks: Int64s) -> None:
        over = (self._values(sessions, "~end") <= watermarks).astype(np.int64)
        dues = self._panes_due(self._values(sessions, _SINCE), over)
        super()._keep(with_values(sessions, _PANE, dues), watermarks)
