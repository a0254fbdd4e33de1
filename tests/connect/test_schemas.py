from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, NamedTuple, NotRequired, Optional, TypedDict

import pyarrow as pa
import pytest

from streamflow.connect import SchemaError, schema_of


class Place(NamedTuple):
    city: str
    zip: int | None


@dataclass
class Order:
    number: int
    price: float
    note: str | None
    raw: bytes
    paid: bool
    day: date
    at: datetime
    took: timedelta
    tags: list[str]
    places: list[Place]
    amount: Annotated[Decimal, pa.decimal128(12, 2)]
    old_style: Optional[int]  # noqa: UP045


class Item(TypedDict):
    name: str
    count: NotRequired[int]


def test_every_field_type_has_its_arrow_type() -> None:
    assert schema_of(Order) == pa.schema(
        {
            "number": pa.int64(),
            "price": pa.float64(),
            "note": pa.string(),
            "raw": pa.binary(),
            "paid": pa.bool_(),
            "day": pa.date32(),
            "at": pa.timestamp("us", "UTC"),
            "took": pa.duration("us"),
            "tags": pa.list_(pa.string()),
            "places": pa.list_(pa.struct({"city": pa.string(), "zip": pa.int64()})),
            "amount": pa.decimal128(12, 2),
            "old_style": pa.int64(),
        }
    )


def test_a_typed_dict_is_a_record_and_a_schema_itself() -> None:
    assert schema_of(Item) == pa.schema({"name": pa.string(), "count": pa.int64()})
    given = pa.schema({"x": pa.int8()}, metadata={"a": "b"})
    assert schema_of(given) is given


@dataclass
class Unknown:
    value: complex


@dataclass
class Either:
    value: int | str


@dataclass
class Dangling:
    value: Missing  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (Unknown, "Unknown.value: .*complex.* has no Arrow type"),
        (Either, r"Either\.value: .* has no Arrow type"),
        (Dangling, "a field type of Dangling is unknown: name 'Missing' is not defined"),
        (int, "describes no columns"),
    ],
)
def test_what_has_no_arrow_type_is_refused_with_a_remedy(record: type, problem: str) -> None:
    with pytest.raises(SchemaError, match=problem) as raised:
        schema_of(record)
    assert raised.value.remedy is not None
