"""What tells one flow from another in every process: a line for each step, equal for equal steps.

A worker builds the flow anew, and is refused where its fingerprint is not the coordinator's: what the steps compute,
how they are called and connected, the code of the user's functions, how sources and sinks are configured. Lines of the
script do not count, nor does data that a source holds. Nothing in it is an address, or depends on the seed of hashes.

Of a function of the user's own its code counts, its defaults, what it closes over, and those of the functions, classes
and constants of its module that it names; of an object its class and its attributes. Functions and objects of libraries
count by their names: what they hold may differ between processes, as the state of a logger does.
"""

from __future__ import annotations

import hashlib
import re
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path, PurePath
from types import CodeType, FunctionType, MethodType
from typing import Any

import pyarrow as pa

from streamflow.errors import Location
from streamflow.plan.logical.names import walk
from streamflow.plan.logical.nodes import LogicalNode, Write, inputs
from streamflow.state.keyed_kind import codes

_PLAIN = (bool, int, float, complex, str, bytes, type(None), date, datetime, timedelta, timezone, Decimal, PurePath)
_OURS = ("streamflow", "streamflow_connectors")
_LIBRARY = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_ADDRESS = re.compile(r"\bat 0x[0-9a-f]+")


def fingerprint(writes: tuple[Write, ...], *, name: str, max_errors: int | None = None) -> str:
    """Lines: one for the flow, then one for each step, inputs first.

    >>> fingerprint((), name="rides")
    'flow rides'
    """
    lines = [f"flow {name}" if max_errors is None else f"flow {name}, max_errors={max_errors}"]
    numbers: dict[int, int] = {}
    step = ""
    for node in walk(writes):
        numbers[id(node)] = len(numbers)
        parents = " ".join(str(numbers[id(parent)]) for parent in inputs(node))
        digest = hashlib.sha256(f"({parents}) {_text_of_node(node)}".encode()).hexdigest()
        step = node.name or (step if step.startswith("after ") else f"after {step}")
        lines.append(f"{digest[:24]} {type(node).__name__} {step}")
    return "\n".join(lines)


def difference(ours: str, theirs: str) -> str | None:
    """In which step two fingerprints differ first, in words; None where they do not.

    >>> difference("flow a\\n00 Read bids\\n11 Write out", "flow a\\n00 Read bids\\n22 Write out")
    "step 'out' (Write) is another one there"
    >>> difference("flow a\\n00 Read bids", "flow a")
    'it has 0 steps there, not 1'
    """
    if ours == theirs:
        return None
    here, there = ours.split("\n"), theirs.split("\n")
    if here[0] != there[0]:
        return f"it is the {there[0][:200]} there, not the {here[0]}"
    for mine, other in zip(here[1:], there[1:], strict=False):
        if mine != other:
            _, kind, step = mine.split(" ", 2)
            return f"step {step!r} ({kind}) is another one there"
    return f"it has {len(there) - 1} steps there, not {len(here) - 1}"


def _text_of_node(node: LogicalNode) -> str:
    text = _Text()
    own = (f.name for f in fields(node) if f.name not in ("input", "inputs", "location"))
    return ", ".join(f"{name}={text.of(getattr(node, name))}" for name in own)


class _Text:
    """Values of one step as text. What may refer to itself is written once, and numbered."""

    def __init__(self) -> None:
        self._written: dict[int, int] = {}

    def of(self, value: Any) -> str:
        match value:
            case Enum():
                return f"{_origin(type(value))}.{value.name}"
            case _ if isinstance(value, _PLAIN):
                return f"{type(value).__name__}:{value!r}"
            case re.Pattern():
                return f"pattern:{value.pattern!r}/{value.flags}"
            case Location():
                return ""
            case pa.Schema():
                return f"schema({', '.join(map(str, value))})"
            case pa.DataType() | pa.Field() | pa.Scalar():
                return str(value)
            case Mapping():
                return "{" + ", ".join(f"{self.of(key)}: {self.of(part)}" for key, part in value.items()) + "}"
            case tuple() | list():
                return f"[{', '.join(map(self.of, value))}]"
            case set() | frozenset():
                return f"{{{', '.join(sorted(map(self.of, value)))}}}"
            case CodeType():
                return self._code(value)
            case _ if is_dataclass(value) and not isinstance(value, type) and _is_frozen(value):
                own = (f"{f.name}={self.of(getattr(value, f.name))}" for f in fields(value) if f.compare)
                return f"{self.of(type(value))}({', '.join(own)})"
            case _:
                return self._thing(value)

    def _thing(self, value: Any) -> str:
        """What can refer to itself."""
        if id(value) in self._written:
            return f"#{self._written[id(value)]}"
        self._written[id(value)] = len(self._written)
        match value:
            case partial():
                return f"partial({self.of(value.func)}, {self.of(value.args)}, {self.of(value.keywords)})"
            case MethodType():
                return f"{self.of(value.__func__)} of {self.of(value.__self__)}"
            case FunctionType():
                return self._function(value)
            case type():
                return self._class(value)
            case _ if hasattr(value, "__qualname__"):
                return _origin(value)
            case _ if _is_users(type(value)):
                return f"{self.of(type(value))}({self.of(getattr(value, '__dict__', {}))})"
            case _:
                return _origin(type(value))

    def _function(self, function: FunctionType) -> str:
        if not _is_users(function):
            return _origin(function)
        closed = [self.of(cell.cell_contents) for cell in function.__closure__ or () if _is_filled(cell)]
        given = [self.of(function.__defaults__), self.of(function.__kwdefaults__)]
        named = function.__globals__
        names = sorted({name for code in codes(function.__code__) for name in code.co_names if name in named})
        used = [f"{name}={text}" for name in names if (text := self._global(name, named[name])) is not None]
        return f"{_origin(function)}[{self._code(function.__code__)}; {given}; {closed}; {used}]"

    def _global(self, name: str, value: Any) -> str | None:
        """What a function names: constants, and functions and classes of the user's. Others may change, or are big."""
        if name.startswith("__"):
            return None
        if isinstance(value, FunctionType | type):
            return self.of(value) if _is_users(value) else None
        constant = isinstance(value, (*_PLAIN, re.Pattern, Enum))
        constant = constant or (isinstance(value, tuple | frozenset) and all(isinstance(v, _PLAIN) for v in value))
        return self.of(value) if constant else None

    def _class(self, kind: type) -> str:
        if not _is_users(kind):
            return _origin(kind)
        parts = [_origin(kind), *(self.of(base) for base in kind.__bases__)]
        for name, value in vars(kind).items():
            value = getattr(value, "fget", None) or getattr(value, "__func__", None) or value
            if isinstance(value, FunctionType) or (isinstance(value, _PLAIN) and not name.startswith("__")):
                parts.append(f"{name}={self.of(value)}")
        return f"class({', '.join(parts)})"

    def _code(self, code: CodeType) -> str:
        shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        return f"{code.co_code.hex()} {shape} {names} {self.of(code.co_consts)} {code.co_exceptiontable.hex()}"


def _is_frozen(value: Any) -> bool:
    """Only what cannot change is a value: a cache must not count."""
    return bool(value.__dataclass_params__.frozen)


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - asked for whether it is there
    except ValueError:
        return False
    return True


def _is_users(defined: Any) -> bool:
    """Whether a function or class is the user's own, and not of a library."""
    module = getattr(defined, "__module__", None) or ""
    if module == "builtins" or module.partition(".")[0] in _OURS:
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return module == "__main__"
    return not (file.startswith(_LIBRARY) or {"site-packages", "dist-packages"} & set(Path(file).parts))


def _origin(defined: Callable[..., object]) -> str:
    """Module and qualified name. A script is `__main__` in one process and loaded by its path in another: its stem
    counts.
    """
    module = getattr(defined, "__module__", None) or "builtins"
    if module == "__main__":
        file = getattr(sys.modules["__main__"], "__file__", None)
        module = Path(file).stem if file else module
    return f"{module.rpartition('.')[2]}:{defined.__qualname__}"
