"""Keyed functions over the columns of an input: what their methods are called with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.types as pt

from streamflow.kernels.rows import Scalar, make_records, to_python
from streamflow.operators.events import TIME
from streamflow.operators.process import Arguments, BoundFunction, RowHandler, TimerHandler
from streamflow.plan.logical.expr import Parameter, RowFunction
from streamflow.plan.logical.keyed import KeyedCalls
from streamflow.plan.logical.schema import timer_schema
from streamflow.plan.logical.typecheck import check_parameters

_HIDDEN = "_"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Take: TypeAlias = "Callable[[tuple[Any, ...], int], Any]"
"""One argument of a timer's method, of the key and the timer's time."""


def bind(calls: KeyedCalls, keys: tuple[str, ...], schema: pa.Schema) -> BoundFunction:
    """The function over rows of this schema. Raises SchemaError where a parameter has no column of its type."""
    return BoundFunction(
        prototype=calls.prototype,
        cells=calls.cells,
        on_row=_row_handler(calls.on_row, schema),
        timers=tuple(_timer_handler(timer, function, keys, schema) for timer, function in calls.timers),
        record=calls.record,
        clock_timers=tuple(_timer_handler(timer, function, keys, schema) for timer, function in calls.clock_timers),
        timed=bool(calls.timers or calls.clock_timers) or calls.expires,
    )


def _row_handler(function: RowFunction, schema: pa.Schema) -> RowHandler:
    check_parameters(function, schema)
    named = [parameter.name for parameter in function.parameters]
    rest = [name for name in schema.names if function.rest and name not in named and not name.startswith(_HIDDEN)]
    return RowHandler(
        name=function.name,
        call=_with_keywords(function.function) if function.rest else function.function,
        many=function.many,
        columns=(*named, *rest),
        arguments=_arguments(function, rest),
        where=_where(function),
    )


def _arguments(function: RowFunction, rest: list[str]) -> Arguments:
    def arguments(batch: pa.RecordBatch) -> list[Iterable[Any]]:
        if function.record is not None:
            columns = [batch.column(parameter.name) for parameter in function.parameters]
            return [make_records(columns, function.record, batch.num_rows)]
        values: list[Iterable[Any]] = [to_python(batch.column(p.name), p.shape) for p in function.parameters]
        if function.rest:
            others = [to_python(batch.column(name)) for name in rest]
            rows = zip(*others, strict=True) if others else repeat((), batch.num_rows)
            values.append([dict(zip(rest, row, strict=True)) for row in rows])
        return values

    return arguments


def _with_keywords(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda owner, *arguments: function(owner, *arguments[:-1], **arguments[-1])


def _timer_handler(timer: str, function: RowFunction, keys: tuple[str, ...], schema: pa.Schema) -> TimerHandler:
    names = timer_schema(keys, schema)
    check_parameters(function, names)
    takes = [_take(parameter, keys, names) for parameter in function.parameters]
    return TimerHandler(
        timer=timer,
        name=function.name,
        call=function.function,
        many=function.many,
        arguments=lambda key, time: [take(key, time) for take in takes],
        where=_where(function),
    )


def _take(parameter: Parameter, keys: tuple[str, ...], schema: pa.Schema) -> Take:
    if parameter.name == TIME:
        as_integer = isinstance(parameter.shape, Scalar) and pt.is_integer(parameter.shape.type)
        return (lambda _, time: time) if as_integer else lambda _, time: _EPOCH + timedelta(microseconds=time)
    place = keys.index(parameter.name)
    have, shape = schema.field(parameter.name).type, parameter.shape
    if shape == Scalar(have):
        return lambda key, _: key[place]
    return lambda key, _: to_python(pa.array([key[place]], have), shape)[0]


def _where(function: RowFunction) -> str | None:
    return None if function.location is None else f"the function stands at {function.location}"
