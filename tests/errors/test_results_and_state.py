"""What a policy does with results that cannot be made, sums that do not fit, keyed functions and their timers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.errors import DataError

LAST = 2**63 - 1
UTC = pa.timestamp("us", "UTC")


def rows(*values: tuple[str, int, int]) -> pa.Table:
    keys, numbers, seconds = zip(*values, strict=True)
    at = pa.array([second * 1_000_000 for second in seconds], UTC)
    return pa.table({"k": list(keys), "v": pa.array(numbers, pa.int64()), "at": at})


def flow_of(table: pa.Table, step: Any, policy: Any, *, splits: int = 1) -> sf.Flow:
    flow = sf.Flow("f")
    source = memory.Source(table, splits=splits)
    stream = flow.read("rows", source, event_time="at", watermark=sf.bounded_out_of_orderness("1h"))
    step(stream).step("risky", on_error=policy).write("out", memory.Sink())
    if policy == "dead_letter":
        flow.dead_letters().write("dead", memory.Sink())
    return flow


def payloads(results: Any) -> list[dict[str, Any]]:
    return sorted((json.loads(letter["payload"]) for letter in results["dead"].to_pylist()), key=repr)


# -- sums


def test_each_row_is_in_a_running_sum_or_in_the_dead_letters_whatever_the_cuts() -> None:
    values = [3, LAST - 5, 4, -7, LAST, 1, -LAST, 2, LAST - 1, -1]
    table = rows(*(("ab"[n % 2], value, n) for n, value in enumerate(values * 3)))
    for seed in range(8):
        flow = flow_of(table, lambda s: s.key_by("k").agg(total=col("v").sum(), n=sf.count()), "dead_letter", splits=2)
        results = sf.testing.run(flow, seed=seed, workers=1 + 2 * (seed % 2), crashes=seed % 3)
        left = sf.testing.final(results["out"]).to_pylist()
        dead = payloads(results)
        assert results.dead == {"risky": len(dead)}
        assert sum(row["n"] for row in left) + len(dead) == len(table)
        accepted = sum(table["v"].to_pylist()) - sum(letter["v"] for letter in dead)
        assert sum(row["total"] for row in left) == accepted


def test_a_row_that_is_too_much_for_a_new_key_leaves_no_key() -> None:
    table = rows(("a", 1, 0), ("b", LAST, 1))
    flow = flow_of(table, lambda s: s.key_by("k").agg(t=sf.aggregate(Picky(), "v")), "skip")
    results = sf.testing.run(flow)
    assert sf.testing.final(results["out"]).to_pylist() == [{"k": "a", "t": 1}]
    assert results.skipped == {"risky": 1}


class Picky:
    """A sum that has no result for the greatest integer."""

    partials = {"sum": pa.int64()}  # noqa: RUF012
    result = pa.int64()

    def partial(self, ids: Any, count: int, v: pa.Array) -> dict[str, Any]:
        return self._sum(ids, count, v)

    def merge(self, ids: Any, count: int, partials: Any) -> dict[str, Any]:
        return self._sum(ids, count, partials["sum"])

    def finish(self, partials: Any) -> pa.Array:
        if LAST in partials["sum"].to_pylist():
            raise ValueError("it is too great")
        return partials["sum"]

    @staticmethod
    def _sum(ids: Any, count: int, values: pa.Array) -> dict[str, Any]:
        total = [0] * count
        for group, value in zip(ids.tolist(), values.to_pylist(), strict=True):
            total[group] += value
        return {"sum": pa.array(total, pa.int64())}


WINDOWS = {
    "once": lambda s: s.key_by("k").window(sf.tumbling("10s")).agg(total=col("v").sum()),
    "in sessions": lambda s: s.key_by("k").window(sf.session("10s")).agg(total=col("v").sum()),
    "refined": lambda s: s.key_by("k").window(sf.tumbling("10s"), allowed_lateness="1h").agg(total=col("v").sum()),
    "of one's own": lambda s: s.key_by("k").window(sf.tumbling("10s")).agg(total=sf.aggregate(Picky(), "v")),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_a_result_that_cannot_be_made_is_a_dead_letter_of_its_key_and_window(name: str) -> None:
    second = 0 if "own" in name else 1
    table = rows(("a", 1, 0), ("b", LAST, 1), ("b", second, 2), ("a", 5, 3), ("b", 4, 21))
    for workers in (1, 3):
        results = sf.testing.run(flow_of(table, WINDOWS[name], "dead_letter"), workers=workers, crashes=2)
        out = results["out"]
        left = (sf.testing.final(out) if "_change" in out.column_names else out).to_pylist()
        assert sorted((row["k"], row["total"]) for row in left) == [("a", 6), ("b", 4)]
        [letter] = payloads(results)
        assert letter["k"] == "b"
        assert letter["window_start"].startswith("1970-01-01T00:00:0")
        assert results.dead == {"risky": 1}


def test_a_result_that_was_sent_and_can_be_made_no_more_is_deleted_and_may_come_back() -> None:
    flow = sf.Flow("f")
    stream = flow.read("rows", memory.Source(rows(("a", 1, 0))), event_time="at")
    trigger = sf.trigger(early=1)
    totals = stream.key_by("k").window(sf.tumbling("10s"), trigger=trigger).agg(total=col("v").sum())
    totals.step("risky", on_error="dead_letter").write("out", memory.Sink())
    flow.dead_letters().write("dead", memory.Sink())
    given = [{"k": "a", "v": v, "at": timedelta(seconds=n)} for n, v in enumerate([1, LAST, -3])]
    table = pa.table(
        {"k": ["a"] * 3, "v": [row["v"] for row in given], "at": pa.array([0, 1, 2], pa.int64()).cast(UTC)}
    )
    for seed in range(6):
        results = sf.testing.run(flow, {"rows": table}, seed=seed)
        assert [row["total"] for row in sf.testing.final(results["out"]).to_pylist()] == [LAST - 2]
        deleted = results["out"]["_change"].to_pylist().count(3)
        assert deleted == results.dead.get("risky", 0) <= 1


def test_windows_of_rows_and_panes_that_are_discarded_reject_results_too() -> None:
    table = rows(("a", LAST, 0), ("a", 1, 1), ("a", 2, 2), ("a", 3, 3))
    flow = flow_of(table, lambda s: s.key_by("k").window(sf.count_window(2)).agg(total=col("v").sum()), "dead_letter")
    results = sf.testing.run(flow)
    assert results["out"].to_pylist() == [{"k": "a", "total": 5}]
    assert payloads(results) == [{"k": "a"}]


# -- keyed functions


class Note(NamedTuple):
    k: str
    said: str


class Alarmed(sf.KeyedFunction):
    """Two timers, of which one raises for the key b, after it has changed a cell and set the other one."""

    rows = sf.cell(int, default=0)
    seen = sf.list_cell(int)
    first = sf.timer()
    second = sf.timer()

    def on_row(self, v: int, _time: int) -> Note | None:
        self.rows += 1
        self.seen.append(v)
        self.first.set(_time + 1_000_000)
        return None

    def on_first(self, k: str, _time: int) -> Iterator[Note]:
        yield Note(k, "before it raises")
        self.rows += 100
        self.seen.append(-1)
        self.second.set(_time + 1_000_000)
        if k == "b":
            raise RuntimeError("not b")

    def on_second(self, k: str) -> Note:
        return Note(k, f"{self.rows} {self.seen}")


@pytest.mark.parametrize("ordered", [True, False])
def test_a_timer_that_raises_is_a_dead_letter_of_key_and_time_and_leaves_no_trace(ordered: bool) -> None:
    table = rows(("a", 1, 0), ("b", 2, 1), ("b", 3, 60))
    for seed in range(6):
        flow = flow_of(table, lambda s: s.key_by("k").process(Alarmed(), ordered=ordered), "dead_letter")
        results = sf.testing.run(flow, seed=seed, workers=1 + seed % 3, crashes=seed % 3)
        said = results["out"].to_pylist()
        assert said == [{"k": "a", "said": "before it raises"}, {"k": "a", "said": "101 [1, -1]"}]
        dead = payloads(results)
        if ordered:  # else the row at 60 s moves the timer of the row at 1 s before the watermark is there
            assert dead == [
                {"k": "b", "on_first": "1970-01-01T00:00:02.000000Z"},
                {"k": "b", "on_first": "1970-01-01T00:01:01.000000Z"},
            ]
        assert {letter["k"] for letter in dead} == {"b"}
        assert results.dead == {"risky": len(dead)}
        errors = results["dead"]["error"].to_pylist()
        assert all("RuntimeError: not b" in error and "k='b'" in error for error in errors)


def test_a_timer_that_raises_stops_the_job_where_the_policy_is_to_fail() -> None:
    flow = flow_of(rows(("b", 2, 1)), lambda s: s.key_by("k").process(Alarmed()), "fail")
    with pytest.raises(DataError, match="not b") as error:
        sf.testing.run(flow)
    assert error.value.step == "risky"


class Endless(sf.KeyedFunction):
    again = sf.timer()

    def on_row(self, k: str, _time: int) -> Note:
        self.again.set(_time)
        return Note(k, "row")

    def on_again(self, _time: int) -> None:
        self.again.set(_time)


def test_a_timer_that_never_ends_is_one_dead_letter() -> None:
    flow = flow_of(rows(("a", 2, 1)), lambda s: s.key_by("k").process(Endless()), "dead_letter")
    results = sf.testing.run(flow)
    assert results["out"].to_pylist() == [{"k": "a", "said": "row"}]
    assert payloads(results) == [{"k": "a", "on_again": "1970-01-01T00:00:01.000000Z"}]


class Total(sf.KeyedFunction):
    total = sf.cell(int, default=0)

    def on_row(self, k: str, v: int) -> Iterator[Note]:
        self.total += v
        yield Note(k, str(self.total))
        if v < 0:
            raise ValueError("it is negative")


def test_what_a_row_changed_and_yielded_before_it_raised_is_undone() -> None:
    table = rows(("a", 1, 0), ("a", -5, 1), ("a", 2, 2))
    for ordered in (True, False):
        flow = flow_of(table, lambda s, o=ordered: s.key_by("k").process(Total(), ordered=o), "skip")
        results = sf.testing.run(flow)
        assert [row["said"] for row in results["out"].to_pylist()] == ["1", "3"]
        assert results.skipped == {"risky": 1}
