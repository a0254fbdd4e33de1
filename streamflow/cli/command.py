"""Reads the command line and calls the subcommand; every way to fail ends in a message and an exit code here."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NoReturn

import streamflow
from streamflow.cli import plan, prove, run, state
from streamflow.cli.script import ScriptError
from streamflow.errors import StreamflowError, UserError

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130

_EPILOG = """\
A script has a function that builds a flow, by the name of `build`:

  import streamflow as sf
  from streamflow_connectors import jsonl, parquet

  def build(folder: str = "bids", least: int = 100) -> sf.Flow:
      flow = sf.Flow("large-bids")
      bids = flow.read("bids", parquet.Source(folder))
      bids.filter(sf.col("price") > least).write("out", jsonl.Sink("out"))
      return flow

examples:
  streamflow run bids.py                       run it to its end, or until Ctrl-C
  streamflow run bids.py -- --least 500        what follows -- goes to the script
  streamflow run bids.py -- --help             the script's own parameters
  streamflow plan bids.py                      how it will run, as text
  streamflow plan bids.py --workers 4 -o plan.svg
  streamflow test bids.py                      do results depend on crashes, workers or timing?
  streamflow run bids.py --checkpoint DIR      killed or stopped, it goes on where it was
  streamflow state ls DIR                      what its latest checkpoint holds

`streamflow COMMAND --help` tells more about a command.
"""


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand: `options` adds its arguments, `execute` does it and gives the exit code.

    `execute` gets the parsed arguments and those that follow `--`, which are the script's.
    """

    summary: str
    description: str
    options: Callable[[argparse.ArgumentParser], None]
    execute: Callable[[argparse.Namespace, Sequence[str]], int]


COMMANDS = {
    "run": Command(run.SUMMARY, run.DESCRIPTION, run.options, run.execute),
    "plan": Command(plan.SUMMARY, plan.DESCRIPTION, plan.options, plan.execute),
    "test": Command(prove.SUMMARY, prove.DESCRIPTION, prove.options, prove.execute),
    "state": Command(state.SUMMARY, state.DESCRIPTION, state.options, state.execute),
}


_OPTIONS = ("-h", "--help", "--version")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(message, remedy=self.format_usage().strip())


def main(argv: Sequence[str] | None = None) -> int:
    """The whole command; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        code = _execute(arguments)
        sys.stdout.flush()
    except StreamflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG if isinstance(error, UserError) else FAILED
    except ScriptError as error:
        print(error, file=sys.stderr)
        return WRONG
    except BrokenPipeError:
        # Who read our output has gone, as `head` does. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _execute(arguments: Sequence[str]) -> int:
    own, for_script = split_arguments(arguments)
    parser = _parser()
    if not own:
        parser.print_help()
        return WRONG
    _check_command(own[0])
    options, unknown = parser.parse_known_args(own)
    if unknown:
        command, rest = f"streamflow {options.command}", " ".join(unknown)
        script = getattr(options, "script", None)
        remedy = f"{command} --help tells its arguments"
        if script is not None:
            remedy = f"the script's own arguments follow a --: {command} {script} -- {rest}"
        raise UserError(f"{command} does not know {rest}", remedy=remedy)
    return COMMANDS[options.command].execute(options, for_script)


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those for the command and, after the first `--`, those for the script.

    >>> split_arguments(["run", "x.py", "--", "--least", "5"])
    (['run', 'x.py'], ['--least', '5'])
    """
    all_ = list(arguments)
    if "--" not in all_:
        return all_, []
    at = all_.index("--")
    return all_[:at], all_[at + 1 :]


def _check_command(word: str) -> None:
    """An unknown command gets the closest ones as an answer, a script the command that runs it."""
    if word in (*COMMANDS, *_OPTIONS):
        return
    if word.partition(":")[0].endswith(".py"):
        raise UserError(f"{word!r} is a script, not a command", remedy=f"streamflow run {word}")
    close = get_close_matches(word, _OPTIONS if word.startswith("-") else COMMANDS, n=2)
    remedy = f"did you mean {' or '.join(close)}?" if close else f"the commands are {', '.join(COMMANDS)}"
    raise UserError(f"streamflow has no {'option' if word.startswith('-') else 'command'} {word!r}", remedy=remedy)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="streamflow",
        description="A stream processor for Python: event time, exact results, batches of Arrow columns.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"streamflow {streamflow.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    for name, command in COMMANDS.items():
        added = commands.add_parser(
            name,
            help=command.summary,
            description=command.description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.options(added)
    return parser
