"""An Arrow schema from what users have: a `pa.Schema`, a dataclass, a TypedDict or a NamedTuple."""

from __future__ import annotations

import dataclasses
import types
import typing
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa

from streamflow.connect.canonical import UTC_MICROSECONDS
from streamflow.errors import SchemaError

_SCALARS: dict[Any, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bytes: pa.binary(),
    date: pa.date32(),
    datetime: UTC_MICROSECONDS,
    timedelta: pa.duration("us"),
}


def schema_of(described: pa.Schema | type) -> pa.Schema:
    """The schema that a record type describes; a `pa.Schema` is given back as it is.

    Fields are int (int64), float (float64), str, bytes, bool, date, datetime (microseconds, UTC), timedelta,
    `list[T]`, records, and `T | None`; `Annotated[T, pa.DataType]` takes that Arrow type.

    >>> @dataclasses.dataclass
    ... class Bid:
    ...     auction: int
    ...     note: str | None
    >>> schema_of(Bid)
    auction: int64
    note: string
    """
    if isinstance(described, pa.Schema):
        return described
    return pa.schema(list(_fields(described).items()))


def is_record(described: object) -> bool:
    """True for a dataclass, TypedDict or NamedTuple class."""
    return isinstance(described, type) and (
        dataclasses.is_dataclass(described)
        or typing.is_typeddict(described)
        or (issubclass(described, tuple) and hasattr(described, "_fields"))
    )


def _fields(record: Any) -> dict[str, pa.DataType]:
    if not is_record(record):
        raise SchemaError(
            f"{record!r} describes no columns",
            remedy="use a pa.Schema, a dataclass, a TypedDict or a NamedTuple",
        )
    try:
        hints = typing.get_type_hints(record, include_extras=True)
    except NameError as error:
        raise SchemaError(
            f"a field type of {record.__qualname__} is unknown: {error}",
            remedy="define or import the types of its fields at the top of the module",
        ) from error
    return {name: _arrow_type(hint, f"{record.__qualname__}.{name}") for name, hint in hints.items()}


def _arrow_type(hint: Any, where: str) -> pa.DataType:
    if hint in _SCALARS:
        return _SCALARS[hint]
    if is_record(hint):
        return pa.struct(list(_fields(hint).items()))
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        for extra in arguments[1:]:
            if isinstance(extra, pa.DataType):
                return extra
        return _arrow_type(arguments[0], where)
    if origin in (typing.Required, typing.NotRequired):
        return _arrow_type(arguments[0], where)
    if origin is list:
        return pa.list_(_arrow_type(arguments[0], where))
    if origin in (typing.Union, types.UnionType):
        some = [argument for argument in arguments if argument is not types.NoneType]
        if len(some) == 1:
            return _arrow_type(some[0], where)
    raise SchemaError(
        f"{where}: {hint!r} has no Arrow type",
        remedy="use int, float, str, bytes, bool, date, datetime, timedelta, list[T], a record, or T | None",
    )
