"""Rows <-> columns: the border that row functions cross.

A `Shape` says how one value lies in Python and in Arrow. Going out, a column becomes a list by the fastest way its type
has (numpy's `tolist`: 50 M ints/s, where `to_pylist` gives times at 0.6 M/s); going in, a list becomes a column of
exactly the declared type, and a value that is not of that type is a `ValueError`, never a silent conversion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value of an Arrow type. `integer`: a timestamp or duration as int microseconds instead of an object."""

    type: pa.DataType
    integer: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A Python list."""

    item: Shape


@dataclass(frozen=True, slots=True)
class Entries:
    """A dict with str keys."""

    value: Shape


@dataclass(frozen=True, slots=True)
class Record:
    """A record type: `make(**fields)` builds one; a mapping is read by key, anything else by attribute."""

    make: type[Any]
    fields: tuple[tuple[str, Shape], ...]


Shape: TypeAlias = "Scalar | Items | Entries | Record"


def arrow_type(shape: Shape) -> pa.DataType:
    """The Arrow type in which values of this shape are kept.

    >>> arrow_type(Items(Scalar(pa.int64())))
    ListType(list<item: int64>)
    """
    match shape:
        case Scalar():
            return shape.type
        case Items():
            return pa.list_(arrow_type(shape.item))
        case Entries():
            return pa.map_(pa.string(), arrow_type(shape.value))
        case Record():
            return pa.struct([pa.field(name, arrow_type(part)) for name, part in shape.fields])
