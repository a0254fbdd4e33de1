"""Operators that keep no state: each batch becomes rows at once, and watermarks pass unchanged.

Batches that would be empty are not sent. `_time` and `_change` stay with the rows that they belong to, shared, never
copied unless rows are left out or multiplied.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.connect.canonical import canonical_batch
from streamflow.errors import DataError
from streamflow.operators.base import Output
from streamflow.operators.batch_forms import TO_FORM, to_batch
from streamflow.operators.events import CHANGE, ORDER, TIME, Watermark
from streamflow.state.container import Container

Predicate: TypeAlias = Callable[[pa.RecordBatch], "npt.NDArray[np.bool_]"]
Evaluate: TypeAlias = Callable[[pa.RecordBatch], pa.Array]
Records: TypeAlias = "tuple[list[pa.Array], npt.NDArray[np.int64] | None]"
"""Columns of new rows, and how many of them each row of the batch became (None: one each)."""

_TAKE_BELOW = 0.4
"""Measured at 8 k rows of four columns, ints or text: taking by index wins below this part of rows kept."""

_log = logging.getLogger("streamflow.peek")


class Stateless:
    """What these operators share: they hold nothing, and watermarks pass."""

    __slots__ = ("late",)

    def __init__(self) -> None:
        self.late = 0

    def on_watermark(self, watermark: Watermark) -> Iterable[Output]:
        return (watermark,)

    def flush(self) -> Iterable[Output]:
        return ()

    def state(self) -> Mapping[str, Container]:
        return {}


class Where(Stateless):
    """Keeps the rows for which the predicate is true."""

    __slots__ = ("_predicate",)

    def __init__(self, predicate: Predicate) -> None:
        super().__init__()
        self._predicate = predicate

    def on_batch(self, port: int, batch: pa.RecordBatch) -> Iterable[Output]:
        keep = self._predicate(batch)
        kept, rows = int(np.count_nonzero(keep)), batch.num_rows
        if kept == rows:
            return (batch,)
        if kept == 0:
            return ()
        if kept < rows * _TAKE_BELOW:
            return (batch.take(pa.array(np.flatnonzero(keep))),)
        return (batch.filter(pa.array(keep)),)


class Compute(Stateless):
    """Rows of `schema`: for each visible column a function of the batch, or the place of a column to share.

    Columns of `schema` beyond these (`_time`, `_change`) are the batch's own.
    """

    __slots__ = ("_columns", "_picked", "_schema")

    def __init__(self, columns: Sequence[tuple[str, Evaluate | int]], schema: pa.Schema) -> None:
        super().__init__()
        hidden = schema.names[len(columns) :]
        self._columns: list[Evaluate | int | str] = [*(column for _, column in columns), *hidden]
        picked = [column for column in self._columns if isinstance(column, int | str)]
        self._picked = picked if len(picked) == len(self._columns) else None
        self._schema = schema

    def on_batch(self, port: int, batch: pa.RecordBatch) -> Iterable[Output]:
        if self._picked is not None:
            picked = batch.select(self._picked)  # a tenth of the cost, but it keeps the names
            if picked.schema.equals(self._schema):
                return (picked,)
        columns = [batch.column(c) if isinstance(c, int | str) else c(batch) for c in self._columns]
        return (pa.RecordBatch.from_arrays(columns, schema=self._schema),)


class MapRecords(Stateless):
    """One row becomes one; the hidden columns stay."""

    __slots__ = ("_records", "_schema")

    def __init__(self, records: Callable[[pa.RecordBatch], Records], schema: pa.Schema) -> None:
        super().__init__()
        self._records = records
        self._schema = schema

    def on_batch(self, port: int, batch: pa.RecordBatch) -> Iterable[Output]:
        columns, _ = self._records(batch)
        hidden = [batch.column(name) for name in self._schema.names[len(columns) :]]
        return (pa.RecordBatch.from_arrays([*columns, *hidden], schema=self._schema),)


class FlatMapRecords(Stateless):
    """One row becomes any number, each with the hidden columns of the row it came from."""

    __slots__ = ("_records", "_schema")

    def __init__(self, records: Callable[[pa.RecordBatch], Records], schema: pa.Schema) -> None:
        super().__init__()
        self._records = records
        self._schema = schema

    def on_batch(self, port: int, batch: pa.RecordBatch) -> Iterable[Output]:
        columns, counts = self._records(batch)
        hidden = self._schema.names[len(columns) :]
        if counts is None:
            return (pa.RecordBatch.from_arrays([*columns, *map(batch.column, hidden)], schema=self._schema),)
        if not counts.any():
            return ()
        origin = pa.array(np.repeat(np.arange(batch.num_rows), counts))
        kept = [batch.column(name).take(origin) for name in hidden]
        return (pa.RecordBatch.from_arrays([*columns, *kept], schema=self._schema),)


class ExplodeList(Stateless):
    """A row per element of a list; a row whose list is empty or null gives none."""

    __slots__ = ("_column", "_schema")

    def __init__(self, column: str, schema: pa.Schema) -> None:
        super().__init__()
        self._column = column
        self._schema = schema

    def on_batch(self, port: int, batch: pa.RecordBatch) -> Iterable[Output]:
        lists = batch.column(self._column)
        elements = pc.list_flatten(lists)
        if not len(elements):
            return ()
        origin = pc.list_parent_indices(lists)
        columns = [elements if name == self._column else batch.column(name).take(origin) for name in self._schema.names]
        return (pa.RecordBatch.from_arrays(columns, schema=self._schema),)


class ApplyBatches(Stateless):
    """A user's function of whole batches, which it sees in one of the `batch_forms`, with `_time`, of at most
    `max_rows` rows.

    What it gives must have the columns of `schema`. Without `_time` it keeps the batch's, if it has as many rows.
    Raises DataError where the columns are others, a time is missing, or the function raised.
    """

    __slots__ = ("_function", "_max_rows", "_name", "_schema", "_to_form")

    def __init__(
        self, function: Callable[[Any], Any], schema: pa.Schema, max_rows: int | None = None, form: str = "arrow"
    ) -> None:
        super().__init__()
        self._function = function
        self._to_form = TO_FORM[form]
        self._schema = schema
        self._max_rows = max_rows
        self._name = getattr(function, "__name__", type(function).__name__)

    def on_batch(self, port: int, batch: pa.RecordBatch) -> Iterable[Output]:
        step = self._max_rows or batch.num_rows
        for start in range(0, batch.num_rows, step):
            made = self._apply(batch if step >= batch.num_rows else batch.slice(start, step))
            if made.num_rows:
                yield made

    def _apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        try:
            made = self._function(self._to_form(batch))
        except Exception as error:
            raise DataError(
                f"the function {self._name} raised {type(error).__name__}: {error}",
                remedy="let it handle such rows, or filter them out before",
            ) from error
        try:
            made = to_batch(made, self._schema)
        except TypeError as error:
            raise DataError(
                f"the function {self._name} returned a {type(made).__name__}",
                remedy="return a pa.RecordBatch, a data frame of polars or pandas, or a dict of numpy's arrays",
            ) from error
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(f"the function {self._name} returned what is no batch: {error}") from error
        return self._checked(self._with_hidden(made, batch))

    def _with_hidden(self, made: pa.RecordBatch, batch: pa.RecordBatch) -> pa.RecordBatch:
        for name in (ORDER, TIME, CHANGE):
            if name not in self._schema.names or name in made.schema.names:
                continue
            if made.num_rows != batch.num_rows:
                raise DataError(
                    f"the function {self._name} made {made.num_rows} rows of {batch.num_rows} without {name}",
                    remedy=f"return the column {name} too: rows keep it by themselves only where there are as many",
                )
            made = made.append_column(name, batch.column(name))
        return made

    def _checked(self, made: pa.RecordBatch) -> pa.RecordBatch:
        extra = [name for name in made.schema.names if name not in self._schema.names and name not in (ORDER, TIME)]
        if extra:
            raise DataError(
                f"the function {self._name} returned columns that its schema does not have: {', '.join(extra)}",
                remedy="name them in map_batches(function, schema=...)",
            )
        try:
            canonical = canonical_batch(made, self._schema)
        except ValueError as error:
            raise DataError(
                f"the function {self._name} returned other columns than its schema says: {error}",
                remedy="say the result's columns in map_batches(function, schema=...)",
            ) from error
        if TIME in self._schema.names and canonical.column(TIME).null_count:
            raise DataError(f"the function {self._name} returned rows without a time: {TIME} is null")
        return canonical


class PeekRows(Stateless):
    """Writes the first rows to the log `streamflow.peek`, and passes all on."""

    __slots__ = ("_left", "_step")

    def __init__(self, step: str, rows: int) -> None:
        super().__init__()
        self._step = step
        self._left = rows

    def on_batch(self, port: int, batch: pa.RecordBatch) -> Iterable[Output]:
        if self._left:
            shown = batch.slice(0, self._left)
            self._left -= shown.num_rows
            for row in range(shown.num_rows):
                names = (name for name in shown.schema.names if name != ORDER)
                _log.info("%s: %s", self._step, {name: _shown(shown.column(name)[row]) for name in names})
        return (batch,)


def _shown(value: pa.Scalar) -> object:
    try:
        return value.as_py()
    except (OverflowError, ValueError):  # a time that no datetime can hold
        return str(value.cast(pa.int64()))
