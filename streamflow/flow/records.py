"""From Python's annotations to Arrow types: record types, and the signatures of row functions."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import linecache
import sys
import types
import typing
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args, get_origin

import pyarrow as pa

from streamflow.errors import Location, SchemaError, UserError
from streamflow.flow.declared import Declared
from streamflow.plan.logical.contract import RESERVED, canonical_schema
from streamflow.plan.logical.expr import Parameter, RowFunction
from streamflow.plan.logical.rows import Entries, Items, Record, Scalar, Shape, arrow_type, record_schema

_SCALARS: Mapping[Any, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bytes: pa.binary(),
    date: pa.date32(),
    datetime: pa.timestamp("us", "UTC"),
    timedelta: pa.duration("us"),
}
_TYPES = (
    "int, float, str, bytes, bool, date, datetime, timedelta, list[T], dict[str, T], Literal, a record type, T | None"
)
_MANY = (list, tuple, Iterable, Iterator, Generator, Sequence)
_PACKAGE = f"{Path(__file__).parent.parent}/"


def record_fields(type_: type[Any] | pa.Schema) -> pa.Schema:
    """The columns of a record type: a dataclass, a NamedTuple, a TypedDict, or a schema as it is.

    >>> class Bid(typing.NamedTuple):
    ...     auction: int
    ...     at: datetime
    ...     channel: str | None
    >>> record_fields(Bid)
    auction: int64
    at: timestamp[us, tz=UTC]
    channel: string
    """
    if isinstance(type_, pa.Schema):
        return canonical_schema(type_)
    if not is_record(type_):
        raise UserError(
            f"{_name(type_)} is not a record type", remedy="use a dataclass, a NamedTuple, a TypedDict or a pa.Schema"
        )
    return record_schema(_record(type_, ()))


def is_record(type_: object) -> bool:
    """Is it a dataclass, a NamedTuple or a TypedDict?"""
    return isinstance(type_, type) and (
        dataclasses.is_dataclass(type_) or typing.is_typeddict(type_) or _is_tuple(type_)
    )


def _is_tuple(type_: object) -> bool:
    return isinstance(type_, type) and issubclass(type_, tuple) and hasattr(type_, "_fields")


def cast_type(type_: pa.DataType | type[Any]) -> pa.DataType:
    """The Arrow type of a Python or Arrow type, in the form that travels between steps.

    >>> cast_type(float), cast_type(pa.timestamp("ms"))
    (DataType(double), TimestampType(timestamp[us, tz=UTC]))
    """
    if isinstance(type_, pa.DataType):
        return canonical_schema(pa.schema([pa.field("value", type_)])).field(0).type
    if isinstance(type_, str):
        example = type_ if type_ in ("int", "float", "str", "bytes", "bool") else "int"
        raise UserError(
            f"{type_!r} is a text, not a type", remedy=f"write {example}, without quotes, or a pyarrow type: pa.int32()"
        )
    return arrow_type(shape_of(type_))


def shape_of(annotation: Any) -> Shape:
    """How values of an annotation lie in Arrow. Raises UserError for one that streamflow does not know.

    >>> shape_of(list[int | None])
    Items(item=Scalar(type=DataType(int64), integer=False))
    >>> shape_of(typing.Annotated[Decimal, pa.decimal128(12, 2)])
    Scalar(type=Decimal128Type(decimal128(12, 2)), integer=False)
    """
    return _shape(annotation, ())


def _shape(annotation: Any, within: tuple[type[Any], ...]) -> Shape:
    """`within`: the record types around it, which it must not hold again."""
    if annotation in _SCALARS:
        return Scalar(_SCALARS[annotation])
    if is_record(annotation):
        return _record(annotation, within)
    if get_origin(annotation) is typing.Annotated:
        return _annotated(annotation, within)
    inner = _unwrapped(annotation)
    if inner is not None:
        return _shape(inner, within)
    match get_origin(annotation), get_args(annotation):
        case origin, (item,) if origin is list:
            return Items(_shape(item, within))
        case origin, (key, value) if origin is dict and key is str:
            return Entries(_shape(value, within))
        case _:
            pass
    raise UserError(f"{_name(annotation)} is not a type of a column", remedy=_type_remedy(annotation))


def _unwrapped(annotation: Any) -> Any:
    """The one type that a NewType, an alias, an optional or a Literal stands for; None if it is none of these."""
    if hasattr(annotation, "__supertype__"):
        return annotation.__supertype__
    if hasattr(annotation, "__value__"):
        return annotation.__value__
    arguments = get_args(annotation)
    match get_origin(annotation):
        case typing.Required | typing.NotRequired:
            return arguments[0]
        case typing.Union | types.UnionType:
            kinds = [part for part in arguments if part is not types.NoneType]
        case typing.Literal:
            kinds = list({type(value) for value in arguments if value is not None})
        case _:
            return None
    return kinds[0] if len(kinds) == 1 else None


def _type_remedy(annotation: Any) -> str:
    if annotation is Decimal:
        return "say how many digits: Annotated[Decimal, pa.decimal128(12, 2)]"
    if annotation is list:
        return "say what is in it: list[int]"
    if annotation is dict or get_origin(annotation) is dict:
        return "keys are str, and say what the values are: dict[str, int]; fixed keys make a TypedDict"
    return f"known are {_TYPES}"


def _annotated(annotation: Any, within: tuple[type[Any], ...]) -> Shape:
    """`Annotated[T, pa type]`: that type; an int beside a time type means its microseconds."""
    base, *extras = get_args(annotation)
    given = next((extra for extra in extras if isinstance(extra, pa.DataType)), None)
    if given is None:
        return _shape(base, within)
    type_ = cast_type(given)
    return Scalar(type_, integer=base is int and (pa.types.is_timestamp(type_) or pa.types.is_duration(type_)))


def _record(type_: type[Any], within: tuple[type[Any], ...]) -> Record:
    if type_ in within:
        raise UserError(f"the record type {type_.__name__} holds itself", remedy="records are nested to a fixed depth")
    hints = _hints(type_)
    if dataclasses.is_dataclass(type_):
        names = [field.name for field in dataclasses.fields(type_)]
    elif typing.is_typeddict(type_):
        names = list(hints)
    else:
        names = list(type_._fields)
    fields: list[tuple[str, Shape]] = []
    for name in names:
        if name not in hints:
            raise UserError(f"the field {name!r} of {type_.__name__} has no type", remedy="use a typing.NamedTuple")
        try:
            fields.append((name, _shape(hints[name], (*within, type_))))
        except UserError as error:
            raise UserError(f"{type_.__name__}.{name}: {error.message}", remedy=error.remedy) from error
    return Record(type_, tuple(fields))


def _hints(annotated: Any) -> dict[str, Any]:
    """Its annotations, texts resolved; names that are local to the function that builds the flow are found there."""
    try:
        return typing.get_type_hints(annotated, include_extras=True)
    except NameError:
        pass
    try:
        return typing.get_type_hints(annotated, localns=_users_names(), include_extras=True)
    except NameError as error:
        raise UserError(
            f"an annotation of {_name(annotated)} names {error.name!r}, which is not defined",
            remedy="import it, or define it at the top of the script",
        ) from error


def _users_names() -> dict[str, Any]:
    """The local names of all callers outside of the package, the nearest ones first."""
    names: dict[str, Any] = {}
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            names = {**frame.f_locals, **names}
        frame = frame.f_back
    return names


def row_function(function: Callable[..., Any], *, many: bool = False) -> RowFunction:
    """A Python function as a term. Its annotations say which columns it takes and what it gives.

    `many`: it gives any number of results per row, returned as a list or yielded. Raises UserError, with the function's
    line, where an annotation is missing or names a type that columns do not have.

    >>> def net(price: int, discount: float) -> float:
    ...     return price * (1 - discount)
    >>> [parameter.name for parameter in row_function(net).parameters]
    ['price', 'discount']
    """
    declared = function if isinstance(function, Declared) else None
    function = function if declared is None else declared.function
    location = _location(function)
    try:
        return _row_function(function, many, location) if declared is None else _declared(declared, many, location)
    except UserError as error:
        error.location = error.location or location
        raise


def _row_function(function: Callable[..., Any], many: bool, location: Location | None) -> RowFunction:
    name, signature, hints = _described(function)
    taken, rest, record = _taken(function, name, signature, hints)
    returns = _returns(function, name, signature, hints, many)
    return RowFunction(function, taken, returns, rest, record, many, name, location)


def _declared(declared: Declared, many: bool, location: Location | None) -> RowFunction:
    """A function of `sf.fn`: what was said of it counts, then its annotations; columns may go without a type."""
    function, name = declared.function, _name(declared.function)
    try:
        name, signature, hints = _described(function)
    except UserError:  # a function of C may not say what it takes
        if declared.args is None or declared.returns is None or inspect.iscoroutinefunction(_inner(function)):
            raise
        signature, hints = inspect.Signature(), {}
    parameters = [p.name for p in signature.parameters.values() if p.default is p.empty]
    rest, record = False, None
    if declared.args is None and all(parameter in hints for parameter in parameters):
        taken, rest, record = _taken(function, name, signature, hints)
    else:
        args = declared.args or tuple(parameters)
        _check_takes(name, signature, args)
        shapes = [shape_of(hints[p]) if p in hints else None for p in [*signature.parameters][: len(args)]]
        taken = tuple(map(Parameter, args, [*shapes, *[None] * (len(args) - len(shapes))]))
    gives = hints if declared.returns is None else {"return": declared.returns}
    returns = _returns(function, name, signature, gives, many)
    return RowFunction(function, taken, returns, rest, record, many, name, location)


def _check_takes(name: str, signature: inspect.Signature, args: Sequence[str]) -> None:
    """Can it be called with so many columns?"""
    try:
        if signature.parameters:
            signature.bind(*args)
    except TypeError as error:
        raise UserError(
            f"{name} does not take the columns {', '.join(args)}: {error}", remedy="args= has one for each parameter"
        ) from error


def keyed_method(method: Callable[..., Any]) -> tuple[RowFunction, Record | None]:
    """A method of a keyed function as a term, and the record that it gives; None if it gives nothing.

    Raises UserError, with the method's line, as `row_function` does, and where it gives what is no record.
    """
    location = _location(method)
    try:
        name, signature, hints = _described(method)
        taken, rest, record = _taken(method, name, signature, hints)
        gives, many = _record_given(method, name, signature, hints)
    except UserError as error:
        error.location = error.location or location
        raise
    returns = gives or Record(dict, ())
    return RowFunction(method, taken, returns, rest, record, many, name, location), gives


def _record_given(
    method: Callable[..., Any], name: str, signature: inspect.Signature, hints: dict[str, Any]
) -> tuple[Record | None, bool]:
    """The record, and whether a call gives many."""
    if "return" not in hints:
        raise UserError(
            f"{name} does not say what it returns",
            remedy=_signature_remedy(method, signature).replace("-> str", "-> Alert | None"),
        )
    annotation = hints["return"]
    if annotation in (None, types.NoneType):
        return None, False
    annotation = _unwrapped(annotation) or annotation
    many = get_origin(annotation) in _MANY
    if many:
        annotation = get_args(annotation)[0]
    if not is_record(annotation):
        raise UserError(
            f"{name} gives {_name(annotation)}, which is no record",
            remedy="give a dataclass, NamedTuple or TypedDict, also | None, or list[...] or Iterator[...] of it",
        )
    shape = _record(annotation, ())
    _check_reserved(name, shape)
    return shape, many


def _described(function: Callable[..., Any]) -> tuple[str, inspect.Signature, dict[str, Any]]:
    name = _name(function)
    if inspect.iscoroutinefunction(_inner(function)):
        raise UserError(f"{name} is an async function", remedy="write it as a plain def")
    return name, *_signature(function, name)


def _taken(
    function: Callable[..., Any], name: str, signature: inspect.Signature, hints: dict[str, Any]
) -> tuple[tuple[Parameter, ...], bool, Record | None]:
    """The columns that it takes; whether it takes all others too; the record that its only argument is, if so."""
    parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD and p.default is p.empty]
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.KEYWORD_ONLY):
            raise UserError(
                f"{name}: the parameter {parameter.name!r} cannot be a column",
                remedy="columns are plain parameters, by name; **row takes all others",
            )
        if parameter.name not in hints:
            raise UserError(
                f"{name} does not say the type of its parameter {parameter.name!r}",
                remedy=_signature_remedy(function, signature),
            )
    rest = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    if len(parameters) == 1 and not rest and is_record(hints[parameters[0].name]):
        record = _record(hints[parameters[0].name], ())
        return tuple(Parameter(field, shape) for field, shape in record.fields), rest, record
    return tuple(Parameter(p.name, shape_of(hints[p.name])) for p in parameters), rest, None


def _signature(function: Callable[..., Any], name: str) -> tuple[inspect.Signature, dict[str, Any]]:
    try:
        return inspect.signature(function), _hints(function if _is_tuple(function) else _inner(function))
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{name} does not say what it takes and gives",
            remedy=f"wrap it: def {name if name.isidentifier() else 'f'}_of(price: int) -> int: ...",
        ) from error


def _inner(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that holds the annotations: beneath a partial, or the `__call__` of an object."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function):
        return function
    return getattr(function, "__init__") if isinstance(function, type) else type(function).__call__  # noqa: B009


def _returns(
    function: Callable[..., Any], name: str, signature: inspect.Signature, hints: dict[str, Any], many: bool
) -> Shape:
    annotation = hints.get("return", None if "return" in hints else inspect.Signature.empty)
    if isinstance(function, type):
        annotation = function
    if annotation in (None, types.NoneType, inspect.Signature.empty):
        raise UserError(f"{name} does not say what it returns", remedy=_signature_remedy(function, signature))
    several = get_origin(annotation) in _MANY and get_origin(annotation) is not list
    if many:
        if get_origin(annotation) not in _MANY:
            raise UserError(
                f"{name} returns one {_name(annotation)}", remedy="annotate it as list[...] or Iterator[...]"
            )
        annotation = get_args(annotation)[0]
    elif several:
        raise UserError(f"{name} gives many results for a row", remedy="use stream.flat_map(function)")
    try:
        shape = shape_of(annotation)
    except UserError as error:
        raise UserError(f"what {name} returns: {error.message}", remedy=error.remedy) from error
    if isinstance(shape, Record):
        _check_reserved(name, shape)
    return shape


def _check_reserved(name: str, record: Record) -> None:
    if taken := sorted(RESERVED & {field for field, _ in record.fields}):
        raise SchemaError(f"{name} returns a field {taken[0]!r}", remedy="names that start with _ are streamflow's own")


def _signature_remedy(function: Callable[..., Any], signature: inspect.Signature) -> str:
    """A signature to write, with the function's own names."""
    name = _name(function)
    takes = ", ".join(f"{p}: int" for p in signature.parameters) or "price: int"
    if name == "<lambda>":
        return f"a lambda has no types: write a function, as def label({takes}) -> str: ..."
    return f"annotate it, as def {name}({takes}) -> str: ..."


def _location(function: Callable[..., Any]) -> Location | None:
    code = getattr(inspect.unwrap(_inner(function)), "__code__", None)
    if code is None:
        return None
    file, line = code.co_filename, code.co_firstlineno
    return Location(file, line, linecache.getline(file, line).strip())


def _name(thing: Any) -> str:
    if isinstance(thing, functools.partial):
        return _name(thing.func)
    return getattr(thing, "__name__", None) or (repr(thing) if get_origin(thing) else type(thing).__name__)
