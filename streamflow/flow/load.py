"""Finding the function that builds a flow: `x.py`, `x.py:other`, `package.module:function`.

A script runs under the module name `__script__.<stem>`, which no other module has, so that `if __name__ == "__main__"`
does not run and a script may be called `json.py`. The script's folder is importable, as if Python had been started
with it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from difflib import get_close_matches
from functools import update_wrapper
from pathlib import Path
from types import ModuleType
from typing import Any

from streamflow.errors import UserError
from streamflow.flow.flow import Flow

BuildFunction = Callable[..., Flow]


def load(target: str) -> BuildFunction:
    """The build function that `target` names; without a name, `build`.

    Raises UserError when the file, the module or the function is not there. What the script itself raises while it is
    imported passes through, with the user's own traceback.
    """
    place, name = _split(target)
    module = _load_script(Path(place)) if place.endswith(".py") else _import(place)
    function = getattr(module, name, None)
    if callable(function):
        return _checked(function, target)
    if function is not None:
        raise UserError(f"{target}: {name!r} is not a function, but of type {type(function).__name__}")
    functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    close = get_close_matches(name, functions, n=1)
    hint = (
        f"did you mean {place}:{close[0]}?"
        if close
        else "write a function `build() -> sf.Flow`, or name yours after a colon"
    )
    raise UserError(f"{place} has no function {name!r}", remedy=hint)


def _split(target: str) -> tuple[str, str]:
    place, colon, name = target.rpartition(":")
    return (place, name) if colon and name.isidentifier() else (target, "build")


def _load_script(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(
            f"no file {str(path)!r} in {Path.cwd()}", remedy="give the path of a script with a function `build`"
        )
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(f"__script__.{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module


def _import(name: str) -> ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise UserError(
            f"no module {name!r}", remedy="give a script as a path that ends in .py, or a module's name"
        ) from None


def _checked(function: Callable[..., Any], target: str) -> BuildFunction:
    def build(*args: Any, **parameters: Any) -> Flow:
        flow = function(*args, **parameters)
        if not isinstance(flow, Flow):
            raise UserError(
                f"{target} gave no Flow, but an object of type {type(flow).__name__}",
                remedy="let the function return its sf.Flow",
            )
        return flow

    # signature() finds the parameters of the user's function through `__wrapped__`
    return update_wrapper(build, function, assigned=("__doc__", "__name__"), updated=())
