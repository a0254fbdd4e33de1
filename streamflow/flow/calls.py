"""Calls with arguments that a method does not take: Python's TypeError, with the user's line and what to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from types import FunctionType
from typing import Any, TypeVar

from streamflow.errors import UserError
from streamflow.flow import instead
from streamflow.flow.location import users_line

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)


class WrongCall(UserError, TypeError):
    """Arguments that a function does not take."""


def explains_calls(kind: C) -> C:
    """A class whose methods in `instead.CALLS` say what to write when they are called wrongly."""
    for name, method in list(vars(kind).items()):
        if isinstance(method, FunctionType) and _shown(method) in instead.CALLS:
            setattr(kind, name, explained(method))
    return kind


def explained(function: F) -> F:
    """The same function, with the same signature; a call that does not fit it says what to write.

    >>> from streamflow.flow.windows import sliding
    >>> sliding("10s", "2s")
    Traceback (most recent call last):
    ...
    streamflow.flow.calls.WrongCall: sliding() takes 1 positional argument but 2 were given
      step: sliding
      at: ...
      remedy: write sf.sliding("10s", every="2s")
    """
    error_for = _wrong_call

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise  # out of the function itself: the call was right
            raise error_for(function, str(error), kwargs) from None

    # With the function's own globals: doctest looks for examples only in functions that have those of their module.
    inner: Any = function
    return wraps(function)(FunctionType(call.__code__, inner.__globals__, closure=call.__closure__))  # type: ignore[return-value]


def later_keyword(function: str, keywords: Iterable[str]) -> UserError | None:
    """The error for the first keyword that only a later version takes."""
    for word in keywords:
        if (key := f"{function}({word}=)") in instead.LATER:
            return WrongCall(
                f"{function} has no {word}= in this version",
                step=function,
                location=users_line(),
                remedy=instead.LATER[key] or None,
            )
    return None


def _wrong_call(function: Callable[..., Any], message: str, keywords: Iterable[str]) -> UserError:
    shown = _shown(function)
    step = shown.rpartition(".")[2]
    return later_keyword(step, keywords) or WrongCall(
        message.replace(".__init__", ""), step=step, location=users_line(), remedy=instead.CALLS[shown]
    )


def _shown(function: Callable[..., Any]) -> str:
    return function.__qualname__.removesuffix(".__init__")
