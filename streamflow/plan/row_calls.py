"""Row functions: a batch's columns become arguments, what the function gives becomes columns again.

Cost: two ints to a float at 8 k rows run at 5-6 M rows/s, of which the function itself takes more than half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamflow.errors import DataError
from streamflow.kernels.rows import Record, Shape, columns_of_records, flatten, from_python, make_records, to_python
from streamflow.plan.logical.expr import RowFunction
from streamflow.plan.logical.typecheck import check_parameters

Records: TypeAlias = "tuple[list[pa.Array], npt.NDArray[np.int64] | None]"
"""A column per field, and how many rows each row of the batch became (None: one each)."""

_HIDDEN = "_"
_SHORT = 80


def column_of_rows(function: RowFunction, schema: pa.Schema) -> Callable[[pa.RecordBatch], pa.Array]:
    """The column that a row function makes of a batch. When it runs: DataError as `_Calls` says."""
    calls = _Calls(function, schema)
    return lambda batch: calls.column(calls(batch), function.returns, batch)


def compile_records(function: RowFunction, schema: pa.Schema) -> Callable[[pa.RecordBatch], Records]:
    """The rows that a function of `map` or `flat_map` makes of a batch, as columns in the order of its record."""
    calls = _Calls(function, schema)
    record = function.returns
    if not isinstance(record, Record):
        raise TypeError(f"{function.name} gives no records")

    def run(batch: pa.RecordBatch) -> Records:
        results = calls(batch)
        counts = None
        if function.many:
            results, counts = calls.flat(results, batch)
        return calls.records(results, record, batch), counts

    return run


class _Calls:
    """All calls of one function over a batch.

    A function that raises, or gives what it did not declare, is a DataError with its name, the row and its values.
    """

    def __init__(self, function: RowFunction, schema: pa.Schema) -> None:
        check_parameters(function, schema)
        self._function = function
        self._parameters = [(schema.get_field_index(p.name), p.shape) for p in function.parameters]
        named = {parameter.name for parameter in function.parameters}
        self._rest = [
            (name, index)
            for index, name in enumerate(schema.names)
            if function.rest and name not in named and not name.startswith(_HIDDEN)
        ]

    def __call__(self, batch: pa.RecordBatch) -> list[Any]:
        results: list[Any] = []
        try:
            arguments = self._arguments(batch)
        except ValueError as error:
            raise DataError(f"the arguments of {self._function.name}: {error}") from error
        try:
            # Filled as the function is called, so that after an error its length is the row.
            results.extend(arguments)
        except Exception as error:
            raise DataError(
                f"the function {self._function.name} raised {type(error).__name__}: {error}; "
                f"{self._row(batch, len(results))}",
                remedy=self._where(),
            ) from error
        return results

    def _arguments(self, batch: pa.RecordBatch) -> Iterator[Any]:
        """The calls to come, one per row."""
        function, rows = self._function.function, batch.num_rows
        if self._function.record is not None:
            columns = [batch.column(index) for index, _ in self._parameters]
            return map(function, make_records(columns, self._function.record, rows))
        values = [to_python(batch.column(index), shape) for index, shape in self._parameters]
        if self._function.rest:
            names = [name for name, _ in self._rest]
            others = [to_python(batch.column(index)) for _, index in self._rest]
            kept = zip(*others, strict=True) if others else repeat((), rows)
            return map(lambda row, *args: function(*args, **dict(zip(names, row, strict=True))), kept, *values)
        if not values:
            return (function() for _ in range(rows))
        return map(function, *values)

    def flat(self, results: Sequence[Any], batch: pa.RecordBatch) -> tuple[list[Any], npt.NDArray[np.int64]]:
        """All records, and how many each row gave. A generator runs here, and raises here."""
        done: list[list[Any]] = []
        try:
            done.extend(map(list, results))
        except Exception as error:
            raise DataError(
                f"the function {self._function.name} raised {type(error).__name__}: {error}; "
                f"{self._row(batch, len(done))}",
                remedy=self._where(),
            ) from error
        return flatten(done)

    def column(self, results: Sequence[Any], shape: Shape, batch: pa.RecordBatch) -> pa.Array:
        try:
            return from_python(results, shape)
        except (ValueError, OverflowError) as error:
            raise self._undeclared(error) from error

    def records(self, results: Sequence[Any], record: Record, batch: pa.RecordBatch) -> list[pa.Array]:
        """A column per field. A None is no row."""
        if type(None) in set(map(type, results)):
            row = next(row for row, result in enumerate(results) if result is None)
            raise self._undeclared(ValueError(f"row {row}: None is no record"))
        try:
            return columns_of_records(results, record)
        except (ValueError, OverflowError) as error:
            raise self._undeclared(error) from error

    def _undeclared(self, error: Exception) -> DataError:
        return DataError(
            f"the function {self._function.name} returned what it does not declare: {error}", remedy=self._where()
        )

    def _row(self, batch: pa.RecordBatch, row: int) -> str:
        """The row that it failed on, shortened."""
        named = [(p.name, index) for p, (index, _) in zip(self._function.parameters, self._parameters, strict=True)]
        values = ", ".join(f"{name}={_shortened(batch.column(i)[row].as_py())}" for name, i in [*named, *self._rest])
        return f"row {row} of its batch: {values}"

    def _where(self) -> str | None:
        location = self._function.location
        return None if location is None else f"the function stands at {location}"


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 3]}..."
