"""`streamflow plan`: how a script's flow will run, as text or as a drawing."""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamflow.cli.script import Script, script_option
from streamflow.errors import Fatal, UserError

if TYPE_CHECKING:
    from streamflow.flow.flow import Flow

SUMMARY = "show how a script's flow will run"
DESCRIPTION = """\
Show a script's flow as a graph: as it was written (logical), as the rules left it (optimised), and which tasks run it
on how many workers, what moves between them and where state is kept (physical). Nothing is run.

As text all three are shown; a drawing is of the physical graph unless --graph says otherwise.

exit codes:
  0    done
  1    the file cannot be written
  2    the script, the flow or an argument is wrong
"""

_FORMATS = {".txt": "text", ".mmd": "mermaid", ".mermaid": "mermaid", ".svg": "svg"}


def options(parser: argparse.ArgumentParser) -> None:
    script_option(parser)
    parser.add_argument("--workers", type=_positive, default=1, metavar="N", help="number of workers (default: 1)")
    parser.add_argument(
        "--key-groups", type=_positive, metavar="N", help="parts in which keyed state moves (default: 128)"
    )
    parser.add_argument("--format", choices=["text", "mermaid", "svg"], help="default: by the suffix of FILE, or text")
    parser.add_argument(
        "--graph", choices=["logical", "optimised", "physical", "all"], help="which graph (default: see above)"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write plan.svg, plan.mmd or plan.txt")
    parser.usage = (
        "streamflow plan [-h] [--workers N] [--key-groups N] [--format text|mermaid|svg]\n"
        "                       [--graph logical|optimised|physical|all] [-o FILE]\n"
        "                       SCRIPT[:FUNCTION] [-- ARGUMENTS OF THE SCRIPT]"
    )


def execute(arguments: argparse.Namespace, for_script: Sequence[str]) -> int:
    style = arguments.format or _format_of(arguments.output)
    flow = Script(arguments.script, for_script, prog=f"streamflow plan {arguments.script} --").flow()
    shown = _render(flow, arguments, style)
    if arguments.output is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # lines are drawn with characters that not every encoding has
        print(shown)
        return 0
    try:
        arguments.output.write_text(f"{shown}\n", encoding="utf-8")
    except OSError as error:
        raise Fatal(f"cannot write {arguments.output}: {error.strerror}") from error
    return 0


def _render(flow: Flow, arguments: argparse.Namespace, style: str) -> str:
    from streamflow.plan.explain import GRAPHS, WIDTH, outlines, text
    from streamflow.plan.physical import DEFAULT_KEY_GROUPS

    which = arguments.graph or ("all" if style == "text" else "physical")
    drawn = outlines(
        flow.graph(),
        name=flow.name,
        workers=arguments.workers,
        key_groups=arguments.key_groups or DEFAULT_KEY_GROUPS,
        graphs=[graph for graph in GRAPHS if which in ("all", graph)],
    )
    match style:
        case "mermaid":
            from streamflow.plan.mermaid import mermaid

            return mermaid(drawn)
        case "svg":
            from streamflow.plan.svg import svg

            return svg(drawn)
        case _:
            width = _terminal_width() if arguments.output is None else WIDTH
            return "\n\n\n".join(text(outline, width) for outline in drawn)


def _terminal_width() -> int:
    """As wide as the terminal, within reason; elsewhere the width does not depend on where it is printed."""
    from streamflow.plan.explain import WIDTH

    return min(max(shutil.get_terminal_size().columns, 80), 140) if sys.stdout.isatty() else WIDTH


def _format_of(output: Path | None) -> str:
    if output is None:
        return "text"
    if output.suffix not in _FORMATS:
        raise UserError(
            f"{output} does not say what to write", remedy=f"end its name in {', '.join(_FORMATS)}, or give --format"
        )
    return _FORMATS[output.suffix]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)
