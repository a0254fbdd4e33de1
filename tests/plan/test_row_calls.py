"""Row functions over batches: arguments, results, and the errors that name function, row and values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, TypedDict

import pyarrow as pa
import pytest

from streamflow.errors import DataError
from streamflow.flow.expr import col
from streamflow.flow.records import row_function
from streamflow.plan.compile import compile_expr, compile_predicate, compile_records

MOMENT = datetime(2024, 5, 1, 12, 0, 0, 7, UTC)


@dataclass(kw_only=True)
class Point:
    x: float
    y: int | None


BATCH = pa.RecordBatch.from_arrays(
    [
        pa.array([1, 2, None]),
        pa.array([0.5, None, 2.5]),
        pa.array(["a", "é", None]),
        pa.array([MOMENT, None, MOMENT], pa.timestamp("us", "UTC")),
        pa.array([[1, None], [], None], pa.list_(pa.int64())),
        pa.array([{"x": 1.0, "y": None}, None, {"x": 2.0, "y": 3}], pa.struct({"x": pa.float64(), "y": pa.int64()})),
        pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
        pa.array([date(2024, 5, 1), None, date(1900, 1, 1)]),
        pa.array([timedelta(microseconds=1), None, timedelta(days=-1)], pa.duration("us")),
        pa.array([Decimal("1.10"), None, Decimal("2.00")], pa.decimal128(5, 2)),
        pa.array([True, None, False]),
        pa.array([b"\xff", None, b""]),
        pa.array([MOMENT] * 3, pa.timestamp("us", "UTC")),
    ],
    ["i", "f", "s", "ts", "l", "p", "m", "d", "dur", "dec", "ok", "raw", "_time"],
)


def column(function: Any, batch: pa.RecordBatch = BATCH) -> list[Any]:
    result = compile_expr(row_function(function), batch.schema)(batch)
    result.validate(full=True)
    listed: list[Any] = result.to_pylist()
    return listed


def test_every_type_comes_in_as_annotated() -> None:
    seen: list[tuple[Any, ...]] = []

    def look(
        i: int | None,
        f: float | None,
        s: str | None,
        ts: datetime | None,
        l: list[int | None] | None,  # noqa: E741
        p: Point | None,
        m: dict[str, int] | None,
        d: date | None,
        dur: timedelta | None,
        dec: Annotated[Decimal, pa.decimal128(5, 2)] | None,
        ok: bool | None,
        raw: bytes | None,
    ) -> bool:
        seen.append((i, f, s, ts, l, p, m, d, dur, dec, ok, raw))
        return True

    assert column(look) == [True] * 3
    first, second, third = seen
    assert first == (
        1,
        0.5,
        "a",
        MOMENT,
        [1, None],
        Point(x=1.0, y=None),
        {"k": 1},
        date(2024, 5, 1),
        timedelta(microseconds=1),
        Decimal("1.10"),
        True,
        b"\xff",
    )
    assert second[1:4] == (None, "é", None)
    assert second[4] == []
    assert second[5:] == (None,) * 7
    assert third[4:7] == (None, Point(x=2.0, y=3), {})


def test_a_time_annotated_int_is_microseconds() -> None:
    def micros(_time: int, ts: int | None) -> int | None:
        return None if ts is None else ts - _time + 1

    assert column(micros) == [1, None, 1]


def test_an_int_column_annotated_float_is_floats() -> None:
    def kind(i: float | None) -> str:
        return type(i).__name__

    assert column(kind) == ["float", "float", "NoneType"]


def test_every_type_goes_out_as_annotated() -> None:
    def moment(i: int | None) -> datetime | None:
        return None if i is None else datetime(2024, 5, i)  # noqa: DTZ001

    assert column(moment) == [datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC), None]

    def nested(i: int | None) -> list[Point | None]:
        return [Point(x=1, y=i), None]

    assert column(nested)[0] == [{"x": 1.0, "y": 1}, None]

    def mapped(i: int | None) -> dict[str, int | None] | None:
        return {"i": i} if i else None

    assert column(mapped) == [[("i", 1)], [("i", 2)], None]

    def ratio(i: int | None) -> float:
        return 1

    assert column(ratio) == [1.0, 1.0, 1.0]

    def constant() -> int:
        return 7

    assert column(constant) == [7, 7, 7]


def test_two_stars_take_what_is_visible() -> None:
    def names(i: int | None, **row: Any) -> str:
        return " ".join(row)

    assert column(names)[0] == "f s ts l p m d dur dec ok raw"


def test_a_record_takes_the_whole_row() -> None:
    class Row(TypedDict):
        i: int | None
        s: str | None

    def text(row: Row) -> str:
        return f"{row['i']}{row['s']}"

    assert column(text) == ["1a", "2é", "NoneNone"]


def test_a_function_that_raises_names_the_row() -> None:
    def inverse(i: int, s: str) -> float:
        return 1 / (i - 2)

    with pytest.raises(DataError, match=r"inverse raised ZeroDivisionError.*row 1 of its batch: i=2, s='é'") as caught:
        column(inverse)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "test_row_calls.py" in str(caught.value)


def test_long_values_are_shortened_in_errors() -> None:
    def fails(s: str) -> int:
        raise ValueError("no")

    with pytest.raises(DataError) as caught:
        column(fails, pa.record_batch({"s": ["x" * 10_000]}))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        ("1", int, "row 0: '1' is a str, not a int64"),
        (1.5, int, "is a float"),
        (True, int, "is a bool"),
        (1, bool, "is a int"),
        (1, str, "is a int"),
        (b"a", str, "is a bytes"),
        ("a", bytes, "is a str"),
        (datetime(2024, 1, 1, tzinfo=UTC), date, "is a datetime"),
        (date(2024, 1, 1), datetime, "is a date"),
        (5, timedelta, "is a int"),
        (2**70, int, "does not fit int64"),
        ("ab", list[str], "not a list"),
        ([1, "b"], list[int], "'b' is a str"),
        ({1: 1}, dict[str, int], "1 is a int"),
    ],
)
def test_a_value_of_another_type_is_an_error(value: Any, annotation: Any, message: str) -> None:
    def give(i: int) -> Any:
        return value

    give.__annotations__["return"] = annotation
    with pytest.raises(DataError, match=r"give returned what it does not declare") as caught:
        column(give)
    assert message in str(caught.value)


class Tag(NamedTuple):
    tag: str
    n: int


def test_records_become_columns() -> None:
    def tag(i: int | None) -> Tag:
        return Tag(f"t{i}", i or 0)

    columns, counts = compile_records(row_function(tag), BATCH.schema)(BATCH)
    assert [c.to_pylist() for c in columns] == [["t1", "t2", "tNone"], [1, 2, 0]]
    assert counts is None


def test_many_records_are_counted_per_row() -> None:
    def tags(i: int | None) -> Iterator[Tag]:
        yield from [Tag("x", 1)] * (i or 0)

    columns, counts = compile_records(row_function(tags, many=True), BATCH.schema)(BATCH)
    assert len(columns[0]) == 3
    assert counts is not None
    assert counts.tolist() == [1, 2, 0]


def test_generators_that_raise_name_the_row() -> None:
    def tags(i: int) -> Iterator[Tag]:
        yield Tag("x", 1)
        if i == 2:
            raise LookupError("gone")

    with pytest.raises(DataError, match=r"tags raised LookupError: gone; row 1"):
        compile_records(row_function(tags, many=True), BATCH.schema)(BATCH)


def test_none_is_no_record() -> None:
    def tag(i: int) -> Tag:
        return None  # type: ignore[return-value]

    with pytest.raises(DataError, match="row 0: None is no record"):
        compile_records(row_function(tag), BATCH.schema)(BATCH)


def test_a_field_that_is_missing_is_named() -> None:
    class Out(TypedDict):
        a: int

    def out(i: int) -> Out:
        return {}  # type: ignore[typeddict-item]

    with pytest.raises(DataError, match=r"field 'a': row 0: \{\} has none"):
        compile_records(row_function(out), BATCH.schema)(BATCH)


def test_a_function_in_a_filter_drops_what_is_not_true() -> None:
    def keep(i: int | None) -> bool | None:
        return None if i is None else i == 1

    assert compile_predicate(row_function(keep), BATCH.schema)(BATCH).tolist() == [True, False, False]


def test_a_record_is_a_column_whose_fields_can_be_taken() -> None:
    def point(i: int | None) -> Point | None:
        return None if i is None else Point(x=i / 2, y=i)

    whole = compile_expr(row_function(point), BATCH.schema)(BATCH)
    rows = pa.record_batch({"point": whole})
    x, y = (compile_expr(col("point").struct.field(name).node, rows.schema)(rows) for name in "xy")
    assert x.to_pylist() == [0.5, 1.0, None]
    assert y.to_pylist() == [1, 2, None]
