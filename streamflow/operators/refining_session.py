"""Aggregates of sessions that fire more than once: before their end, on time, for late rows, and when they merge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa

from streamflow.errors import DataError
from streamflow.kernels.aggregate import AggregateSpec, partial_fields, result_of
from streamflow.kernels.arrays import Bools, Int64s, raw_values
from streamflow.kernels.equality import equal_rows
from streamflow.kernels.grouping import Groups, group
from streamflow.kernels.sessions import Sessions, merge_intervals, merge_rows, row_ends
from streamflow.operators.base import PIECE, Output, Pause
from streamflow.operators.dead_letters import Rejected
from streamflow.operators.events import (
    CHANGE,
    CHANGE_TYPE,
    DELETE,
    INSERT,
    MAX_TIME,
    MIN_TIME,
    TIME,
    TIME_TYPE,
    UPDATE_AFTER,
    UPDATE_BEFORE,
    Batch,
)
from streamflow.operators.firing import WINDOW_FIELDS, all_finished, before_watermark, merged, partials, times_of
from streamflow.operators.preaggregate import pick_key
from streamflow.operators.refining import Refining
from streamflow.state.container import Container
from streamflow.state.open_sessions import OpenSessions

DUE = "~due"
_BOUNDS = (pa.field("~start", pa.int64()), pa.field("~end", pa.int64()), pa.field(DUE, pa.int64()))


class RefiningSessions(Refining):
    """Rows in; keys, `window_start`, `window_end`, aggregates and `_time` = `window_end` - 1 us out.

    A session fires with every `early` rows before its end (None: not at all), when the watermark reaches its end, and
    with every `late` rows after it; `lateness` after its end it is dropped, and what is left is sent then. Rows that
    are processed together count as one firing. A row is late, counted and left out iff its own t + gap + `lateness` is
    at or before the watermark when it arrives (rule 6).

    `accumulate`: a changelog by key, `window_start` and `window_end`. A result stands for its session, also when that
    has grown or merged with others meanwhile, until the session fires again: then what was sent of its parts is deleted
    and the session inserted. It does so at the latest when the watermark is `lateness` past the end of such a part, so
    that nothing is taken back later than that. Else each result is of the rows since the last one, with the bounds that
    the session has by then: append-only.

    State: the open sessions, with partial aggregates and the rows since they fired; what was sent of them; the
    watermark per key group.
    """

    _firing: ClassVar[Sequence[pa.Field]] = (
        pa.field("~stale", pa.int64()),
        pa.field("~pending", pa.int64()),
        pa.field("~sent", pa.bool_()),
    )
    """What is kept of a session that decides when it fires."""
    _ends: ClassVar[Sequence[str]] = (DUE,)
    """By what sessions are found that are due."""

    def __init__(
        self,
        keys: tuple[str, ...],
        gap: int,
        aggregates: tuple[AggregateSpec, ...],
        schema: pa.Schema,
        *,
        lateness: int,
        early: int | None,
        late: int,
        accumulate: bool,
    ) -> None:
        super().__init__(lateness=lateness, early=early, late=late)
        self._gap = gap
        self._accumulate = accumulate
        self._aggregates = self.of_rows = aggregates
        columns = dict.fromkeys([*keys, *(name for spec in aggregates for name in spec.columns)])
        self._needed = [schema.get_field_index(name) for name in (*columns, TIME)]
        self._place = {name: place for place, name in enumerate(columns)}
        self._key_count = len(keys)
        fields = [schema.field(key) for key in keys]
        parts = [field for spec in aggregates for field in partial_fields(spec)]
        results = [pa.field(spec.name, result_of(spec)) for spec in aggregates]
        self._open = _sessions([*fields, *_BOUNDS, *self._firing, *parts], len(keys), self._ends)
        self._sent = _sessions([*fields, *_BOUNDS, *results], len(keys), [DUE])
        hidden = [pa.field(TIME, TIME_TYPE), *([pa.field(CHANGE, CHANGE_TYPE)] if accumulate else [])]
        self.output_schema = pa.schema([*fields, *WINDOW_FIELDS, *results, *hidden])

    def on_batch(self, port: int, batch: Batch) -> Iterable[Output]:
        columns = [batch.column(place) for place in self._needed]
        ends = row_ends(raw_values(columns[-1]), self._gap)
        kept = before_watermark(self._drop_times(ends), columns[: self._key_count], self._progress)
        if kept is not None:
            columns, ends = [column.take(pa.array(kept)) for column in columns], ends[kept]
        return self._hold(columns, int(ends.min())) if len(ends) else ()

    def state(self) -> Mapping[str, Container]:
        own: dict[str, Container] = {"sessions": self._open, "progress": self._progress}
        return {**own, "sent": self._sent} if self._accumulate else own

    def _absorb(self, columns: list[pa.Array]) -> Iterator[Output]:
        fresh = self._raw_sessions(columns)
        touched = self._open.take_touched(self._keys(fresh), fresh.num_rows, MIN_TIME)
        sessions = self._merged(pa.concat_batches([touched, fresh])) if touched.num_rows else fresh
        yield Pause()
        watermarks = self._progress.of_rows(self._keys(sessions), sessions.num_rows)
        over = (self._values(sessions, "~end") <= watermarks).astype(np.int64)
        yield from self._fire_and_keep(sessions, self._values(sessions, "~pending") >= self._limits[over], watermarks)

    def _pass(self, time: int) -> Iterator[Output]:
        """Also take back what could not be taken back later."""
        for sessions in taken_due(self._open, time):
            if isinstance(sessions, Pause):
                yield sessions
                continue
            ends, stale, pending = (self._values(sessions, name) for name in ("~end", "~stale", "~pending"))
            before = self._progress.of_rows(self._keys(sessions), sessions.num_rows)
            dropped = self._drop_times(ends) <= time
            last_chance = (stale < MAX_TIME) & (stale <= time)
            ending = dropped | ((ends > before) & (ends <= time))
            firing = last_chance | (ending & ((pending > 0) | (stale < MAX_TIME)))
            yield from self._fire_and_keep(sessions, firing, np.maximum(before, time))
        for rows in taken_due(self._sent, time):  # what stands of sessions that are dropped is final
            if isinstance(rows, Pause):
                yield rows
        self._due = self._open.earliest()

    def _fire_and_keep(self, sessions: pa.RecordBatch, firing: Bools, watermarks: Int64s) -> Iterator[Output]:
        """Send what these sessions are now, and keep those that are not over for good."""
        if firing.any():
            chosen = np.flatnonzero(firing)
            chosen = chosen[np.argsort(self._values(sessions, "~end")[chosen], kind="stable")]
            fired = sessions.take(pa.array(chosen))
            results, failed = all_finished(self._aggregates, [parts for _, parts in self._parts(fired)])
            wrong = np.zeros(len(chosen), np.bool_)
            wrong[list(failed)] = True
            yield from self._send(fired, results, wrong)
            if failed:
                yield self._rejected(fired.take(pa.array(list(failed))), tuple(failed.values()))
            rest = np.flatnonzero(~firing)
            sessions = pa.concat_batches([self._after_firing(fired, wrong), sessions.take(pa.array(rest))])
            watermarks = np.concatenate([watermarks[chosen], watermarks[rest]])
        self._keep(sessions, watermarks)

    def _keep(self, sessions: pa.RecordBatch, watermarks: Int64s) -> None:
        ends = self._values(sessions, "~end")
        drops = self._drop_times(ends)
        due = np.minimum(np.where(ends > watermarks, ends, drops), self._values(sessions, "~stale"))
        sessions = with_values(sessions, DUE, due)
        kept = drops > watermarks
        if not kept.all():
            sessions, due = sessions.filter(pa.array(kept)), due[kept]
        self._open.append(sessions)
        if self._due is not None and len(due):
            self._due = min(self._due, int(due.min()))

    def _after_firing(self, fired: pa.RecordBatch, wrong: Bools) -> pa.RecordBatch:
        count = fired.num_rows
        fired = with_values(fired, "~pending", np.zeros(count, np.int64))
        if self._accumulate:
            fired = with_values(fired, "~stale", np.full(count, MAX_TIME))
            return with_values(fired, "~sent", ~wrong)
        empty = [pa.nulls(count, field.type) for field in self._part_fields()]
        columns = [*fired.columns[: fired.num_columns - len(empty)], *empty]
        return pa.RecordBatch.from_arrays(columns, schema=fired.schema)

    # -- what is sent

    def _send(self, fired: pa.RecordBatch, results: Sequence[pa.Array], wrong: Bools) -> Iterator[Batch]:
        """The results of these sessions, but for those that cannot be made (`wrong`)."""
        if self._accumulate:
            yield from self._changes(fired, results, wrong)
        elif not wrong.any():
            yield self._batch(fired, results)
        elif not wrong.all():
            right = pa.array(~wrong)
            yield self._batch(fired.filter(right), [result.filter(right) for result in results])

    def _rejected(self, sessions: pa.RecordBatch, errors: tuple[DataError, ...]) -> Rejected:
        """What is to be seen of results that cannot be made: keys and bounds."""
        bounds = [times_of(self._values(sessions, name)) for name in ("~start", "~end")]
        names = self.output_schema.names[: self._key_count + 2]
        return Rejected(pa.RecordBatch.from_arrays([*self._keys(sessions), *bounds], names=names), errors)

    def _changes(self, fired: pa.RecordBatch, after: Sequence[pa.Array], wrong: Bools) -> Iterator[Batch]:
        """What was sent of these sessions' parts goes, and what was sent of themselves is replaced."""
        before, owner = self._sent_of(fired)
        same = self._values(before, "~start") == self._values(fired, "~start")[owner]
        same &= (self._values(before, "~end") == self._values(fired, "~end")[owner]) & ~wrong[owner]
        old = np.full(fired.num_rows, -1)
        old[owner[same]] = np.flatnonzero(same)
        changed = (old < 0) & ~wrong
        known = np.flatnonzero(old >= 0)
        for place, result in enumerate(after, self._key_count + len(_BOUNDS)):
            was = before.column(place).take(pa.array(old[known]))
            changed[known] |= ~equal_rows(was, result.take(pa.array(known)))
        bounds = [pa.array(self._values(fired, name)) for name in ("~start", "~end")]
        due = pa.array(self._drop_times(self._values(fired, "~end")))
        now = pa.RecordBatch.from_arrays([*self._keys(fired), *bounds, due, *after], schema=self._sent.schema)
        self._sent.append(now.filter(pa.array(~wrong)) if wrong.any() else now)
        gone, updated = np.flatnonzero(~same), np.flatnonzero(changed & (old >= 0))
        new = before.num_rows + np.flatnonzero(changed & (old < 0))
        pairs = np.stack([old[updated], before.num_rows + updated], axis=1).ravel()
        kinds = [[DELETE] * len(gone), [UPDATE_BEFORE, UPDATE_AFTER] * len(updated), [INSERT] * len(new)]
        rows = pa.concat_batches([before, now]).take(pa.array(np.concatenate([gone, pairs, new])))
        if rows.num_rows:
            results = rows.columns[self._key_count + len(_BOUNDS) :]
            kind = pa.array(np.concatenate(kinds).astype(np.int8))
            yield self._batch(rows, results, kind)

    def _sent_of(self, fired: pa.RecordBatch) -> tuple[pa.RecordBatch, Int64s]:
        """What was sent of these sessions, taken, and of which of them each is: it lies within."""
        found = self._sent.take_touched(self._keys(fired), fired.num_rows, MIN_TIME)
        keys = [pa.concat_arrays(two) for two in zip(self._keys(fired), self._keys(found), strict=True)]
        starts, ends = (
            np.concatenate([self._values(fired, name), self._values(found, name)]) for name in ("~start", "~end")
        )
        ids = merge_intervals(group(keys, len(starts)), starts, ends).ids
        session = np.full(int(ids.max()) + 1, -1)
        session[ids[: fired.num_rows]] = np.arange(fired.num_rows)
        owner = session[ids[fired.num_rows :]]
        of_others = owner < 0
        if of_others.any():
            self._sent.append(found.filter(pa.array(of_others)))
            found, owner = found.filter(pa.array(~of_others)), owner[~of_others]
        return found, owner

    def _batch(self, rows: pa.RecordBatch, results: Sequence[pa.Array], *kinds: pa.Array) -> Batch:
        starts, ends = self._values(rows, "~start"), self._values(rows, "~end")
        columns = [*self._keys(rows), times_of(starts), times_of(ends), *results, times_of(ends - 1), *kinds]
        return pa.RecordBatch.from_arrays(columns, schema=self.output_schema)

    # -- sessions

    def _raw_sessions(self, columns: list[pa.Array]) -> pa.RecordBatch:
        """The sessions of raw rows among themselves."""
        keys, times = columns[: self._key_count], raw_values(columns[-1])
        found = merge_rows(group(keys, len(times)), times, self._gap)
        groups = Groups(found.ids, found.count, found.first)
        parts: list[pa.Array] = []
        for spec in self._aggregates:
            parts += partials(spec, lambda name: columns[self._place[name]], groups)
        return self._sessions(keys, found, self._fresh(found), parts)

    def _fresh(self, found: Sessions) -> list[Int64s | Bools]:
        """When sessions of raw rows fire."""
        stale, sent = np.full(found.count, MAX_TIME), np.zeros(found.count, np.bool_)
        return [stale, np.bincount(found.ids, minlength=found.count), sent]

    def _merged(self, sessions: pa.RecordBatch) -> pa.RecordBatch:
        starts, ends = self._values(sessions, "~start"), self._values(sessions, "~end")
        found = merge_intervals(group(self._keys(sessions), sessions.num_rows), starts, ends)
        if found.count == sessions.num_rows:
            return sessions
        firing, parts = self._joined(sessions, found), self._merged_parts(sessions, found)
        return self._sessions(self._keys(sessions), found, firing, parts)

    def _joined(self, sessions: pa.RecordBatch, found: Sessions) -> list[Int64s | Bools]:
        """When sessions fire of which others become parts."""
        starts, ends = self._values(sessions, "~start"), self._values(sessions, "~end")
        grown = (starts != found.starts[found.ids]) | (ends != found.ends[found.ids])
        was_sent = sessions.column("~sent").to_numpy(zero_copy_only=False)
        pending, sent = np.zeros(found.count, np.int64), np.zeros(found.count, np.bool_)
        np.add.at(pending, found.ids, self._values(sessions, "~pending"))
        last_chance = np.where(was_sent & grown, self._drop_times(ends), MAX_TIME)
        stale = least(found, np.minimum(self._values(sessions, "~stale"), last_chance))
        sent[found.ids[was_sent & ~grown]] = True
        return [stale, pending, sent]

    def _merged_parts(self, sessions: pa.RecordBatch, found: Sessions) -> list[pa.Array]:
        """A session whose rows have all been sent and discarded has no partials."""
        groups, place = Groups(found.ids, found.count, found.first), None
        if not self._accumulate:
            holding = np.flatnonzero(self._values(sessions, "~pending") > 0)
            numbers, first, ids = np.unique(found.ids[holding], return_index=True, return_inverse=True)
            sessions = sessions.take(pa.array(holding))
            groups = Groups(ids, len(numbers), first)
            of_session = np.searchsorted(numbers, np.arange(found.count))
            missing = np.isin(np.arange(found.count), numbers, invert=True)
            place = pa.array(of_session, mask=missing)
        parts = [part for spec, own in self._parts(sessions) for part in merged(spec, own, groups)]
        return parts if place is None else [part.take(place) for part in parts]

    def _sessions(
        self, keys: Sequence[pa.Array], found: Sessions, firing: Sequence[Int64s | Bools], parts: Sequence[pa.Array]
    ) -> pa.RecordBatch:
        picked = [pick_key(key, found.first) for key in keys]
        own = [pa.array(values) for values in (found.starts, found.ends, found.ends, *firing)]
        return pa.RecordBatch.from_arrays([*picked, *own, *parts], schema=self._open.schema)

    def _keys(self, rows: pa.RecordBatch) -> list[pa.Array]:
        return [rows.column(place) for place in range(self._key_count)]

    def _values(self, rows: pa.RecordBatch, name: str) -> Int64s:
        return raw_values(rows.column(name))

    def _part_fields(self) -> list[pa.Field]:
        return [field for spec in self._aggregates for field in partial_fields(spec)]

    def _parts(self, sessions: pa.RecordBatch) -> Iterator[tuple[AggregateSpec, Sequence[pa.Array]]]:
        start = self._key_count + len(_BOUNDS) + len(self._firing)
        for spec in self._aggregates:
            stop = start + len(partial_fields(spec))
            yield spec, sessions.columns[start:stop]
            start = stop

    def _drop_times(self, ends: Int64s) -> Int64s:
        """When what ends there is dropped, at most the end of time."""
        times: Int64s = np.minimum(ends, MAX_TIME - self.lateness) + self.lateness
        return times


def taken_due(sessions: OpenSessions, time: int, by: int = 0) -> Iterator[pa.RecordBatch | Pause]:
    """Take those that are due by `time`, also from files, in pieces."""
    for rows in sessions.take_due(time, by, in_memory=True):
        for start in range(0, rows.num_rows, PIECE):
            yield rows.slice(start, PIECE)
            yield Pause()


def least(found: Sessions, values: Int64s) -> Int64s:
    """Of each session the least of what its intervals have."""
    into = np.full(found.count, MAX_TIME)
    np.minimum.at(into, found.ids, values)
    return into


def with_values(rows: pa.RecordBatch, name: str, values: Int64s | Bools) -> pa.RecordBatch:
    """Rows with other values in one column."""
    place = rows.schema.get_field_index(name)
    return rows.set_column(place, rows.schema.field(place), pa.array(values))


def _sessions(fields: Sequence[pa.Field], keys: int, ends: Sequence[str]) -> OpenSessions:
    schema = pa.schema(fields)
    return OpenSessions(schema, range(keys), [schema.get_field_index(name) for name in ends])
