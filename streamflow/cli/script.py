"""Getting a flow out of a user's script, and showing what the script itself did wrong."""

from __future__ import annotations

import argparse
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from streamflow.errors import StreamflowError

if TYPE_CHECKING:
    from streamflow.flow.flow import Flow
    from streamflow.runners.target import Target

_OURS = f"{Path(__file__).parent.parent}/"


class ScriptError(Exception):
    """The script raised while it was imported or built its flow. As text: the script's own traceback."""


def script_option(parser: argparse.ArgumentParser) -> None:
    """The argument of all commands that take a script."""
    parser.add_argument("script", metavar="SCRIPT[:FUNCTION]", help="x.py, x.py:other or package.module:function")


class Script:
    """`x.py`, `x.py:function` or `module:function`, with the script's arguments.

    Raises UserError when there is no such function or an argument does not fit, ScriptError when the script raises.
    With `--help` among the arguments the script's parameters are printed and the command ends.
    """

    def __init__(self, name: str, arguments: Sequence[str], prog: str) -> None:
        from streamflow.flow.load import load
        from streamflow.flow.parameters import parse_arguments

        self._name = name
        with _users_errors(name):
            self._build = load(name)
        self._parameters = parse_arguments(self._build, arguments, prog)

    def flow(self) -> Flow:
        """The flow, built anew at every call."""
        with _users_errors(self._name):
            return self._build(**self._parameters)

    def target(self) -> Target:
        """How other processes build it."""
        from streamflow.runners.target import target_of

        return target_of(self._build, self._parameters)


@contextmanager
def _users_errors(target: str) -> Iterator[None]:
    try:
        yield
    except StreamflowError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a script raises, its author sees it as Python shows it
        raise ScriptError(f"{users_traceback(error)}\nerror: {target} failed before it gave a flow") from None


def users_traceback(error: BaseException) -> str:
    """The traceback from the user's first frame on: how the command came to call the script is left out."""
    frame = error.__traceback__
    while frame is not None and _is_ours(frame):
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame)).rstrip()


def _is_ours(frame: TracebackType) -> bool:
    file = frame.tb_frame.f_code.co_filename
    return file.startswith((_OURS, "<frozen importlib"))
