"""A hash that is equal for equal graphs in every process: a worker that builds another graph than its coordinator is
refused.

What counts is what the flow computes and how its steps are called. Lines of the script do not; functions count by
where they are defined, not by their code; sources and sinks by their class and configuration, not by data that they
hold.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa

from streamflow.errors import Location
from streamflow.plan.logical.names import walk
from streamflow.plan.logical.nodes import LogicalNode, Write, inputs

_PLAIN = (bool, int, float, complex, str, bytes, type(None), date, datetime, timedelta, Decimal, PurePath)


def graph_hash(writes: tuple[Write, ...]) -> str:
    """64 hexadecimal digits.

    >>> graph_hash(()) == graph_hash(())
    True
    """
    numbers: dict[int, int] = {}
    digest = hashlib.sha256()
    for node in walk(writes):
        numbers[id(node)] = len(numbers)
        parents = " ".join(str(numbers[id(parent)]) for parent in inputs(node))
        digest.update(f"{type(node).__name__}({parents}) {_text_of_node(node)}\n".encode())
    return digest.hexdigest()


def _text_of_node(node: LogicalNode) -> str:
    own = (f.name for f in fields(node) if f.name not in ("input", "inputs", "location"))
    return ", ".join(f"{name}={_text(getattr(node, name))}" for name in own)


def _text(value: Any) -> str:
    """The value as text without memory addresses."""
    match value:
        case Enum() | _ if isinstance(value, _PLAIN):
            return f"{type(value).__name__}:{value!r}"
        case Location():
            return ""
        case pa.Schema():
            return f"schema({', '.join(f'{field.name}:{field.type}' for field in value)})"
        case pa.DataType():
            return str(value)
        case Mapping():
            return "{" + ", ".join(f"{key!r}: {_text(part)}" for key, part in value.items()) + "}"
        case tuple() | list():
            return f"[{', '.join(map(_text, value))}]"
        case set() | frozenset():
            return f"{{{', '.join(sorted(map(_text, value)))}}}"
        case partial():
            return f"partial({_text(value.func)}, {_text(value.args)}, {_text(value.keywords)})"
        case _ if is_dataclass(value) and not isinstance(value, type) and _is_frozen(value):
            return f"{_origin(type(value))}({', '.join(_text_of_fields(value))})"
        case _ if callable(value) and hasattr(value, "__qualname__"):
            return _origin(value)
        case _:
            return _origin(type(value))


def _text_of_fields(value: Any) -> Iterator[str]:
    return (f"{f.name}={_text(getattr(value, f.name))}" for f in fields(value) if f.compare)


def _is_frozen(value: Any) -> bool:
    """Only what cannot change is a value: a cache must not count."""
    return bool(value.__dataclass_params__.frozen)


def _origin(defined: Callable[..., object]) -> str:
    """Module and qualified name. A script is `__main__` in one process and loaded by its path in another: its stem
    counts.
    """
    module = getattr(defined, "__module__", None) or "builtins"
    if module == "__main__":
        file = getattr(sys.modules["__main__"], "__file__", None)
        module = Path(file).stem if file else module
    return f"{module.rpartition('.')[2]}:{defined.__qualname__}"
