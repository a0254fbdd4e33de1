"""A build function is called by its name in a fresh process, or refused with what to do."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import streamflow as sf
from streamflow.errors import UserError
from streamflow.flow.load import load
from streamflow.runners.target import Target, target_of

SCRIPT = """\
import json, sys
import streamflow as sf
from streamflow.runners.target import target_of

def build(limit: int = 3) -> sf.Flow:
    return sf.Flow(f"limit {limit}")

if __name__ == "__main__":
    target = target_of(build, {"limit": 5})
    print(json.dumps([target.place, target.parameters, target.folders]))
"""
FRESH = """\
import json, sys
from streamflow.runners.target import Target
print(Target(*json.loads(sys.stdin.read())).build().name)
"""


def python(*arguments: str, folder: Path, given: str = "") -> str:
    run = subprocess.run(
        [sys.executable, *arguments],
        input=given,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def built_elsewhere(target: Target) -> str:
    told = json.dumps([target.place, target.parameters, target.folders])
    return python("-c", FRESH, folder=Path("/"), given=told)


@pytest.mark.parametrize("arguments", [["x.py"], ["inner/../x.py"], ["-m", "x"], ["-m", "inner.y"]])
def test_what_a_script_runs_is_found_by_a_fresh_process_elsewhere(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "x.py").write_text(SCRIPT)
    (tmp_path / "inner" / "z.py").write_text("")
    (tmp_path / "inner" / "y.py").write_text("from . import z\n" + SCRIPT)
    told = python(*arguments, folder=tmp_path)
    assert python("-c", FRESH, folder=tmp_path, given=told) == "limit 5"


def test_a_script_that_was_loaded_is_found_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "json.py").write_text(SCRIPT)
    target = target_of(load(f"{tmp_path}/json.py"), {"limit": 7})
    assert target.place == f"{tmp_path}/json.py:build"
    monkeypatch.undo()
    assert python("-c", FRESH, folder=tmp_path.parent, given=json.dumps([target.place, {}, []])) == "limit 3"


def build(name: str = "rides") -> sf.Flow:
    return sf.Flow(name)


def test_a_function_of_a_module_is_found() -> None:
    assert built_elsewhere(target_of(build, {})) == "rides"
    assert built_elsewhere(target_of(build, {"name": "x"})) == "x"


class Builder:
    def __call__(self) -> sf.Flow:
        return sf.Flow("object")

    def method(self) -> sf.Flow:
        return sf.Flow("method")

    @staticmethod
    def static() -> sf.Flow:
        return sf.Flow("static")


def decorated(function: Callable[..., sf.Flow]) -> Callable[..., sf.Flow]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> sf.Flow:
        return function(*args, **kwargs)

    return wrapper


@decorated
def with_a_decorator() -> sf.Flow:
    return sf.Flow("decorated")


def hidden() -> sf.Flow:
    return sf.Flow("first")


first_hidden = hidden
globals()["hidden"] = build


def test_a_decorated_function_is_found_with_its_decorator() -> None:
    assert target_of(with_a_decorator, {}).place.endswith(":with_a_decorator")


def nested() -> sf.Flow:
    return sf.Flow("nested")


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (lambda: sf.Flow("x"), "a lambda cannot be run on several workers"),
        (Builder(), "which is no function, cannot"),
        (Builder().method, "which is no function, cannot"),
        (Builder.static, "Builder.static, which is made in a class, cannot"),
        (functools.partial(build, "x"), "which is no function, cannot"),
        (decorated(nested), "nested, which .* does not have under that name, cannot"),
        (first_hidden, "hidden, which .* does not have under that name, cannot"),
    ],
)
def test_what_an_import_does_not_find_is_refused(given: Callable[..., sf.Flow], what: str) -> None:
    with pytest.raises(UserError, match=what) as refused:
        target_of(given, {})
    assert refused.value.remedy is not None
    assert "top level of a file" in refused.value.remedy


def test_a_function_in_a_function_is_refused() -> None:
    def inner() -> sf.Flow:
        return sf.Flow("inner")

    with pytest.raises(UserError, match="inner, which is made in a function, cannot be run on several workers"):
        target_of(inner, {})


@pytest.mark.parametrize("arguments", [["-"], ["-c", SCRIPT], ["-i"]])
def test_a_function_that_was_typed_in_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    typed = SCRIPT.replace("    return sf.Flow", "    return sf.Flow", 1)
    run = subprocess.run(
        [sys.executable, *arguments],
        input=typed if arguments == ["-"] else typed.replace("\n\n", "\n\n\n"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "build, which was typed in and stands in no file, cannot be run on several workers" in run.stderr


def test_parameters_that_are_not_the_functions_are_refused() -> None:
    with pytest.raises(UserError, match="build has no parameter 'nam'"):
        target_of(build, {"nam": "x"})
    with pytest.raises(UserError, match="parameter 'name' is a str, not"):
        target_of(build, {"name": object()})
