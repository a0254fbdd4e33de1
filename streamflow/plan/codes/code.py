"""A compiled term, and the blocks that functions are compiled of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from streamflow.kernels import compute
from streamflow.kernels.compute import Binary, Unary, physical_type
from streamflow.plan.logical.terms import Call

Run: TypeAlias = Callable[[pa.RecordBatch], Any]


@dataclass(frozen=True, slots=True)
class Code:
    """A column of a batch. `numbers` gives a pair of `kernels.compute`, `arrow` an array (a scalar, if `constant`)."""

    type: pa.DataType
    numbers: Run | None
    arrow: Run
    constant: bool = False


def from_numbers(type_: pa.DataType, numbers: Run) -> Code:
    """A code that computes numbers."""
    return Code(type_, numbers, lambda batch: compute.store(numbers(batch), type_, batch.num_rows))


def from_arrow(type_: pa.DataType, arrow: Run) -> Code:
    """A code that computes an Arrow array."""
    dtype = physical_type(type_)
    return Code(type_, None if dtype is None else lambda batch: compute.load(arrow(batch), dtype), arrow)


def column(index: int, type_: pa.DataType) -> Code:
    """A column of the batch itself."""
    return from_arrow(type_, lambda batch: batch.column(index))


def constant(value: pa.Scalar) -> Code:
    """The same value for every row."""
    type_ = value.type
    dtype = physical_type(type_)
    if dtype is None:
        return Code(type_, None, lambda batch: value, constant=True)
    values, nulls = compute.load(pa.array([value.as_py()], type_), dtype)
    pair = (values[0], None if nulls is None else np.True_)
    return Code(type_, lambda batch: pair, lambda batch: value, constant=True)


def array_of(code: Code) -> Run:
    """How to get an array of as many rows as the batch has, constants repeated."""
    if not code.constant:
        return code.arrow
    return lambda batch: pa.repeat(code.arrow(batch), batch.num_rows)


def numbers_of(code: Code) -> Run:
    assert code.numbers is not None, f"{code.type} has no numbers"
    return code.numbers


# Building blocks


def unary(kernel: Unary, type_: pa.DataType, arg: Code) -> Code:
    run = numbers_of(arg)
    return from_numbers(type_, lambda batch: kernel(run(batch)))


def binary(kernel: Binary, type_: pa.DataType, left: Code, right: Code) -> Code:
    run_left, run_right = numbers_of(left), numbers_of(right)
    return from_numbers(type_, lambda batch: kernel(run_left(batch), run_right(batch)))


def of_arrays(function: Callable[..., Any], type_: pa.DataType, args: Sequence[Code]) -> Code:
    """A function of Arrow arrays; the first argument is always an array."""
    first, *rest = (array_of(args[0]), *(arg.arrow for arg in args[1:]))
    if not rest:
        return from_arrow(type_, lambda batch: function(first(batch)))
    return from_arrow(type_, lambda batch: function(first(batch), *(run(batch) for run in rest)))


Compile: TypeAlias = Callable[[Call, Sequence[Code], pa.DataType], Code]
"""From the call, its compiled arguments (brought to the types that the function takes) and its type."""


def of_column(make: Callable[[Call], Callable[[Any], Any]]) -> Compile:
    """How to compile a function of one column in Arrow's form, and of the call's options."""
    return lambda call, args, type_: of_arrays(make(call), type_, args)
