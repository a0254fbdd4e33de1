"""Connectors by name: modules that any installed distribution announces in the entry-point group
`streamflow.connectors`.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from streamflow.errors import UserError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "streamflow.connectors"


def connectors() -> list[str]:
    """The names of all installed connectors, sorted; none is imported."""
    return sorted(_announced())


def connector(name: str) -> ModuleType:
    """The module of a connector, with its `Source`, `Sink` and `Lookup`.

    Raises UserError if there is none of that name, or if it needs a package that is not installed: an extra of the
    distribution that announces it, called like the connector.
    """
    announced = _announced()
    if name not in announced:
        raise UserError(
            f"no connector is called {name!r}; there are {', '.join(sorted(announced)) or 'none'}",
            remedy="correct the name, or install the package that brings the connector",
        )
    entry = announced[name]
    try:
        return _module(entry)
    except ModuleNotFoundError as error:
        distribution = "its package" if entry.dist is None else entry.dist.name
        raise UserError(
            f"the connector {name!r} needs the module {error.name!r}",
            remedy=f'pip install "{distribution}[{name}]"',
        ) from error


def _announced() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _module(entry: EntryPoint) -> ModuleType:
    module = entry.load()
    if not isinstance(module, ModuleType):
        raise UserError(
            f"the connector {entry.name!r} is announced as {entry.value!r}, which is not a module",
            remedy="let the entry point name a module",
        )
    return module
