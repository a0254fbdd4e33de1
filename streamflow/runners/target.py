"""How a build function is called by its name in a fresh process: a file or module, a function's name, JSON arguments.

No function is ever shipped. A worker imports what it is told and calls it, so only a function that an import finds
again can be run on several workers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FunctionType
from typing import Any

from streamflow.errors import UserError
from streamflow.flow.flow import Flow
from streamflow.flow.load import load
from streamflow.flow.parameters import Value, check_arguments

_REMEDY = "define it with `def` at the top level of a file, and give sf.run its parameters by name"


@dataclass(frozen=True, slots=True)
class Target:
    """What `place` names (`/folder/x.py:build`, `package.module:build`), called with `parameters`. All of it is JSON.

    `folders`: where modules are looked for.
    """

    place: str
    parameters: Mapping[str, Value]
    folders: tuple[str, ...]

    def build(self) -> Flow:
        """The flow, in a process of its own: folders are added to `sys.path`."""
        sys.path[:] = [*self.folders, *(folder for folder in sys.path if folder not in self.folders)]
        return load(self.place)(**self.parameters)


def target_of(build: Callable[..., Flow], parameters: Mapping[str, object]) -> Target:
    """How other processes find `build`.

    >>> target_of(lambda: Flow("x"), {})
    Traceback (most recent call last):
    ...
    streamflow.errors.UserError: a lambda cannot be run on several workers: other processes cannot find it
      remedy: define it with `def` at the top level of a file, and give sf.run its parameters by name

    Raises UserError, with what to do, for all that an import does not find: a lambda, a function in a function, one
    that was typed in, an object; and for parameters that are not the function's.
    """
    function = _loaded(build)
    if not isinstance(function, FunctionType):
        raise _refused(f"{function!r}, which is no function,")
    name = function.__qualname__
    if name.endswith("<lambda>"):
        raise _refused("a lambda")
    if "<locals>" in name:
        raise _refused(f"{function.__name__}, which is made in a function,")
    if not name.isidentifier():
        raise _refused(f"{name}, which is made in a class,")
    return Target(f"{_place(function)}:{name}", check_arguments(build, parameters), tuple(sys.path))


def _loaded(build: Any) -> Any:
    """What a script defines, where `load` has put its check around it."""
    if isinstance(build, FunctionType) and build.__module__ == load.__module__:
        return build.__wrapped__  # type: ignore[attr-defined]
    return build


def _place(function: FunctionType) -> str:
    """The module if importing it gives this very function, else the file."""
    module = sys.modules.get(function.__module__)
    if getattr(module, function.__name__, None) is not function:
        raise _refused(f"{function.__name__}, which {function.__module__} does not have under that name,")
    spec = getattr(module, "__spec__", None)
    name: str = spec.name if spec is not None else function.__module__
    file = getattr(module, "__file__", None)
    path = None if file is None else Path(file).resolve()
    if path is None or not path.is_file():
        raise _refused(f"{function.__name__}, which was typed in and stands in no file,")
    if name != "__main__" and _is_found(name, path):
        return name
    if path.suffix != ".py":
        raise _refused(f"{function.__name__}, which stands in {path},")
    return str(path)


def _is_found(module: str, path: Path) -> bool:
    """Whether a process that has imported nothing yet finds this file under the module's name."""
    where: Sequence[str] | None = None
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for number in range(len(parts)):
        name = ".".join(parts[: number + 1])
        spec = next((s for finder in sys.meta_path if (s := finder.find_spec(name, where)) is not None), None)
        if spec is None:
            return False
        where = spec.submodule_search_locations
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() == path


def _refused(what: str) -> UserError:
    return UserError(f"{what} cannot be run on several workers: other processes cannot find it", remedy=_REMEDY)
