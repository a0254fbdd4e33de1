"""`sf.fn`: what a row function takes and gives, where its annotations do not say it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.errors import UserError
from streamflow.flow.calls import explained
from streamflow.flow.location import Building


@dataclass(frozen=True, slots=True)
class Declared:
    """A function with what was said of it; None: its signature says it."""

    function: Callable[..., Any]
    args: tuple[str, ...] | None
    returns: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


@explained
def fn(function: Callable[..., Any], *, args: Sequence[str] | None = None, returns: Any = None) -> Declared:
    """A row function whose columns or result its annotations do not say: functions of libraries, lambdas.

    `args`: the columns that it takes, in the order of its parameters; `returns`: the type that it gives, as an
    annotation would be.

    >>> import math
    >>> rides.with_columns(root=sf.fn(math.sqrt, args=["fare"], returns=float)).schema.field("root").type
    DataType(double)
    """
    with Building("fn"):
        if not callable(function):
            raise UserError(f"fn takes a function, not {function!r}")
        if isinstance(args, str):
            raise UserError(f"args={args!r} is a text", remedy=f"write args=[{args!r}]")
        return Declared(function, None if args is None else tuple(args), returns)
