"""Plans as text, compared literally."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pyarrow as pa
from streamflow_connectors import memory

import streamflow as sf
from streamflow.flow.load import load
from streamflow.plan.explain import GraphName, explain

LARGE = """\
import pyarrow as pa
import streamflow as sf
from streamflow_connectors import memory

def build():
    flow = sf.Flow("large-bids")
    bids = flow.read("bids", memory.Source(pa.table({"price": [1, 200], "bidder": ["a", "b"]})))
    bids.filter(sf.col("price") > 100).select(cents=sf.col("price") * 100).write("out", memory.Sink())
    return flow
"""

HOT_ITEMS = """\
import pyarrow as pa
import streamflow as sf
from streamflow import col
from streamflow_connectors import memory

BIDS = pa.schema(
    {"auction": pa.int64(), "price": pa.int64(), "bidder": pa.string(), "date_time": pa.timestamp("us", "UTC")}
)

def build():
    flow = sf.Flow("hot-items")
    bids = flow.read("bids", memory.Source(BIDS.empty_table()),
                     event_time="date_time", watermark=sf.bounded_out_of_orderness("1s", idle="30s"))
    counts = (bids.filter(col("price") > 100).key_by("auction").window(sf.sliding("10s", every="2s"))
              .agg(bids=sf.count(), top=col("price").max(), mean=(col("price") * 0.908).mean()).step("counts"))
    hottest = counts.key_by("window_end").top(1, by="bids")
    hottest.write("out", memory.Sink())
    counts.filter(col("bids") > 1).write("busy", memory.Sink())
    return flow
"""


def explained(folder: Path, script: str, graph: GraphName, workers: int = 1) -> str:
    path = folder / "script.py"
    path.write_text(script, encoding="utf-8")
    flow = load(str(path))()
    text = explain(flow.graph(), name=flow.name, workers=workers, graphs=[graph])
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def test_a_logical_graph_shows_every_step_with_its_columns_and_the_users_line(tmp_path: Path) -> None:
    assert explained(tmp_path, LARGE, "logical") == dedent("""\
        large-bids: logical graph

         1  bids  read memory.Source(rows=2, splits=1)                                                     script.py:7
            │     columns     price: int64, bidder: string
            │     rows        append-only
         2        filter col('price') > 100                                                                script.py:8
         3        select cents = col('price') * 100                                                        script.py:8
            │     columns     cents: int64
         4  out   write memory.Sink()                                                                      script.py:8
    """)


def test_an_optimised_graph_shows_what_the_rules_did(tmp_path: Path) -> None:
    assert explained(tmp_path, LARGE, "optimised") == dedent("""\
        large-bids: optimised graph

         1  bids  read memory.Source(rows=2, splits=1)                                                     script.py:7
            │     reads only  price
            │     columns     price: int64
            │     rows        append-only
         2        filter col('price') > 100                                                                script.py:8
         3        select cents = col('price') * 100                                                        script.py:8
            │     columns     cents: int64
         4  out   write memory.Sink()                                                                      script.py:8
    """)


def test_a_physical_graph_of_one_worker_has_no_exchange(tmp_path: Path) -> None:
    assert explained(tmp_path, LARGE, "physical") == dedent("""\
        large-bids: physical graph, 1 worker, 128 key groups

        stage 1: one task
         1  bids        read memory [price]                                                                script.py:7
            │           source      memory.Source(rows=2, splits=1, columns=['price'])
            │           columns     price: int64
            │           state       the position in each split
         2  after bids  filter col('price') > 100                                                          script.py:8
         3  after bids  project cents=col('price') * 100                                                   script.py:8
            │           columns     cents: int64
         4  out         write memory                                                                       script.py:8
                        sink        memory.Sink()
    """)


def test_hot_items_as_written(tmp_path: Path) -> None:
    assert explained(tmp_path, HOT_ITEMS, "logical") == dedent("""\
        hot-items: logical graph

         1  bids        read memory.Source(rows=0, splits=1)                                              script.py:12
            │           event time  col('date_time')
            │           watermark   1s behind the greatest event time, a split is idle after 30s
            │           columns     auction: int64, price: int64, bidder: string, date_time: timestamp[us, tz=UTC]
            │           rows        append-only
         2              filter col('price') > 100                                                         script.py:14
         3  counts      aggregate by auction in windows of 10s every 2s                                   script.py:15
            │           computes    bids = count(); top = col('price').max(); mean = (col('price') * 0.908).mean()
            │           columns     auction: int64, window_start: timestamp[us, tz=UTC],
            │                       window_end: timestamp[us, tz=UTC], bids: int64, top: int64, mean: double
            │           rows        append-only
         4  counts.top  top 1 by bids descending for each window_end, once window_end is final            script.py:16
            │           rows        append-only
         5  out         write memory.Sink()                                                               script.py:17

            from 3 counts
         6              filter col('bids') > 1                                                            script.py:18
         7  busy        write memory.Sink()                                                               script.py:18
    """)


def test_hot_items_on_three_workers(tmp_path: Path) -> None:
    assert explained(tmp_path, HOT_ITEMS, "physical", workers=3) == dedent("""\
        hot-items: physical graph, 3 workers, 128 key groups (42 or 43 on each)

        stage 1: 3 tasks, one on each worker
         1  bids          read memory [auction, price, date_time]                                         script.py:12
            │             source      memory.Source(rows=0, splits=1, columns=['auction', 'price', 'date_time'])
            │             columns     auction: int64, price: int64, date_time: timestamp[us, tz=UTC]
            │             state       the position in each split
         2  bids          event time col('date_time'), watermark per split                                script.py:12
            │             watermark   1s behind the greatest event time, a split is idle after 30s, for each split of
            │                         the read
            │             columns     auction: int64, price: int64, date_time: timestamp[us, tz=UTC],
            │                         _time: timestamp[us, tz=UTC]
            │             state       the greatest event time of each split
         3  after bids    filter col('price') > 100                                                       script.py:14
         4  counts        project auction, price, ~1=col('price') * 0.908                                 script.py:15
            │             columns     auction: int64, price: int64, ~1: double, _time: timestamp[us, tz=UTC]
         5  counts        partial aggregate bids=count(), top=col('price').max(), mean=col('~1').mean()   script.py:15
                            by auction in sliding 10s every 2s (shared slices)
                          columns     auction: int64, ~bids.count: int64, ~top.max: int64, ~mean.sum: double,
                                      ~mean.count: int64, ~slice: int64, ~rows: int64, _time: timestamp[us, tz=UTC]

        stage 2: 3 tasks, one on each worker
            from 5 counts, exchanged by auction
         6  counts        final aggregate bids=count(), top=col('price').max(), mean=col('~1').mean() by  script.py:15
            │               auction in sliding 10s every 2s (shared slices)
            │             columns     auction: int64, window_start: timestamp[us, tz=UTC],
            │                         window_end: timestamp[us, tz=UTC], bids: int64, top: int64, mean: double,
            │                         _time: timestamp[us, tz=UTC]
            │             state       slices (chunk log), progress
         7  counts.top    local top 1 by bids desc for each window_end                                    script.py:16

            from 6 counts
         8  after counts  filter col('bids') > 1                                                          script.py:18
         9  busy          write memory                                                                    script.py:18
                          sink        memory.Sink()

        stage 3: 3 tasks, one on each worker
            from 7 counts.top, exchanged by window_end
        10  counts.top    final top 1 by bids desc for each window_end                                    script.py:16
            │             state       rows (held rows), progress
        11  out           write memory                                                                    script.py:17
                          sink        memory.Sink()
    """)


def test_a_stream_that_several_read_is_shown_once() -> None:
    flow = sf.Flow("shared")
    numbers = flow.read("numbers", memory.Source(pa.table({"n": [1]})))
    numbers.filter(sf.col("n") > 1).write("large", memory.Sink())
    numbers.filter(sf.col("n") < 1).write("small", memory.Sink())
    text = explain(flow.graph(), graphs=["logical"])
    assert text.count("read memory.Source") == 1
    assert "    from 1 numbers\n 4           filter col('n') < 1 " in text


def test_a_union_says_where_its_rows_come_from() -> None:
    flow = sf.Flow("both")
    left = flow.read("left", memory.Source(pa.table({"n": [1]})))
    right = flow.read("right", memory.Source(pa.table({"n": [1]})))
    left.union(right).write("out", memory.Sink())
    assert "    from 1 left and 2 right\n 3         union of 2 " in explain(flow.graph(), graphs=["logical"])


def test_a_changelog_names_its_key_and_changes_make_it_append_only() -> None:
    flow = sf.Flow("counts")
    words = flow.read("words", memory.Source(pa.table({"word": ["a"]})))
    words.key_by("word").agg(n=sf.count()).changes().write("out", memory.Sink())
    rows = [
        line.split("rows")[1].strip()
        for line in explain(flow.graph(), graphs=["logical"]).splitlines()
        if "  rows  " in line
    ]
    assert rows == ["append-only", "a changelog with the key (word)", "append-only"]


def test_a_key_that_is_none_at_all_goes_to_one_worker() -> None:
    flow = sf.Flow("total")
    words = flow.read("words", memory.Source(pa.table({"word": ["a"]})))
    words.agg(n=sf.count()).changes().write("out", memory.Sink())
    assert "exchanged to one worker" in explain(flow.graph(), workers=2, graphs=["physical"])


def test_no_line_is_wider_than_the_page(tmp_path: Path) -> None:
    assert max(map(len, explained(tmp_path, HOT_ITEMS, "physical", workers=3).splitlines())) <= 110
