"""Rows that cannot be processed: every kind of error under every policy, on any number of workers, through crashes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from streamflow_connectors import csv, jsonl, memory, text

import streamflow as sf
from streamflow import col
from streamflow.connect import RowsRefused, SinkContext
from streamflow.errors import DataError, Fatal, StreamflowError, UserError

ROWS = pa.table(
    {
        "n": pa.array(range(100), pa.int64()),
        "s": [str(n) if n % 10 else "x" for n in range(100)],
        "at": pa.array([None if n % 10 == 0 else n * 1_000_000 for n in range(100)], pa.timestamp("us", "UTC")),
        "big": pa.array([2**62 if n % 10 == 0 else n for n in range(100)], pa.int64()),
    }
)
BAD = [n for n in range(100) if n % 10 == 0]
GOOD = [n for n in range(100) if n % 10]


class Inverse(NamedTuple):
    n: int
    inverse: float


def is_small(n: int) -> bool:
    return 1 / (n % 10) <= 1


def inverse(n: int) -> float:
    return 1 / (n % 10)


def inverse_record(n: int) -> Inverse:
    return Inverse(n, 1 / (n % 10))


def inverses(n: int) -> Iterator[Inverse]:
    yield Inverse(n, 1.0)
    if n % 10 == 0:
        raise ValueError("no inverse")


def wrong_type(n: int) -> int:
    return n if n % 10 else "zero"  # type: ignore[return-value]


def checked_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    if any(n % 10 == 0 for n in batch["n"].to_pylist()):
        raise ValueError("a multiple of ten")
    return batch


KINDS: dict[str, Callable[[sf.Stream], sf.Stream]] = {
    "filter": lambda rows: rows.filter(is_small),
    "with_columns": lambda rows: rows.with_columns(inverse=inverse),
    "with_columns of a record": lambda rows: rows.with_columns(inverse_record),
    "map": lambda rows: rows.map(inverse_record),
    "flat_map": lambda rows: rows.flat_map(inverses),
    "undeclared": lambda rows: rows.with_columns(made=wrong_type),
    "map_batches": lambda rows: rows.map_batches(checked_batch),
    "cast": lambda rows: rows.with_columns(number=col("s").cast(int)),
    "overflow": lambda rows: rows.with_columns(big=col("big") * 4),
    "event time": lambda rows: rows.with_event_time("at"),
}


def flow_of(kind: str, policy: Any, **options: Any) -> sf.Flow:
    flow = sf.Flow("f", **options)
    rows = KINDS[kind](flow.read("rows", memory.Source(ROWS, splits=3))).step("risky", on_error=policy)
    rows.write("out", memory.Sink())
    if policy == "dead_letter":
        flow.dead_letters().write("dead", memory.Sink())
    return flow


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_policy_the_job_fails(kind: str) -> None:
    with pytest.raises(StreamflowError) as error:
        sf.testing.run(flow_of(kind, "fail"))
    assert error.value.step == "risky"


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_bad_rows_are_skipped_and_counted(kind: str, workers: int) -> None:
    results = sf.testing.run(flow_of(kind, "skip"), seed=workers, workers=workers, crashes=2)
    assert sorted(results["out"]["n"].to_pylist()) == GOOD
    assert results.skipped == {"risky": 10}
    assert results.dead == {}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_bad_rows_are_dead_letters_exactly_once(kind: str, workers: int) -> None:
    for seed in range(4):
        results = sf.testing.run(flow_of(kind, "dead_letter"), seed=seed, workers=workers, crashes=3)
        assert sorted(results["out"]["n"].to_pylist()) == GOOD
        dead = results["dead"].to_pylist()
        assert sorted(json.loads(row["payload"])["n"] for row in dead) == BAD
        assert {row["step"] for row in dead} == {"risky"}
        assert all(row["error"] for row in dead)
        assert {row["position"] for row in dead} <= {"0", "1", "2"}
        assert results.dead == {"risky": 10}


def test_the_payload_is_the_whole_row() -> None:
    flow = sf.Flow("f", on_error="dead_letter")
    rows = flow.read("rows", memory.Source(ROWS)).with_columns(inverse=inverse).step("risky")
    rows.select("inverse").write("out", memory.Sink())
    flow.dead_letters().write("dead", memory.Sink())
    [first, *_] = sf.testing.run(flow)["dead"].to_pylist()
    assert json.loads(first["payload"]) == {"n": 0, "s": "x", "at": None, "big": 2**62}
    assert "ZeroDivisionError: division by zero" in first["error"]


def test_a_read_without_event_times() -> None:
    flow = sf.Flow("f")
    rows = flow.read("rows", memory.Source(ROWS, splits=2), event_time="at", on_error="dead_letter")
    rows.window(sf.tumbling("10s")).agg(rows=sf.count()).write("out", memory.Sink())
    flow.dead_letters().write("dead", memory.Sink())
    results = sf.testing.run(flow, workers=2, crashes=2)
    assert sum(results["out"]["rows"].to_pylist()) == 90
    assert results["dead"]["step"].to_pylist() == ["rows"] * 10
    assert results.late == {}


def test_a_computed_key_has_the_policy_and_the_name_of_the_step_it_is_for() -> None:
    flow = sf.Flow("f")
    rows = flow.read("rows", memory.Source(ROWS), on_error="fail")
    counts = rows.key_by(inverse=inverse).agg(rows=sf.count()).step("counts", on_error="skip")
    counts.write("out", memory.Sink())
    results = sf.testing.run(flow, workers=2)
    assert len(sf.testing.final(results["out"])) == 9
    assert results.skipped == {"counts": 10}


def test_an_argument_of_an_aggregate_has_the_policy_of_the_aggregate() -> None:
    flow = sf.Flow("f")
    rows = flow.read("rows", memory.Source(ROWS))
    rows.agg(total=col("s").cast(int).sum()).step("total", on_error="skip").write("out", memory.Sink())
    results = sf.testing.run(flow)
    assert sf.testing.final(results["out"]).to_pylist() == [{"total": sum(GOOD)}]
    assert results.skipped == {"total": 10}


def test_of_two_steps_with_one_computed_key_the_stricter_policy_counts() -> None:
    flow = sf.Flow("f")
    keyed = flow.read("rows", memory.Source(ROWS)).key_by(inverse=inverse)
    keyed.agg(rows=sf.count()).step("a", on_error="skip").write("out-a", memory.Sink())
    keyed.agg(rows=sf.count()).step("b").write("out-b", memory.Sink())
    with pytest.raises(DataError):
        sf.testing.run(flow)


def test_the_policy_of_a_flow_is_that_of_its_steps_but_for_those_with_their_own() -> None:
    flow = sf.Flow("f", on_error="skip")
    rows = flow.read("rows", memory.Source(ROWS)).with_columns(number=col("s").cast(int)).step("numbers")
    rows.with_columns(inverse=inverse).step("inverse", on_error="fail").write("out", memory.Sink())
    results = sf.testing.run(flow)
    assert results.skipped == {"numbers": 10}
    flow = sf.Flow("f", on_error="skip")
    rows = flow.read("rows", memory.Source(ROWS))
    rows.with_columns(inverse=inverse).step("inverse", on_error="fail").write("out", memory.Sink())
    with pytest.raises(DataError):
        sf.testing.run(flow)


def test_a_filter_behind_a_risky_step_hides_no_dead_letter_in_the_source(tmp_path: Path) -> None:
    import pyarrow.parquet as pq
    from streamflow_connectors import parquet

    pq.write_table(ROWS, tmp_path / "rows.parquet")
    flow = sf.Flow("f", on_error="dead_letter")
    rows = flow.read("rows", parquet.Source(tmp_path / "rows.parquet"))
    rows.with_columns(number=col("s").cast(int)).step("numbers").filter(col("n") > 50).write("out", memory.Sink())
    flow.dead_letters().write("dead", memory.Sink())
    results = sf.testing.run(flow)
    assert len(results["out"]) == 45
    assert len(results["dead"]) == 10


def test_dead_letters_are_rows_like_others() -> None:
    flow = sf.Flow("f", on_error="dead_letter")
    rows = flow.read("rows", memory.Source(ROWS, splits=4))
    rows.with_columns(inverse=inverse).step("inverse").write("out", memory.Sink())
    rows.with_columns(number=col("s").cast(int)).step("numbers").write("more", memory.Sink())
    dead = flow.dead_letters()
    dead.filter(col("step") == "numbers").write("numbers-dead", memory.Sink())
    dead.key_by("step").agg(rows=sf.count()).write("counts", memory.Sink())
    results = sf.testing.run(flow, workers=3, crashes=3)
    assert len(results["numbers-dead"]) == 10
    assert sf.testing.final(results["counts"]).sort_by("step").to_pylist() == [
        {"step": "inverse", "rows": 10},
        {"step": "numbers", "rows": 10},
    ]


def test_dead_letters_may_get_an_event_time() -> None:
    def time_of(payload: bytes) -> datetime:
        return datetime.fromtimestamp(json.loads(payload)["n"], UTC)

    flow = sf.Flow("f", on_error="dead_letter")
    flow.read("rows", memory.Source(ROWS)).with_columns(inverse=inverse).write("out", memory.Sink())
    dead = flow.dead_letters().with_event_time(time_of, watermark=sf.bounded_out_of_orderness("1h"))
    dead.window(sf.tumbling("50s")).agg(rows=sf.count()).write("dead", memory.Sink())
    results = sf.testing.run(flow, workers=2, crashes=1)
    assert results["dead"]["rows"].to_pylist() == [5, 5]


def test_rows_that_come_in_go_out_or_are_counted() -> None:
    for seed in range(10):
        flow = sf.Flow("f", on_error="dead_letter")
        rows = flow.read("rows", memory.Source(ROWS, splits=3))
        kept = rows.with_columns(number=col("s").cast(int)).step("numbers", on_error="skip")
        kept.with_columns(big=col("n") * 2**57).step("big").write("out", memory.Sink())
        flow.dead_letters().write("dead", memory.Sink())
        results = sf.testing.run(flow, seed=seed, workers=1 + seed % 3, crashes=seed % 4)
        skipped, dead = sum(results.skipped.values()), sum(results.dead.values())
        assert dead == len(results["dead"]) > 0
        assert len(results["out"]) + skipped + dead == 100


# -- decoding


def written(folder: Path, kind: str) -> tuple[Any, list[tuple[str, bytes]]]:
    """A source over two files, and the positions and payloads of what does not decode."""
    match kind:
        case "jsonl":
            (folder / "1.jsonl").write_bytes(b'{"n": 1}\n{"n": "two"}\r\n\n{"n": 3}\nrubbish \xff\n')
            (folder / "2.jsonl").write_bytes(b'[4]\n{"n": 5}')
            bad = [("1.jsonl:2", b'{"n": "two"}'), ("1.jsonl:5", b"rubbish \xff"), ("2.jsonl:1", b"[4]")]
            return jsonl.Source(folder, pa.schema({"n": pa.int64()})), bad
        case "csv":
            (folder / "1.csv").write_bytes(b'n,s\n1,"a\nb"\ntwo,b\n3,c,d\n3,c\n')
            (folder / "2.csv").write_bytes(b"n,s\n4\n5,e")
            bad = [("1.csv:4", b"two,b"), ("1.csv:5", b"3,c,d"), ("2.csv:2", b"4")]
            return csv.Source(folder, pa.schema({"n": pa.int64(), "s": pa.string()})), bad
        case _:
            (folder / "1.txt").write_bytes(b"1\nna\xefve\n3\n")
            (folder / "2.txt").write_bytes(b"\xff\n5")
            return text.Source(folder), [("1.txt:2", b"na\xefve"), ("2.txt:1", b"\xff")]


@pytest.mark.parametrize("block", [5, 1 << 18])
@pytest.mark.parametrize("kind", ["jsonl", "csv", "text"])
def test_records_that_do_not_decode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, block: int) -> None:
    monkeypatch.setattr("streamflow.connect.lines._BLOCK", block)
    source, bad = written(tmp_path, kind)

    def flow(policy: Any) -> sf.Flow:
        flow = sf.Flow("f")
        rows = flow.read("rows", source, on_error=policy)
        (rows.select(n=col("line").cast(int)) if kind == "text" else rows).write("out", memory.Sink())
        if policy == "dead_letter":
            flow.dead_letters().write("dead", memory.Sink())
        return flow

    with pytest.raises(DataError, match=r"[12]\.\w+:[1-5]: "):
        sf.testing.run(flow("fail"))
    for seed in range(5):
        results = sf.testing.run(flow("skip"), seed=seed, workers=2, crashes=2)
        assert sorted(results["out"]["n"].to_pylist()) == [1, 3, 5]
        assert results.skipped == {"rows": len(bad)}
        results = sf.testing.run(flow("dead_letter"), seed=seed, workers=2, crashes=2)
        assert sorted(results["out"]["n"].to_pylist()) == [1, 3, 5]
        dead = results["dead"].sort_by("position").to_pylist()
        assert [(Path(row["position"]).name, row["payload"]) for row in dead] == bad
        assert results.dead == {"rows": len(bad)}


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_values_that_do_not_fit_the_type_in_which_they_are_read(tmp_path: Path, kind: str) -> None:
    import pyarrow.parquet as pq
    from streamflow_connectors import arrow, parquet

    table = pa.table({"n": [0, 1, 2, 3], "at": pa.array([0, 2**60, 2, None], pa.timestamp("ms"))})
    path = tmp_path / f"rows.{kind}"
    if kind == "parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as file:
            file.write_table(table)

    def flow(policy: Any) -> sf.Flow:
        flow = sf.Flow("f")
        source = parquet.Source(path) if kind == "parquet" else arrow.Source(path)
        rows = flow.read("rows", source, on_error=policy)
        rows.key_by("n").agg(first=col("at").count()).write("out", memory.Sink())
        if policy == "dead_letter":
            flow.dead_letters().write("dead", memory.Sink())
        return flow

    with pytest.raises(DataError, match="does not fit the column's type") as error:
        sf.testing.run(flow("fail"))
    assert error.value.step == "rows"
    for seed in range(4):
        results = sf.testing.run(flow("dead_letter"), seed=seed, workers=2, crashes=2)
        assert sorted(row["n"] for row in sf.testing.final(results["out"]).to_pylist()) == [0, 2, 3]
        [letter] = results["dead"].to_pylist()
        assert json.loads(letter["payload"]) == {"n": 1, "at": 2**60}
        assert letter["position"] == str(path)


def test_a_changelog_behind_a_step_that_rejects_ends_as_its_good_rows_do() -> None:
    """A value that is taken back was rejected when it came: one letter for it, and nothing is left behind."""

    def even(total: int) -> int:
        return 1 // (1 - total % 2)

    table = pa.table({"k": ["a", "b"] * 4, "v": [2, 3, 1, 1, 1, 3, 2, 5]})
    for seed in range(8):
        flow = sf.Flow("f")
        totals = flow.read("rows", memory.Source(table)).key_by("k").agg(total=col("v").sum())
        totals.with_columns(one=even).step("even", on_error="dead_letter").write("out", memory.Sink())
        flow.dead_letters().write("dead", memory.Sink())
        results = sf.testing.run(flow, seed=seed, workers=1 + seed % 3, crashes=seed % 3)
        left = sf.testing.final(results["out"]).to_pylist()
        assert sorted((row["k"], row["total"]) for row in left) == [("a", 6), ("b", 12)]
        assert results.dead.get("even", 0) == len(results["dead"])
        assert all(json.loads(letter["payload"])["total"] % 2 for letter in results["dead"].to_pylist())


def test_all_records_of_a_file_with_another_header_are_dead_letters(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_bytes(b'\xef\xbb\xbfm,s\n1,a\n2,"b\n"\n')
    (tmp_path / "2.csv").write_bytes(b"n,s\n3,c\n")

    def flow(policy: Any) -> sf.Flow:
        flow = sf.Flow("f")
        source = csv.Source(tmp_path, pa.schema({"n": pa.int64(), "s": pa.string()}))
        flow.read("rows", source, on_error=policy).write("out", memory.Sink())
        if policy == "dead_letter":
            flow.dead_letters().write("dead", memory.Sink())
        return flow

    with pytest.raises(DataError, match=r"1\.csv:1: no column 'n' in the header \['m', 's'\]"):
        sf.testing.run(flow("fail"))
    for seed in range(4):
        results = sf.testing.run(flow("dead_letter"), seed=seed, workers=2, crashes=2)
        assert results["out"].to_pylist() == [{"n": 3, "s": "c"}]
        dead = sorted((row["position"][-7:], row["payload"]) for row in results["dead"].to_pylist())
        assert dead == [("1.csv:1", b"m,s"), ("1.csv:2", b"1,a"), ("1.csv:3", b'2,"b\n"')]


def test_a_quote_that_is_never_closed_takes_the_rest_of_its_file_along_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_bytes(b'n,s\n1,a\n2,"b\n3,c\n')
    (tmp_path / "2.csv").write_bytes(b"n,s\n4,d\n")
    for seed in range(4):
        flow = sf.Flow("f")
        source = csv.Source(tmp_path, pa.schema({"n": pa.int64(), "s": pa.string()}))
        flow.read("rows", source, on_error="dead_letter").write("out", memory.Sink())
        flow.dead_letters().write("dead", memory.Sink())
        results = sf.testing.run(flow, seed=seed, workers=2, crashes=2)
        assert sorted(results["out"]["n"].to_pylist()) == [1, 4]
        [letter] = results["dead"].to_pylist()
        assert letter["position"].endswith("1.csv:3")
        assert letter["payload"] == b'2,"b\n3,c'


# -- sinks


@dataclass(frozen=True)
class Picky:
    """A sink that refuses multiples of ten; all of a batch that has one, if it cannot say which they are."""

    taken: list[int]
    error: Callable[[list[int]], Exception]
    changelog: bool = False

    def open(self, who: SinkContext) -> Picky:
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        refused = [row for row, n in enumerate(batch["n"].to_pylist()) if n % 10 == 0]
        if refused:
            raise self.error(refused)
        self.taken.extend(batch["n"].to_pylist())

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def into(sink: Picky, policy: Any) -> tuple[sf.Flow, memory.Sink]:
    flow, dead = sf.Flow("f"), memory.Sink()
    flow.read("rows", memory.Source(ROWS)).select("n").write("out", sink, on_error=policy)
    if policy == "dead_letter":
        flow.dead_letters().write("dead", dead)
    return flow, dead


def test_rows_that_a_sink_refuses_by_number() -> None:
    sink = Picky([], lambda rows: RowsRefused("a multiple of ten", rows))
    flow, dead = into(sink, "dead_letter")
    result = sf.run(flow)
    assert sink.taken == GOOD
    assert result.dead == {"out": 10}
    assert result.rows_out == 100
    assert [json.loads(row["payload"])["n"] for row in dead.table().to_pylist()] == BAD


def test_a_batch_that_a_sink_refuses_whole_is_halved_until_only_bad_rows_are_left() -> None:
    sink = Picky([], lambda _: DataError("a multiple of ten"))
    flow, dead = into(sink, "dead_letter")
    assert sf.run(flow).dead == {"out": 10}
    assert [json.loads(row["payload"])["n"] for row in dead.table().to_pylist()] == BAD
    assert sink.taken == GOOD
    flow, _ = into(Picky([], lambda _: DataError("a multiple of ten")), "skip")
    assert sf.run(flow).skipped == {"out": 10}


@dataclass(frozen=True)
class Upserts:
    """A table of the sums by their key, that refuses a sum above 150; `rows` is what it holds."""

    rows: dict[int, int]

    changelog = True

    def open(self, who: SinkContext) -> Upserts:
        assert who.key == ("k",)
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        changes = list(zip(*(batch[name].to_pylist() for name in ("_change", "k", "total")), strict=True))
        if any(change in (0, 2) and total > 150 for change, _, total in changes):
            raise DataError("a sum above 150")
        for change, k, total in changes:
            if change in (0, 2):
                self.rows[k] = total
            elif change == 3:
                del self.rows[k]

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize("size", [1, 2, 7, 30])
def test_of_a_changelog_the_sink_holds_the_final_rows_that_it_takes(size: int) -> None:
    """Key 0 goes above 150 and comes back; key 1 stays above it; key 2 never gets there."""
    steps = [(0, 100), (1, 90), (2, 50), (0, 60), (1, 90), (2, 50), (0, 5), (1, 5), (2, 10), (0, -40), (2, 20)]
    table = pa.table({"k": [k for k, _ in steps], "v": [v for _, v in steps]})
    flow, sink, dead = sf.Flow("f"), Upserts({}), memory.Sink()
    rows = flow.read("rows", memory.Source(table.to_batches(max_chunksize=size)))
    rows.key_by("k").agg(total=sf.col("v").sum()).write("out", sink, on_error="dead_letter")
    flow.dead_letters().write("dead", dead)
    result = sf.run(flow)
    assert sink.rows == {0: 125, 2: 130}
    letters = [json.loads(payload) for payload in dead.table()["payload"].to_pylist()]
    assert result.dead == {"out": len(letters)}
    assert {"k": 1, "total": 185} in letters
    if size == 1:
        totals = [(letter["k"], letter["total"]) for letter in letters]
        assert totals == [(0, 160), (1, 180), (0, 165), (1, 185)], "each once, and none that is taken back"


@pytest.mark.parametrize("policy", ["skip", "dead_letter"])
def test_when_the_outside_fails_the_job_stops_whatever_the_policy(policy: str) -> None:
    flow, _ = into(Picky([], lambda _: Fatal("the disk is full")), policy)
    with pytest.raises(Fatal, match="the disk is full"):
        sf.run(flow)


def test_without_a_policy_a_refusal_stops_the_job_and_names_the_step() -> None:
    flow, _ = into(Picky([], lambda rows: RowsRefused("a multiple of ten", rows)), "fail")
    with pytest.raises(DataError, match="a multiple of ten") as error:
        sf.run(flow)
    assert error.value.step == "out"


# -- budget and building


@pytest.mark.parametrize("workers", [1, 3])
def test_more_bad_rows_than_the_budget_stop_the_job(workers: int) -> None:
    results = sf.testing.run(flow_of("cast", "skip", max_errors=10), workers=workers, crashes=2)
    assert results.skipped == {"risky": 10}
    for crashes in range(4):
        with pytest.raises(DataError, match=r"10 rows could not be processed, 10 of them in this step") as error:
            sf.testing.run(flow_of("cast", "skip", max_errors=9), seed=crashes, workers=workers, crashes=crashes)
        assert error.value.step == "risky"


def test_a_real_run_has_the_budget_too() -> None:
    assert sf.run(flow_of("cast", "skip", max_errors=10)).skipped == {"risky": 10}
    with pytest.raises(DataError, match="max_errors=9"):
        sf.run(flow_of("cast", "skip", max_errors=9))


def test_dead_letters_that_nobody_reads_are_an_error() -> None:
    flow = sf.Flow("f", on_error="dead_letter")
    flow.read("rows", memory.Source(ROWS)).write("out", memory.Sink())
    with pytest.raises(UserError, match="nobody reads the dead letters") as error:
        flow.graph()
    assert error.value.step == "rows"
    assert error.value.location is not None
    assert "flow.dead_letters()" in (error.value.remedy or "")


def test_dead_letters_that_no_step_sends_are_an_error() -> None:
    flow = sf.Flow("f", on_error="skip")
    flow.read("rows", memory.Source(ROWS)).write("out", memory.Sink())
    flow.dead_letters().write("dead", memory.Sink())
    with pytest.raises(UserError, match="no step sends rows to the dead letters"):
        flow.graph()


def test_a_step_behind_the_dead_letters_sends_none() -> None:
    def broken(payload: bytes) -> int:
        raise ValueError("broken")

    def flow(**options: Any) -> sf.Flow:
        flow = sf.Flow("f", on_error="dead_letter")
        flow.read("rows", memory.Source(ROWS)).with_columns(inverse=inverse).write("out", memory.Sink())
        flow.dead_letters().with_columns(n=broken).step("behind", **options).write("dead", memory.Sink())
        return flow

    with pytest.raises(DataError, match="broken"):
        sf.testing.run(flow())
    assert sf.testing.run(flow(on_error="skip")).skipped == {"behind": 10}
    with pytest.raises(UserError, match="a step behind the dead letters"):
        flow(on_error="dead_letter").graph()


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(UserError, match="on_error='ignore' is not an error policy"):
        sf.Flow("f", on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="max_errors"):
        sf.Flow("f", max_errors=-1)


# -- results that cannot be made

AMOUNTS = pa.table(
    {
        "k": ["a", "a", "b", "b", "c", "c"],
        "at": pa.array([1_000_000, 2_000_000] * 3, pa.timestamp("us", "UTC")),
        "x": pa.array([2**62, 2**62, 1, 2, -(2**62), -(2**62) - 1], pa.int64()),
    }
)
WINDOWS = {"tumbling": sf.tumbling("10s"), "session": sf.session("5s")}


def sums(window: str, policy: Any) -> sf.Flow:
    flow = sf.Flow("f")
    rows = flow.read("rows", memory.Source(AMOUNTS, splits=2), event_time="at")
    by_key = rows.key_by("k").window(WINDOWS[window]).agg(total=col("x").sum())
    by_key.step("sums", on_error=policy).write("out", memory.Sink())
    if policy == "dead_letter":
        flow.dead_letters().write("dead", memory.Sink())
    return flow


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("window", WINDOWS)
def test_a_sum_that_overflows_when_its_window_fires_is_a_dead_letter(window: str, workers: int) -> None:
    with pytest.raises(DataError) as error:
        sf.testing.run(sums(window, "fail"), workers=workers)
    assert error.value.step == "sums"
    results = sf.testing.run(sums(window, "skip"), workers=workers, crashes=1)
    assert results["out"].select(["k", "total"]).to_pylist() == [{"k": "b", "total": 3}]
    assert results.skipped == {"sums": 2}
    results = sf.testing.run(sums(window, "dead_letter"), workers=workers, crashes=1)
    assert results["out"].select(["k", "total"]).to_pylist() == [{"k": "b", "total": 3}]
    dead = [json.loads(row["payload"]) for row in results["dead"].to_pylist()]
    assert sorted(row["k"] for row in dead) == ["a", "c"]
    assert set(dead[0]) == {"k", "window_start", "window_end"}


def test_a_sum_over_results_of_windows_too() -> None:
    flow = sf.Flow("f", on_error="skip")
    rows = flow.read("rows", memory.Source(AMOUNTS), event_time="at")
    tops = rows.key_by("k").window(sf.tumbling("1s")).agg(x=col("x").max())
    tops.key_by("k", day=col("window_end").dt.truncate("1d"), window_end="window_end").agg(
        total=col("x").sum() * 2
    ).step("totals").write("out", memory.Sink())
    results = sf.testing.run(flow, workers=2)
    assert sorted(results["out"]["total"].to_pylist()) == [-(2**63), 2, 4]
    assert results.skipped == {"totals": 3}
