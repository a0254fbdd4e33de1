"""`python -m benchmarks`: run all, print the tables, write JSON, and fail where a target is missed."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.machine import facts, one_core

FULL, QUICK = 9_200_000, 1_000_000
OTHER_KEYS = 2_000_000
FILE_ROWS = 500_000
SPILLED_ROWS = 4_000_000
TABLE_BATCHES = 60
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    options = _options().parse_args()
    one_core()  # before anything loads a thread pool
    from benchmarks import files, longest, nexmark, report, spilling, start, tables
    from benchmarks.targets import judge, judge_calls, judge_tables

    known = facts()
    print("   ".join(f"{name} {value}" for name, value in known.items()))
    rows = QUICK if options.quick else FULL
    print(f"\nNexmark, {rows / 1e6:.1f} M bids, M bids/s of CPU time on one core, by rows per batch\n")
    widths = report.nexmark_widths()
    print(report.line(report.nexmark_header(), widths))
    measured = []
    for one in nexmark.measure_all(rows, min(rows, OTHER_KEYS)):
        print(report.line(report.nexmark_row(one), widths), flush=True)
        measured.append(one)
    reads = list(files.measure(FILE_ROWS // (5 if options.quick else 1)))
    print(f"\nFiles\n\n{report.aligned(report.file_rows(reads))}")
    spilled = list(spilling.measure(SPILLED_ROWS // (4 if options.quick else 1)))
    print(f"\nState beyond memory\n\n{report.aligned(report.spilled_rows(spilled))}")
    kept = list(tables.measure(TABLE_BATCHES // (3 if options.quick else 1)))
    print(f"\nKeyed tables\n\n{report.aligned(report.table_rows(kept))}")
    calls = list(longest.measure(longest.KEYS // (5 if options.quick else 1)))
    print("\nLongest call while a step of many keys is filled and fired, milliseconds of CPU time\n")
    print(report.aligned(report.longest_rows(calls)))
    starts = list(start.measure())
    print(f"\nStart\n\n{report.aligned(report.start_rows(starts))}\n")
    found = report.as_json(known, measured, reads, spilled, starts, kept, calls)
    path = options.save or RESULTS / f"{datetime.now(UTC):%Y-%m-%dT%H%M%S}.json"
    report.save(found, path)
    print(f"Written to {path}\n")
    if options.compare:
        print(report.aligned(report.compared(found, json.loads(options.compare.read_text()))), end="\n\n")
    verdicts = [*judge(measured, spilled, starts), *judge_tables(kept), *judge_calls(calls)]
    for verdict in verdicts:
        print(f"{'met   ' if verdict.met else 'MISSED'}  {verdict.text}")
    return 0 if options.no_assert or all(verdict.met for verdict in verdicts) else 1


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} bids instead of {FULL}")
    parser.add_argument("--no-assert", action="store_true", help="report missed targets, but exit with 0")
    parser.add_argument("--compare", type=Path, metavar="JSON", help="an earlier run's file, by its ratios")
    parser.add_argument("--save", type=Path, metavar="JSON", help="where to write, instead of benchmarks/results/")
    return parser


if __name__ == "__main__":
    sys.exit(main())
