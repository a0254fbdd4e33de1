"""Rules 14-19: partials, slices, values, types and the hash, end to end. Each test fails without its sentence."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.connect import Ended, PollResult, Position
from streamflow.engine.exchange import Router
from streamflow.engine.outputs import Aligned, Send
from streamflow.engine.task import Task
from streamflow.errors import StreamflowError
from streamflow.kernels.aggregate import AggregateSpec
from streamflow.kernels.hashing import HASH_VERSION
from streamflow.kernels.windows import SlidingSlices
from streamflow.operators.events import Barrier, Watermark
from streamflow.operators.preaggregate import Layout, RowInput
from streamflow.operators.slice_partials import SlicePartials
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise
from streamflow.state.parts import Chunk
from streamflow.testing import assert_rows, final, splits

SECOND = 1_000_000
TIME = pa.timestamp("us", "UTC")

Table = Callable[..., pa.Table]
Flow = Callable[..., sf.Flow]
Micros = Callable[[pa.Table], list[dict[str, Any]]]
Batches = Callable[..., tuple[list[dict[str, Any]], int]]


def count_by_key(rows: sf.Stream) -> sf.Stream:
    return rows.key_by("k").window(sf.tumbling("10s")).agg(n=sf.count())


def reading_task(flow: sf.Flow, *splits_: str) -> tuple[Task, pa.Schema]:
    """The first stage of the first of two workers, and what it reads."""
    graph = place(optimise(flow.graph()), name="rule", workers=2)
    return Task(graph, 0, 0, splits={0: {name: {} for name in splits_}}), graph.nodes[0].schema


def rows_sent(outputs: list[Any]) -> int:
    """How many of the user's rows the partials stand for."""
    events = [o.event for o in outputs if isinstance(o, Send) and isinstance(o.event, pa.RecordBatch)]
    return sum(sum(batch.column("~rows").to_pylist()) for batch in events)


# -- 14. Partial aggregation is invisible


def test_14_a_partial_does_not_judge_a_row_behind_its_own_watermark(table: Table, flow: Flow) -> None:
    task, schema = reading_task(flow(count_by_key), "a")
    first = table([("x", 1, 100 * SECOND)]).select(schema.names).to_batches()[0]
    behind = table([("x", 1, 5 * SECOND)]).select(schema.names).to_batches()[0]
    task.on_rows(0, "a", first)
    assert rows_sent(task.on_rows(0, "a", behind)) >= 1
    assert task.late() == {}


def test_14_a_row_late_on_its_own_worker_counts_while_another_holds_the_window_open(
    table: Table, flow: Flow, micros: Micros
) -> None:
    """Two workers; the second one's only row is at 0, so that the window of the row at 5 s is open until it ends."""
    graph = place(optimise(flow(count_by_key).graph()), name="rule", workers=2)
    schema = graph.nodes[0].schema
    readers = [Task(graph, 0, worker, splits={0: {name: {}}}) for worker, name in enumerate("ab")]
    finals = [Task(graph, 1, worker) for worker in range(2)]
    for worker, split, rows in [(1, "b", [("x", 1, 0)]), (0, "a", [("x", 1, 100 * SECOND)]), (0, "a", [("x", 1, 5)])]:
        batch = table(rows).select(schema.names).to_batches()[0]
        for output in readers[worker].on_rows(0, split, batch):
            assert isinstance(output, Send)
            channel = next(c for c in finals[output.worker].channels if c.sender == worker)
            finals[output.worker].on_event(channel, output.event)
    assert [task.late() for task in finals] == [{}, {}]


def test_14_a_partial_sends_watermarks_on_at_once(table: Table, flow: Flow) -> None:
    task, schema = reading_task(flow(count_by_key), "a")
    outputs = task.on_rows(0, "a", table([("x", 1, 3 * SECOND)]).select(schema.names).to_batches()[0])
    assert [o.event for o in outputs if isinstance(o, Send)] == [Watermark(3 * SECOND)] * 2
    assert rows_sent(outputs) == 0


def test_14_a_partial_is_sent_before_the_watermark_that_ends_its_slice(table: Table, flow: Flow) -> None:
    task, schema = reading_task(flow(count_by_key), "a")
    task.on_rows(0, "a", table([("x", 1, 3 * SECOND)] * 5).select(schema.names).to_batches()[0])
    outputs = task.on_rows(0, "a", table([("y", 1, 10 * SECOND)]).select(schema.names).to_batches()[0])
    events = [o.event for o in outputs if isinstance(o, Send)]
    assert rows_sent(outputs) >= 5
    assert isinstance(events[0], pa.RecordBatch)
    assert events[-1] == Watermark(10 * SECOND)


@pytest.mark.parametrize(
    "steps",
    [
        count_by_key,
        lambda rows: rows.window(sf.sliding("10s", every="4s")).agg(n=sf.count()),
        lambda rows: rows.window(sf.tumbling("10s")).top(1000, by="v"),
    ],
    ids=["tumbling", "sliding", "top"],
)
def test_14_no_buffer_before_an_exchange_holds_rows_when_a_barrier_passes(table: Table, flow: Flow, steps: Any) -> None:
    task, schema = reading_task(flow(steps), "a")
    given = table([("x", i, i) for i in range(100)]).select(schema.names).to_batches()[0]
    assert not [o for o in task.on_rows(0, "a", given) if isinstance(o, Send) and isinstance(o.event, pa.RecordBatch)]
    outputs = task.on_trigger(Barrier(1))
    kinds = [type(o.event if isinstance(o, Send) else o) for o in outputs]
    sent = sum(o.event.num_rows for o in outputs if isinstance(o, Send) and isinstance(o.event, pa.RecordBatch))
    assert sent >= 1
    assert kinds.index(Aligned) < kinds.index(Barrier)
    assert max(i for i, kind in enumerate(kinds) if kind is pa.RecordBatch) < kinds.index(Aligned)


@pytest.mark.parametrize(
    "steps",
    [
        count_by_key,
        lambda rows: rows.key_by("v").window(sf.tumbling("10s")).agg(n=sf.count()),
        lambda rows: rows.key_by("k").window(sf.session("10s")).agg(n=sf.count()),
        lambda rows: rows.key_by("k").agg(n=sf.count()),
        lambda rows: rows.key_by("k").window(sf.tumbling("10s")).top(10_000, by="v").select("k", n="v"),
        lambda rows: count_by_key(rows).key_by("window_end", "k").agg(n=col("n").sum()),
    ],
    ids=["tumbling", "integers", "session", "running", "top", "of windows"],
)
def test_14_a_crash_behind_a_barrier_loses_no_row(table: Table, flow: Flow, steps: Any) -> None:
    given = splits(*(table([("xyz"[i % 3], 1, i * SECOND) for i in range(start, 60, 3)]) for start in range(3)))
    for seed in range(15):
        results = sf.testing.run(flow(steps), {"rows": given}, workers=1 + seed % 3, crashes=3, seed=seed)
        out = results["out"]
        assert sum((final(out) if "_change" in out.column_names else out).column("n").to_pylist()) == 60
        assert results.late == {}


# -- 15. Sliding windows share slices


def slices_after(window: SlidingSlices, times: range) -> SlicePartials:
    schema = pa.schema([("_time", TIME)])
    layout = Layout.of((), (AggregateSpec("count", None, None, "n"),), schema)
    rows = RowInput(layout, window, schema)
    partials = SlicePartials(layout, window)
    batch = pa.record_batch([pa.array(np.array(times, np.int64)).view(TIME)], schema=schema)
    list(partials.append(rows.reduce(rows.columns(batch))))
    return partials


def chunks_of(partials: SlicePartials, window: int) -> list[Chunk]:
    steps = partials.of_window(window)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return list(done.value)


def test_15_there_are_at_most_two_slices_a_slide_however_odd_it_is() -> None:
    every = 3_001_000
    partials = slices_after(SlidingSlices(size=10 * SECOND, every=every), range(0, 100 * SECOND, 1000))
    assert len(partials.log.namespaces()) <= 2 * (100 * SECOND // every + 1)


def test_15_a_row_is_aggregated_once_however_many_windows_share_it() -> None:
    partials = slices_after(SlidingSlices(size=60 * SECOND, every=SECOND), range(0, 100 * SECOND, 1000))
    held = sum(chunk.num_rows for number in partials.log.namespaces() for chunk in partials.log.read(number))
    assert held == 100


def test_15_a_window_of_more_than_64_slices_is_merged_from_blocks() -> None:
    window = SlidingSlices(size=4096 * SECOND, every=SECOND)
    partials = slices_after(window, range(0, 4200 * SECOND, SECOND))
    chunks = chunks_of(partials, 17)
    assert len(chunks) <= 2 * 15 * 3
    assert sum(sum(chunk.rows.column(0).to_pylist()) for chunk in chunks) == 4096


@pytest.mark.parametrize("workers", [1, 2])
def test_15_windows_of_many_slices_hold_what_falls_into_them(table: Table, flow: Flow, workers: int) -> None:
    rng = random.Random(15)
    times = sorted(rng.randrange(0, 900) for _ in range(300))
    steps = lambda rows: rows.window(sf.sliding("300s", every="1s")).agg(n=sf.count(), v=col("v").sum())  # noqa: E731
    results = sf.testing.run(
        flow(steps), {"rows": table([("x", t, t * SECOND) for t in times])}, workers=workers, crashes=1
    )
    expected = []
    for start in range(-299, 900):
        inside = [t for t in times if start <= t < start + 300]
        if inside:
            expected.append({"start": start, "n": len(inside), "v": sum(inside)})
    out = results["out"]
    found = pa.table(
        {
            "start": [value // SECOND for value in out.column("window_start").cast(pa.int64()).to_pylist()],
            "n": out.column("n"),
            "v": out.column("v"),
        }
    )
    assert_rows(found, expected)


# -- 16. Values compare as in SQL


KEYS: dict[str, tuple[pa.Array, list[Any]]] = {
    "null": (pa.array([None, None, 1], pa.int64()), [(None, 2), (1, 1)]),
    "nan": (pa.array([math.nan, -math.nan, np.float64("nan"), 1.0]), [(math.nan, 3), (1.0, 1)]),
    "zeros": (pa.array([-0.0, 0.0, -0.0]), [(0.0, 3)]),
    "small zeros": (pa.array([-0.0, 0.0, None], pa.float32()), [(0.0, 2), (None, 1)]),
    "text": (pa.array(["a", "a\x00", "A", "á", "a\u0301", "", None]), None),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("how", ["tumbling", "session", "running"])
@pytest.mark.parametrize("name", KEYS)
def test_16_keys_are_equal_as_in_sql(name: str, how: str, workers: int) -> None:
    keys, expected = KEYS[name]
    schema = pa.schema([("k", keys.type), ("t", TIME)])
    flow = sf.Flow("keys")
    rows = flow.read("rows", memory.Source(schema.empty_table()), event_time="t").key_by("k")
    windows: dict[str, Any] = {"tumbling": sf.tumbling("10s"), "session": sf.session("10s")}
    (rows.window(windows[how]) if how in windows else rows).agg(n=sf.count()).write("out", memory.Sink())
    parts = [
        pa.table([keys.slice(i, 1), pa.array([5], pa.int64()).cast(TIME)], schema=schema) for i in range(len(keys))
    ]
    out = sf.testing.run(flow, {"rows": splits(*parts)}, workers=workers)["out"]
    out = final(out) if how == "running" else out
    wanted = expected or [(value, 1) for value in keys.to_pylist()]
    assert_rows(out.select(["k", "n"]), [{"k": key, "n": n} for key, n in wanted])
    assert all(math.copysign(1, key) == 1 for key in out.column("k").to_pylist() if key == 0.0)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("size", [1, 40_000])
def test_16_nan_is_greater_than_all_numbers(workers: int, size: int) -> None:
    """On few rows and on many: other kernels are chosen."""
    values = [math.inf, math.nan, -math.inf, None, 1.0] * size
    given = pa.table({"x": pa.array(values), "t": pa.array([5] * len(values), pa.int64()).cast(TIME)})
    flow = sf.Flow("nan")
    rows = flow.read("rows", memory.Source(given.schema.empty_table()), event_time="t")
    rows.window(sf.tumbling("10s")).agg(lo=col("x").min(), hi=col("x").max()).write("agg", memory.Sink())
    rows.window(sf.tumbling("10s")).top(1, by="x").write("top", memory.Sink())
    rows.filter(col("x") > math.inf).select(n=sf.lit(1)).write("above", memory.Sink())
    results = sf.testing.run(flow, {"rows": given}, workers=workers)
    assert results["agg"].column("lo").to_pylist() == [-math.inf]
    assert math.isnan(results["agg"].column("hi")[0].as_py())
    assert math.isnan(results["top"].column("x")[0].as_py())
    assert results["above"].num_rows == size


def test_16_text_compares_by_its_bytes(table: Table, flow: Flow) -> None:
    steps = lambda rows: rows.window(sf.tumbling("10s")).agg(lo=col("k").min(), hi=col("k").max())  # noqa: E731
    given = table([(key, 1, 5) for key in ["b", "a", "B", "\U0001d11e", "\uffff", "ä", "aa", "a\x00"]])
    [row] = sf.testing.run(flow(steps), {"rows": given})["out"].to_pylist()
    assert (row["lo"], row["hi"]) == ("B", "\U0001d11e")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("values", [[2**63 - 1, 1], [-(2**63), -1], [2**62] * 3], ids=["above", "below", "many"])
@pytest.mark.parametrize("how", ["tumbling", "session", "running"])
def test_16_an_integer_sum_that_overflows_is_an_error_that_names_the_step(
    table: Table, flow: Flow, values: list[int], how: str, workers: int
) -> None:
    windows: dict[str, Any] = {"tumbling": sf.tumbling("10s"), "session": sf.session("10s")}

    def steps(rows: sf.Stream) -> sf.Stream:
        keyed = rows.key_by("k")
        return (keyed.window(windows[how]) if how in windows else keyed).agg(v=col("v").sum()).step("total")

    given = splits(*(table([("a", value, 5)]) for value in values))
    with pytest.raises(Exception, match="does not fit") as caught:
        sf.testing.run(flow(steps), {"rows": given}, workers=workers)
    assert isinstance(caught.value, StreamflowError)
    assert caught.value.step == "total"
    assert caught.value.location is not None
    assert caught.value.remedy is not None


@pytest.mark.parametrize("workers", [1, 2])
def test_16_a_sum_that_leaves_the_range_only_on_the_way_is_exact(table: Table, flow: Flow, workers: int) -> None:
    steps = lambda rows: rows.key_by("k").window(sf.tumbling("10s")).agg(v=col("v").sum())  # noqa: E731
    given = splits(*(table([("a", value, 5)]) for value in [2**63 - 1, 1, -1, -5]))
    for seed in range(5):
        out = sf.testing.run(flow(steps), {"rows": given}, workers=workers, seed=seed)["out"]
        assert out.column("v").to_pylist() == [2**63 - 6]


def test_16_integers_above_2_to_the_53_are_summed_and_averaged_exactly(table: Table, flow: Flow) -> None:
    steps = lambda rows: rows.window(sf.tumbling("10s")).agg(v=col("v").sum(), m=col("v").max())  # noqa: E731
    given = table([("a", value, 5) for value in [2**53, 1, 1, 2**53 + 1]])
    [row] = sf.testing.run(flow(steps), {"rows": given})["out"].to_pylist()
    assert (row["v"], row["m"]) == (2**54 + 3, 2**53 + 1)


# -- 17. Equal means equal


def test_17_only_floats_may_differ_and_by_1e_9_only() -> None:
    assert_rows(pa.table({"x": [1.0]}), [{"x": 1.0 + 0.9e-9}])
    for found, wanted in [(1.0, 1.0 + 2e-9), (2**53, 2**53 + 1), ("a", "A"), (0, None), (math.nan, 1.0)]:
        with pytest.raises(AssertionError):
            assert_rows(pa.table({"x": [found]}), [{"x": wanted}])


@pytest.mark.parametrize("workers", [1, 3])
def test_17_float_sums_do_not_depend_on_cuts_beyond_that(workers: int) -> None:
    rng = random.Random(17)
    values = [rng.choice([1e15, -1e15, 1.0, 0.1]) for _ in range(300)]
    given = pa.table({"x": values, "t": pa.array(range(300), pa.int64()).cast(TIME)})
    exact = math.fsum(values)
    for seed in range(5):
        flow = sf.Flow("sums")
        rows = flow.read("rows", memory.Source(given.schema.empty_table()), event_time="t")
        rows.window(sf.tumbling("10s")).agg(s=(col("x") + 1e16).sum()).write("out", memory.Sink())
        [found] = sf.testing.run(flow, {"rows": given}, workers=workers, seed=seed)["out"].column("s").to_pylist()
        assert found == pytest.approx(exact + 300e16, rel=1e-9)


# -- 18. Edges carry plain types


ODD_TYPES = {
    "dictionary": pa.array(["a", "b", "a", None]).dictionary_encode(),
    "large_string": pa.array(["a", "b", "a", None], pa.large_string()),
    "string_view": pa.array(["a", "b", "a", None], pa.string_view()),
    "dictionary of ints": pa.array([7, 8, 7, None]).dictionary_encode(),
    "run ends": pa.RunEndEncodedArray.from_arrays([1, 2, 4], pa.array(["a", "b", None])),
    "milliseconds": pa.array([7, 8, 7, None], pa.timestamp("ms")),
    "nanoseconds": pa.array([7000, 8000, 7000, None], pa.timestamp("ns", "Europe/Berlin")),
    "large_binary": pa.array([b"a", b"b", b"a", None], pa.large_binary()),
    "list of dictionaries": pa.array([["a"], ["b"], ["a"], None], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
    "struct": pa.array([{"x": "a"}, {"x": "b"}, None, None], pa.struct([("x", pa.large_string())])),
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", ODD_TYPES)
def test_18_sources_cast_to_plain_types(name: str, workers: int) -> None:
    values = ODD_TYPES[name]
    given = pa.table({"k": values, "t": pa.array([1, 2, 3, 4], pa.timestamp("ns"))})
    flow = sf.Flow("types")
    rows = flow.read("rows", memory.Source(given), event_time="t")
    rows.write("out", memory.Sink())
    out = sf.testing.run(flow, workers=workers)["out"]
    for kind in _all_types(out.schema):
        assert not pa.types.is_dictionary(kind)
        assert not pa.types.is_run_end_encoded(kind)
        assert not any(
            test(kind) for test in (pa.types.is_large_string, pa.types.is_large_binary, pa.types.is_large_list)
        )
        assert kind not in (pa.string_view(), pa.binary_view())
        assert not pa.types.is_timestamp(kind) or kind == TIME
    assert out.num_rows == 4


def _all_types(schema: pa.Schema) -> list[pa.DataType]:
    found: list[pa.DataType] = []

    def visit(kind: pa.DataType) -> None:
        found.append(kind)
        for i in range(kind.num_fields):
            visit(kind.field(i).type)

    for field in schema:
        visit(field.type)
    return found


class Loose:
    """A reader's batches in types other than those that `schema` declares."""

    bounded = True

    def schema(self) -> pa.Schema:
        return pa.schema([("k", pa.string()), ("t", TIME)])

    def splits(self) -> list[str]:
        return ["0"]

    def open(self, splits: Mapping[str, Position | None]) -> Loose:
        self._left = [
            pa.record_batch({"k": pa.array(["a"]).dictionary_encode(), "t": pa.array([1], pa.timestamp("ms"))}),
            pa.record_batch({"k": pa.array(["a"], pa.large_string()), "t": pa.array([1], pa.timestamp("s", "UTC"))}),
        ]
        return self

    def poll(self, max_rows: int) -> PollResult:
        return [("0", self._left.pop(0))] if self._left else Ended("0")

    def positions(self) -> Mapping[str, Position]:
        return {}

    def committed(self, positions: Mapping[str, Position]) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("workers", [1, 2])
def test_18_what_a_reader_gives_in_other_types_is_cast(workers: int) -> None:
    flow = sf.Flow("types")
    rows = flow.read("rows", Loose(), event_time="t")
    rows.write("out", memory.Sink())
    rows.key_by("k").window(sf.tumbling("10s")).agg(n=sf.count()).write("counts", memory.Sink())
    results = sf.testing.run(flow, workers=workers)
    assert results["out"].schema == pa.schema([("k", pa.string()), ("t", TIME)])
    assert results["counts"].column("n").to_pylist() == [2]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_18_one_value_in_two_encodings_is_one_key(workers: int) -> None:
    """The union of a source and of what `map_batches` gives: keys meet on one worker in one form."""
    plain = pa.table({"k": ["a", "b"], "t": pa.array([1, 2], pa.int64()).cast(TIME)})

    def encoded(batch: pa.RecordBatch) -> pa.RecordBatch:
        kinds = batch.column("k").dictionary_encode()
        return pa.record_batch({"k": kinds, "t": batch.column("t").cast(pa.timestamp("ns", "UTC"))})

    flow = sf.Flow("types")
    one = flow.read("one", memory.Source(plain), event_time="t")
    other = flow.read("other", memory.Source(plain), event_time="t").map_batches(encoded, schema=plain.schema)
    one.union(other).key_by("k").window(sf.tumbling("1s")).agg(n=sf.count()).write("out", memory.Sink())
    out = sf.testing.run(flow, workers=workers)["out"]
    assert_rows(out.select(["k", "n"]), [{"k": "a", "n": 2}, {"k": "b", "n": 2}])


# -- 19. The partition hash belongs to the value


GOLDEN = [
    (pa.array([0, 1, 2, 3, -1, 2**63 - 1, None], pa.int64()), [0, 0, 5, 6, 0, 2, 6]),
    (pa.array(["", "a", "b", "ä", "long" * 75, None]), [2, 1, 6, 2, 1, 6]),
    (pa.array([0.0, -0.0, math.nan, 1.5, None]), [6, 6, 3, 4, 6]),
]


def workers_of(*columns: pa.Array, workers: int = 7) -> list[int]:
    """Which worker each row goes to."""
    names = tuple(f"c{i}" for i in range(len(columns)))
    rows = pa.array(range(len(columns[0])))
    batch = pa.record_batch([*columns, rows], names=[*names, "row"])
    owners = [-1] * batch.num_rows
    for worker, part in Router(names, batch.schema, 128, workers).split(batch):
        for row in part.column("row").to_pylist():
            owners[row] = worker
    return owners


@pytest.mark.parametrize(("values", "workers"), GOLDEN, ids=["ints", "text", "floats"])
def test_19_the_worker_of_a_value_is_fixed_for_ever(values: pa.Array, workers: list[int]) -> None:
    assert HASH_VERSION == 1
    assert workers_of(values) == workers


@pytest.mark.parametrize("kind", [pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint32()])
def test_19_an_integer_goes_where_it_goes_whatever_its_width(kind: pa.DataType) -> None:
    values = [0, 1, 2, 3, 100, None]
    assert workers_of(pa.array(values, kind)) == workers_of(pa.array(values, pa.int64()))


def test_19_equal_floats_go_together() -> None:
    zero, minus, nan, other = workers_of(pa.array([0.0, -0.0, math.nan, -math.nan]), workers=128)
    assert (zero, nan) == (minus, other)


def test_19_columns_are_combined_in_order() -> None:
    many = [f"{i}" for i in range(200)]
    one = workers_of(pa.array(many), pa.array(many[::-1]))
    other = workers_of(pa.array(many[::-1]), pa.array(many))
    assert one != other
    assert one == workers_of(pa.array(many), pa.array(many[::-1]))


def test_19_a_slice_of_a_batch_goes_where_the_batch_went() -> None:
    values = pa.array([None, "a", "b", "c", "d" * 300, ""])
    assert workers_of(values.slice(2)) == workers_of(values)[2:]


def test_19_keys_spread_over_all_workers() -> None:
    assert len(Counter(workers_of(pa.array(range(1000))))) == 7
