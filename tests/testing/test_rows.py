"""Rows of a test: marks among them, splits, dataclass objects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow.connect import Ended, Wait
from streamflow.engine.clock import ManualClock
from streamflow.errors import UserError
from streamflow.testing import advance, splits, watermark
from streamflow.testing.rows import RowsReader, rows_source

SCHEMA = pa.schema([("k", pa.string()), ("t", pa.timestamp("us", "UTC"))])


def at(second: float) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)


def flow(*, bound: str = "0s", idle: str | None = None) -> sf.Flow:
    made = sf.Flow("f")
    late = sf.bounded_out_of_orderness(bound, idle=idle)
    rows = made.read("rows", memory.Source(SCHEMA.empty_table()), event_time="t", watermark=late)
    rows.key_by("k").window(sf.tumbling("10s")).agg(n=sf.count()).write("out", memory.Sink())
    return made


def counts(given: Any, **options: Any) -> tuple[dict[str, int], int]:
    """Rows counted by key, and late pairs."""
    results = sf.testing.run(flow(**options), {"rows": given})
    found: dict[str, int] = {}
    for row in results["out"].to_pylist():
        found[row["k"]] = found.get(row["k"], 0) + row["n"]
    return found, sum(results.late.values())


def reader(*parts: Any, clock: ManualClock | None = None, start: dict[str, int] | None = None) -> RowsReader:
    source = rows_source("rows", splits(*parts), SCHEMA, clock or ManualClock(), 0)
    return source.open(start or dict.fromkeys(source.splits()))


def test_a_watermark_among_rows_fires_what_it_passes() -> None:
    rows = [{"k": "a", "t": at(1)}, watermark(at(10)), {"k": "a", "t": at(2)}]
    assert counts(rows, bound="1h") == ({"a": 1}, 1)
    assert counts([row for row in rows if isinstance(row, dict)], bound="1h") == ({"a": 2}, 0)


def test_a_watermark_just_below_the_end_of_a_window_does_not() -> None:
    assert counts([{"k": "a", "t": at(1)}, watermark(at(9.999999)), {"k": "a", "t": at(2)}], bound="1h")[1] == 0


def test_watermarks_are_datetimes_naive_or_aware_or_microseconds() -> None:
    berlin = timezone(timedelta(hours=1))
    assert watermark(datetime(1970, 1, 1, 1, tzinfo=berlin)) == watermark(datetime(1970, 1, 1)) == watermark(0)  # noqa: DTZ001


def test_a_split_that_is_quiet_for_its_idle_time_no_longer_holds_the_others() -> None:
    quiet = [{"k": "q", "t": at(0)}, advance("2m"), {"k": "q", "t": at(1)}]
    busy = [{"k": "b", "t": at(0)}, advance("90s"), {"k": "b", "t": at(60)}]
    assert counts(splits(quiet, busy), idle="1m") == ({"q": 1, "b": 2}, 1)
    assert counts(splits(quiet, busy), idle="100s") == ({"q": 2, "b": 2}, 0)
    assert counts(splits(quiet, busy)) == ({"q": 2, "b": 2}, 0)


def test_two_short_silences_with_a_row_between_are_no_long_one() -> None:
    quiet = [
        *({"k": "q", "t": at(0)}, advance("50s"), {"k": "q", "t": at(0)}, advance("50s")),
        {"k": "q", "t": at(1)},
    ]
    busy = [{"k": "b", "t": at(0)}, advance("99s"), {"k": "b", "t": at(60)}]
    assert counts(splits(quiet, busy), idle="1m") == ({"q": 3, "b": 2}, 0)


def test_the_clock_stands_still_while_a_split_has_rows() -> None:
    clock = ManualClock()
    rows = reader([{"k": "a", "t": at(0)}, advance("1m"), {"k": "a", "t": at(1)}], clock=clock)
    taken, waits = 0, 0
    while not isinstance(found := rows.poll(10), Ended):
        if isinstance(found, Wait):
            waits += 1
            clock.advance(round(found.seconds * 1e6))
        else:
            taken += sum(part[1].num_rows for part in found if isinstance(part, tuple))
    assert (taken, waits, clock.monotonic()) == (2, 2, 60_000_000), "once before the silence, once when it is over"


def test_a_restored_split_knows_the_watermark_and_the_clock_of_its_marks() -> None:
    part = [{"k": "a", "t": at(0)}, watermark(5), advance("1m"), {"k": "a", "t": at(1)}]
    rows = reader(part, start={"rows-0": 3})
    assert rows.watermark("rows-0") == 5
    assert rows.poll(1) == Wait(60.0)
    assert reader(part, start={"rows-0": 1}).watermark("rows-0") is None


def test_each_split_is_read_in_order_and_ends_once() -> None:
    rows = reader([{"k": f"{i}", "t": at(i)} for i in range(5)], [], [{"k": "x", "t": at(0)}])
    seen: dict[str, list[str]] = {}
    ended: list[str] = []
    while len(ended) < 3:
        found = rows.poll(2)
        if isinstance(found, Ended):
            ended.append(found.split)
        else:
            assert not isinstance(found, Wait)
            for part in found:
                assert isinstance(part, tuple)
                seen.setdefault(part[0], []).extend(part[1].column("k").to_pylist())
    assert seen == {"rows-0": ["0", "1", "2", "3", "4"], "rows-2": ["x"]}
    assert sorted(ended) == ["rows-0", "rows-1", "rows-2"]


def test_rows_may_be_dataclass_objects_named_tuples_or_tables() -> None:
    @dataclass
    class Row:
        k: str
        t: datetime

    class Named(NamedTuple):
        k: str
        t: datetime

    for given in (
        [Row("a", at(0))],
        [Named("a", at(0))],
        pa.table({"k": ["a"], "t": [at(0)]}),
        pa.table(
            {"t": pa.array([at(0)], pa.timestamp("ns", "Europe/Berlin")), "k": pa.array(["a"]).dictionary_encode()}
        ),
    ):
        assert counts(given) == ({"a": 1}, 0)


def test_columns_that_a_row_leaves_out_are_null() -> None:
    results = sf.testing.run(flow(), {"rows": [{"t": at(0)}]})
    assert results["out"].column("k").to_pylist() == [None]


def test_reads_that_are_not_named_are_read_as_they_are() -> None:
    made = sf.Flow("f")
    made.read("rows", memory.Source(pa.table({"n": [1, 2]}))).write("out", sink := memory.Sink())
    assert sf.testing.run(made)["out"].to_pylist() == [{"n": 1}, {"n": 2}]
    with pytest.raises(UserError, match="received nothing"):
        sink.table()
