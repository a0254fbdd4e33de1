"""Aggregates over session windows: a session is the union of its rows' [t, t + gap) (rule 10)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from streamflow.kernels.aggregate import AggregateSpec, merge, partial_fields, partial_of_rows, result_of
from streamflow.kernels.arrays import raw_values
from streamflow.kernels.grouping import Groups, group
from streamflow.kernels.sessions import Sessions, merge_intervals, merge_rows, row_ends
from streamflow.operators.base import Output, Pause
from streamflow.operators.events import MAX_TIME, MIN_TIME, TIME, TIME_TYPE, Batch, Watermark
from streamflow.operators.firing import WINDOW_FIELDS, finished, on_time, results, split_fired, times_of
from streamflow.operators.preaggregate import pick_key
from streamflow.operators.slice_partials import LARGE, PART
from streamflow.operators.unmerged import Unmerged
from streamflow.state.container import Container
from streamflow.state.open_sessions import OpenSessions
from streamflow.state.parts import Chunk, in_steps
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
        self._raw = Unmerged(len(keys))
        fields = [schema.field(key) for key in keys]
        parts = [field for spec in aggregates for field in partial_fields(spec)]
        layout = pa.schema([*fields, *INTERVAL_FIELDS, *parts])
        self._open = OpenSessions(layout, range(len(keys)), ends=[len(keys) + 1])
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
            self._raw.add(rows, ends)
            self._earliest = min(self._earliest, self._raw.end)
            if self._raw.count >= (COALESCED if self._open.spilled else max(COALESCED, self._open.count // 2)):
                return self._merge_in()
        return ()

    def on_watermark(self, watermark: Watermark) -> Iterator[Output]:
        self._progress.advance(watermark.time)
        if self._earliest <= watermark.time:
            yield from self._fire_due(watermark.time)
            self._earliest = min(self._open.earliest(), self._raw.end)
        yield watermark

    def flush(self) -> Iterable[Output]:
        return self._merge_in()

    def state(self) -> Mapping[str, Container]:
        return {"sessions": self._open, "progress": self._progress}

    # -- firing

    def _fire_due(self, time: int) -> Iterator[Output]:
        """Fire what ends by `time`. Raw rows are merged in only where there may be an end among them."""
        if self._raw.end > time and not self._open.spilled:
            due = self._open.take_ended(time)
            if not self._raw.count or due.num_rows <= PART:
                yield from self._fire(self._without_extended(due, time))
                return
            self._open.append(due)
        kept: list[pa.RecordBatch] = []
        for sessions in self._merge(time):
            if isinstance(sessions, Pause):
                yield sessions
                continue
            fired, rest, _ = split_fired(sessions, len(self._keys) + 1, time)
            kept.append(rest)
            yield from self._fire(fired)
        if kept:
            self._open.append(pa.concat_batches(kept))
        for rows in self._open.take_due(time):
            yield from self._fire(rows)

    def _without_extended(self, due: pa.RecordBatch, time: int) -> pa.RecordBatch:
        """The sessions to which no raw row belongs, where every raw row ends after `time`; the others stay open."""
        count = due.num_rows
        if not count or not self._raw.count:
            return due
        keys = self._key_columns(due)
        others, times = self._raw.like(keys, count)
        if not len(times):
            return due
        place = len(keys)
        both = [pa.concat_arrays(two) for two in zip(keys, others, strict=True)]
        starts = np.concatenate([raw_values(due.column(place)), times])
        ends = np.concatenate([raw_values(due.column(place + 1)), row_ends(times, self._gap)])
        found = merge_intervals(group(both, len(starts)), starts, ends)
        until = found.ends[found.ids[:count]]
        extended = until > time
        if not extended.any():
            return due
        stay = due.filter(pa.array(extended))
        ends = pa.array(until[extended])  # of the sessions as they will be: with their own they would be due at once
        self._open.append(stay.set_column(place + 1, due.schema.field(place + 1), ends))
        return due.filter(pa.array(~extended))

    def _fire(self, sessions: pa.RecordBatch) -> Iterator[Output]:
        place = len(self._keys)
        for start in range(0, sessions.num_rows, PART):
            if start:
                yield Pause()
            rows = sessions.slice(start, PART)
            bounds = [times_of(raw_values(rows.column(place + i))) for i in range(2)]
            columns = [*rows.columns[:place], *bounds, *rows.columns[place + 2 :]]
            yield from results(columns, self._results, self._shown)

    # -- merging

    def _key_columns(self, rows: pa.RecordBatch) -> Sequence[pa.Array]:
        return [rows.column(place) for place in range(len(self._keys))]

    def _merge_in(self) -> Iterator[Pause]:
        """Merge the raw rows into the open sessions."""
        if self._raw.count:
            merged = []
            for sessions in self._merge(MIN_TIME):
                if isinstance(sessions, Pause):
                    yield sessions
                else:
                    merged.append(sessions)
            self._open.append(pa.concat_batches(merged))

    def _merge(self, time: int) -> Iterator[pa.RecordBatch | Pause]:
        """Take from the open sessions those that raw rows may extend or that end by `time`, and merge the rows in.

        Where few are open all are taken: that is faster than to search. Those in files that end are left there. Many
        come in parts by the hash of their keys.
        """
        chunks: list[pa.RecordBatch] = []
        for rows in self._raw.take(PART):
            if chunks:
                yield Pause()
            chunks.append(self._raw_sessions(rows))
        touched = self._touched(chunks, time)
        if touched.num_rows:
            chunks.insert(0, touched)
        if len(chunks) == 1:
            yield chunks[0]
        elif sum(chunk.num_rows for chunk in chunks) <= LARGE:
            if chunks:
                yield self._merged(pa.concat_batches(chunks))
        else:
            for part in in_steps([Chunk(chunk) for chunk in chunks], range(len(self._keys)), PART):
                if part:
                    yield self._merged(pa.concat_batches(part))
                yield Pause()

    def _touched(self, fresh: Sequence[pa.RecordBatch], time: int) -> pa.RecordBatch:
        count = sum(rows.num_rows for rows in fresh)
        few = time == MAX_TIME or self._open.count <= SEARCHED * count + COALESCED
        if few and not self._open.spilled:
            return self._open.take()
        keys = self._key_columns(pa.concat_batches(fresh)) if fresh else ()
        return self._open.take_touched(keys, count, time, in_files=False)

    def _raw_sessions(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The sessions of raw rows among themselves."""
        keys = self._key_columns(rows)
        found = merge_rows(group(keys, rows.num_rows), raw_values(rows.column(-1)), self._gap)
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
