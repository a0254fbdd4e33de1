"""Annotations become Arrow types; a signature that says too little is an error that shows what to write."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired, TypedDict

import pyarrow as pa
import pytest

from streamflow.errors import SchemaError, UserError
from streamflow.flow.records import cast_type, is_record, record_fields, row_function
from streamflow.plan.logical.expr import columns_of, takes_all_columns, type_of
from streamflow.plan.logical.rows import Record, arrow_type

Cents = NewType("Cents", int)


class Point(NamedTuple):
    x: float
    y: float | None


@dataclass
class Ride:
    city: str
    at: datetime
    day: date
    took: timedelta
    tags: list[str]
    fares: dict[str, Cents]
    kind: Literal["short", "long"]
    price: Annotated[Decimal, pa.decimal128(12, 2)]
    start: Point
    paid: bool = False
    raw: bytes = b""
    small: Annotated[int, pa.int16()] = 0
    micros: Annotated[int, pa.timestamp("us", "UTC")] = 0


class Tag(TypedDict):
    tag: str
    weight: NotRequired[float]


class Loop(NamedTuple):
    inner: list[Loop]


def test_a_record_type_is_a_schema() -> None:
    assert record_fields(Ride) == pa.schema(
        {
            "city": pa.string(),
            "at": pa.timestamp("us", "UTC"),
            "day": pa.date32(),
            "took": pa.duration("us"),
            "tags": pa.list_(pa.string()),
            "fares": pa.map_(pa.string(), pa.int64()),
            "kind": pa.string(),
            "price": pa.decimal128(12, 2),
            "start": pa.struct({"x": pa.float64(), "y": pa.float64()}),
            "paid": pa.bool_(),
            "raw": pa.binary(),
            "small": pa.int16(),
            "micros": pa.timestamp("us", "UTC"),
        }
    )
    assert record_fields(Tag).names == ["tag", "weight"]
    assert record_fields(pa.schema({"a": pa.large_string()})) == pa.schema({"a": pa.string()})


def test_what_is_no_record_is_refused() -> None:
    assert not is_record(int)
    assert not is_record(tuple)
    for wrong, message in [
        (int, "int is not a record type"),
        (Loop, "holds itself"),
        (NamedTuple("Bad", [("a", set)]), r"Bad\.a: set is not a type of a column"),
        (NamedTuple("Bad", [("a", Decimal)]), "how many digits"),
        (NamedTuple("Bad", [("a", int | str)]), "not a type of a column"),
        (NamedTuple("Bad", [("a", list)]), "say what is in it"),
        (NamedTuple("Bad", [("a", dict[int, int])]), "keys are str"),
    ]:
        with pytest.raises(UserError) as caught:
            record_fields(_any(wrong))
        assert re.search(message, str(caught.value)), str(caught.value)


def test_parameters_are_columns_by_name() -> None:
    def net(price: int, discount: float | None, factor: float = 2.0) -> float:
        return price * (1 - (discount or 0)) * factor

    function = row_function(net)
    assert [parameter.name for parameter in function.parameters] == ["price", "discount"]
    assert arrow_type(function.returns) == pa.float64()
    assert columns_of(function) == {"price", "discount"}
    assert not takes_all_columns(function)
    assert function.location is not None
    assert function.location.file == __file__


def test_two_stars_take_all_other_columns() -> None:
    def label(a: int, **row: Any) -> str:
        return f"{a} {row}"

    assert takes_all_columns(row_function(label))


def test_one_record_takes_the_row() -> None:
    def length(point: Point) -> float:
        return point.x

    function = row_function(length)
    assert isinstance(function.record, Record)
    assert columns_of(function) == {"x", "y"}


def test_flat_map_functions_return_lists_or_yield() -> None:
    def split(tags: list[str]) -> Iterator[Tag]:
        for tag in tags:
            yield {"tag": tag}

    def listed(tags: list[str]) -> list[Tag]:
        return [{"tag": tag} for tag in tags]

    for function in (split, listed):
        made = row_function(function, many=True)
        assert isinstance(made.returns, Record)
        assert made.many
    with pytest.raises(UserError, match="flat_map"):
        row_function(split)


def test_types_that_are_local_to_a_function_are_found() -> None:
    class Local(NamedTuple):
        a: int

    def make(x: int) -> Local:
        return Local(x)

    assert isinstance(row_function(make).returns, Record)


def test_objects_partials_and_methods_are_functions_too() -> None:
    class Scale:
        def __call__(self, x: int) -> int:
            return x

        def half(self, x: int) -> float:
            return x / 2

    def power(x: int, n: int) -> int:
        return int(x**n)

    assert row_function(Scale()).parameters[0].name == "x"
    assert arrow_type(row_function(Scale().half).returns) == pa.float64()
    assert [p.name for p in row_function(functools.partial(power, n=2)).parameters] == ["x"]


def test_signatures_that_say_too_little_are_refused() -> None:
    def no_return(a: int):  # type: ignore[no-untyped-def]
        return a

    def no_parameter(a) -> int:  # type: ignore[no-untyped-def]
        return int(a)

    def stars(*values: int) -> int:
        return len(values)

    async def later(a: int) -> int:
        return a

    def nothing(a: int) -> None: ...

    def bad(a: int) -> set[int]:
        return {a}

    @dataclass
    class Timed:
        _time: int

    def timed(a: int) -> Timed:
        return Timed(a)

    for wrong, message in [
        (no_return, r"does not say what it returns(?s:.)*def no_return\(a: int\)"),
        (no_parameter, "type of its parameter 'a'"),
        (lambda a: a, "a lambda has no types"),
        (len, "(?s)len does not say.*def len_of|len does not say"),
        (stars, "cannot be a column"),
        (later, "async"),
        (nothing, "does not say what it returns"),
        (bad, "what bad returns: set"),
        (timed, "returns a field '_time'"),
    ]:
        with pytest.raises(UserError) as caught:
            row_function(_any(wrong))
        assert re.search(message, str(caught.value)), str(caught.value)


def test_parameters_that_do_not_fit_their_columns_are_refused() -> None:
    schema = pa.schema({"price": pa.float64(), "at": pa.timestamp("us", "UTC"), "n": pa.int32()})

    def wants_int(price: int) -> int:
        return price

    def wants_more(prise: float) -> float:
        return prise

    def fits(at: int, n: float, price: float | None) -> datetime:
        raise NotImplementedError

    with pytest.raises(SchemaError, match="takes 'price' as int64, and the column is double"):
        type_of(row_function(wants_int), schema)
    with pytest.raises(SchemaError, match=r"wants_more asks for 'prise'.*did you mean 'price'"):
        type_of(row_function(wants_more), schema)
    assert type_of(row_function(fits), schema) == pa.timestamp("us", "UTC")


def test_casts_take_python_and_arrow_types() -> None:
    assert cast_type(datetime) == pa.timestamp("us", "UTC")
    assert cast_type(pa.timestamp("ns", "Europe/Berlin")) == pa.timestamp("us", "UTC")
    assert cast_type(list[int]) == pa.list_(pa.int64())


def _any(thing: object) -> Any:
    return thing
