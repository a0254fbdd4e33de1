"""A row that cannot be processed: exit code 1, the step, the line, the remedy, and no output at all."""

from __future__ import annotations

from typing import Any

import pytest

BAD = {
    "a row function that raises": (
        """
        def build() -> sf.Flow:
            def inverse(n: int) -> float:
                return 1 / (n - 39_000)

            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.with_columns(x=inverse).write("out", parquet.Sink(here / "out", roll="10KB"))  # <-
            return flow
        """,
        ["ZeroDivisionError", "inverse", "39000"],
    ),
    "a filter function that raises": (
        """
        def build() -> sf.Flow:
            def fine(s: str, n: int) -> bool:
                return {"a": True}[s if n < 39_000 else "b"]

            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.filter(fine).write("out", jsonl.Sink(here / "out", roll="10KB"))  # <-
            return flow
        """,
        ["KeyError", "fine"],
    ),
    "a function that returns another type": (
        """
        def build() -> sf.Flow:
            def twice(n: int) -> int:
                return n * 2 if n < 39_000 else "many"

            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.with_columns(x=twice).write("out", parquet.Sink(here / "out", roll="10KB"))  # <-
            return flow
        """,
        ["twice", "many"],
    ),
    "a map function that raises": (
        """
        @dataclass
        class Row:
            n: int

        def build() -> sf.Flow:
            def reduce(n: int) -> Row:
                if n == 39_000:
                    raise RuntimeError("no more")
                return Row(n)

            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.map(reduce).write("out", parquet.Sink(here / "out", roll="10KB"))  # <-
            return flow
        """,
        ["RuntimeError", "no more", "reduce"],
    ),
    "a batch function that raises": (
        """
        def build() -> sf.Flow:
            def odd(batch: pa.RecordBatch) -> pa.RecordBatch:
                if batch.column("n")[-1].as_py() > 39_000:
                    raise RuntimeError("no more")
                return batch

            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.map_batches(odd, schema=NUMBERS.schema).write("out", parquet.Sink(here / "out", roll="10KB"))  # <-
            return flow
        """,
        ["RuntimeError", "no more", "odd"],
    ),
    "a batch function that returns other columns": (
        """
        def build() -> sf.Flow:
            def odd(batch: pa.RecordBatch) -> pa.RecordBatch:
                return batch.select(["s"])

            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.map_batches(odd, schema=NUMBERS.schema).write("out", parquet.Sink(here / "out"))  # <-
            return flow
        """,
        ["odd"],
    ),
    "an overflow in a sum": (
        """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS), event_time=sf.from_epoch("n", "s"))
            big = rows.with_columns(n=sf.lit(2**62) + col("n") - col("n"))
            sums = big.key_by("s").window(sf.tumbling("10s")).agg(total=col("n").sum())  # <-
            sums.write("out", parquet.Sink(here / "out", roll="10KB"))
            return flow
        """,
        ["total", "int64"],
    ),
    "an overflow in a running sum": (
        """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            big = rows.with_columns(n=sf.lit(2**62) + col("n") - col("n"))
            sums = big.key_by("s").agg(total=col("n").sum())  # <-
            sums.changes().write("out", parquet.Sink(here / "out", roll="10KB"))
            return flow
        """,
        ["total", "int64"],
    ),
    "an overflow in an expression": (
        """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.with_columns(x=col("n") * 2**50).write("out", parquet.Sink(here / "out", roll="10KB"))  # <-
            return flow
        """,
        ["overflow"],
    ),
    "a cast that fails": (
        """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.with_columns(x=col("n").cast(pa.int8())).write("out", parquet.Sink(here / "out", roll="10KB"))  # <-
            return flow
        """,
        ["cast"],
    ),
    "a text that is no number": (
        """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS))
            rows.with_columns(x=col("s").cast(pa.int64())).write("out", parquet.Sink(here / "out", roll="10KB"))  # <-
            return flow
        """,
        ["cast", "a"],
    ),
    "an event time that is null": (
        """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            table = NUMBERS.append_column("t", pa.array([*range(ROWS - 1), None], pa.int64()))
            rows = flow.read("rows", memory.Source(table), event_time=sf.from_epoch("t", "s"))  # <-
            rows.write("out", parquet.Sink(here / "out", roll="10KB"))
            return flow
        """,
        ["event time"],
    ),
    "an event time out of range": (
        """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            table = NUMBERS.append_column("t", pa.array([*range(ROWS - 1), 2**60], pa.int64()))
            rows = flow.read("rows", memory.Source(table), event_time=sf.from_epoch("t", "s"))  # <-
            rows.write("out", parquet.Sink(here / "out", roll="10KB"))
            return flow
        """,
        [],
    ),
    "an event time in mid-stream that is null": (
        """
        def build() -> sf.Flow:
            flow = sf.Flow("f")
            rows = flow.read("rows", memory.Source(NUMBERS), event_time=sf.from_epoch("n", "s"))
            counts = rows.key_by("s").window(sf.tumbling("1h")).agg(n=sf.count(), t=col("n").max())
            late = sf.bounded_out_of_orderness("1s")
            nulls = counts.with_columns(at=sf.when(col("n") > 3000).then(sf.from_epoch("t", "s")).otherwise(None))
            again = nulls.with_event_time("at", watermark=late)  # <-
            again.write("out", parquet.Sink(here / "out", roll="10KB"))
            return flow
        """,
        ["event time"],
    ),
    "a malformed JSON line": (
        """
        def build() -> sf.Flow:
            (here / "in.jsonl").write_text('{"n": 1}\\n' * 39_000 + '{"n": \\n' + '{"n": 1}\\n' * 10)
            flow = sf.Flow("f")
            rows = flow.read("rows", jsonl.Source(here / "in.jsonl", schema=pa.schema({"n": pa.int64()})))  # <-
            rows.write("out", parquet.Sink(here / "out", roll="10KB"))
            return flow
        """,
        ["in.jsonl", "39001"],
    ),
    "a JSON value of another type": (
        """
        def build() -> sf.Flow:
            (here / "in.jsonl").write_text('{"n": 1}\\n' * 39_000 + '{"n": "x"}\\n')
            flow = sf.Flow("f")
            rows = flow.read("rows", jsonl.Source(here / "in.jsonl", schema=pa.schema({"n": pa.int64()})))  # <-
            rows.write("out", parquet.Sink(here / "out", roll="10KB"))
            return flow
        """,
        ["in.jsonl", "39001"],
    ),
    "a malformed CSV line": (
        """
        def build() -> sf.Flow:
            (here / "in.csv").write_text("n,s\\n" + "1,a\\n" * 39_000 + "1,a,too many\\n")
            flow = sf.Flow("f")
            schema = pa.schema({"n": pa.int64(), "s": pa.string()})
            rows = flow.read("rows", csv.Source(here / "in.csv", schema=schema))  # <-
            rows.write("out", parquet.Sink(here / "out", roll="10KB"))
            return flow
        """,
        ["in.csv"],
    ),
    "a CSV value of another type": (
        """
        def build() -> sf.Flow:
            (here / "in.csv").write_text("n,s\\n" + "1,a\\n" * 39_000 + "x,a\\n")
            flow = sf.Flow("f")
            schema = pa.schema({"n": pa.int64(), "s": pa.string()})
            rows = flow.read("rows", csv.Source(here / "in.csv", schema=schema))  # <-
            rows.write("out", parquet.Sink(here / "out", roll="10KB"))
            return flow
        """,
        ["in.csv"],
    ),
    "a truncated Parquet file": (
        """
        def build() -> sf.Flow:
            pq.write_table(NUMBERS, here / "a.parquet")
            pq.write_table(NUMBERS, here / "b.parquet")
            whole = (here / "b.parquet").read_bytes()
            (here / "b.parquet").write_bytes(whole[: len(whole) // 2])
            flow = sf.Flow("f")
            rows = flow.read("rows", parquet.Source(here / "*.parquet"))  # <-
            rows.write("out", parquet.Sink(here / "out", roll="10KB"))
            return flow
        """,
        ["b.parquet"],
    ),
    "a damaged gzip file": (
        """
        def build() -> sf.Flow:
            import gzip
            packed = gzip.compress("\\n".join(f"line {i}" for i in range(20_000)).encode())
            (here / "in.txt.gz").write_bytes(packed[: len(packed) // 2])
            flow = sf.Flow("f")
            rows = flow.read("rows", text.Source(here / "in.txt.gz"))  # <-
            rows.write("out", parquet.Sink(here / "out", roll="10KB"))
            return flow
        """,
        ["in.txt.gz"],
    ),
    "text that is not UTF-8": (
        """
        def build() -> sf.Flow:
            (here / "in.txt").write_bytes(b"fine\\n" * 10 + b"\\xff\\xfe\\n")
            flow = sf.Flow("f")
            rows = flow.read("rows", text.Source(here / "in.txt"))  # <-
            rows.write("out", jsonl.Sink(here / "out", roll="10KB"))
            return flow
        """,
        ["in.txt"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_stops_the_job_and_publishes_nothing(scripts: Any, name: str) -> None:
    body, says = BAD[name]
    failed = scripts.fail(body)
    failed.names(step=None)
    assert any(line.startswith("  step: ") for line in failed.printed.splitlines())
    for text in says:
        assert text in failed.printed
    assert failed.code == 1, failed.printed
    assert scripts.published() == []


def test_a_process_that_met_a_bad_row_ends_with_1_and_no_traceback(scripts: Any) -> None:
    failed = scripts.run(BAD["a row function that raises"][0])
    failed.names(step=None)
    assert failed.code == 1
    assert scripts.published() == []
