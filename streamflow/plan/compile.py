"""From expressions to code that runs: closures over kernels, every decision taken when they are made.

>>> from streamflow.plan.logical.expr import Call, Column, Literal
>>> schema = pa.schema([("price", pa.int64())])
>>> net = compile_expr(Call("mul", (Column("price"), Literal(0.5))), schema)
>>> net(pa.record_batch({"price": [10, 11]})).to_pylist()
[5.0, 5.5]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.errors import DataError, UserError
from streamflow.kernels import compute
from streamflow.plan import codes
from streamflow.plan.codes import COMPILERS, Code, array_of, convert, from_arrow, from_numbers
from streamflow.plan.logical.expr import (
    AggregateCall,
    Call,
    Case,
    Cast,
    Column,
    Expr,
    Literal,
    RowFunction,
    elaborate,
    show,
    walk,
)
from streamflow.plan.pushdown import to_arrow_filter
from streamflow.plan.row_calls import column_of_rows, compile_records

__all__ = ["Evaluate", "Predicate", "compile_expr", "compile_predicate", "compile_records", "to_arrow_filter"]

Evaluate: TypeAlias = Callable[[pa.RecordBatch], pa.Array]
Predicate: TypeAlias = Callable[[pa.RecordBatch], "npt.NDArray[np.bool_]"]


class ArithmeticOverflow(DataError, OverflowError):
    """The result of an integer operation does not fit its type."""


def compile_expr(expr: Expr, schema: pa.Schema) -> Evaluate:
    """What makes the expression's column of a batch of this schema (rule 18: canonical types).

    The column has the type that `type_of` says and as many rows as the batch; a column that is only named is passed on
    as it is. Raises SchemaError now; when it runs DataError, which is an OverflowError too where an integer overflows.
    """
    typed, _ = elaborate(expr, schema)
    return _guarded(array_of(_compile(typed, schema)), expr)


def compile_predicate(expr: Expr, schema: pa.Schema) -> Predicate:
    """Where a condition is true (null is not), as an array of numpy. Errors as `compile_expr`."""
    typed, type_ = elaborate(expr, schema)
    if type_ != pa.bool_():
        raise UserError(f"{show(expr)} is {type_}, not a condition")
    return _guarded(codes.predicate_of(_compile(typed, schema)), expr)


def _guarded(run: Callable[[pa.RecordBatch], Any], expr: Expr) -> Callable[[pa.RecordBatch], Any]:
    """Errors of kernels name the expression."""

    def evaluate(batch: pa.RecordBatch) -> Any:
        try:
            return run(batch)
        except OverflowError as error:
            if isinstance(error, DataError):
                raise
            raise ArithmeticOverflow(
                f"{show(expr)} overflows: {error}", remedy="calculate in a wider type: .cast(...) before, or in floats"
            ) from error
        except ValueError as error:
            raise DataError(f"{show(expr)}: {error}", remedy=_remedy(expr)) from error

    return evaluate


def _remedy(expr: Expr) -> str:
    if any(isinstance(term, Cast) and term.strict for term in walk(expr)):
        return "with .cast(..., strict=False) what does not fit is null"
    return "filter such rows out before"


def _compile(expr: Expr, schema: pa.Schema) -> Code:
    """A term that has been elaborated."""
    match expr:
        case Column(name):
            index = schema.get_field_index(name)
            return codes.column(index, schema.field(index).type)
        case Literal(value, type_):
            return codes.constant(pa.scalar(value, type_))
        case Call(args=args):
            _, type_ = elaborate(expr, schema)
            return _call(expr, [_compile(arg, schema) for arg in args], type_)
        case Cast(arg, type_, strict):
            return _folded([_compile(arg, schema)], lambda args: convert(args[0], type_, strict=strict))
        case Case():
            return _case(expr, schema)
        case RowFunction():
            _, type_ = elaborate(expr, schema)
            return from_arrow(type_, column_of_rows(expr, schema))
        case AggregateCall():
            raise UserError(f"{show(expr)} needs many rows", remedy="aggregate with .agg(...)")


def _call(call: Call, args: list[Code], type_: pa.DataType) -> Code:
    return _folded(args, lambda codes_: COMPILERS[call.function](call, codes_, type_))


def _folded(args: list[Code], make: Callable[[list[Code]], Code]) -> Code:
    """Code of constants alone is a constant, computed now over one row."""
    if not all(arg.constant for arg in args):
        return make(args)
    one = pa.record_batch({"": pa.nulls(1)})
    head = args[0]
    first = from_arrow(head.type, lambda batch: pa.repeat(head.arrow(batch), batch.num_rows))
    try:
        return codes.constant(array_of(make([first, *args[1:]]))(one)[0])
    except (ValueError, OverflowError) as error:
        raise UserError(f"a constant cannot be computed: {error}") from error


def _case(case: Case, schema: pa.Schema) -> Code:
    """Branches that cannot fail are computed for all rows; others only for the rows that take them."""
    _, type_ = elaborate(case, schema)
    conditions = [_compile(when, schema) for when, _ in case.branches]
    values = [*(then for _, then in case.branches), case.otherwise]
    compiled = [_compile(value, schema) for value in values]
    if any(_may_fail(part) for branch in case.branches[1:] for part in branch[:1]) or any(map(_may_fail, values)):
        return from_arrow(type_, _branch_by_branch(conditions, compiled, type_))
    if compiled[-1].numbers is not None:
        return from_numbers(type_, _choosing(conditions, compiled))
    whens = [array_of(condition) for condition in conditions]
    thens = [code.arrow for code in compiled]

    def choose(batch: pa.RecordBatch) -> pa.Array:
        names = [str(i) for i in range(len(whens))]
        chosen = pa.StructArray.from_arrays([when(batch) for when in whens], names)
        return pc.case_when(chosen, *(then(batch) for then in thens))

    return from_arrow(type_, choose)


def _choosing(conditions: list[Code], values: list[Code]) -> Callable[[pa.RecordBatch], Any]:
    runs = [(condition.numbers, value.numbers) for condition, value in zip(conditions, values[:-1], strict=True)]
    last = values[-1].numbers
    assert last is not None

    def choose(batch: pa.RecordBatch) -> Any:
        result: compute.Numbers = last(batch)
        for when, then in reversed(runs):
            assert when is not None
            assert then is not None
            result = compute.choose(when(batch), then(batch), result)
        return result

    return choose


def _branch_by_branch(
    conditions: list[Code], values: list[Code], type_: pa.DataType
) -> Callable[[pa.RecordBatch], pa.Array]:
    whens = [codes.predicate_of(condition) for condition in conditions]
    thens = [array_of(value) for value in values]

    def choose(batch: pa.RecordBatch) -> pa.Array:
        left = np.arange(batch.num_rows)
        rest = batch
        parts: list[pa.Array] = []
        places: list[npt.NDArray[np.int64]] = []
        for when, then in zip(whens, thens[:-1], strict=True):
            if not rest.num_rows:
                break
            holds = when(rest)
            parts.append(then(rest.filter(pa.array(holds))))
            places.append(left[holds])
            rest, left = rest.filter(pa.array(~holds)), left[~holds]
        if rest.num_rows:
            parts.append(thens[-1](rest))
            places.append(left)
        order = np.empty(batch.num_rows, np.int64)
        order[np.concatenate(places)] = np.arange(batch.num_rows)
        return pa.concat_arrays(parts).take(pa.array(order))

    return choose


_FAILING = frozenset({"add", "sub", "mul", "pow", "neg", "abs", "replace_strict", "list.sum"}) | {
    *("from_epoch", "str.to_datetime", "str.to_integer", "dt.truncate", "dt.offset_by", "dt.month_start"),
}


def _may_fail(expr: Expr) -> bool:
    """Can a row that does not take this branch raise in it, or run the user's code?"""
    for term in walk(expr):
        match term:
            case RowFunction() | Cast(strict=True):
                return True
            case Call(function=function, options=options) if (
                function in _FAILING or dict(options).get("tz") is not None
            ):
                return True
            case _:
                pass
    return False
