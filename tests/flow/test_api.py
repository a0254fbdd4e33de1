"""The public names: a change here is a change for users."""

from __future__ import annotations

import subprocess
import sys

import pytest

import streamflow as sf
from streamflow.flow import instead


def _public(kind: type) -> list[str]:
    return sorted(name for name in dir(kind) if not name.startswith("_"))


def test_names_of_the_package() -> None:
    assert sf.__all__ == [
        "Aggregator",
        "Checkpoints",
        "Expr",
        "Flow",
        "KeyedFunction",
        "KeyedStream",
        "Stream",
        "Tcp",
        "WatermarkGenerator",
        "WindowedStream",
        "aggregate",
        "bounded_out_of_orderness",
        "cell",
        "coalesce",
        "col",
        "concat_str",
        "count",
        "count_window",
        "cumulative",
        "fn",
        "from_epoch",
        "global_window",
        "list_cell",
        "lit",
        "main",
        "map_cell",
        "max_horizontal",
        "min_horizontal",
        "monotonic",
        "run",
        "session",
        "sliding",
        "struct",
        "testing",
        "timer",
        "trigger",
        "tumbling",
        "watermark_by",
        "watermark_from",
        "when",
    ]


def test_methods_of_a_flow() -> None:
    assert _public(sf.Flow) == ["dead_letters", "graph", "read"]


def test_methods_of_a_stream() -> None:
    assert _public(sf.Stream) == [
        "agg",
        "changes",
        "drop",
        "explode",
        "filter",
        "flat_map",
        "key_by",
        "late",
        "map",
        "map_batches",
        "peek",
        "pipe",
        "rename",
        "schema",
        "select",
        "step",
        "union",
        "unnest",
        "window",
        "with_columns",
        "with_event_time",
        "write",
    ]


def test_after_key_by_and_window_only_what_fits_is_left() -> None:
    assert _public(sf.KeyedStream) == ["agg", "dedup", "process", "top", "window"]
    assert _public(sf.WindowedStream) == ["agg", "top"]


@pytest.mark.parametrize(
    ("name", "word"),
    [("group_by", r"\.key_by"), ("where", r"\.filter"), ("assign", r"\.with_columns"), ("fitler", r"\.filter")],
)
def test_other_words_name_the_right_one(rides: sf.Stream, name: str, word: str) -> None:
    with pytest.raises(AttributeError, match=word):
        getattr(rides, name)


def test_methods_that_do_not_exist_yet_are_not_there(rides: sf.Stream) -> None:
    assert not hasattr(rides, "join")


def test_keyed_streams_say_what_comes_before_key_by(rides: sf.Stream) -> None:
    with pytest.raises(AttributeError, match=r"before \.key_by"):
        rides.key_by("city").filter  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Stram", "no attribute 'Stram'; did you mean sf.Stream"),
        ("len", r"write sf.count\(\)"),
        ("read_parquet", r"flow\.read\('rows', parquet\.Source"),
        ("Json", "not in this version"),
        ("zzz", "no attribute 'zzz'$"),
    ],
)
def test_an_unknown_name_of_the_package_says_what_to_write(name: str, words: str) -> None:
    with pytest.raises(AttributeError, match=words):
        getattr(sf, name)


def test_words_of_later_versions_say_so(flow: sf.Flow, rides: sf.Stream) -> None:
    keyed = rides.key_by("city")
    owners = (flow, rides, keyed, keyed.window(sf.tumbling("1h")), sf.col("fare"))
    for word in (word for word in instead.LATER if "(" not in word):
        for owner in owners:
            with pytest.raises(AttributeError, match=f"no method .{word}: it is not in this version"):
                getattr(owner, word)
        assert word not in sf.__all__


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, streamflow; print('pyarrow' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
