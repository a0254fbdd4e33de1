"""`streamflow test`: a script's flow under many seeds, cuts, workers and crashes."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence

from streamflow.cli.script import Script, script_option
from streamflow.errors import UserError

SUMMARY = "prove that a script's results do not depend on crashes, workers or timing"
DESCRIPTION = """\
Run the flow of a script many times in this process, over the first rows of its sources, each time with other batch
sizes, another interleaving, another number of workers, and crashes at other places. All must give the same results as
one calm run. Nothing is written: the sinks are replaced.

What is found: functions that remember something on the side, draw at random or look at the clock; results that depend
on the order in which rows arrive; state that a restore does not bring back. The first difference is made as small as
possible, and printed with the command that repeats it.

examples:
  streamflow test bids.py
  streamflow test bids.py --seeds 1000 --workers 8 --rows 5000 -- --least 500
  streamflow test bids.py --replay 17:3:2:125

exit codes:
  0    all trials gave equal results
  1    a difference was found
  2    the script, the flow or an argument is wrong, or the calm run fails
  130  interrupted by Ctrl-C
"""


def options(parser: argparse.ArgumentParser) -> None:
    script_option(parser)
    parser.add_argument("--seeds", metavar="N", type=int, default=100, help="how many trials (default: 100)")
    parser.add_argument("--workers", metavar="N", type=int, default=4, help="on at most so many (default: 4)")
    parser.add_argument("--crashes", metavar="N", type=int, default=3, help="at most so many a trial (default: 3)")
    parser.add_argument("--rows", metavar="N", type=int, default=1000, help="of each source (default: 1000)")
    parser.add_argument("--replay", metavar="TRIAL", help="this one trial, as a failure printed it")
    parser.usage = "streamflow test [-h] [OPTIONS] SCRIPT[:FUNCTION] [-- ARGUMENTS OF THE SCRIPT]"


def execute(arguments: argparse.Namespace, for_script: Sequence[str]) -> int:
    for name, least in (("seeds", 1), ("workers", 1), ("crashes", 0), ("rows", 1)):
        if getattr(arguments, name) < least:
            raise UserError(f"--{name} {getattr(arguments, name)} is too few", remedy=f"give at least {least}")
    build = Script(arguments.script, for_script, prog=f"streamflow test {arguments.script} --").flow
    from streamflow.testing.proving import Disproved, prove

    shows = sys.stderr.isatty()

    def progress(done: int) -> None:
        if shows:
            print(f"\r{done} of {arguments.seeds} trials", end="", file=sys.stderr, flush=True)

    try:
        proof = prove(
            build,
            seeds=arguments.seeds,
            workers=arguments.workers,
            crashes=arguments.crashes,
            record_rows=arguments.rows,
            replay=arguments.replay,
            progress=progress,
        )
    except Disproved as error:
        again = ["streamflow", "test", arguments.script, "--rows", str(arguments.rows), "--replay", str(error.trial)]
        rest = ["--", *for_script] if for_script else []
        print(f"{chr(10) if shows else ''}error: {error}\nrepeat it: {shlex.join([*again, *rest])}", file=sys.stderr)
        return 1
    late = f"; rows were late in {proof.late} of them, whose results were not compared" if proof.late else ""
    print(f"{chr(10) if shows else ''}{proof.trials} trials over {proof.rows} rows gave equal results{late}")
    return 0
