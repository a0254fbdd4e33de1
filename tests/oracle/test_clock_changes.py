"""Days on which clocks are set forward and back, through whole flows and restores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow.kernels.aggregate import AggregateSpec
from streamflow.kernels.calendar import CalendarSlices
from streamflow.operators.events import MAX_TIME, TIME_TYPE, Watermark
from streamflow.operators.top import WindowTop
from streamflow.operators.window_aggregate import WindowAggregate
from streamflow.testing import assert_rows

SCHEMA = pa.schema({"city": pa.string(), "at": pa.timestamp("us", "UTC")})


def half_hours(first: datetime, days: int) -> list[dict[str, object]]:
    return [{"city": "Berlin", "at": first + timedelta(minutes=30 * n)} for n in range(48 * days)]


@pytest.mark.parametrize(("workers", "crashes"), [(1, 0), (1, 2), (2, 0), (3, 2), (7, 1)])
def test_days_of_23_and_25_hours(workers: int, crashes: int) -> None:
    flow = sf.Flow("days")
    rows = flow.read(
        "rows", memory.Source(SCHEMA.empty_table()), event_time="at", watermark=sf.bounded_out_of_orderness("1h")
    )
    days = rows.key_by("city").window(sf.tumbling("1d", tz="Europe/Berlin")).agg(rows=sf.count())
    days.write("days", memory.Sink())
    given = half_hours(datetime(2026, 3, 27, 23, tzinfo=UTC), 3) + half_hours(datetime(2026, 10, 23, 22, tzinfo=UTC), 3)
    results = sf.testing.run(flow, {"rows": given}, seed=workers + crashes, workers=workers, crashes=crashes)

    def day(start: tuple[int, int, int], end: tuple[int, int, int], count: int) -> dict[str, object]:
        return {
            "city": "Berlin",
            "window_start": datetime(2026, *start, tzinfo=UTC),
            "window_end": datetime(2026, *end, tzinfo=UTC),
            "rows": count,
        }

    assert_rows(
        results["days"],
        [
            day((3, 27, 23), (3, 28, 23), 48),
            day((3, 28, 23), (3, 29, 22), 46),
            day((3, 29, 22), (3, 30, 22), 48),
            day((3, 30, 22), (3, 31, 22), 2),
            day((10, 23, 22), (10, 24, 22), 48),
            day((10, 24, 22), (10, 25, 23), 50),
            day((10, 25, 23), (10, 26, 23), 46),
        ],
    )


def _batch(*times: int) -> pa.RecordBatch:
    return pa.record_batch({"_time": pa.array(times, TIME_TYPE)})


def test_a_window_that_has_begun_keeps_its_bounds_when_the_time_zone_data_changes() -> None:
    """Before the restore the zone was two hours from UTC: the day began at 22:00, and now it would begin at 23:00."""
    day, hour = 20_000 * 86_400_000_000, 3_600_000_000
    schema = pa.schema({"_time": TIME_TYPE})
    count = (AggregateSpec("count", None, None, "rows"),)

    def aggregate(zone: str) -> WindowAggregate:
        return WindowAggregate((), CalendarSlices(1, zone), count, schema)

    def top(zone: str) -> WindowTop:
        return WindowTop((), CalendarSlices(1, zone), 10, (("_time", True),), schema)

    for make in (aggregate, top):
        before, after = make("Etc/GMT-2"), make("Etc/GMT-1")
        list(before.on_batch(0, _batch(day)))
        list(before.flush())
        snapshots = {name: container.snapshot(8) for name, container in before.state().items()}
        for name, container in after.state().items():
            container.restore([snapshots[name]], range(8))
        list(after.on_batch(0, _batch(day - 2 * hour, day + 22 * hour - 1, day + 22 * hour)))
        [fired, *_] = [out for out in after.on_watermark(Watermark(MAX_TIME)) if isinstance(out, pa.RecordBatch)]
        start, end = (fired[name].cast(pa.int64())[0].as_py() for name in ("window_start", "window_end"))
        assert (start - day, end - day) == (-2 * hour, 22 * hour)
