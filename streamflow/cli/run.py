"""`streamflow run`: a script's flow, in this process, to its end."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from streamflow.cli.script import build_flow, script_option

SUMMARY = "run a script's flow in this process"
DESCRIPTION = """\
Run the flow of a script in this process: to the end of its sources, or until Ctrl-C.

On a terminal one line shows how far the job is; elsewhere only the summary at the end is printed, on standard error.
Ctrl-C stops cleanly: a job whose sources end publishes nothing, one whose sources go on publishes what is complete.

With --checkpoint the job started again goes on where it was, however it ended, and file sinks publish each result
exactly once; Ctrl-C then stops it with a checkpoint, whether its sources end or not.

State that does not fit in --memory goes into files without a name in --spill-dir, and comes back when it is needed.

exit codes:
  0    done
  1    the job failed: a row, a function of yours, or the outside
  2    the script, the flow or an argument is wrong; no row was read
  130  interrupted by Ctrl-C
"""


def options(parser: argparse.ArgumentParser) -> None:
    script_option(parser)
    parser.add_argument("--checkpoint", metavar="DIR", help="keep checkpoints there, and go on from the latest")
    parser.add_argument("--every", metavar="TIME", default="10s", help="between checkpoints, as 30s (default: 10s)")
    parser.add_argument("--memory", metavar="SIZE", help="for state, as 2GB (default: half of the machine's)")
    parser.add_argument("--spill-dir", metavar="DIR", help="where the rest goes (default: that for temporary files)")
    parser.usage = (
        "streamflow run [-h] [--checkpoint DIR [--every TIME]] [--memory SIZE] [--spill-dir DIR] "
        "SCRIPT[:FUNCTION] [-- ARGUMENTS OF THE SCRIPT]"
    )


def execute(arguments: argparse.Namespace, for_script: Sequence[str]) -> int:
    flow = build_flow(arguments.script, for_script, prog=f"streamflow run {arguments.script} --")
    from streamflow.runners.checkpoints import Checkpoints
    from streamflow.runners.local import run
    from streamflow.runners.terminal import report

    checkpoint = None if arguments.checkpoint is None else Checkpoints(arguments.checkpoint, arguments.every)
    return report(lambda: run(flow, checkpoint=checkpoint, memory=arguments.memory, spill_dir=arguments.spill_dir))
