"""Rows <-> columns: the border that row functions cross.

A `Shape` says how one value lies in Python and in Arrow. Going out, a column becomes a list by the fastest way its type
has (numpy's `tolist`: 50 M ints/s, where `to_pylist` gives times at 0.6 M/s); going in, a list becomes a column of
exactly the declared type, and a value that is not of that type is a `ValueError`, never a silent conversion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from operator import attrgetter, itemgetter
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.types as pt


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


# Out: from columns to Python

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_python(array: pa.Array, shape: Shape | None = None) -> list[Any]:
    """A column as a list of Python values, None for null. Without a shape: as its type gives them.

    >>> to_python(pa.array([1_500_000], pa.timestamp("us", "UTC")))[0].isoformat()
    '1970-01-01T00:00:01.500000+00:00'
    >>> to_python(pa.array([1_500_000], pa.timestamp("us", "UTC")), Scalar(pa.int64()))
    [1500000]
    """
    match shape:
        case Record():
            return _structs_to_python(array, shape)
        case Items(item=item):
            return _lists_to_python(array, item)
        case Entries(value=value):
            return _maps_to_python(array, value)
        case Scalar(type=wanted, integer=integer):
            return _scalars_to_python(array, wanted, integer or pt.is_integer(wanted))
        case None:
            return _naturally_to_python(array)


def _naturally_to_python(array: pa.Array) -> list[Any]:
    type_ = array.type
    if pt.is_list(type_):
        return _lists_to_python(array, None)
    if pt.is_map(type_):
        return _maps_to_python(array, None)
    if pt.is_struct(type_):
        names = [field.name for field in type_]
        columns = [to_python(column) for column in array.flatten()]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        return _with_nulls(array, rows or [{}] * len(array))
    return _scalars_to_python(array, type_, integer=False)


def _scalars_to_python(array: pa.Array, wanted: pa.DataType, integer: bool) -> list[Any]:
    type_ = array.type
    if pt.is_timestamp(type_) or pt.is_duration(type_) or pt.is_date(type_):
        if integer:
            return _plain_to_python(array.view(pa.int64()))
        return _times_to_python(array)
    if pt.is_floating(wanted) and pt.is_integer(type_):
        array = array.cast(wanted, safe=False)
    return _plain_to_python(array)


def _plain_to_python(array: pa.Array) -> list[Any]:
    if array.null_count == 0 and (pt.is_integer(array.type) or pt.is_floating(array.type)):
        numbers: list[Any] = array.to_numpy().tolist()
        return numbers
    values: list[Any] = array.to_pylist()
    return values


def _times_to_python(array: pa.Array) -> list[Any]:
    """Aware datetimes as the epoch plus a timedelta: 13 M/s, where Arrow's own conversion gives 0.3."""
    type_ = array.type
    if not pt.is_timestamp(type_):
        times: list[Any] = array.to_numpy(zero_copy_only=False).tolist()
        return times
    since = array.view(pa.duration("us")).to_numpy(zero_copy_only=False).tolist()
    try:
        if array.null_count == 0:
            return list(map(_EPOCH.__add__, since))
        return [None if delta is None else _EPOCH + delta for delta in since]
    except (OverflowError, TypeError) as error:
        raise ValueError("a time lies outside of the years 1 to 9999, which datetime knows") from error


def _lists_to_python(array: pa.Array, item: Shape | None) -> list[Any]:
    lengths = array.value_lengths().fill_null(0).to_numpy()
    values = to_python(array.flatten(), item)
    ends = np.concatenate(([0], np.cumsum(lengths))).tolist()
    return _with_nulls(array, [values[start:end] for start, end in pairwise(ends)])


def _maps_to_python(array: pa.Array, value: Shape | None) -> list[Any]:
    type_ = array.type
    pairs = array.cast(pa.list_(pa.struct([type_.key_field, type_.item_field])))
    entries = pairs.flatten()
    items = list(zip(to_python(entries.field(0)), to_python(entries.field(1), value), strict=True))
    lengths = pairs.value_lengths().fill_null(0).to_numpy()
    ends = np.concatenate(([0], np.cumsum(lengths))).tolist()
    return _with_nulls(array, [dict(items[start:end]) for start, end in pairwise(ends)])


def _structs_to_python(array: pa.Array, record: Record) -> list[Any]:
    columns = dict(zip((field.name for field in array.type), array.flatten(), strict=True))
    return _with_nulls(array, make_records([columns[name] for name, _ in record.fields], record, len(array)))


def _with_nulls(array: pa.Array, values: list[Any]) -> list[Any]:
    if array.null_count == 0:
        return values
    return [value if valid else None for value, valid in zip(values, array.is_valid().to_pylist(), strict=True)]


def make_records(columns: Sequence[pa.Array], record: Record, rows: int) -> list[Any]:
    """Rows as records, from a column per field in the fields' order."""
    names = [name for name, _ in record.fields]
    if not names:
        return [record.make() for _ in range(rows)]
    values = [to_python(column, shape) for column, (_, shape) in zip(columns, record.fields, strict=True)]
    make = record.make
    if issubclass(make, tuple):
        return list(map(make, *values))
    if make is dict or not hasattr(make, "__dataclass_fields__"):
        return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    return [make(**dict(zip(names, row, strict=True))) for row in zip(*values, strict=True)]


# In: from Python to columns

_PYTHON: tuple[tuple[Callable[[pa.DataType], bool], tuple[type, ...], tuple[type, ...]], ...] = (
    (pt.is_boolean, (bool, np.bool_), ()),
    (pt.is_integer, (int, np.integer), (bool,)),
    (pt.is_floating, (float, int, np.floating, np.integer), (bool,)),
    (pt.is_string, (str,), ()),
    (pt.is_binary, (bytes,), ()),
    (pt.is_date, (date,), (datetime,)),
    (pt.is_timestamp, (datetime,), ()),
    (pt.is_duration, (timedelta,), ()),
    (pt.is_decimal, (Decimal, int), (bool,)),
)
"""For a kind of Arrow type: the Python types whose values go in, and which of their subclasses do not."""


def from_python(values: Sequence[Any], shape: Shape) -> pa.Array:
    """A list of Python values as a column, null for None.

    Raises ValueError with the first value that is not of the shape, and its row; OverflowError for an int that is too
    large.

    >>> from_python([1, None], Scalar(pa.int64())).to_pylist()
    [1, None]
    >>> from_python([1, "2"], Scalar(pa.int64()))
    Traceback (most recent call last):
    ...
    ValueError: row 1: '2' is a str, not a int64
    """
    match shape:
        case Scalar(type=type_, integer=integer):
            return _scalars_from_python(values, type_, integer)
        case Items(item=item):
            return _lists_from_python(values, item)
        case Entries(value=value):
            return _maps_from_python(values, value)
        case Record():
            return _structs_from_python(values, shape)


def _scalars_from_python(values: Sequence[Any], type_: pa.DataType, integer: bool) -> pa.Array:
    kinds = set(map(type, values))
    accepted, refused = ((int,), (bool,)) if integer else _accepted(type_)
    for kind in kinds:
        if kind is not type(None) and (not issubclass(kind, accepted) or issubclass(kind, refused)):
            row = next(i for i, value in enumerate(values) if type(value) is kind)
            raise ValueError(f"row {row}: {values[row]!r} is a {kind.__name__}, not a {type_}")
    try:
        if kinds == {int} and type_ == pa.int64():
            return pa.array(np.fromiter(values, np.int64, len(values)))
        if kinds <= {float, int} and type_ == pa.float64():
            return pa.array(np.fromiter(values, np.float64, len(values)))
        return pa.array(values, type_)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError) as error:
        raise _first_misfit(values, type_, error) from error


def _accepted(type_: pa.DataType) -> tuple[tuple[type, ...], tuple[type, ...]]:
    for is_kind, accepted, refused in _PYTHON:
        if is_kind(type_):
            return accepted, refused
    return (object,), ()


def _first_misfit(values: Sequence[Any], type_: pa.DataType, error: Exception) -> Exception:
    for row, value in enumerate(values):
        try:
            pa.array([value], type_)
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
            return ValueError(f"row {row}: {value!r} is not a {type_}")
        except OverflowError:
            return OverflowError(f"row {row}: {value!r} does not fit {type_}")
    return ValueError(str(error))


def _containers(values: Sequence[Any], kinds: tuple[type, ...], what: str) -> tuple[np.ndarray[Any, Any], Any]:
    """Where each value's items end, and which values are None. ValueError for one that is no such container."""
    nulls = np.fromiter((value is None for value in values), np.bool_, len(values))
    for row, value in enumerate(values):
        if value is not None and not isinstance(value, kinds):
            raise ValueError(f"row {row}: {value!r} is a {type(value).__name__}, not a {what}")
    lengths = np.fromiter((0 if value is None else len(value) for value in values), np.int64, len(values))
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return offsets, pa.array(nulls) if nulls.any() else None


def _lists_from_python(values: Sequence[Any], item: Shape) -> pa.Array:
    offsets, mask = _containers(values, (list, tuple), "list")
    items = from_python([part for value in values if value is not None for part in value], item)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), items, mask=mask)


def _maps_from_python(values: Sequence[Any], value: Shape) -> pa.Array:
    offsets, mask = _containers(values, (dict,), "dict")
    keys = from_python([key for entry in values if entry is not None for key in entry], Scalar(pa.string()))
    items = from_python([part for entry in values if entry is not None for part in entry.values()], value)
    return pa.MapArray.from_arrays(pa.array(offsets, pa.int32()), keys, items, mask=mask)


def _structs_from_python(values: Sequence[Any], record: Record) -> pa.Array:
    nulls = [value is None for value in values]
    mask = pa.array(nulls) if any(nulls) else None
    type_ = arrow_type(record)
    children = columns_of_records(values, record)
    return pa.StructArray.from_arrays(children, fields=list(type_), mask=mask)


def columns_of_records(rows: Sequence[Any], record: Record) -> list[pa.Array]:
    """A column per field of the records; a record that is None gives nulls. Raises as `from_python`, with the field."""
    columns = []
    for name, shape in record.fields:
        try:
            columns.append(from_python(_field(rows, name), shape))
        except ValueError as error:
            raise ValueError(f"field {name!r}: {error}") from error
    return columns


def _field(rows: Sequence[Any], name: str) -> list[Any]:
    """One field of every record: by key where it is a mapping, else by attribute."""
    first = next((row for row in rows if row is not None), None)
    get: Callable[[Any], Any] = itemgetter(name) if isinstance(first, dict) else attrgetter(name)
    try:
        return list(map(get, rows))
    except (AttributeError, KeyError, TypeError):
        return [None if row is None else _one_field(row, name, position) for position, row in enumerate(rows)]


def _one_field(row: Any, name: str, position: int) -> Any:
    try:
        return row[name] if isinstance(row, dict) else getattr(row, name)
    except (AttributeError, KeyError) as error:
        raise ValueError(f"row {position}: {row!r} has none") from error


def flatten(results: Iterable[Iterable[Any]]) -> tuple[list[Any], np.ndarray[Any, np.dtype[np.int64]]]:
    """What many calls gave as one list, and how many came from each."""
    flat: list[Any] = []
    counts: list[int] = []
    for result in results:
        before = len(flat)
        flat.extend(result)
        counts.append(len(flat) - before)
    return flat, np.array(counts, np.int64)
