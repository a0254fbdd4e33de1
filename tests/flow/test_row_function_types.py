"""Every type of row functions in every place that takes one: what goes in comes out, null and extremes included."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow.errors import DataError
from streamflow.flow.records import cast_type, shape_of
from streamflow.kernels.rows import from_python


class Point(NamedTuple):
    x: int
    label: str | None


class Tagged(typing.TypedDict):
    tags: list[str]


@dataclasses.dataclass(frozen=True)
class Shape:
    at: Point | None
    tagged: Tagged | None


MONEY = Annotated[Decimal, pa.decimal128(12, 2)]
MICROSECONDS = Annotated[int, pa.timestamp("us", "UTC")]
NAIVE = datetime(2024, 5, 1, 12)  # noqa: DTZ001 (naive is UTC)
VALUES: dict[str, tuple[Any, list[Any]]] = {
    "int": (int, [0, -1, 2**63 - 1, -(2**63)]),
    "float": (float, [0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, 1.7976931348623157e308]),
    "str": (str, ["", "a", "ä€𝄞", "\x00", "x" * 10_000]),
    "bytes": (bytes, [b"", b"\x00\xff"]),
    "bool": (bool, [True, False]),
    "date": (date, [date(1, 1, 1), date(1970, 1, 1), date(9999, 12, 31)]),
    "datetime": (datetime, [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]),
    "microseconds": (MICROSECONDS, [0, -1, 2**63 - 1, -(2**63) + 1]),
    "timedelta": (timedelta, [timedelta(0), timedelta(microseconds=-1), timedelta(days=100_000, microseconds=1)]),
    "list": (list[int | None], [[], [1, None, -(2**63)]]),
    "nested list": (list[list[str]], [[], [[], ["a", ""]]]),
    "dict": (dict[str, float], [{}, {"": 1.5, "ä": -0.0}]),
    "literal": (Literal["a", "b"], ["a", "b"]),
    "decimal": (MONEY, [Decimal("0.00"), Decimal("9999999999.99"), Decimal("-9999999999.99")]),
    "named tuple": (Point, [Point(1, "a"), Point(-(2**63), None)]),
    "typed dict": (Tagged, [{"tags": []}, {"tags": ["a", "ä"]}]),
    "nested records": (Shape, [Shape(None, None), Shape(Point(1, None), {"tags": ["a"]})]),
}
Place = Callable[[sf.Stream, Any], sf.Stream]


def identity(type_: Any, seen: list[Any]) -> Callable[..., Any]:
    def same(v: Any) -> Any:
        seen.append(v)
        return v

    same.__annotations__ = {"v": type_ | None, "return": type_ | None}
    return same


def wrapped(type_: Any, gives: Any, function: Callable[[Any, type[Any]], Any]) -> Callable[..., Any]:
    """A function that gives records with a field `v` of the type."""
    record: Any = NamedTuple("record", [("v", type_ | None)])

    def made(v: Any) -> Any:
        return function(v, record)

    made.__annotations__ = {"v": type_ | None, "return": record if gives is None else gives[record]}
    return made


def twice(v: Any, record: type[Any]) -> Iterator[Any]:
    yield record(v)
    yield record(v)


PLACES: dict[str, Place] = {
    "with_columns(name=)": lambda rows, type_: rows.with_columns(v=identity(type_, [])),
    "with_columns(fn)": lambda rows, type_: rows.with_columns(wrapped(type_, None, lambda v, record: record(v))),
    "select": lambda rows, type_: rows.select(v=identity(type_, [])),
    "map": lambda rows, type_: rows.map(wrapped(type_, None, lambda v, record: record(v))),
    "flat_map of a list": lambda rows, type_: rows.flat_map(wrapped(type_, list, lambda v, record: [record(v)])),
    "flat_map of an iterator": lambda rows, type_: rows.flat_map(
        wrapped(type_, Iterator, lambda v, record: iter([record(v)]))
    ),
    "explode": lambda rows, type_: rows.select(v=wrapped_list(type_)).explode("v"),
}


def wrapped_list(type_: Any) -> Callable[..., Any]:
    def listed(v: Any) -> Any:
        return [v]

    listed.__annotations__ = {"v": type_ | None, "return": list[type_ | None]}
    return listed


def column(name: str) -> pa.Array:
    type_, values = VALUES[name]
    return from_python([*values, None], shape_of(type_))


def run(steps: Callable[[sf.Stream], sf.Stream], given: pa.Array) -> pa.ChunkedArray:
    flow, out = sf.Flow("types"), memory.Sink()
    steps(flow.read("rows", memory.Source(pa.table({"v": given})))).write("out", out)
    sf.run(flow)
    return out.table()["v"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", VALUES)
def test_what_goes_in_comes_out(name: str, place: str) -> None:
    type_, given = VALUES[name][0], column(name)
    made = run(lambda rows: PLACES[place](rows, type_), given).combine_chunks()
    assert made.type == cast_type(type_)
    assert same_values(made, given)


def same_values(made: pa.Array, given: pa.Array) -> bool:
    """By what is written of them: NaN is NaN, and -0.0 is not 0.0."""
    return (str(made.to_string(window=100)) == str(given.to_string(window=100)) and made.equals(given)) or (
        pa.types.is_floating(made.type) and repr(made.to_pylist()) == repr(given.to_pylist())
    )


@pytest.mark.parametrize("name", VALUES)
def test_functions_see_the_values_that_their_annotations_name(name: str) -> None:
    type_, values = VALUES[name]
    seen: list[Any] = []
    run(lambda rows: rows.with_columns(v=identity(type_, seen)), column(name))
    assert repr(seen) == repr([*values, None])


def test_a_naive_datetime_is_utc() -> None:
    def naive(v: int) -> datetime:
        return NAIVE

    assert run(lambda rows: rows.select(v=naive), pa.array([1])).to_pylist() == [NAIVE.replace(tzinfo=UTC)]


def test_a_generator_gives_many() -> None:
    made = run(lambda rows: rows.flat_map(wrapped(str, Iterator, twice)), pa.array(["a", None]))
    assert made.to_pylist() == ["a", "a", None, None]


@pytest.mark.parametrize("name", VALUES)
def test_a_filter_and_a_key_take_every_type(name: str) -> None:
    type_, given = VALUES[name][0], column(name)

    def is_there(v: Any) -> bool:
        return v is not None

    is_there.__annotations__["v"] = type_ | None
    kept = run(lambda rows: rows.filter(is_there), given).combine_chunks()
    assert same_values(kept, given.slice(0, len(given) - 1))

    def known(v: Any) -> int:
        return int(v is not None)

    known.__annotations__["v"] = type_ | None
    assert len(run(lambda rows: rows.key_by(bucket=known).dedup(), given)) == 2


@pytest.mark.parametrize("name", VALUES)
def test_a_wrong_result_names_the_value_the_step_and_the_line(name: str) -> None:
    wrong = object()

    def broken(v: int) -> Any:
        return wrong

    broken.__annotations__["return"] = VALUES[name][0]
    with pytest.raises(DataError, match="object object at") as caught:
        run(lambda rows: rows.select(v=broken).step("labels"), pa.array([1]))
    text = str(caught.value)
    assert "broken" in text
    assert "row 0" in text
    assert caught.value.step is not None
    assert __file__ in text
