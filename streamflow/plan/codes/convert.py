"""Casts, and conditions as numpy sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from streamflow.kernels import compute, text
from streamflow.kernels.compute import Unary, physical_type
from streamflow.plan.codes.code import Code, numbers_of, of_arrays, unary


def convert(arg: Code, type_: pa.DataType, *, strict: bool) -> Code:
    """A cast. Implied ones are strict, and lose nothing but a float's last digits."""
    if arg.type == type_:
        return arg
    kernel = _number_conversion(arg.type, type_, strict)
    if kernel is not None:
        return unary(kernel, type_, arg)
    if not strict:
        return of_arrays(lambda a: text.cast_or_null(a, type_), type_, (arg,))
    return of_arrays(lambda a: text.cast_or_raise(a, type_), type_, (arg,))


def _number_conversion(have: pa.DataType, want: pa.DataType, strict: bool) -> Unary | None:
    """The kernel between two types of fixed width; None where Arrow's own cast is right."""
    source, target = physical_type(have), physical_type(want)
    if source is None or target is None or pt.is_time(have) or pt.is_time(want):
        return None
    if pt.is_date(have) and pt.is_timestamp(want):
        return compute.days_to_microseconds(strict=strict)
    if pt.is_timestamp(have) and pt.is_date(want):
        return compute.microseconds_to_days
    if pt.is_boolean(want):
        return compute.to_bool
    if pt.is_floating(want):
        return compute.to_float(target)
    return compute.to_integer(target, strict=strict)


def predicate_of(code: Code) -> Callable[[pa.RecordBatch], Any]:
    """Where the condition is true, as a boolean array of numpy; null is not true."""
    run = numbers_of(code)

    def evaluate(batch: pa.RecordBatch) -> Any:
        values, nulls = run(batch)
        holds = values if nulls is None else values & ~nulls
        return holds if holds.ndim else np.full(batch.num_rows, holds)

    return evaluate
