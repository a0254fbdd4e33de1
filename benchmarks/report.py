"""Tables for people, JSON for the next run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.files import FileRead
from benchmarks.longest import Longest
from benchmarks.nexmark import BARE_SIZE, SIZES, Measured
from benchmarks.spilling import Spilled
from benchmarks.start import Start
from benchmarks.tables import Table
from benchmarks.targets import SPEED_SIZE

_NOISE = 0.8
"""Ratios of two runs differ by so much on a busy machine."""


def aligned(rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells under one another; the first column left, the others right.

    >>> print(aligned([("query", "M/s"), ("q0", "120.5")]))
    query    M/s
    q0     120.5
    """
    rows = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(line(row, widths) for row in rows)


def line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """One row of a table whose columns are so wide."""
    first, *others = cells
    right = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
    return "  ".join([first.ljust(widths[0]), *right]).rstrip()


def nexmark_header() -> tuple[str, ...]:
    sizes = [f"{size // 1024}k" for size in SIZES]
    return ("query", *sizes, "bare 8k", "DuckDB", "loose", "plain", "x DuckDB 16k", "engine adds at 8k")


def nexmark_widths() -> list[int]:
    """Known before anything is measured: rows are printed as they come."""
    return [max(len(title), least) for title, least in zip(nexmark_header(), (13, *[6] * 11), strict=True)]


def nexmark_row(one: Measured) -> tuple[str, ...]:
    """Million bids a second of CPU time."""
    speeds = [f"{one.speed(one.engine[size]):.1f}" if size in one.engine else "" for size in SIZES]
    bare = "" if one.bare is None or one.query.name == "q0" else f"{one.speed(one.bare):.1f}"
    others = ("" if best is None else f"{one.speed(best):.1f}" for best in (one.loose, one.plain))
    ratio = f"{one.ratio(SPEED_SIZE):.2f}"
    return (one.name, *speeds, bare, f"{one.speed(one.duckdb):.1f}", *others, ratio, _added(one))


def _added(one: Measured) -> str:
    if one.added is None or one.added_us is None:
        return ""
    return f"{one.added_us:.0f} us" if one.query.stateless else f"{one.added:.0%} ({one.added_us:.0f} us)"


def file_rows(reads: Iterable[FileRead]) -> Iterable[tuple[str, ...]]:
    yield ("source", "M rows/s", "MB/s", "pyarrow M rows/s", "MB/s", "x pyarrow")
    for one in reads:
        ours, pyarrows = one.ours.cpu, one.pyarrows.cpu
        speeds = (one.rows / ours / 1e6, one.megabytes / ours, one.rows / pyarrows / 1e6, one.megabytes / pyarrows)
        yield (
            one.name,
            *(f"{speed:.2f}" if speed < 10 else f"{speed:.0f}" for speed in speeds),
            f"{pyarrows / ours:.2f}",
        )


def spilled_rows(spilled: Iterable[Spilled]) -> Iterable[tuple[str, ...]]:
    yield ("state", "M rows/s in memory", "spilling", "left", "MB written")
    for one in spilled:
        speeds = (one.rows / best.cpu / 1e6 for best in (one.kept, one.spilled))
        yield (one.name, *(f"{speed:.2f}" for speed in speeds), f"{one.ratio:.0%}", f"{one.written:.0f}")


def table_rows(measured: Iterable[Table]) -> Iterable[tuple[str, ...]]:
    yield ("operator", "M rows/s", "beside", "M rows/s", "ratio")
    for one in measured:
        speeds = (f"{one.rows / best.cpu / 1e6:.2f}" for best in (one.ours, one.other))
        yield (one.name, next(speeds), one.beside, next(speeds), f"{one.ratio:.2f}")


def longest_rows(calls: Iterable[Longest]) -> Iterable[tuple[str, ...]]:
    yield ("step", "filling", "firing", "firing, all calls")
    for one in calls:
        yield (one.name, *(f"{seconds * 1e3:.0f}" for seconds in (one.filling, one.firing, one.whole)))


def start_rows(starts: Iterable[Start]) -> Iterable[tuple[str, ...]]:
    yield ("start", "seconds", "at most")
    for one in starts:
        yield (one.name, f"{one.seconds:.3f}", "" if one.target is None else f"{one.target:.2f}")


def as_json(
    facts: Mapping[str, str],
    measured: Sequence[Measured],
    reads: Sequence[FileRead],
    spilled: Sequence[Spilled],
    starts: Sequence[Start],
    tables: Sequence[Table],
    calls: Sequence[Longest],
) -> dict[str, Any]:
    """Everything measured; seconds, rows, megabytes, and the ratios that are compared between runs."""
    queries = {
        one.name: {
            "rows": one.rows,
            "duckdb": _best(one.duckdb),
            "duckdb_loose": None if one.loose is None else _best(one.loose),
            "duckdb_plain": None if one.plain is None else _best(one.plain),
            "engine": {str(size): _best(best) for size, best in one.engine.items()},
            "bare": None if one.bare is None else {str(BARE_SIZE): _best(one.bare)},
            "times_duckdb": {str(size): round(one.ratio(size), 3) for size in one.engine},
        }
        for one in measured
    }
    files = {
        one.name: {
            "rows": one.rows,
            "megabytes": round(one.megabytes, 1),
            "engine": _best(one.ours),
            "pyarrow": _best(one.pyarrows),
            "times_pyarrow": round(one.pyarrows.cpu / one.ours.cpu, 3),
        }
        for one in reads
    }
    kept = {
        one.name: {
            "rows": one.rows,
            "engine": _best(one.ours),
            "beside": one.beside,
            "other": _best(one.other),
            "ratio": round(one.ratio, 3),
        }
        for one in tables
    }
    return {
        "facts": dict(facts),
        "nexmark": queries,
        "files": files,
        "spilling": {
            one.name: {
                "rows": one.rows,
                "kept": _best(one.kept),
                "spilled": _best(one.spilled),
                "left": round(one.ratio, 3),
                "megabytes": round(one.written, 1),
            }
            for one in spilled
        },
        "tables": kept,
        "longest_call": {one.name: {"filling": round(one.filling, 5), "firing": round(one.firing, 5)} for one in calls},
        "start": {one.name: round(one.seconds, 4) for one in starts},
    }


def _best(best: Any) -> dict[str, float]:
    return {"cpu": round(best.cpu, 5), "wall": round(best.wall, 5)}


def compared(now: Mapping[str, Any], before: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    """The ratios to DuckDB and pyarrow of two runs: these survive a change of machine, absolute speeds do not."""
    yield ("ratio", "before", "now", "")
    for part, ratio in (("nexmark", "times_duckdb"), ("files", "times_pyarrow")):
        for name, measured in now[part].items():
            was, is_ = (one.get(ratio) for one in (before[part].get(name, {}), measured))
            if isinstance(is_, dict):
                was, is_, name = (was or {}).get(str(SPEED_SIZE)), is_.get(str(SPEED_SIZE)), f"{name} x DuckDB"
            else:
                name = f"{name} x pyarrow"
            if was and is_:
                yield (name, f"{was:.2f}", f"{is_:.2f}", "slower" if is_ < was * _NOISE else "")


def save(found: Mapping[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")
