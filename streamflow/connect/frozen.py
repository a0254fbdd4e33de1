"""Frozen dataclasses whose constructor takes other parameters than their fields.

The methods of the contract (`schema`, `splits`, `filter`) take names that are also the best names of parameters, so
sources keep what they were given in fields with an underscore and write their own `__init__`.
"""

from __future__ import annotations

import copy
from typing import TypeVar

T = TypeVar("T")


def set_fields(instance: object, **fields: object) -> None:
    """Set the fields of a frozen dataclass; for use in its `__init__` only."""
    for name, value in fields.items():
        object.__setattr__(instance, name, value)


def with_fields(instance: T, **fields: object) -> T:
    """A copy with other values in these fields."""
    made = copy.copy(instance)
    set_fields(made, **fields)
    return made
