from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamflow_connectors import nexmark

from streamflow.connect import ProjectableSource, SizedSource, TimedSource, UserError

ReadAll = Callable[..., pa.Table]
Table = Literal["bids", "auctions", "persons"]


def read(source: nexmark.Source, max_rows: int = 10_000) -> pa.Table:
    reader = source.open(dict.fromkeys(source.splits()))
    batches = []
    while isinstance(polled := reader.poll(max_rows), list) and polled:
        for part in polled:
            assert isinstance(part, tuple)
            batches.append(part[1])
    return pa.Table.from_batches(batches, source.schema())


def test_it_has_the_capabilities_of_a_source() -> None:
    source = nexmark.Source("bids", events=50)
    for capability in (ProjectableSource, SizedSource, TimedSource):
        assert isinstance(source, capability)


@pytest.mark.parametrize(
    ("events", "counts"), [(50, (1, 3, 46)), (5000, (100, 300, 4600)), (53, (2, 5, 46)), (0, (0, 0, 0))]
)
def test_of_fifty_events_one_is_a_person_three_are_auctions(events: int, counts: tuple[int, int, int]) -> None:
    tables: list[Table] = ["persons", "auctions", "bids"]
    sources = [nexmark.Source(table, events=events) for table in tables]
    assert tuple(source.row_count() for source in sources) == counts
    assert tuple(read(source).num_rows for source in sources) == counts


@pytest.mark.parametrize("table", ["persons", "auctions", "bids"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**64), max_rows=st.integers(1, 50), splits=st.integers(1, 5))
def test_rows_do_not_depend_on_cuts_splits_or_columns(table: Table, seed: int, max_rows: int, splits: int) -> None:
    whole = read(nexmark.Source(table, events=500, seed=seed, disorder="1s"))
    source = nexmark.Source(table, events=500, seed=seed, disorder="1s", splits=splits)
    reader = source.project(whole.column_names[::-1]).open(dict.fromkeys(source.splits()))
    parts: dict[str, list[pa.RecordBatch]] = {split: [] for split in source.splits()}
    ended = 0
    while ended < splits:
        polled = reader.poll(max_rows)
        if isinstance(polled, list):
            for part in polled:
                assert isinstance(part, tuple)
                parts[part[0]].append(part[1])
        else:
            ended += 1
    for split, batches in parts.items():
        expected = whole.take(list(range(int(split), whole.num_rows, splits))).select(whole.column_names[::-1])
        assert pa.Table.from_batches(batches, expected.schema).combine_chunks().equals(expected.combine_chunks())


def test_another_seed_gives_other_rows() -> None:
    assert not read(nexmark.Source("bids", events=500, seed=1)).equals(read(nexmark.Source("bids", events=500, seed=2)))


def test_values_of_a_seed_never_change() -> None:
    [row] = read(nexmark.Source("bids", events=100_000, seed=1)).slice(50_000, 1).to_pylist()
    assert {name: row[name] for name in ("auction", "bidder", "price", "channel")} == {
        "auction": 4200,
        "bidder": 2026,
        "price": 137,
        "channel": "Baidu",
    }


def test_event_times_go_by_the_number_of_the_event() -> None:
    bids = read(nexmark.Source("bids", events=200, per_second=1000))
    times = pc.subtract(bids["date_time"].cast(pa.int64()), nexmark.FIRST_TIME).to_pylist()
    assert times[:46] == [number * 1000 for number in range(4, 50)]
    assert times[46] == 54_000


def test_disorder_stays_within_its_bound_and_is_used() -> None:
    source = nexmark.Source("bids", events=50_000, disorder="2s")
    times = read(source.project(["date_time"]))["date_time"].cast(pa.int64()).to_numpy()
    behind = np.maximum.accumulate(times) - times
    assert 1_900_000 < behind.max() <= 2_000_000
    least = source.min_value("0", "date_time")
    assert least is not None
    assert least.cast(pa.int64()).as_py() <= times.min()


def test_half_the_bids_are_for_a_hot_auction_and_three_quarters_by_a_hot_bidder() -> None:
    bids = read(nexmark.Source("bids", events=200_000).project(["auction", "bidder"]))
    hot_auctions = np.mean(bids["auction"].to_numpy() % 100 == 0)
    hot_bidders = np.mean(bids["bidder"].to_numpy() % 100 == 1)
    assert 0.49 < hot_auctions < 0.52
    assert 0.74 < hot_bidders < 0.77


def test_bids_name_auctions_and_persons_of_their_time() -> None:
    bids = read(nexmark.Source("bids", events=50_000))
    newest = np.arange(bids.num_rows) // 46
    auctions = bids["auction"].to_numpy() - nexmark.FIRST_ID
    bidders = bids["bidder"].to_numpy() - nexmark.FIRST_ID
    assert np.all((auctions >= 0) & (auctions <= newest * 3 + 2 + 10))
    assert np.all((bidders >= 0) & (bidders <= newest + 10))
    assert pc.min(bids["price"]).as_py() >= 100
    assert pc.max(bids["price"]).as_py() <= 100_000_000


def test_ids_are_unique_and_every_string_is_valid() -> None:
    auctions = read(nexmark.Source("auctions", events=20_000))
    persons = read(nexmark.Source("persons", events=20_000))
    assert pc.count_distinct(auctions["id"]).as_py() == 1200
    assert pc.count_distinct(persons["id"]).as_py() == 400
    assert pc.all(pc.match_substring_regex(persons["credit_card"], r"^\d{4} \d{4} \d{4} \d{4}$")).as_py()
    assert pc.all(pc.match_substring_regex(persons["email_address"], "^[a-z]{3,7}@[a-z]{3,5}[.]com$")).as_py()
    assert pc.all(pc.greater(auctions["expires"], auctions["date_time"])).as_py()
    assert pc.all(pc.greater_equal(auctions["reserve"], auctions["initial_bid"])).as_py()
    assert set(pc.unique(auctions["category"]).to_pylist()) == {10, 11, 12, 13, 14}
    for table in (auctions, persons):
        table.validate(full=True)


def test_a_stream_without_end_goes_on() -> None:
    source = nexmark.Source("bids")
    assert not source.bounded
    assert source.row_count() is None
    polled = source.project(["price"]).open({"0": 10**12}).poll(1000)
    assert isinstance(polled, list)
    [part] = polled
    assert isinstance(part, tuple)
    assert part[1].num_rows == 1000


@pytest.mark.parametrize(
    "wrong", [{"table": "cars"}, {"events": -1}, {"splits": 0}, {"per_second": 0}, {"disorder": "-1s"}]
)
def test_what_cannot_be_made_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError):
        nexmark.Source(**wrong)  # type: ignore[arg-type]
