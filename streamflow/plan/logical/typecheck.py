"""Types of expressions, found and checked while the flow is built.

`elaborate` gives an expression its types: every constant gets one, and every conversion that is implied becomes a
`Cast`, so that what runs later never decides anything about types.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from datetime import date, datetime

import pyarrow as pa
import pyarrow.types as pt

from streamflow.errors import SchemaError
from streamflow.kernels.aggregate import AggregateSpec, result_of
from streamflow.plan.logical import functions
from streamflow.plan.logical.functions import BOOL, INT64, Operand, common, natural_type
from streamflow.plan.logical.rows import Entries, Items, Record, Scalar, Shape, arrow_type
from streamflow.plan.logical.show import show
from streamflow.plan.logical.terms import (
    AggregateCall,
    Call,
    Case,
    Cast,
    Column,
    Expr,
    Literal,
    Parameter,
    RowFunction,
    children,
    with_children,
)


def type_of(expr: Expr, schema: pa.Schema) -> pa.DataType:
    """The type of the column that the expression makes of rows of `schema` (with `_time` in it, where rows have one).

    Raises SchemaError: a column is missing, or types do not fit.

    >>> type_of(Call("mul", (Column("price"), Literal(0.9))), pa.schema([("price", pa.int64())]))
    DataType(double)
    """
    return elaborate(expr, schema)[1]


def elaborate(expr: Expr, schema: pa.Schema) -> tuple[Expr, pa.DataType]:
    """The same expression with all types in it, and the type of its value.

    >>> typed, _ = elaborate(Call("add", (Column("a"), Literal(1))), pa.schema([("a", pa.int32())]))
    >>> typed.args[1]
    Literal(value=1, type=DataType(int32))
    """
    match expr:
        case Column(name):
            return expr, column_type(name, schema)
        case Literal():
            type_ = expr.type or natural_type(expr.value)
            return _constant(expr, type_), type_
        case Call():
            return _elaborate_call(expr, schema)
        case Cast(arg, type_, strict):
            typed, have = elaborate(arg, schema)
            _check_cast(expr, have)
            return Cast(typed, type_, strict), type_
        case Case():
            return _elaborate_case(expr, schema)
        case RowFunction():
            check_parameters(expr, schema)
            return expr, arrow_type(expr.returns)
        case AggregateCall():
            return _elaborate_aggregate(expr, schema)


def column_type(name: str, schema: pa.Schema) -> pa.DataType:
    """The type of a column. Raises SchemaError with names that look alike."""
    index = schema.get_field_index(name)
    if index < 0:
        raise SchemaError(
            f"there is no column {name!r}{_alike(name, schema.names)}", remedy=_columns_remedy(name, schema)
        )
    return schema.field(index).type


def _alike(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=3)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def _columns_remedy(name: str, schema: pa.Schema) -> str:
    if name == "_time":
        return "the stream has no event time: give it one with read(event_time=) or .with_event_time(...)"
    return f"the columns are {', '.join(schema.names)}" if schema.names else "the stream has no columns"


def _elaborate_call(call: Call, schema: pa.Schema) -> tuple[Expr, pa.DataType]:
    parts = [elaborate(arg, schema) for arg in call.args]
    operands = [_operand(arg, type_) for arg, (_, type_) in zip(call.args, parts, strict=True)]
    bound = functions.SIGNATURES[call.function](call, operands)
    if bound is None:
        raise _clash(call, operands)
    wanted, result = bound
    args = tuple(
        _bring(arg, typed, have, want) for arg, (typed, have), want in zip(call.args, parts, wanted, strict=True)
    )
    return Call(call.function, args, call.options), result


def _operand(arg: Expr, type_: pa.DataType) -> Operand:
    if isinstance(arg, Literal) and arg.type is None:
        return Operand(type_, loose=True, value=arg.value)
    return Operand(type_)


def _bring(arg: Expr, typed: Expr, have: pa.DataType, want: pa.DataType) -> Expr:
    """The operand as a value of the type that the function wants."""
    if isinstance(arg, Literal) and arg.type is None:
        return _constant(arg, want)
    return typed if have == want else Cast(typed, want)


def _constant(literal: Literal, type_: pa.DataType) -> Literal:
    """The constant as one of this type; text becomes a date or a time where it stands beside one."""
    value = literal.value
    try:
        if isinstance(value, str) and pt.is_timestamp(type_):
            value = datetime.fromisoformat(value)
        elif isinstance(value, str) and pt.is_date(type_):
            value = date.fromisoformat(value)
        elif isinstance(value, int) and pt.is_floating(type_):
            value = float(value)
        pa.scalar(value, type_)
    except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError, OverflowError) as error:
        raise SchemaError(
            f"{literal.value!r} is not a {type_}",
            remedy="times are written as ISO 8601: '2024-05-01T12:00:00'" if pt.is_temporal(type_) else None,
        ) from error
    return Literal(value, type_)


def _clash(call: Call, operands: list[Operand]) -> SchemaError:
    types = [str(operand.type) for operand in operands]
    listed = " and ".join(types) if len(types) < 3 else f"{', '.join(types[:-1])} and {types[-1]}"
    remedy = "convert one side with .cast(...)" if len(types) > 1 else "convert it with .cast(...)"
    if call.function in ("and", "or", "not"):
        remedy = "& | ~ take conditions; compare first, in parentheses: (col('a') > 1) & (col('b') > 2)"
    elif call.function.startswith("dt.") and operands[0].type in (INT64, pa.int32()):
        remedy = "make a time of the integer first: from_epoch(column, 'ms')"
    return SchemaError(f"{show(call)} cannot take {listed}", remedy=remedy)


def _elaborate_case(case: Case, schema: pa.Schema) -> tuple[Expr, pa.DataType]:
    conditions: list[Expr] = []
    for when, _ in case.branches:
        condition, type_ = elaborate(when, schema)
        if type_ != BOOL:
            raise SchemaError(f"when({show(when)}) is {type_}, not a condition", remedy="compare it with something")
        conditions.append(condition)
    values = [*(then for _, then in case.branches), case.otherwise]
    parts = [_elaborate_branch(value, schema) for value in values]
    operands = [_operand(value, type_) for value, (_, type_) in zip(values, parts, strict=True)]
    result = common(operands)
    if result is None:
        types = ", ".join(str(operand.type) for operand in operands)
        raise SchemaError(f"the branches of {show(case)} have types that do not meet: {types}", remedy="use .cast(...)")
    brought = [_bring(value, typed, have, result) for value, (typed, have) in zip(values, parts, strict=True)]
    return Case(tuple(zip(conditions, brought[:-1], strict=True)), brought[-1]), result


def _elaborate_branch(value: Expr, schema: pa.Schema) -> tuple[Expr, pa.DataType]:
    """A branch's value. A text that names no column was most likely meant as itself."""
    try:
        return elaborate(value, schema)
    except SchemaError as error:
        if isinstance(value, Column):
            error.remedy = f"for the text itself write lit({value.name!r}); {error.remedy}"
        raise


def _check_cast(cast: Cast, have: pa.DataType) -> None:
    if have == cast.type:
        return
    try:
        pa.array([], have).cast(cast.type)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        raise SchemaError(f"{show(cast)}: a {have} cannot be made a {cast.type}") from error


def _elaborate_aggregate(aggregate: AggregateCall, schema: pa.Schema) -> tuple[Expr, pa.DataType]:
    parts = [elaborate(part, schema) for part in children(aggregate)]
    if any(_has_aggregate(part) for part, _ in parts):
        raise SchemaError(
            f"{show(aggregate)} is an aggregate of an aggregate",
            remedy="aggregate twice: .agg(...) over a window, then key_by('window_end').agg(...) on its result",
        )
    types = [type_ for _, type_ in parts]
    if aggregate.filter is not None and types.pop() != BOOL:
        raise SchemaError(
            f"{show(aggregate)}: the filter {show(aggregate.filter)} is no condition",
            remedy="compare it with something, as in filter=col('x') > 0",
        )
    argument = types.pop(0) if aggregate.argument is not None else None
    more = tuple(("", type_) for type_ in types)
    spec = AggregateSpec(aggregate.kind, None, argument, "", more, None, aggregate.options, aggregate.custom)
    try:
        return with_children(aggregate, tuple(part for part, _ in parts)), result_of(spec)
    except ValueError as error:
        raise SchemaError(f"{show(aggregate)}: {error}") from error


def _has_aggregate(expr: Expr) -> bool:
    return isinstance(expr, AggregateCall) or any(map(_has_aggregate, children(expr)))


# Parameters of row functions


def check_parameters(function: RowFunction, schema: pa.Schema) -> None:
    """Every parameter is a column of a type that its annotation takes. Raises SchemaError with the function's line."""
    for parameter in function.parameters:
        try:
            have = column_type(parameter.name, schema)
        except SchemaError as error:
            raise SchemaError(
                f"the function {function.name} asks for {parameter.name!r}: {error.message}",
                location=function.location,
                remedy=error.remedy,
            ) from error
        if parameter.shape is not None and not _takes(parameter.shape, have):
            raise SchemaError(
                f"the function {function.name} takes {parameter.name!r} as {_python_name(parameter)}, "
                f"and the column is {have}",
                location=function.location,
                remedy="change the annotation, or cast the column before",
            )


def _takes(shape: Shape, have: pa.DataType) -> bool:
    """Does a Python value of this shape come out of a column of this type?"""
    match shape:
        case _ if pt.is_null(have):
            return True
        case Record(fields=fields):
            return pt.is_struct(have) and all(
                have.get_field_index(name) >= 0 and _takes(part, have.field(name).type) for name, part in fields
            )
        case Items(item=item):
            return pt.is_list(have) and _takes(item, have.value_type)
        case Entries(value=value):
            return pt.is_map(have) and _takes(value, have.item_type)
        case Scalar(type=want):
            return _takes_scalar(want, have)


def _takes_scalar(want: pa.DataType, have: pa.DataType) -> bool:
    if pt.is_integer(want):
        return bool(pt.is_integer(have) or pt.is_timestamp(have) or pt.is_duration(have))
    if pt.is_floating(want):
        return bool(pt.is_floating(have) or pt.is_integer(have))
    if pt.is_decimal(want):
        return bool(pt.is_decimal(have))
    return bool(want == have)


def _python_name(parameter: Parameter) -> str:
    match parameter.shape:
        case Scalar(type=type_):
            return str(type_)
        case Record(make=make):
            return make.__name__
        case Items():
            return "list"
        case _:
            return "dict"
