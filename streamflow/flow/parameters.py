"""The parameters of a build function as the arguments of its script.

`def build(brokers: str = "localhost:9092", limit: int | None = None, dry: bool = False)` takes `--brokers b:9092
--limit 5 --dry`.
"""

from __future__ import annotations

import argparse
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias, Union

from streamflow.errors import UserError

Value: TypeAlias = "str | int | float | bool | None"

_REQUIRED = inspect.Parameter.empty
_TYPES = (str, int, float, bool)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: its type without `None`, whether None is allowed, and its default (`required`: there is none)."""

    name: str
    type: type[str | int | float | bool]
    optional: bool
    required: bool
    default: Value

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


def describe(build: Callable[..., object]) -> tuple[Parameter, ...]:
    """The parameters that a script's arguments can set, in order.

    >>> def build(brokers: str = "localhost:9092", limit: int | None = None) -> None: ...
    >>> [(p.flag, p.type.__name__, p.default) for p in describe(build)]
    [('--brokers', 'str', 'localhost:9092'), ('--limit', 'int', None)]

    Raises UserError, naming the parameter, for a type that an argument cannot have.
    """
    name = getattr(build, "__name__", "build")
    function = inspect.unwrap(build)
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise UserError(f"{name}: {error} in an annotation", remedy="import it where the script is imported") from None
    return tuple(_parameter(name, p, hints) for p in inspect.signature(function).parameters.values())


def _parameter(build: str, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Parameter:
    if parameter.kind in (
        inspect.Parameter.VAR_POSITIONAL,
        inspect.Parameter.VAR_KEYWORD,
        inspect.Parameter.POSITIONAL_ONLY,
    ):
        raise UserError(f"{build}: {parameter} cannot be set by name", remedy="write plain parameters")
    required = parameter.default is _REQUIRED
    annotation = hints.get(parameter.name)
    if annotation is None and not required and type(parameter.default) in _TYPES:
        annotation = type(parameter.default)
    plain, optional = _without_none(annotation)
    if plain not in _TYPES:
        shown = "no type" if annotation is None else f"the type {getattr(annotation, '__name__', annotation)}"
        raise UserError(
            f"{build}: parameter {parameter.name!r} has {shown}",
            remedy="use str, int, float or bool, or one of them | None",
        )
    default = None if required else parameter.default
    return Parameter(parameter.name, plain, optional or default is None, required, default)


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if typing.get_origin(annotation) not in (Union, types.UnionType):
        return annotation, False
    parts = [part for part in typing.get_args(annotation) if part is not type(None)]
    return (parts[0] if len(parts) == 1 else annotation), len(parts) < len(typing.get_args(annotation))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(message, remedy=self.format_usage().strip())


def parse_arguments(build: Callable[..., object], argv: Sequence[str], prog: str | None = None) -> dict[str, Value]:
    """The arguments that `argv` gives, by parameter; those not given are left to the defaults.

    >>> def build(brokers: str = "localhost:9092", dry_run: bool = False) -> None: ...
    >>> parse_arguments(build, ["--brokers", "b:9092", "--dry-run"])
    {'brokers': 'b:9092', 'dry_run': True}
    >>> parse_arguments(build, ["--broker-list", "b:9092"])
    Traceback (most recent call last):
    ...
    streamflow.errors.UserError: unrecognized arguments: --broker-list b:9092
      remedy: usage: ... [-h] [--brokers STR] [--dry-run | --no-dry-run]

    A leading `--` is left out. Raises UserError for an unknown argument, a missing one, or one that does not read as
    its type. `--help` exits.
    """
    return vars(parser(build, prog).parse_args(list(argv[1:] if argv[:1] == ["--"] else argv)))


def parser(build: Callable[..., object], prog: str | None = None) -> argparse.ArgumentParser:
    """The argument parser for a build function, with its docstring as the description."""
    description = inspect.getdoc(build)
    made = _Parser(
        prog=prog,
        description=description,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for parameter in describe(build):
        shown = None if parameter.required else f"default: {parameter.default}"
        if parameter.type is bool:
            made.add_argument(
                parameter.flag,
                dest=parameter.name,
                action=argparse.BooleanOptionalAction,
                required=parameter.required,
                help=shown,
            )
        else:
            made.add_argument(
                parameter.flag,
                dest=parameter.name,
                type=parameter.type,
                required=parameter.required,
                metavar=parameter.type.__name__.upper(),
                help=shown,
            )
    return made


def check_arguments(build: Callable[..., object], arguments: Mapping[str, object]) -> dict[str, Value]:
    """The arguments of a call as given by name (by `sf.run`, or as JSON): known, of the right type, none missing.

    >>> def build(limit: int) -> None: ...
    >>> check_arguments(build, {"limit": "5"})
    Traceback (most recent call last):
    ...
    streamflow.errors.UserError: build: parameter 'limit' is an int, not '5'
    """
    name = getattr(build, "__name__", "build")
    known = {parameter.name: parameter for parameter in describe(build)}
    for key in arguments:
        if key not in known:
            raise UserError(f"{name} has no parameter {key!r}", remedy=f"it has {', '.join(known) or 'none'}")
    for parameter in known.values():
        if parameter.required and parameter.name not in arguments:
            raise UserError(f"{name}: parameter {parameter.name!r} has no default and no value")
    return {key: _fitting(name, known[key], value) for key, value in arguments.items()}


def _fitting(build: str, parameter: Parameter, value: object) -> Value:
    if value is None and parameter.optional:
        return None
    if parameter.type is float and type(value) is int:
        return float(value)
    if isinstance(value, parameter.type) and (parameter.type is bool or not isinstance(value, bool)):
        return value
    article = "an" if parameter.type is int else "a"
    raise UserError(f"{build}: parameter {parameter.name!r} is {article} {parameter.type.__name__}, not {value!r}")
