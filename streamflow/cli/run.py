"""`streamflow run`: a script's flow, to its end."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from streamflow.cli.script import Script, script_option
from streamflow.errors import UserError

SUMMARY = "run a script's flow"
DESCRIPTION = """\
Run the flow of a script: to the end of its sources, or until Ctrl-C.

It runs in this process, or with --workers on as many processes, between which rows move by key.

On a terminal one line shows how far the job is; elsewhere only the summary at the end is printed, on standard error.
Ctrl-C stops cleanly: a job whose sources end publishes nothing, one whose sources go on publishes what is complete.

With --checkpoint the job started again goes on where it was, however it ended and on any number of workers, and file
sinks publish each result exactly once; Ctrl-C then stops it with a checkpoint, whether its sources end or not. Several
workers go on by themselves when one of them is lost.

State that does not fit in --memory goes into files without a name in --spill-dir, and comes back when it is needed.

exit codes:
  0    done
  1    the job failed: a row, a function of yours, or the outside
  2    the script, the flow or an argument is wrong; no row was read
  130  interrupted by Ctrl-C
"""


def options(parser: argparse.ArgumentParser) -> None:
    script_option(parser)
    parser.add_argument(
        "--workers", metavar="N", type=int, default=1, help="as so many processes (default: in this one)"
    )
    parser.add_argument("--checkpoint", metavar="DIR", help="keep checkpoints there, and go on from the latest")
    parser.add_argument("--every", metavar="TIME", default="10s", help="between checkpoints, as 30s (default: 10s)")
    parser.add_argument("--from-savepoint", metavar="DIR", help="start a new job from what `state copy` made")
    parser.add_argument("--restarts", metavar="N", type=int, help="of several workers, in a row (default: 5)")
    parser.add_argument("--memory", metavar="SIZE", help="for state, as 2GB (default: half of the machine's)")
    parser.add_argument("--spill-dir", metavar="DIR", help="where the rest goes (default: that for temporary files)")
    parser.usage = (
        "streamflow run [-h] [--workers N [--restarts N]] [--checkpoint DIR [--every TIME] [--from-savepoint DIR]] "
        "[--memory SIZE] [--spill-dir DIR] SCRIPT[:FUNCTION] [-- ARGUMENTS OF THE SCRIPT]"
    )


def execute(arguments: argparse.Namespace, for_script: Sequence[str]) -> int:
    script = Script(arguments.script, for_script, prog=f"streamflow run {arguments.script} --")
    from streamflow.runners.checkpoints import Checkpoints
    from streamflow.runners.run import Options, run_built
    from streamflow.runners.terminal import report

    flow = script.flow()
    target = script.target() if arguments.workers > 1 else None
    checkpoint = None
    if arguments.checkpoint is not None:
        checkpoint = Checkpoints(arguments.checkpoint, arguments.every, savepoint=arguments.from_savepoint)
    elif arguments.from_savepoint is not None:
        raise UserError("--from-savepoint is for a job that keeps checkpoints", remedy="give --checkpoint DIR, too")
    asked = Options(
        workers=arguments.workers,
        checkpoint=checkpoint,
        restarts=arguments.restarts,
        memory=arguments.memory,
        spill_dir=arguments.spill_dir,
    )
    return report(lambda: run_built(flow, target, asked))
