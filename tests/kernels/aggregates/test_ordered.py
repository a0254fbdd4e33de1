"""first, last and list against sorting in plain Python."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamflow.kernels.aggregate import AggregateSpec, Kind

TIME = pa.timestamp("us", "UTC")
ONE, TWO = pa.int64(), pa.struct({"0": pa.int64(), "1": pa.int64()})


def spec(kind: Kind, value: pa.DataType, order: pa.DataType, filter: str | None = None) -> AggregateSpec:  # noqa: A002
    return AggregateSpec(kind, "x", value, "r", more=(("_time", TIME), ("_order", order)), filter=filter)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2), st.none() | st.sampled_from(["", "a", "b"]), st.integers(-2, 2), st.booleans()),
        min_size=1,
        max_size=25,
    ),
    shuffled=st.randoms(use_true_random=False),
    cuts=st.lists(st.integers(0, 25), max_size=3),
    nested=st.booleans(),
)
def test_any_cut_and_arrival_gives_the_values_by_time_and_order(
    in_pieces: Any, rows: list[tuple[int, str | None, int, bool]], shuffled: Any, cuts: list[int], nested: bool
) -> None:
    placed = [(key, value, time, place, ok) for place, (key, value, time, ok) in enumerate(rows)]
    arrived = list(placed)
    shuffled.shuffle(arrived)
    places = [place for _, _, _, place, _ in arrived]
    orders = pa.array([{"0": place // 3, "1": place % 3} for place in places], TWO) if nested else pa.array(places, ONE)
    columns = {
        "x": pa.array([value for _, value, _, _, _ in arrived], pa.string()),
        "_time": pa.array([time for _, _, time, _, _ in arrived], pa.int64()).view(TIME),
        "_order": orders,
        "ok": pa.array([ok for *_, ok in arrived]),
    }
    keys = [key for key, *_ in arrived]
    cuts = sorted(min(cut, len(keys)) for cut in cuts)

    def found(kind: Kind, condition: str | None) -> dict[int, Any]:
        return in_pieces(spec(kind, pa.string(), orders.type, condition), keys, columns, cuts)  # type: ignore[no-any-return]

    for condition in (None, "ok"):
        first, last, every = (found(kind, condition) for kind in ("first", "last", "list"))
        for key in set(keys):
            some = sorted((t, place, x) for k, x, t, place, ok in placed if k == key and (ok or condition is None))
            values = [x for _, _, x in some]
            assert every[key] == (values or None)
            assert (first[key], last[key]) == ((values[0], values[-1]) if values else (None, None))


@pytest.mark.parametrize(
    "value",
    [pa.list_(pa.int64()), pa.struct({"a": pa.string()}), pa.map_(pa.string(), pa.int64()), pa.null(), pa.bool_()],
    ids=str,
)
def test_values_of_any_type_are_kept(in_pieces: Any, value: pa.DataType) -> None:
    samples: dict[pa.DataType, list[Any]] = {
        pa.list_(pa.int64()): [[1, None], [], None],
        pa.struct({"a": pa.string()}): [{"a": "x"}, {"a": None}, None],
        pa.map_(pa.string(), pa.int64()): [[("a", 1)], [], None],
        pa.null(): [None, None, None],
        pa.bool_(): [True, False, None],
    }
    columns = {
        "x": pa.array(samples[value], value),
        "_time": pa.array([5, 4, 4]).view(TIME),
        "_order": pa.array([0, 2, 1]),
    }
    ordered = [samples[value][row] for row in (2, 1, 0)]
    assert in_pieces(spec("list", value, ONE), [1, 1, 1], columns, [1, 2]) == {1: ordered}
    assert in_pieces(spec("last", value, ONE), [1, 1, 1], columns, [1, 2]) == {1: ordered[-1]}
