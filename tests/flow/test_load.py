from __future__ import annotations

import sys
from pathlib import Path

import pytest

import streamflow as sf
from streamflow.errors import UserError
from streamflow.flow.load import load
from streamflow.flow.parameters import describe

SCRIPT = """\
import dataclasses
import streamflow as sf
import helper_of_script

@dataclasses.dataclass
class Row:
    x: int

def build(limit: int = 3) -> sf.Flow:
    return sf.Flow(f"{helper_of_script.NAME}-{limit}")

def other() -> sf.Flow:
    return sf.Flow("other")

def number() -> int:
    return 3

CONSTANT = 3

if __name__ == "__main__":
    raise AssertionError("must not run")
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "helper_of_script.py").write_text('NAME = "job"\n')
    path = tmp_path / "json.py"
    path.write_text(SCRIPT)
    return path


def test_a_script_is_loaded_by_its_path(script: Path) -> None:
    assert load(str(script))(limit=5).name == "job-5"
    assert load(f"{script}:other")().name == "other"


def test_a_script_may_be_called_like_a_module(script: Path) -> None:
    import json

    load(str(script))
    assert sys.modules["json"] is json


def test_the_parameters_are_those_of_the_users_function(script: Path) -> None:
    assert [parameter.name for parameter in describe(load(str(script)))] == ["limit"]


def test_a_module_is_loaded_by_its_name(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (script.parent / "module_with_flow.py").write_text(SCRIPT)
    monkeypatch.syspath_prepend(str(script.parent))
    assert load("module_with_flow:other")().name == "other"
    assert load("module_with_flow")().name == "job-3"


def test_what_is_not_there_is_an_error_with_the_remedy(script: Path) -> None:
    with pytest.raises(UserError, match="no file") as error:
        load(str(script.with_name("jsno.py")))
    with pytest.raises(UserError, match="no function 'othre'") as error:
        load(f"{script}:othre")
    assert error.value.remedy == f"did you mean {script}:other?"
    with pytest.raises(UserError, match="'CONSTANT' is not a function, but of type int"):
        load(f"{script}:CONSTANT")
    with pytest.raises(UserError, match="no module 'no_such_module_here'"):
        load("no_such_module_here:build")


def test_a_function_that_gives_no_flow_is_an_error(script: Path) -> None:
    with pytest.raises(UserError, match="gave no Flow, but an object of type int"):
        load(f"{script}:number")()


def test_what_a_script_raises_passes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / "broken.py"
    path.write_text("import no_such_module_at_all\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all") as error:
        load(str(path))
    assert error.traceback[-1].path == path
    assert "__script__.broken" not in sys.modules


def test_a_flow_object_is_no_build_function(script: Path) -> None:
    assert isinstance(load(str(script))(), sf.Flow)
