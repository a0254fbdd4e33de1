"""Aggregates over session windows: a session is the union of its rows' [t, t + gap) (rule 10)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

from streamflow.kernels.aggregate import AggregateSpec, merge, partial_fields, partial_of_rows, result_of
from streamflow.kernels.arrays import raw_values
from streamflow.kernels.grouping import Groups, group
from streamflow.kernels.sessions import Sessions, merge_intervals, row_ends
from streamflow.operators.base import Output
from streamflow.operators.events import MAX_TIME, MIN_TIME, TIME, TIME_TYPE, Batch, Watermark
from streamflow.operators.firing import WINDOW_FIELDS, finished, on_time, results, split_fired, times_of
from streamflow.operators.preaggregate import pick_key
from streamflow.state.container import Container
from streamflow.state.held_rows import empty_batch
from streamflow.state.open_sessions import OpenSessions
from streamflow.state.progress import Progress

COALESCED = 1 << 16
"""So many raw rows are gathered before they are merged into the open sessions: a merge touches all that are open."""
SEARCHED = 4
"""From so many open sessions for each new one on, those that it touches are searched for."""

INTERVAL_FIELDS = (pa.field("~start", pa.int64()), pa.field("~end", pa.int64()))


class SessionAggregate:
    """Fires each session's aggregates when the watermark passes its end.

    `schema`: the input's, with `_time` last. Output: keys, `window_start` (the first row's time), `window_end` (the
    last row's time + gap), the aggregates by name, `_time` = `window_end` - 1 us.

    A row is late, counted and left out iff its own t + gap <= W when it arrives, before anything is merged (rule 6). A
    row that is not late may still overlap a session that has fired, which ended at or before W but after the row's t:
    that session is gone, and the row starts one of its own. Without late rows, in the sense of rule 6, this cannot be.

    State: the open sessions, one row each (keys, bounds, partial aggregates), and the watermark per key group.
    """

    def __init__(
        self, keys: tuple[str, ...], gap: int, aggregates: tuple[AggregateSpec, ...], schema: pa.Schema
    ) -> None:
        self._keys = keys
        self._gap = gap
        self._aggregates = self.of_rows = aggregates
        columns = dict.fromkeys([*keys, *(name for spec in aggregates for name in spec.columns)])
        self._needed = [schema.get_field_index(name) for name in columns] + [len(schema) - 1]
        self._place = {name: place for place, name in enumerate(columns)}
        self._raw: list[Batch] = []
        self._raw_rows = 0
        fields = [schema.field(key) for key in keys]
        parts = [field for spec in aggregates for field in partial_fields(spec)]
        layout = pa.schema([*fields, *INTERVAL_FIELDS, *parts])
        self._open = OpenSessions(layout, range(len(keys)), end=len(keys) + 1)
        self._earliest = (
            MIN_TIME  # no session ends before; MIN_TIME until the open ones, maybe restored, have been seen
        )
        self._progress = Progress()
        made = [pa.field(spec.name, result_of(spec)) for spec in aggregates]
        self._shown = pa.schema([*fields, *WINDOW_FIELDS])
        self.output_schema = pa.schema([*self._shown, *made, pa.field(TIME, TIME_TYPE)])

    @property
    def late(self) -> int:
        return self._progress.late

    @property
    def due(self) -> int:
        """No watermark below has a window fire; `MIN_TIME` where it is not known."""
        return self._earliest

    def on_batch(self, port: int, batch: Batch) -> Iterable[Output]:
        rows = batch.select(self._needed)
        rows, ends = on_time(rows, self._key_columns(rows), self._gap, self._progress)
        if rows.num_rows:
            self._earliest = min(self._earliest, int(ends.min()))
            self._raw.append(rows)
            self._raw_rows += rows.num_rows
            if self._raw_rows >= (COALESCED if self._open.spilled else max(COALESCED, self._open.count // 2)):
                self._open.append(self._merge(MIN_TIME))
        return ()

    def on_watermark(self, watermark: Watermark) -> Iterator[Output]:
        self._progress.advance(watermark.time)
        if self._earliest <= watermark.time:
            fired, kept, _ = split_fired(self._merge(watermark.time), len(self._keys) + 1, watermark.time)
            self._open.append(kept)
            if fired.num_rows:
                yield from self._fire(fired)
            for rows in self._open.take_due(watermark.time):
                yield from self._fire(rows)
            self._earliest = self._open.earliest()
        yield watermark

    def _fire(self, sessions: pa.RecordBatch) -> Iterator[Output]:
        place = len(self._keys)
        bounds = [times_of(raw_values(sessions.column(place + i))) for i in range(2)]
        columns = [*sessions.columns[:place], *bounds, *sessions.columns[place + 2 :]]
        yield from results(columns, self._results, self._shown)

    def flush(self) -> Iterable[Output]:
        if self._raw:
            self._open.append(self._merge(MIN_TIME))
        return ()

    def state(self) -> Mapping[str, Container]:
        return {"sessions": self._open, "progress": self._progress}

    def _key_columns(self, rows: pa.RecordBatch) -> Sequence[pa.Array]:
        return [rows.column(place) for place in range(len(self._keys))]

    def _merge(self, time: int) -> pa.RecordBatch:
        """Take from the open sessions those that raw rows may extend or that end by `time`, and merge the rows in.

        Where few are open all are taken: that is faster than to search. Those in files that end are left there.
        """
        fresh = self._raw_sessions()
        few = time == MAX_TIME or self._open.count <= SEARCHED * fresh.num_rows + COALESCED
        if few and not self._open.spilled:
            touched = self._open.take()
        else:
            touched = self._open.take_touched(self._key_columns(fresh), fresh.num_rows, time, in_files=False)
        if not touched.num_rows or not fresh.num_rows:
            return fresh if fresh.num_rows else touched
        return self._merged(pa.concat_batches([touched, fresh]))

    def _raw_sessions(self) -> pa.RecordBatch:
        """The sessions of the raw rows among themselves; no raw rows are left."""
        if not self._raw:
            return empty_batch(self._open.schema)
        rows = self._raw[0] if len(self._raw) == 1 else pa.concat_batches(self._raw)
        self._raw, self._raw_rows = [], 0
        times = raw_values(rows.column(-1))
        keys = self._key_columns(rows)
        found = merge_intervals(group(keys, rows.num_rows), times, row_ends(times, self._gap))
        groups = Groups(found.ids, found.count, found.first)
        parts: list[pa.Array] = []
        for spec in self._aggregates:
            parts += partial_of_rows(spec, lambda name: rows.column(self._place[name]), groups)
        return self._sessions(keys, found, parts)

    def _merged(self, sessions: pa.RecordBatch) -> pa.RecordBatch:
        keys = self._key_columns(sessions)
        starts, ends = (raw_values(sessions.column(len(keys) + i)) for i in range(2))
        found = merge_intervals(group(keys, sessions.num_rows), starts, ends)
        if found.count == sessions.num_rows:
            return sessions
        groups = Groups(found.ids, found.count, found.first)
        place = len(keys) + 2
        parts: list[pa.Array] = []
        for spec in self._aggregates:
            stop = place + len(partial_fields(spec))
            parts += merge(spec, sessions.columns[place:stop], groups)
            place = stop
        return self._sessions(keys, found, parts)

    def _sessions(self, keys: Sequence[pa.Array], found: Sessions, parts: Sequence[pa.Array]) -> pa.RecordBatch:
        columns = [*(pick_key(key, found.first) for key in keys), pa.array(found.starts), pa.array(found.ends), *parts]
        return pa.RecordBatch.from_arrays(columns, schema=self._open.schema)

    def _results(self, columns: Sequence[pa.Array]) -> Batch:
        """Of keys, bounds and parts."""
        place = len(self._shown)
        made = [*columns[:place]]
        ends = raw_values(columns[place - 1])
        for spec in self._aggregates:
            stop = place + len(partial_fields(spec))
            made.append(finished(spec, columns[place:stop]))
            place = stop
        made.append(times_of(ends - 1))
        return pa.RecordBatch.from_arrays(made, schema=self.output_schema)
