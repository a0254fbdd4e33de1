"""What windows send that fire more than once: panes that accumulate, or that each hold the rows since the last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from streamflow.errors import DataError
from streamflow.kernels.aggregate import AggregateSpec, merge, partial_fields, partial_of_rows, result_of
from streamflow.kernels.arrays import Bools, Int64s, raw_values
from streamflow.kernels.equality import equal_rows
from streamflow.kernels.grouping import Groups, group
from streamflow.kernels.windows import EndlessSlices, FinalBound, Slices
from streamflow.operators.base import Output, by_pieces
from streamflow.operators.dead_letters import Rejected
from streamflow.operators.events import (
    CHANGE,
    CHANGE_TYPE,
    DELETE,
    INSERT,
    MAX_TIME,
    TIME,
    TIME_TYPE,
    UPDATE_AFTER,
    UPDATE_BEFORE,
    Batch,
)
from streamflow.operators.firing import WINDOW_FIELDS, all_finished, times_of
from streamflow.operators.preaggregate import pick_key
from streamflow.state.columns import Slots
from streamflow.state.window_table import WindowTable

PENDING, SENT, DUE = "~pending", "~sent", "~due"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows, each in one of its windows. `keys` and `values` (by column) have an entry for each pair.

    `counts`: how many rows each stands for; then they are partials, and `values` the aggregates' parts.

    `limits`: with how many rows since it last fired the pair's window fires again, for that key. `dues`: when by
    processing time it does at the latest, if the pair is the first row since; None where panes do not go by that.
    """

    windows: Int64s
    keys: list[pa.Array]
    values: Mapping[str, pa.Array]
    limits: Int64s
    dues: Int64s | None = None
    counts: Int64s | None = None

    def count(self, groups: Groups) -> Int64s:
        """How many rows each group has."""
        if self.counts is None:
            return np.bincount(groups.ids, minlength=groups.count)
        total = np.zeros(groups.count, np.int64)
        np.add.at(total, groups.ids, self.counts)
        return total


class Panes(Protocol):
    table: WindowTable
    output_schema: pa.Schema

    def add(self, pairs: Pairs) -> Iterator[Output]:
        """Take rows in, in the order in which they came, and send what is full. At least one row."""
        ...

    def fire(self, slots: Slots) -> Iterator[Output]:
        """Send what these slots have not sent yet, in pieces."""
        ...


class _Columns:
    """The columns of results: keys, the window's bounds, aggregates, `_time`; no bounds, no time without an end."""

    def __init__(
        self, keys: pa.Schema, window: Slices, aggregates: tuple[AggregateSpec, ...], hidden: Sequence[pa.Field] = ()
    ) -> None:
        self._window = window
        self._ends = not isinstance(window, EndlessSlices)
        self._bounds = self._ends and not isinstance(window, FinalBound)  # else they are among the keys
        bounds = WINDOW_FIELDS if self._bounds else ()
        results = [pa.field(spec.name, result_of(spec)) for spec in aggregates]
        time = [pa.field(TIME, TIME_TYPE)] if self._ends else []
        self.schema = pa.schema([*keys, *bounds, *results, *time, *hidden])

    def batch(self, windows: Int64s, keys: Sequence[pa.Array], results: Sequence[pa.Array], *hidden: pa.Array) -> Batch:
        if not self._ends:
            return pa.RecordBatch.from_arrays([*keys, *results, *hidden], schema=self.schema)
        ends = self._window.ends(windows)
        bounds = [times_of(self._window.starts(ends)), times_of(ends)] if self._bounds else []
        return pa.RecordBatch.from_arrays([*keys, *bounds, *results, times_of(ends - 1), *hidden], schema=self.schema)

    def rejected(self, table: WindowTable, slots: Slots, errors: tuple[DataError, ...]) -> Rejected:
        """What is to be seen of results that cannot be made: keys and the window's bounds."""
        columns = [*table.keys(slots)]
        if self._bounds:
            ends = self._window.ends(table.windows(slots))
            columns += [times_of(self._window.starts(ends)), times_of(ends)]
        return Rejected(pa.RecordBatch.from_arrays(columns, names=self.schema.names[: len(columns)]), errors)


def _clock_fields(clocked: bool) -> list[pa.Field]:
    return [pa.field(DUE, pa.int64())] if clocked else []


def _put_dues(table: WindowTable, slots: Slots, pending: Int64s, dues: Int64s) -> None:
    """A pane keeps the time of its first row. `pending`: the rows that each had before."""
    goes_on = pending > 0
    dues[goes_on] = raw_values(table.get(DUE, slots[goes_on]))
    table.put(DUE, slots, pa.array(dues))


class AccumulatingPanes:
    """Each pane holds all rows of its window so far, and takes back the one before: a changelog by key and window.

    A window fires for a key at most once for all rows that `add` takes together; what does not change is not sent.
    """

    def __init__(
        self, keys: pa.Schema, window: Slices, aggregates: tuple[AggregateSpec, ...], *, clocked: bool = False
    ) -> None:
        self._aggregates = aggregates
        self._parts = [[field.name for field in partial_fields(spec)] for spec in aggregates]
        self._columns = _Columns(keys, window, aggregates, [pa.field(CHANGE, CHANGE_TYPE)])
        self.output_schema = self._columns.schema
        was = [pa.field(f"~was.{spec.name}", result_of(spec)) for spec in aggregates]
        self._was = pa.schema(was)
        parts = [field for spec in aggregates for field in partial_fields(spec)]
        sent = [pa.field(PENDING, pa.int64()), pa.field(SENT, pa.bool_()), *_clock_fields(clocked)]
        self.table = WindowTable(keys, pa.schema([*parts, *was, *sent]))
        self._clocked = clocked

    def add(self, pairs: Pairs) -> Iterator[Output]:
        groups = group(pairs.keys, len(pairs.windows), leading=pairs.windows)
        keys = [pick_key(key, groups.first) for key in pairs.keys]
        slots, new = self.table.lookup_or_insert(pairs.windows[groups.first], keys)
        known = np.flatnonzero(~new)
        both = Groups(np.concatenate([np.arange(groups.count), known]), groups.count, np.arange(groups.count))
        for spec, names in zip(self._aggregates, self._parts, strict=True):
            if pairs.counts is None:
                parts = partial_of_rows(spec, pairs.values.__getitem__, groups)
            else:
                parts = merge(spec, [pairs.values[name] for name in names], groups)
            if known.size:
                old = [self.table.get(name, slots[known]) for name in names]
                parts = merge(spec, [pa.concat_arrays(two) for two in zip(parts, old, strict=True)], both)
            for name, part in zip(names, parts, strict=True):
                self.table.put(name, slots, part)
        before = np.zeros(groups.count, np.int64)
        before[known] = raw_values(self.table.get(PENDING, slots[known]))
        pending = before + pairs.count(groups)
        self.table.put(PENDING, slots, pa.array(pending))
        if pairs.dues is not None:
            _put_dues(self.table, slots, before, pairs.dues[groups.first])
        fresh = slots[new]
        self.table.put(SENT, fresh, pa.array(np.zeros(len(fresh), np.bool_)))
        for field in self._was:
            self.table.put(field.name, fresh, pa.nulls(len(fresh), field.type))
        full = slots[pending >= pairs.limits[groups.first]]
        if len(full):
            yield from self.fire(full)

    def fire(self, slots: Slots) -> Iterator[Output]:
        return by_pieces(len(slots), lambda piece: self._fire(slots[piece]))

    def _fire(self, slots: Slots) -> Iterator[Output]:
        self.table.put(PENDING, slots, pa.array(np.zeros(len(slots), np.int64)))
        if self._clocked:
            self.table.put(DUE, slots, pa.array(np.full(len(slots), MAX_TIME)))
        sent = self.table.get(SENT, slots).to_numpy(zero_copy_only=False)
        before = [self.table.get(field.name, slots) for field in self._was]
        kept = [[self.table.get(name, slots) for name in names] for names in self._parts]
        after, failed = all_finished(self._aggregates, kept)
        wrong = np.zeros(len(slots), np.bool_)
        wrong[list(failed)] = True
        changed = sent == wrong
        for old, new in zip(before, after, strict=True):
            changed |= ~equal_rows(old, new) & ~wrong
        self.table.put(SENT, slots, pa.array(~wrong))
        for field, values in zip(self._was, after, strict=True):
            self.table.put(field.name, slots, values)
        if changed.any():
            yield self._changes(slots, np.flatnonzero(changed), sent, wrong, before, after)
        if failed:
            yield self._columns.rejected(self.table, slots[list(failed)], tuple(failed.values()))

    def _changes(
        self,
        slots: Slots,
        rows: Int64s,
        sent: Bools,
        wrong: Bools,
        before: Sequence[pa.Array],
        after: Sequence[pa.Array],
    ) -> Batch:
        """Of each of these rows the result before, where one was sent, and after it the one that holds now.

        Where none can be made (`wrong`) the one before is deleted.
        """
        updates = sent[rows] & ~wrong[rows]
        of_row = np.repeat(rows, updates + np.int64(1))
        last = np.cumsum(updates + np.int64(1)) - 1
        kinds = np.full(len(of_row), INSERT, np.int8)
        kinds[last[updates]] = UPDATE_AFTER
        kinds[last[updates] - 1] = UPDATE_BEFORE
        kinds[wrong[of_row]] = DELETE
        old = (kinds == UPDATE_BEFORE) | (kinds == DELETE)
        taken = pa.array(of_row + len(slots) * ~old)  # of `before` followed by `after`
        results = [pa.concat_arrays(two).take(taken) for two in zip(before, after, strict=True)]
        at = slots[of_row]
        return self._columns.batch(self.table.windows(at), self.table.keys(at), results, pa.array(kinds))


class DiscardingPanes:
    """Each pane holds the rows since the one before, exactly as many as its limit says: append-only.

    A pane that is not full is sent when `fire` says so.
    """

    def __init__(
        self, keys: pa.Schema, window: Slices, aggregates: tuple[AggregateSpec, ...], *, clocked: bool = False
    ) -> None:
        self._aggregates = aggregates
        self._parts = [[field.name for field in partial_fields(spec)] for spec in aggregates]
        self._columns = _Columns(keys, window, aggregates)
        self.output_schema = self._columns.schema
        parts = [field for spec in aggregates for field in partial_fields(spec)]
        self.table = WindowTable(keys, pa.schema([*parts, pa.field(PENDING, pa.int64()), *_clock_fields(clocked)]))
        self._clocked = clocked

    def add(self, pairs: Pairs) -> Iterator[Output]:
        groups = group(pairs.keys, len(pairs.windows), leading=pairs.windows)
        keys = [pick_key(key, groups.first) for key in pairs.keys]
        slots, new = self.table.lookup_or_insert(pairs.windows[groups.first], keys)
        held = np.zeros(groups.count, np.int64)
        held[~new] = raw_values(self.table.get(PENDING, slots[~new]))
        limits = pairs.limits[groups.first]
        panes = _cut(groups, held, limits)
        owner = groups.ids[panes.first]
        parts = self._parts_of(panes, owner, slots, held, pairs)

        total = held + np.bincount(groups.ids, minlength=groups.count)
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        order = np.arange(len(owner)) - np.repeat(starts, np.diff(starts, append=len(owner)))
        full = order < (total // limits)[owner]
        rest = np.flatnonzero(~full)
        for name, values in parts.items():
            first_of_new = slots[new & (total % limits == 0)]  # every slot is put once, also one that holds nothing
            self.table.put(name, first_of_new, pa.nulls(len(first_of_new), values.type))
            self.table.put(name, slots[owner[rest]], values.take(pa.array(rest)))
        self.table.put(PENDING, slots, pa.array(total % limits))
        if pairs.dues is not None:
            _put_dues(self.table, slots, held, pairs.dues[groups.first])
        if full.any():
            chosen = pa.array(np.flatnonzero(full))
            which = owner[full]
            yield from self._sent(slots[which], [[parts[name].take(chosen) for name in names] for names in self._parts])

    def _parts_of(self, panes: Groups, owner: Int64s, slots: Slots, held: Int64s, pairs: Pairs) -> dict[str, pa.Array]:
        """The partials of each pane: the first of a window and key holds what was held of them."""
        goes_on = np.flatnonzero((np.diff(owner, prepend=-1) != 0) & (held[owner] > 0))
        both = Groups(np.concatenate([np.arange(panes.count), goes_on]), panes.count, np.arange(panes.count))
        found: dict[str, pa.Array] = {}
        for spec, names in zip(self._aggregates, self._parts, strict=True):
            parts = partial_of_rows(spec, pairs.values.__getitem__, panes)
            if goes_on.size:
                old = [self.table.get(name, slots[owner[goes_on]]) for name in names]
                parts = merge(spec, [pa.concat_arrays(two) for two in zip(parts, old, strict=True)], both)
            found.update(zip(names, parts, strict=True))
        return found

    def fire(self, slots: Slots) -> Iterator[Output]:
        return by_pieces(len(slots), lambda piece: self._fire(slots[piece]))

    def _fire(self, slots: Slots) -> Iterator[Output]:
        self.table.put(PENDING, slots, pa.array(np.zeros(len(slots), np.int64)))
        if self._clocked:
            self.table.put(DUE, slots, pa.array(np.full(len(slots), MAX_TIME)))
        yield from self._sent(slots, [[self.table.get(name, slots) for name in names] for names in self._parts])

    def _sent(self, slots: Slots, parts: Sequence[Sequence[pa.Array]]) -> Iterator[Output]:
        """The results of panes of these slots."""
        results, failed = all_finished(self._aggregates, parts)
        made = slots
        if failed:
            good = np.delete(np.arange(len(slots)), list(failed))
            made, results = slots[good], [column.take(pa.array(good)) for column in results]
        if len(made):
            yield self._columns.batch(self.table.windows(made), self.table.keys(made), results)
        if failed:
            yield self._columns.rejected(self.table, slots[list(failed)], tuple(failed.values()))


def _cut(groups: Groups, held: Int64s, limits: Int64s) -> Groups:
    """Each group's rows in panes of `limits` rows, the first of which has `held` already; ordered by group.

    >>> _cut(Groups(np.array([0, 0, 1, 0]), 2, np.array([0, 2])), np.array([1, 0]), np.array([2, 2])).ids.tolist()
    [0, 1, 2, 1]
    """
    order = np.argsort(groups.ids, kind="stable")
    ids = groups.ids[order]
    begins = np.flatnonzero(np.diff(ids, prepend=-1))
    rank = np.arange(len(ids)) - np.repeat(begins, np.diff(begins, append=len(ids)))
    pane = (held[ids] + rank) // limits[ids]
    new = (np.diff(ids, prepend=-1) != 0) | (np.diff(pane, prepend=-1) != 0)
    numbers = np.empty(len(ids), np.int64)
    numbers[order] = np.cumsum(new) - 1
    return Groups(numbers, int(np.count_nonzero(new)), order[new])
