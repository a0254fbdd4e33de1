"""Faults that are planted on purpose: each breaks one rule of docs/design/semantics.md, and has to be found.

A `Mutant` is a smallest wrong change of the product's code, the number of the rule it breaks, and how it is looked for:
by a named test, which then has to fail, or by runs under so many seeds. The modules beside this one hold the mutants,
by rule, and a test that goes through them. What a mutant changes is the text of a function; when the function is
rewritten, the mutant says that it no longer fits, and is written anew.
"""

from __future__ import annotations

import inspect
import signal
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, TypeAlias

import pytest

from streamflow.errors import StreamflowError

_ROOT = Path(__file__).parents[3]

Patch: TypeAlias = "Callable[[], AbstractContextManager[None]]"
Find: TypeAlias = "Callable[[], bool]"


@dataclass(frozen=True, slots=True)
class Mutant:
    """`patch()` is the fault, planted for as long as the context lasts; `find()` whether it is noticed there."""

    name: str
    rule: int
    patch: Patch
    find: Find

    def is_found(self) -> bool:
        with self.patch():
            return self.find()


def mutants(*planted: Mutant) -> pytest.MarkDecorator:
    """The test gets one `mutant` after the other."""
    return pytest.mark.parametrize("mutant", planted, ids=[f"{one.rule} {one.name}" for one in planted])


# -- faults


def edit(function: Any, old: str, new: str) -> Patch:
    """`new` in place of `old`, which must stand exactly once in the source of a function or a property.

    Its code is exchanged, so that it is wrong for all who have imported it.
    """

    @contextmanager
    def planted() -> Iterator[None]:
        target = _function(function)
        source = textwrap.dedent(inspect.getsource(target))
        assert source.count(old) == 1, (
            f"the mutant no longer fits: {old!r} stands {source.count(old)} times in\n{source}"
        )
        right = target.__code__
        target.__code__ = _compiled(source.replace(old, new), target)
        try:
            yield
        finally:
            target.__code__ = right

    return planted


def _function(target: Any) -> FunctionType:
    match target:
        case property(fget=FunctionType() as function):
            return function
        case FunctionType():
            return target
    function = target.__func__  # of a class method
    assert isinstance(function, FunctionType)
    return function


def _compiled(source: str, target: FunctionType) -> CodeType:
    """The code of the function, in a class and with the names that it is enclosed by, so that it fits its closure."""
    enclosing = "".join(f"    {name} = None\n" for name in target.__code__.co_freevars if name != "__class__")
    in_class = f"def _():\n{enclosing}    class _:\n" + textwrap.indent(source, " " * 8)
    flags = target.__code__.co_flags & 0x1000000  # from __future__ import annotations
    pending: list[CodeType] = [compile(in_class, target.__code__.co_filename, "exec", flags=flags, dont_inherit=True)]
    while pending:
        code = pending.pop()
        if code.co_name == target.__name__:
            return code
        pending += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    raise AssertionError(f"no {target.__name__} in\n{source}")


def replace(owner: Any, name: str, value: Any) -> Patch:
    """Another value for an attribute of a class, module or instance, or for an entry of a dict."""

    @contextmanager
    def planted() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            if isinstance(owner, dict):
                assert name in owner
                patch.setitem(owner, name, value)
            else:
                patch.setattr(owner, name, value)
            yield

    return planted


# -- ways of finding them


LONGEST = 20
"""Seconds after which a test that a fault makes run for ever has failed."""


def by_test(test: str) -> Find:
    """A test by its place below `tests/`: `rules/test_time.py::test_6_...`. Found if a case fails, or hangs."""

    def find() -> bool:
        with _bounded():
            code = pytest.main([str(_ROOT / "tests" / test), "-x", "-p", "no:cacheprovider", "-p", "no:terminal"])
        assert code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED), f"{test} was not run: {code}"
        return code == pytest.ExitCode.TESTS_FAILED

    return find


@contextmanager
def _bounded() -> Iterator[None]:
    def too_long(*_: object) -> None:
        raise TimeoutError(f"the test still runs after {LONGEST} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def by_seeds(check: Callable[[int], object], seeds: int) -> Find:
    """`check(seed)` raises where a run shows the fault; found if one of the first so many seeds does."""

    def find() -> bool:
        for seed in range(seeds):
            try:
                check(seed)
            except (AssertionError, StreamflowError):
                return True
        return False

    return find
