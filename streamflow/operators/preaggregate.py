"""Rows and partials on their way into slices: coalesced, grouped by slice and key, aggregated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.kernels.aggregate import AggregateSpec, merge, partial_fields, partial_of_rows
from streamflow.kernels.arrays import Int64s, least_and_greatest, raw_values
from streamflow.kernels.grouping import Groups, group, runs
from streamflow.kernels.tally import CountTable, Tally, key_range, tally
from streamflow.kernels.windows import FinalBound, Slices, slice_places
from streamflow.operators.events import TIME

SLICE = "~slice"
ROWS = "~rows"
COALESCED = 1 << 16
"""Rows that are worth a call of the aggregation kernels: small batches wait for one another until there are so many."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of partials: the keys, then every aggregate's parts.

    `counted`: rows are counted by one integer key and nothing else is asked, so that they need not be grouped first.
    """

    keys: tuple[str, ...]
    aggregates: tuple[AggregateSpec, ...]
    schema: pa.Schema
    counted: bool

    @classmethod
    def of(cls, keys: tuple[str, ...], aggregates: tuple[AggregateSpec, ...], rows: pa.Schema) -> Layout:
        """The layout for input of schema `rows`."""
        fields = [pa.field(key, rows.field(key).type) for key in keys]
        counted = len(keys) == 1 and pa.types.is_signed_integer(fields[0].type) and len(aggregates) > 0
        counted = counted and all(spec.kind == "count" and not spec.columns for spec in aggregates)
        for spec in aggregates:
            fields += partial_fields(spec)
        return cls(keys, aggregates, pa.schema(fields), counted)

    def merge(self, columns: Sequence[pa.Array], slices: Int64s | int) -> Reduced:
        """One entry per slice and key, of columns in this layout that are of these slices, or all of one."""
        tallied = self.tally(columns, slices)
        if tallied is not None:
            return self.of_tally(tallied)
        keys = columns[: len(self.keys)]
        groups = group(keys, len(columns[0]), leading=None if isinstance(slices, int) else slices)
        merged = [pick_key(key, groups.first) for key in keys]
        for spec, parts in self.parts(columns):
            merged += merge(spec, parts, groups)
        return Reduced.of(slices, merged, groups)

    def near_keys(self, columns: Sequence[pa.Array], numbers: int) -> range | None:
        """The range of the keys of rows that are only counted, by so many numbers, if they lie near each other."""
        if not self.counted or columns[0].null_count or not len(columns[0]):
            return None
        return key_range(raw_values(columns[0]), numbers)

    def tally(self, columns: Sequence[pa.Array], slices: Int64s | int) -> Tally | None:
        """Columns in this layout, of these slices, as a tally, where rows are only counted and keys are near."""
        if not self.counted or not len(columns[0]):
            return None
        low, high = (slices, slices) if isinstance(slices, int) else (int(slices.min()), int(slices.max()))
        among = self.near_keys(columns, high - low + 1)
        if among is None:
            return None
        places = None if isinstance(slices, int) else slices - low
        return tally(range(low, high + 1), places, among, raw_values(columns[0]), raw_values(columns[1]))

    def of_tally(self, found: Tally) -> Reduced:
        slices, keys, counts = found.entries()
        return Reduced(slices, self._counts(keys, counts), counts)

    def of_table(self, table: CountTable) -> pa.RecordBatch:
        """A table of one slice as a chunk."""
        return pa.RecordBatch.from_arrays(self._counts(*table.entries()), schema=self.schema)

    def _counts(self, keys: Int64s, counts: Int64s) -> list[pa.Array]:
        type_ = self.schema.field(0).type
        return [pa.array(keys, type_), *[pa.array(counts)] * len(self.aggregates)]

    def parts(self, columns: Sequence[pa.Array]) -> Iterator[tuple[AggregateSpec, Sequence[pa.Array]]]:
        """Every aggregate with its columns."""
        start = len(self.keys)
        for spec in self.aggregates:
            stop = start + len(partial_fields(spec))
            yield spec, columns[start:stop]
            start = stop


def pick_key(column: pa.Array, rows: Int64s) -> pa.Array:
    """One row's value for each group; of -0.0 and 0.0 always 0.0, so that the result does not depend on the row."""
    if pa.types.is_integer(column.type) and column.null_count == 0:
        return pa.array(raw_values(column)[rows])
    picked = column.take(pa.array(rows))
    if pa.types.is_floating(column.type):
        return pc.add(picked, pa.scalar(0.0, column.type))
    return picked


@dataclass(frozen=True, slots=True)
class Reduced:
    """Partials: the `slices` of the entries, ascending; `columns` in the layout; `origin`: the rows before.

    `origin` is how they were grouped, or how many of them each entry stands for.
    """

    slices: Int64s
    columns: list[pa.Array]
    origin: Groups | Int64s

    @classmethod
    def of(cls, slices: Int64s | int, columns: list[pa.Array], groups: Groups) -> Reduced:
        """`slices`: those of the rows that were grouped, or the one of all."""
        of_groups = np.full(groups.count, slices) if isinstance(slices, int) else slices[groups.first]
        return cls(of_groups, columns, groups)

    def by_slice(self, schema: pa.Schema) -> Iterator[tuple[int, pa.RecordBatch]]:
        """One chunk per slice."""
        chunk = pa.RecordBatch.from_arrays(self.columns, schema=schema)
        for start, stop in runs(self.slices):
            yield int(self.slices[start]), chunk.slice(start, stop - start)

    def row_counts(self) -> Int64s:
        """How many rows each entry stands for."""
        if isinstance(self.origin, Groups):
            return np.bincount(self.origin.ids, minlength=self.origin.count)
        return self.origin


class Input(Protocol):
    """What a windowed aggregate is fed. `columns` are those it needs of a batch, the keys first."""

    def columns(self, batch: pa.RecordBatch) -> list[pa.Array]: ...

    def lowest_slice(self, columns: Sequence[pa.Array]) -> int: ...

    def slices(self, columns: Sequence[pa.Array]) -> Int64s: ...

    def weights(self, columns: Sequence[pa.Array]) -> Int64s | int:
        """How many of the user's rows each row stands for."""
        ...

    def reduce(self, columns: Sequence[pa.Array]) -> Reduced | Tally:
        """The partials of these rows: a tally where they are only counted and their keys lie near each other."""
        ...


class RowInput:
    """Rows of a stream: keys, the aggregates' columns, then the column that places a row in time."""

    def __init__(self, layout: Layout, window: Slices, schema: pa.Schema) -> None:
        position = window.column if isinstance(window, FinalBound) else TIME
        values = sorted({name for spec in layout.aggregates for name in spec.columns})
        self._indices = [schema.get_field_index(name) for name in (*layout.keys, *values, position)]
        self._value = {name: len(layout.keys) + index for index, name in enumerate(values)}
        self._layout = layout
        self._window = window
        self._gaps = window.gaps

    def columns(self, batch: pa.RecordBatch) -> list[pa.Array]:
        return [batch.column(index) for index in self._indices]

    def lowest_slice(self, columns: Sequence[pa.Array]) -> int:
        return self._window.slice_of(least_and_greatest(columns[-1])[0])

    def slices(self, columns: Sequence[pa.Array]) -> Int64s:
        return self._window.slice_ids(raw_values(columns[-1]))

    def weights(self, columns: Sequence[pa.Array]) -> int:
        return 1

    def reduce(self, columns: Sequence[pa.Array]) -> Reduced | Tally:
        lowest, highest = map(self._window.slice_of, least_and_greatest(columns[-1]))
        among = None if self._gaps else self._layout.near_keys(columns, highest - lowest + 1)
        if among is not None:
            places = slice_places(self._window, raw_values(columns[-1]), lowest, highest)
            return tally(range(lowest, highest + 1), places, among, raw_values(columns[0]))
        slices = lowest if lowest == highest and not self._gaps else self.slices(columns)
        if self._gaps and not isinstance(slices, int):
            inside = self._window.last_windows(slices) >= self._window.first_windows(slices)
            slices, columns = slices[inside], [column.filter(pa.array(inside)) for column in columns]
        keys = columns[: len(self._layout.keys)]
        groups = group(keys, len(columns[0]), leading=None if isinstance(slices, int) else slices)
        reduced = [pick_key(key, groups.first) for key in keys]
        for spec in self._layout.aggregates:
            reduced += partial_of_rows(spec, lambda name: columns[self._value[name]], groups)
        return Reduced.of(slices, reduced, groups)


class PartialInput:
    """Partials from before an exchange: the layout's columns, then the slice, then how many rows they stand for."""

    def __init__(self, layout: Layout, schema: pa.Schema) -> None:
        self._indices = [schema.get_field_index(name) for name in (*layout.schema.names, SLICE, ROWS)]
        self._layout = layout

    def columns(self, batch: pa.RecordBatch) -> list[pa.Array]:
        return [batch.column(index) for index in self._indices]

    def lowest_slice(self, columns: Sequence[pa.Array]) -> int:
        return int(raw_values(columns[-2]).min())

    def slices(self, columns: Sequence[pa.Array]) -> Int64s:
        return raw_values(columns[-2])

    def weights(self, columns: Sequence[pa.Array]) -> Int64s:
        return raw_values(columns[-1])

    def reduce(self, columns: Sequence[pa.Array]) -> Reduced | Tally:
        slices = self.slices(columns)
        return self._layout.tally(columns, slices) or self._layout.merge(columns[: len(self._layout.schema)], slices)


class Coalescer:
    """Small batches' columns, kept until they are worth a call of the kernels."""

    def __init__(self) -> None:
        self.rows = 0
        self._held: list[list[pa.Array]] = []

    def add(self, columns: list[pa.Array]) -> None:
        self._held.append(columns)
        self.rows += len(columns[0])

    def drain(self) -> list[pa.Array]:
        """All that was added, as one. Not to be called when there is nothing."""
        held, self._held, self.rows = self._held, [], 0
        return held[0] if len(held) == 1 else [pa.concat_arrays(column) for column in zip(*held, strict=True)]
